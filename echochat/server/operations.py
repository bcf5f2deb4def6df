"""
What an operator may ask of a running server.
"""

import os
from collections.abc import Callable
from typing import Any

from echochat import __version__
from echochat.daemon.reloads import Reloads
from echochat.server.bans import canonical
from echochat.server.factory import EchoChatFactory


class Operations:
    """
    Status, kicks, bans, draining.

    :param factory: the server.
    :param stop: begins an orderly stop of the process.
    :ivar reloads: what is read again.
    """

    def __init__(self, factory: EchoChatFactory, stop: Callable[[], None]) -> None:
        self._factory = factory
        self._stop = stop
        self.reloads = Reloads()
        self._began = factory.clock.seconds()

    def status(self) -> dict[str, str | int | float]:
        """
        Counters since the start, and what is now. Times are in seconds, sizes in bytes.
        """
        factory, exchange = self._factory, self._factory.exchange
        counters, history, hub = exchange.counters, exchange.history.status, exchange.hub
        ended = {f"ended, {cause}": count for cause, count in sorted(counters.ended.items())}
        return {
            "version": __version__,
            "process": os.getpid(),
            "uptime": round(factory.clock.seconds() - self._began, 3),
            "connections": len(factory.connections),
            "connections in all": counters.connections,
            "lines": counters.lines + sum(connection.lines for connection in factory.connections),
            "publishes": counters.publishes,
            "publishes refused": counters.refused,
            "deliveries": counters.deliveries,
            "gaps told": counters.gaps,
            "subscriptions behind": hub.behind,
            "events in memory": hub.memory_used,
            "history": history.unavailable or "available",
            "events stored": history.events,
            "commits": history.commits,
            "commit time, mean": round(history.commit_seconds / max(1, history.commits), 6),
            "commit time, last": round(history.commit_last, 6),
            "commit time, longest": round(history.commit_longest, 6),
            "history reads": history.reads,
            "events removed": history.removed,
            "history failures": history.failures,
            **ended,
        }

    def kick(self, who: str) -> int:
        """
        Close the connections of a name, or from an address.

        :return: how many there were.
        """
        return self._close(who, "restarted", "an operator closed the connection")

    def _close(self, who: str, code: str, why: str) -> int:
        chosen = [each for each in self._factory.connections if _is_of(each, who)]
        return sum(connection.be_kicked(code, why) for connection in chosen)

    def ban(self, who: str, seconds: float | None) -> int:
        """
        Kick, and keep out: for so many seconds, or until the server is restarted.

        :return: how many connections were closed.
        """
        self._factory.bans.add(who, seconds)
        return self._close(who, "banned", "you are banned from this server")

    def unban(self, who: str) -> bool:
        """
        Let a name or an address in again.

        :return: whether it was banned.
        """
        return self._factory.bans.remove(who)

    def move(self, count: int | None, seconds: float) -> int:
        """
        Ask clients to reconnect, which takes them to another server where a balancer has one. The server goes on.

        :param count: how many; None: all.
        :param seconds: they are asked one after the other over this time.
        :return: how many will be asked.
        """
        return self._factory.move(count, seconds)

    def drain(self) -> None:
        """
        Stop the server: as SIGTERM does.
        """
        self._stop()


def _is_of(connection: Any, who: str) -> bool:
    wanted, name = canonical(who), connection.known_name
    return canonical(connection.host) == wanted or (name is not None and canonical(name) == wanted)
