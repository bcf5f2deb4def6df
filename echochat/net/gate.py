"""
Stop accepting while all places are taken, rather than accept and drop: whoever waits in the kernel's queue is served
as soon as somebody leaves.
"""

from typing import Any


class Gate:
    """
    Counts connections, and stops the listening ports from accepting while there are as many as there may be.

    A port of the lean reactor stops at once. One of Twisted's accepts up to a hundred that wait already before it looks
    again: there may be so many more, and then none is let in until their places are free, too.

    :param most: how many at once; 0 means no limit.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside = 0
        self._held = False
        self._ports: list[Any] = []

    @property
    def inside(self) -> int:
        """
        How many connections there are.
        """
        return self._inside

    def guard(self, port: Any) -> None:
        """
        Stop and start this port too: an ``IListeningPort`` that is a descriptor, as Twisted's stream ports are.
        """
        self._ports.append(port)
        if not self._accepts:
            port.stopReading()

    def hold(self) -> None:
        """
        Let nobody in for now: whoever comes waits in the kernel's queue.
        """
        self._held = True
        self._look()

    def let_in(self) -> None:
        """
        The opposite of :meth:`hold`.
        """
        self._held = False
        self._look()

    def enter(self) -> None:
        """
        A connection has come.
        """
        self._inside += 1
        if self._inside == self._most:
            self._look()

    def leave(self) -> None:
        """
        A connection has gone.
        """
        self._inside -= 1
        if self._inside == self._most - 1:
            self._look()

    @property
    def _accepts(self) -> bool:
        return not self._held and (not self._most or self._inside < self._most)

    def _look(self) -> None:
        for port in self._ports:
            if not self._accepts:
                port.stopReading()
            elif port.connected and not port.disconnecting:
                port.startReading()
