"""
Stop accepting while all places are taken, rather than accept and drop: whoever waits in the kernel's queue is served
as soon as somebody leaves.
"""

from typing import Any


class Gate:
    """
    Counts connections, and stops the listening ports from accepting while there are as many as there may be.

    :param most: how many at once; 0 means no limit.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside = 0
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

    def enter(self) -> None:
        """
        A connection has come.
        """
        self._inside += 1
        if self._inside == self._most:
            for port in self._ports:
                port.stopReading()

    def leave(self) -> None:
        """
        A connection has gone.
        """
        self._inside -= 1
        if self._inside == self._most - 1:
            for port in self._ports:
                if port.connected and not port.disconnecting:
                    port.startReading()
