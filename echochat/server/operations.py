"""
What an operator may ask of a running server.
"""

import os
from collections.abc import Awaitable, Callable
from typing import Any

from txaio.tx import make_logger

from echochat import __version__
from echochat.server.bans import canonical
from echochat.server.factory import EchoChatFactory

Reload = Callable[[], Awaitable[None] | None]
"""
Reads something again. Raises, with one sentence, when it keeps what it had.
"""


class Operations:
    """
    Status, reload, kicks, bans, draining.

    :param factory: the server.
    :param stop: begins an orderly stop of the process.
    """

    log = make_logger()

    def __init__(self, factory: EchoChatFactory, stop: Callable[[], None]) -> None:
        self._factory = factory
        self._stop = stop
        self._reloads: list[tuple[str, Reload]] = []
        self._afterwards: list[Callable[[], None]] = []
        self._began = factory.clock.seconds()

    def reloads(self, what: str, reload: Reload) -> None:
        """
        Reload this too, when it is asked for.

        :param what: names it, for people.
        """
        self._reloads.append((what, reload))

    def afterwards(self, look: Callable[[], None]) -> None:
        """
        Call this when everything has been reloaded.
        """
        self._afterwards.append(look)

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

    async def reload(self) -> dict[str, str]:
        """
        Read again what can change while the server runs. What is broken is kept as it was.

        :return: for each thing, ``reloaded`` or why not.
        """
        results = {}
        for what, reload in self._reloads:
            try:
                waiting = reload()
                if waiting is not None:
                    await waiting
            except Exception as error:
                results[what] = f"kept as it was: {error}"
                self.log.error("not reloaded, {what}: {why}", what=what, why=str(error))
            else:
                results[what] = "reloaded"
                self.log.info("reloaded, {what}", what=what)
        for look in self._afterwards:
            look()
        return results

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

    def drain(self) -> None:
        """
        Stop the server: as SIGTERM does.
        """
        self._stop()


def _is_of(connection: Any, who: str) -> bool:
    wanted, name = canonical(who), connection.known_name
    return canonical(connection.host) == wanted or (name is not None and canonical(name) == wanted)
