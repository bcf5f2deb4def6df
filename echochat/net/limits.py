"""
How many may come, and from where.
"""

import ipaddress
import resource
from collections import deque
from typing import Final

from twisted.internet.interfaces import IAddress, IReactorTime

NEW_WINDOW: Final = 10.0
NEW_PER_WINDOW: Final = 2
"""
New connections from one address in ten seconds, as a multiple of those that it may have at once.
"""

MOST_REMEMBERED: Final = 10_000
"""
How many addresses' new connections are remembered: 8 MB. When there are more the oldest are forgotten, so that whoever
comes from ever other addresses, as anyone with an IPv6 network can, costs no more than that.
"""

RESERVED_DESCRIPTORS: Final = 128
"""
Kept for history, logs, name lookups and reloads when all connections are taken.
"""


def raise_descriptor_limit() -> int:
    """
    Raise this process's soft limit of file descriptors to the hard one: many systems start services with 1,024.

    :return: the limit that holds now.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            return soft
    return hard


def connections_for(descriptors: int) -> int:
    """
    How many connections a process with so many descriptors can serve: all but those kept in reserve, which are
    half of them at most.
    """
    return max(1, descriptors - min(max(RESERVED_DESCRIPTORS, descriptors // 20), descriptors // 2))


class AddressLimit:
    """
    Counts connections by source address: one IPv4 address, or one IPv6 /64, which is what one customer has.

    :param most: how many at once; 0 means no limit. Twice as many may be new within ten seconds. Loopback and UNIX
        sockets are exempt.
    """

    def __init__(self, clock: IReactorTime, most: int) -> None:
        self._clock = clock
        self.most = most
        self._open: dict[str, int] = {}
        self._recent: dict[str, deque[float]] = {}
        self._swept = clock.seconds()

    def admit(self, address: IAddress) -> str | None:
        """
        Count a connection, if it may come.

        :return: what to give to :meth:`release` when it has gone; the empty string for one that is not counted.
            None: it may not come.
        """
        source = source_of(address) if self.most else ""
        if not source:
            return ""
        now = self._clock.seconds()
        self._sweep(now)
        recent = self._recent.get(source)
        if recent is None:
            if len(self._recent) >= MOST_REMEMBERED:
                del self._recent[next(iter(self._recent))]
            recent = self._recent[source] = deque(maxlen=self.most * NEW_PER_WINDOW)
        crowded = len(recent) == recent.maxlen and now - recent[0] < NEW_WINDOW
        if crowded or self._open.get(source, 0) >= self.most:
            return None
        recent.append(now)
        self._open[source] = self._open.get(source, 0) + 1
        return source

    def release(self, source: str) -> None:
        """
        A connection that was counted has gone.
        """
        if not source:
            return
        left = self._open[source] - 1
        if left:
            self._open[source] = left
        else:
            del self._open[source]

    def _sweep(self, now: float) -> None:
        # Whoever has come once must not be remembered for ever.
        if now - self._swept < NEW_WINDOW:
            return
        self._swept = now
        for source in [each for each, times in self._recent.items() if not times or now - times[-1] >= NEW_WINDOW]:
            del self._recent[source]


def is_remote(address: IAddress | None) -> bool:
    """
    Tell whether this is an address of another machine: neither loopback nor a UNIX socket.
    """
    return address is not None and bool(source_of(address))


def source_of(address: IAddress) -> str:
    """
    What this address's connections and failures are counted by: of IPv6 its /64. Empty for loopback and UNIX sockets.
    """
    host = getattr(address, "host", None)
    # Most services stand behind something on the same machine: do not read their address over and over.
    if not isinstance(host, str) or host.startswith("127."):
        return ""
    try:
        parsed = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        else:
            return "" if parsed.is_loopback else str(ipaddress.ip_network((parsed, 64), strict=False))
    return "" if parsed.is_loopback else str(parsed)
