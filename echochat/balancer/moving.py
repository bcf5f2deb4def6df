"""
Asking the sessions at a backend to reconnect, so that they get to another one.

The backend does it, paced (:mod:`echochat.server.moving`): it is asked by its route where that has a way of its own,
and otherwise over the control socket that its ``control`` setting names.
"""

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from txaio.tx import make_logger

from echochat.balancer.backends import Backend
from echochat.balancer.routes import Moves, Route
from echochat.daemon.asking import DEADLINE, NotAnswered, ask


class Mover:
    """
    Asks backends to have their sessions move.

    :param reactor: on which to connect to control sockets.
    :param routes: the way to each backend.
    """

    log = make_logger()

    def __init__(self, reactor: Any, clock: IReactorTime, routes: Mapping[Backend, Route]) -> None:
        self._reactor = reactor
        self._clock = clock
        self._routes = routes
        # Until when sessions are asked, for backends where some were to be.
        self._until: dict[Backend, float] = {}

    def move(self, backend: Backend, count: int | None, seconds: float) -> "Deferred[str]":
        """
        Have sessions asked, spread over this time. It takes the place of what the backend was asked before.

        :param count: how many; None: all.
        :return: what came of it, in one sentence, which is in the log, too. It never fails, and has a deadline.
        """
        now = self._clock.seconds()
        # What is over is forgotten, and with it the backends that have been removed.
        self._until = {each: until for each, until in self._until.items() if until > now}
        self._until[backend] = now + seconds
        asked = Deferred.fromCoroutine(self._ask(backend, count, seconds))
        return asked.addCallbacks(
            lambda told: self._done(backend, told, seconds), lambda failure: self._failed(backend, failure)
        )

    def stay(self, backend: Backend) -> "Deferred[str] | None":
        """
        Sessions may stay, those that have not been asked yet.

        :return: as :meth:`move`; None: none were to be asked.
        """
        if self._until.pop(backend, 0) <= self._clock.seconds():
            return None
        return self.move(backend, 0, 0)

    # Ours

    async def _ask(self, backend: Backend, count: int | None, seconds: float) -> int:
        route = self._routes.get(backend)
        if isinstance(route, Moves):
            try:
                return await route.move(count, seconds).addTimeout(DEADLINE, self._clock)
            except TimeoutError:
                raise NotAnswered(f"no answer within {DEADLINE:g} s") from None
        if backend.control is None:
            raise NotAnswered("it has no control setting")
        how_many = "" if count is None else f"{count} "
        _, told = await ask(self._reactor, self._clock, backend.control, f"/move {how_many}{seconds:g}")
        if not told.isdecimal():
            raise NotAnswered(f"{backend.control} did not say how many")
        return int(told)

    def _done(self, backend: Backend, told: int, seconds: float) -> str:
        if not seconds and not told:
            self._until.pop(backend, None)
        result = f"sessions of backend {backend.name} that are asked to move within {seconds:g} s: {told}"
        self.log.info("{result}", result=result)
        return result

    def _failed(self, backend: Backend, failure: Failure) -> str:
        self._until.pop(backend, None)
        why = " ".join(failure.getErrorMessage().split())
        result = f"the sessions of backend {backend.name} are not asked to move: {why}"
        if failure.check(NotAnswered, OSError, ConnectionError) is None:
            self.log.failure("the sessions of backend {name} are not asked to move", failure, name=backend.name)
        else:
            self.log.warn("{result}", result=result)
        return result
