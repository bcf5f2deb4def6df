"""
What is watched in an epoll of our own, and by whom: see :mod:`echochat.net.lean.dispatcher`.
"""

import errno
import select
from typing import Any, Final

from twisted.internet.interfaces import IReactorFDSet

IN: Final = select.EPOLLIN
OUT: Final = select.EPOLLOUT


class Watchlist:
    """
    Descriptors in an epoll, which the outer reactor watches while there are any.

    :param outer: the reactor under which this runs.
    """

    def __init__(self, outer: IReactorFDSet) -> None:
        self._outer: Any = outer
        self._epoll = select.epoll()
        self._readers: dict[int, Any] = {}
        self._writers: dict[int, Any] = {}
        # Those of the readers that are told of everything themselves.
        self._ends: dict[int, Any] = {}
        # Numbers that were registered since the running batch was taken.
        self._fresh: set[int] = set()
        self._watched = False
        # Sockets that are closed when the running batch is done; None: none runs.
        self._doomed: list[Any] | None = None

    # Called by the lean reactor

    def add(self, table: dict[int, Any], descriptor: Any) -> None:
        number = descriptor.fileno()
        if number in table:
            return
        known = number in self._readers or number in self._writers
        table[number] = descriptor
        if known:
            self._epoll.modify(number, IN | OUT)
            return
        self._fresh.add(number)
        try:
            self._epoll.register(number, IN if table is self._readers else OUT)
        except BaseException:
            del table[number]
            raise
        if not self._watched:
            self._watched = True
            self._outer.addReader(self)

    def watch(self, end: Any, events: int) -> None:
        """
        Watch a descriptor that asks for events itself: ``doRead`` is called when there is something to read and nothing
        else, and ``ready`` with every other event.

        :param events: epoll's, such as ``EPOLLIN``.
        """
        number = end.number
        self._readers[number] = self._ends[number] = end
        self._fresh.add(number)
        self._epoll.register(number, events)
        if not self._watched:
            self._watched = True
            self._outer.addReader(self)

    def change(self, end: Any, events: int) -> None:
        """
        Watch a descriptor for other events.
        """
        self._epoll.modify(end.number, events)

    def forget(self, end: Any) -> None:
        """
        Watch it no more.
        """
        number = end.number
        if number in self._ends and self._ends[number] is end:
            self._epoll.unregister(number)
            self._leave_out(number)

    def bury(self, end: Any) -> None:
        """
        Close its socket, soon, and watch it no more: the kernel forgets it then, unless another process has it, too.
        """
        number = end.number
        if self._ends.get(number) is end:
            self._leave_out(number)
        if self._doomed is None:
            end.socket.close()
        else:
            self._doomed.append(end.socket)

    def bury_one(self) -> None:
        """
        Close a socket that is to be closed: one peer has just been sent something, and is awake to hear of an end.
        """
        if self._doomed:
            self._doomed.pop().close()

    def remove(self, table: dict[int, Any], descriptor: Any) -> None:
        number = descriptor.fileno()
        if table.get(number) is not descriptor:
            # Closed already (Twisted reports -1 then) or not watched.
            found = [key for key, value in table.items() if value is descriptor] if number < 0 else []
            if not found:
                return
            number = found[0]
        del table[number]
        self._ends.pop(number, None)
        other = self._writers if table is self._readers else self._readers
        try:
            if number in other:
                self._epoll.modify(number, OUT if table is self._readers else IN)
            else:
                self._epoll.unregister(number)
        except OSError as error:
            # The kernel forgets a descriptor when it is closed.
            if error.errno not in (errno.ENOENT, errno.EBADF):
                raise
        if self._watched and not self._readers and not self._writers:
            self._watched = False
            self._outer.removeReader(self)

    def remove_all(self) -> list[Any]:
        """
        Watch nothing any more.

        :return: what was watched.
        """
        descriptors = list({id(each): each for each in (*self._readers.values(), *self._writers.values())}.values())
        for descriptor in descriptors:
            self.remove(self._readers, descriptor)
            self.remove(self._writers, descriptor)
        return descriptors

    def close(self) -> None:
        """
        Give back the epoll descriptor.
        """
        if self._watched:
            self._watched = False
            self._outer.removeReader(self)
        self._epoll.close()

    @property
    def readers(self) -> dict[int, Any]:
        """
        By number, what is watched for reading.
        """
        return self._readers

    @property
    def writers(self) -> dict[int, Any]:
        """
        By number, what is watched for writing.
        """
        return self._writers

    # Ours

    def _leave_out(self, number: int) -> None:
        del self._ends[number], self._readers[number]
        if self._watched and not self._readers and not self._writers:
            self._watched = False
            self._outer.removeReader(self)
