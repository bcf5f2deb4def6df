"""
Tests for :mod:`echochat.net.progress`.
"""

from typing import Any

from twisted.internet.testing import StringTransport
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.trial.unittest import SynchronousTestCase, TestCase

from echochat.net.progress import unsent
from tests.net.lean.runs import MEGABYTE, SMALL, OverLean, OverPlain, OverUnix, Run
from tests.net.recorders import Recording


class ProgressGuarantees(Run):
    """
    What waits for a peer is counted, wherever it waits.
    """

    async def test_counts_what_waits(self) -> None:
        """
        What the peer has not taken is counted, in our buffers and in the kernel's, and falls as it reads.
        """
        [(peer, recorder)] = await self.connect(receive_buffer=SMALL)
        self.assertEqual(unsent(recorder.transport), 0)
        recorder.transport.write(b"x" * (8 * MEGABYTE))
        written = unsent(recorder.transport)
        self.assertGreater(written, 7 * MEGABYTE)
        await self.round_trip()
        waiting = unsent(recorder.transport)
        self.assertGreater(waiting, 7 * MEGABYTE)
        await self.round_trip()
        # The peer takes nothing; its kernel may find room for a little more, which a probe of the closed window brings.
        later = unsent(recorder.transport)
        self.assertLess(waiting - later, SMALL)
        await peer.read(MEGABYTE)
        self.assertLess(unsent(recorder.transport), later - MEGABYTE // 2)
        await peer.read(7 * MEGABYTE)
        await self.until(lambda: unsent(recorder.transport) == 0)

    async def test_through_wrappers(self) -> None:
        """
        A protocol between, such as TLS, does not hide it.
        """
        [(_, recorder)] = await self.connect(receive_buffer=SMALL)
        wrapper: Any = ProtocolWrapper(WrappingFactory(Recording()), recorder)
        wrapper.transport = recorder.transport
        recorder.transport.write(b"x" * (8 * MEGABYTE))
        self.assertEqual(unsent(wrapper), unsent(recorder.transport))

    async def test_gone(self) -> None:
        """
        A connection that is lost may still be asked.
        """
        [(peer, recorder)] = await self.connect()
        transport = recorder.transport
        peer.close()
        await recorder.until_lost()
        self.assertEqual(unsent(transport), 0)


class LeanTcpTests(OverLean, ProgressGuarantees, TestCase):
    """
    TCP over the lean reactor.
    """


class PlainTcpTests(OverPlain, ProgressGuarantees, TestCase):
    """
    TCP over the plain reactor.
    """


class LeanUnixTests(OverLean, OverUnix, ProgressGuarantees, TestCase):
    """
    UNIX sockets.
    """


class NoSocketTests(SynchronousTestCase):
    """
    Transports of tests.
    """

    def test_no_socket(self) -> None:
        """
        What is no socket has nothing that waits.
        """
        self.assertEqual(unsent(StringTransport()), 0)
