"""
What an operator may ask of a running server.
"""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from echochat import __version__
from echochat.chat.ban_book import BanRecord
from echochat.daemon.reloads import Reloads
from echochat.server.bans import canonical
from echochat.server.factory import EchoChatFactory
from echochat.server.fellows.orders import Expelled

if TYPE_CHECKING:
    # It needs NATS, which a server that is alone does not.
    from echochat.server.fellows.company import Company


class Operations:
    """
    Status, kicks, bans, draining.

    :param factory: the server.
    :param stop: begins an orderly stop of the process.
    :ivar reloads: what is read again.
    :ivar company: the other servers; None: there are none.
    """

    def __init__(self, factory: EchoChatFactory, stop: Callable[[], None]) -> None:
        self._factory = factory
        self._stop = stop
        self.reloads = Reloads()
        self.company: Company | None = None
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
            "epoch": exchange.history.epoch,
            "position": exchange.history.head,
            "events stored": history.events,
            "commits": history.commits,
            "commit time, mean": round(history.commit_seconds / max(1, history.commits), 6),
            "commit time, last": round(history.commit_last, 6),
            "commit time, longest": round(history.commit_longest, 6),
            "history reads": history.reads,
            "events removed": history.removed,
            "history failures": history.failures,
            **ended,
            **(self.company.status if self.company is not None else {}),
        }

    async def kick_everywhere(self, who: str) -> Expelled:
        """
        Close the connections of a name, or from an address, on all servers.
        """
        return await self._everywhere(who, None, self.kick(who))

    async def ban_everywhere(self, who: str, seconds: float | None) -> Expelled:
        """
        Kick, and keep out of all servers: for so many seconds, or until the server is restarted; where servers share a
        log: until unbanned.

        :raises BanBookFull: too many are banned.
        """
        closed = self.ban(who, seconds)
        return await self._everywhere(who, self._factory.bans.book.find(canonical(who)), closed)

    async def unban_everywhere(self, who: str) -> list[str] | None:
        """
        Let a name or an address in again, on all servers.

        :return: what the operator should know besides, a sentence each; None: it was not banned.
        """
        lifted = self.unban(who)
        if lifted is None:
            return None
        return await self.company.decided(lifted) if self.company is not None else []

    def kick(self, who: str) -> int:
        """
        Close the connections of a name, or from an address, on this server.

        :return: how many there were.
        """
        return self.expel(who, None)

    def ban(self, who: str, seconds: float | None) -> int:
        """
        Kick, and keep out of this server.

        :return: how many connections were closed.
        :raises BanBookFull: too many are banned.
        """
        return self.expel(who, self._factory.bans.add(who, seconds))

    def expel(self, who: str, ban: BanRecord | None) -> int:
        """
        Close the connections of a name, or from an address, and tell why.

        :return: how many there were.
        """
        code, why = "restarted", "an operator closed the connection"
        if ban is not None:
            code, why = "banned", "you are banned from this server"
        chosen = [each for each in self._factory.connections if _is_of(each, who)]
        return sum(connection.be_kicked(code, why) for connection in chosen)

    def unban(self, who: str) -> BanRecord | None:
        """
        Let a name or an address in again, on this server.

        :return: None: it was not banned.
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

    async def _everywhere(self, who: str, ban: BanRecord | None, here: int) -> Expelled:
        if self.company is None:
            return Expelled(here)
        expelled = await self.company.order(canonical(who), ban)
        expelled.closed += here
        return expelled


def _is_of(connection: Any, who: str) -> bool:
    wanted, name = canonical(who), connection.known_name
    return canonical(connection.host) == wanted or (name is not None and canonical(name) == wanted)
