"""
How the balancer is: one description for the control socket, the status page and whoever reads them.
"""

import os
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IReactorTime

from echochat import __version__
from echochat.balancer.backends import Backend, Mode
from echochat.balancer.fleet import Fleet
from echochat.balancer.trends import Sums, Trends

STATES: Final = ("up", "starting", "down", "draining", "drained", "leaving")
"""
What :meth:`Status.state` says of a backend. It gets connections in the first two.
"""


class Status:
    """
    Reads the figures where they are kept; nothing is counted here.

    :param waiting: how many clients wait for a place.
    """

    def __init__(
        self, clock: IReactorTime, fleet: Fleet, trends: Trends, waiting: Callable[[], int] = lambda: 0
    ) -> None:
        self.fleet = fleet
        self.trends = trends
        self._clock = clock
        self._waiting = waiting
        self._began = clock.seconds()

    def balancer(self) -> dict[str, Any]:
        """
        The balancer itself. Times are in seconds.
        """
        backends = [*self.fleet]
        shortage = self.fleet.pool.shortage
        return {
            "version": __version__,
            "process": os.getpid(),
            "uptime": round(self._clock.seconds() - self._began, 3),
            "backends": len(backends),
            "serving": sum(each.may_serve for each in self.fleet.pool),
            "active": sum(each.active for each in backends),
            "waiting": self._waiting(),
            "shortage": None if shortage is None else shortage.value,
        }

    def backends(self) -> list[dict[str, Any]]:
        """
        Each backend, in the order in which they came; those that are leaving are last.
        """
        sums = self.trends.sums()
        return [self._describe(backend, of_backend) for backend, of_backend in sums.items()]

    def backends_over_time(self) -> list[dict[str, Any]]:
        """
        The same, each with its ``trend``: how many connections it had at each look, the oldest first.
        """
        sums = self.trends.sums()
        return [{**self._describe(each, of), "trend": self.trends.of(each).active} for each, of in sums.items()]

    def state(self, backend: Backend) -> str:
        """
        One word of :data:`STATES`.
        """
        if self.fleet.is_leaving(backend):
            return "leaving"
        if backend.mode is Mode.DRAIN:
            return "draining" if backend.active else "drained"
        if not backend.may_serve:
            return "down"
        # The pool ends a slow start when it chooses next, which may be never.
        begins = backend.since is not None and self._clock.seconds() - backend.since < self.fleet.pool.slow_start
        return "starting" if begins else "up"

    # Ours

    def _describe(self, backend: Backend, sums: Sums) -> dict[str, Any]:
        trend, now = self.trends.of(backend), self._clock.seconds()
        return {
            "name": backend.name,
            "endpoint": backend.endpoint,
            "state": self.state(backend),
            "mode": backend.mode.value,
            "is_up": backend.is_up,
            "why": "an operator has taken it out" if backend.mode is Mode.DOWN else backend.why,
            "checked": None if backend.checked is None else round(now - backend.checked, 1),
            "weight": backend.weight,
            "max": backend.most,
            "backup": backend.backup,
            "active": backend.active,
            "connections": sums.connections,
            "failures": backend.traffic.failures,
            "checks_failed": backend.traffic.refused,
            "bytes_in": sums.bytes_in,
            "bytes_out": sums.bytes_out,
            "connections_per_second": round(trend.rate(lambda each: each.connections), 2),
            "bytes_in_per_second": round(trend.rate(lambda each: each.bytes_in)),
            "bytes_out_per_second": round(trend.rate(lambda each: each.bytes_out)),
        }
