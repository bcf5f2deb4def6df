"""
Tests for :mod:`echochat.net.lean.dispatcher`: what happens within one batch of events, step by step.
"""

import os
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableDescriptor
from twisted.internet.main import CONNECTION_LOST
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from echochat.net.lean.dispatcher import ROUNDS, Dispatcher


class Outer:
    """
    A reactor that only notes whether it was asked to watch.
    """

    def __init__(self) -> None:
        self.watched: list[Any] = []

    def addReader(self, reader: Any) -> None:
        self.watched.append(reader)

    def removeReader(self, reader: Any) -> None:
        self.watched.remove(reader)


class Descriptor:
    """
    One end of a socket pair, of which the test holds the other.

    :ivar calls: what was called.
    :ivar on_read: what happens when there is something to read.
    :ivar on_write: what happens when something can be written.
    """

    def __init__(self) -> None:
        self.end, self.other = socket.socketpair()
        self.end.setblocking(False)
        self.calls: list[str] = []
        self.reason: Failure | None = None
        self.on_read: Callable[[], Any] = lambda: None
        self.on_write: Callable[[], Any] = lambda: None

    def fileno(self) -> int:
        return self.end.fileno()

    def doRead(self) -> Any:
        self.calls.append("doRead")
        return self.on_read()

    def doWrite(self) -> Any:
        self.calls.append("doWrite")
        return self.on_write()

    def connectionLost(self, reason: Failure) -> None:
        self.calls.append("connectionLost")
        self.reason = reason

    def close(self) -> None:
        self.end.close()
        self.other.close()


@implementer(IHalfCloseableDescriptor)
class HalfCloseable(Descriptor):
    """
    One that goes on when one direction has ended.
    """

    def readConnectionLost(self, reason: Failure) -> None:
        self.calls.append("readConnectionLost")

    def writeConnectionLost(self, reason: Failure) -> None:
        self.calls.append("writeConnectionLost")


class DispatcherTests(SynchronousTestCase):
    """
    Each event reaches the descriptor that asked for it, and no other.
    """

    def setUp(self) -> None:
        self.outer = Outer()
        outer: Any = self.outer
        self.dispatcher = Dispatcher(outer)
        self.addCleanup(self.dispatcher.close)

    def descriptor(self, kind: type[Descriptor] = Descriptor) -> Any:
        made = kind()
        self.addCleanup(made.close)
        return made

    def read(self, descriptor: Any) -> None:
        self.dispatcher.add(self.dispatcher.readers, descriptor)

    def write(self, descriptor: Any) -> None:
        self.dispatcher.add(self.dispatcher.writers, descriptor)

    def stop(self, descriptor: Any) -> None:
        self.dispatcher.remove(self.dispatcher.readers, descriptor)
        self.dispatcher.remove(self.dispatcher.writers, descriptor)

    def replace(self, descriptor: Any, fresh: Any) -> Any:
        """
        Close a descriptor, as a connection does that is lost, and have a fresh one get its number.
        """
        number = descriptor.fileno()
        self.stop(descriptor)
        descriptor.end.close()
        os.dup2(fresh.end.fileno(), number)
        fresh.end.close()
        fresh.end = socket.socket(fileno=number)

    def say_once(self, descriptor: Any) -> None:
        """
        Let there be one byte to read, which is read.
        """
        descriptor.other.send(b"x")
        descriptor.on_read = lambda: descriptor.end.recv(10) and None

    def test_reading_and_writing(self) -> None:
        """
        A descriptor is told what it asked for: to read while there is something, to write while that is possible.
        """
        descriptor = self.descriptor()
        self.read(descriptor)
        self.dispatcher.doRead()
        self.assertEqual(descriptor.calls, [])
        self.say_once(descriptor)
        self.dispatcher.doRead()
        self.assertEqual(descriptor.calls, ["doRead"])
        descriptor.on_write = lambda: self.dispatcher.remove(self.dispatcher.writers, descriptor)
        self.write(descriptor)
        self.say_once(descriptor)
        self.dispatcher.doRead()
        self.assertEqual(descriptor.calls, ["doRead", "doRead", "doWrite"])

    def test_turn_is_bounded(self) -> None:
        """
        A descriptor that always has more does not keep the outer reactor from its timers.
        """
        descriptor = self.descriptor()
        descriptor.other.send(b"x")
        self.read(descriptor)
        self.dispatcher.doRead()
        self.assertEqual(descriptor.calls, ["doRead"] * ROUNDS)

    def test_watched_while_needed(self) -> None:
        """
        The outer reactor watches while there is something to watch, and once.
        """
        one, two = self.descriptor(), self.descriptor()
        self.read(one)
        self.write(one)
        self.read(two)
        self.assertEqual(self.outer.watched, [self.dispatcher])
        self.stop(one)
        self.assertEqual(self.outer.watched, [self.dispatcher])
        self.stop(two)
        self.assertEqual(self.outer.watched, [])
        self.write(two)
        self.assertEqual(self.outer.watched, [self.dispatcher])
        self.assertEqual(self.dispatcher.remove_all(), [two])
        self.assertEqual(self.outer.watched, [])

    def test_asked_twice(self) -> None:
        """
        To ask twice is to ask once.
        """
        descriptor = self.descriptor()
        for _ in range(2):
            self.read(descriptor)
            self.write(descriptor)
        self.stop(descriptor)
        self.stop(descriptor)
        self.assertEqual((self.dispatcher.readers, self.dispatcher.writers), ({}, {}))

    def test_paused_within_the_batch(self) -> None:
        """
        A descriptor that is paused before its event is reached is left alone, whichever comes first.
        """
        one, two = self.descriptor(), self.descriptor()
        one.on_read, two.on_read = lambda: self.stop(two), lambda: self.stop(one)
        for each in (one, two):
            each.other.send(b"x")
            self.read(each)
        self.dispatcher.doRead()
        self.assertEqual(sorted((one.calls, two.calls)), [[], ["doRead"] * ROUNDS])

    def test_stale_data(self) -> None:
        """
        A descriptor with the number of one that was closed within the batch does not get the other's event.
        """
        self.assert_no_stale_event(lambda each: each.other.send(b"x"), Descriptor)

    def test_stale_hang_up(self) -> None:
        """
        ... nor its end.
        """

        def hang_up(each: Any) -> None:
            each.other.send(b"x")
            each.other.close()

        self.assert_no_stale_event(hang_up, Descriptor)

    def test_stale_end_half_closeable(self) -> None:
        """
        ... nor half of its end.
        """

        def half_close(each: Any) -> None:
            each.other.send(b"x")
            each.other.shutdown(socket.SHUT_WR)

        self.assert_no_stale_event(half_close, HalfCloseable)

    def assert_no_stale_event(self, happen: Callable[[Any], object], kind: type[Descriptor]) -> None:
        one, two, fresh = self.descriptor(kind), self.descriptor(kind), self.descriptor(kind)
        fresh.on_write = lambda: self.dispatcher.remove(self.dispatcher.writers, fresh)

        def replace(this: Any, other: Any) -> None:
            self.stop(this)
            self.replace(other, fresh)
            self.read(fresh)
            self.write(fresh)

        one.on_read, two.on_read = lambda: replace(one, two), lambda: replace(two, one)
        for each in (one, two):
            self.read(each)
        for each in (one, two):
            happen(each)
        self.dispatcher.doRead()
        self.assertEqual(sorted((one.calls, two.calls)), [[], ["doRead"]])
        # What is true of the fresh one was told, by a later batch.
        self.assertEqual(fresh.calls, ["doWrite"])
        fresh.other.send(b"x")
        fresh.on_read = lambda: self.stop(fresh)
        self.dispatcher.doRead()
        self.assertEqual(fresh.calls, ["doWrite", "doRead"])

    def test_stale_event_of_itself(self) -> None:
        """
        A descriptor that is closed while it reads, and its number given away, is not written to for the old event.
        """
        one, fresh = self.descriptor(), self.descriptor()
        fresh.on_write = lambda: self.stop(fresh)

        def replace() -> None:
            self.replace(one, fresh)
            self.write(fresh)

        one.on_read = replace
        one.other.send(b"x")
        self.read(one)
        self.write(one)
        self.dispatcher.doRead()
        self.assertEqual(one.calls, ["doRead"])
        self.assertEqual(fresh.calls, ["doWrite"])

    def test_stopped_writing_while_reading(self) -> None:
        """
        What is not wanted any more after reading is not done.
        """
        one = self.descriptor()
        one.on_read = lambda: self.stop(one)
        one.other.send(b"x")
        self.read(one)
        self.write(one)
        self.dispatcher.doRead()
        self.assertEqual(one.calls, ["doRead"])

    def test_paused_and_resumed_within_the_batch(self) -> None:
        """
        A descriptor that is paused and resumed before its event is reached is read from in a later batch.
        """
        one, two = self.descriptor(), self.descriptor()

        def again(other: Any) -> None:
            self.stop(other)
            self.read(other)

        one.on_read, two.on_read = lambda: again(two), lambda: again(one)
        for each in (one, two):
            each.other.send(b"x")
            self.read(each)
        self.dispatcher.doRead()
        self.assertEqual(sorted((len(one.calls), len(two.calls)))[1], ROUNDS)
        self.stop(one)
        self.stop(two)

    def test_end(self) -> None:
        """
        What ``doRead`` returns ends the descriptor, once, with that reason.
        """
        one = self.descriptor()
        one.on_read = lambda: CONNECTION_LOST
        one.other.send(b"x")
        self.read(one)
        self.write(one)
        self.dispatcher.doRead()
        self.assertEqual(one.calls, ["doRead", "connectionLost"])
        self.assertTrue(one.reason.check(ConnectionLost))
        self.assertEqual(self.outer.watched, [])

    def test_end_while_writing(self) -> None:
        """
        ... and so does what ``doWrite`` returns.
        """
        one = self.descriptor(HalfCloseable)
        one.on_write = lambda: ConnectionDone()
        self.read(one)
        self.write(one)
        self.dispatcher.doRead()
        self.assertEqual(one.calls, ["doWrite", "connectionLost"])
        self.assertEqual(self.outer.watched, [])

    def test_clean_end_of_a_half_closeable(self) -> None:
        """
        The end of what can be read is told as such, and writing goes on.
        """
        one = self.descriptor(HalfCloseable)
        one.on_read = lambda: ConnectionDone()
        one.on_write = lambda: self.stop(one)
        one.other.send(b"x")
        self.read(one)
        self.dispatcher.doRead()
        self.assertEqual(one.calls, ["doRead", "readConnectionLost"])
        self.write(one)
        self.dispatcher.doRead()
        self.assertEqual(one.calls, ["doRead", "readConnectionLost", "doWrite"])

    def test_hang_up_while_writing_only(self) -> None:
        """
        A descriptor that only writes, being paused, is lost when its peer has gone.
        """
        one = self.descriptor(HalfCloseable)
        self.write(one)
        one.other.close()
        self.dispatcher.doRead()
        self.assertEqual(one.calls[-1], "connectionLost")
        self.assertTrue(one.reason.check(ConnectionLost))

    def test_exceptions(self) -> None:
        """
        An exception is logged and ends its descriptor; the rest of the batch goes on.
        """
        failing = [self.descriptor() for _ in range(3)]
        well = self.descriptor()

        def fail() -> None:
            raise ZeroDivisionError

        failing[0].on_read = failing[1].on_write = fail
        failing[2].on_read = lambda: CONNECTION_LOST
        self.patch(failing[2], "connectionLost", lambda reason: fail())
        for each in (*failing, well):
            each.other.send(b"x")
            self.read(each)
        self.write(failing[1])
        self.dispatcher.doRead()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 3)
        self.assertEqual([each.calls[-1] for each in failing], ["connectionLost", "connectionLost", "doRead"])
        self.assertEqual(well.calls, ["doRead"] * ROUNDS)
        self.assertEqual(list(self.dispatcher.readers.values()), [well])

    def test_outer_reactor_stops(self) -> None:
        """
        When the outer reactor stops all connections are lost, although some fail at that.
        """
        failing, well = self.descriptor(), self.descriptor()

        def fail(reason: Failure) -> None:
            raise ZeroDivisionError

        failing.connectionLost = fail
        for each in (failing, well):
            self.read(each)
            self.write(each)
        # As the outer reactor does it.
        self.outer.watched.clear()
        self.dispatcher.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(well.calls, ["connectionLost"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_closed_without_a_word(self) -> None:
        """
        A descriptor that was closed before it is removed is forgotten all the same.
        """
        one, two = self.descriptor(), self.descriptor()
        for each in (one, two):
            self.read(each)
            self.write(each)
        one.end.close()
        self.stop(one)
        self.assertEqual(list(self.dispatcher.readers.values()), [two])
        self.assertEqual(list(self.dispatcher.writers.values()), [two])

    def test_closed_within_a_turn(self) -> None:
        """
        The dispatcher may be closed by the last connection's end.
        """
        one = self.descriptor()

        def end() -> None:
            self.stop(one)
            self.dispatcher.close()

        one.on_read = end
        one.other.send(b"x")
        self.read(one)
        self.dispatcher.doRead()
        self.assertEqual(one.calls, ["doRead"])
        self.assertEqual(self.dispatcher.fileno(), -1)

    def test_what_cannot_be_watched(self) -> None:
        """
        A descriptor that epoll does not take is refused, and nothing of it is left.
        """
        one = self.descriptor()
        with open(__file__, "rb") as file:
            self.patch(one, "fileno", file.fileno)
            self.assertRaises(PermissionError, self.read, one)
        self.assertEqual(self.dispatcher.readers, {})
        self.assertEqual(self.outer.watched, [])
