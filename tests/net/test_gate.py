"""
Tests for :mod:`echochat.net.gate`.
"""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase, TestCase

from echochat.net.gate import Gate
from tests.net.lean.runs import OverLean, OverPlain, Run
from tests.net.recorders import Recorder, Recording


class FakePort:
    """
    A port that notes whether it would accept.
    """

    def __init__(self) -> None:
        self.connected = True
        self.disconnecting = False
        self.accepts = True

    def stopReading(self) -> None:
        self.accepts = False

    def startReading(self) -> None:
        self.accepts = True


class GateTests(SynchronousTestCase):
    """
    Ports accept while there is a place.
    """

    def guarded(self, most: int, ports: int = 1) -> tuple[Any, ...]:
        gate = Gate(most)
        made = [FakePort() for _ in range(ports)]
        for port in made:
            gate.guard(port)
        return gate, *made

    def test_full(self) -> None:
        """
        All ports stop when the last place is taken, and start when one is free again.
        """
        gate, one, two = self.guarded(2, ports=2)
        gate.enter()
        self.assertEqual((one.accepts, two.accepts, gate.inside), (True, True, 1))
        gate.enter()
        self.assertEqual((one.accepts, two.accepts, gate.inside), (False, False, 2))
        gate.leave()
        self.assertEqual((one.accepts, two.accepts, gate.inside), (True, True, 1))

    def test_more_than_there_may_be(self) -> None:
        """
        Where a port lets in some that it had accepted already, it stays shut until all of these places are free.
        """
        gate, port = self.guarded(2)
        for _ in range(5):
            gate.enter()
        for inside in (4, 3, 2):
            gate.leave()
            self.assertEqual((port.accepts, gate.inside), (False, inside))
        gate.leave()
        self.assertTrue(port.accepts)

    def test_no_limit(self) -> None:
        """
        0 means as many as come.
        """
        gate, port = self.guarded(0)
        for _ in range(1_000):
            gate.enter()
        self.assertTrue(port.accepts)
        for _ in range(1_000):
            gate.leave()
        self.assertTrue(port.accepts)

    def test_late_port(self) -> None:
        """
        A port that begins to listen when all places are taken waits too.
        """
        gate, _ = self.guarded(1)
        gate.enter()
        late = FakePort()
        gate.guard(late)
        self.assertFalse(late.accepts)
        gate.leave()
        self.assertTrue(late.accepts)

    def test_closing_ports(self) -> None:
        """
        A port that is closing, or has closed, is not started.
        """
        gate, closing, closed = self.guarded(1, ports=2)
        gate.enter()
        closing.disconnecting = True
        closed.connected = False
        gate.leave()
        self.assertEqual((closing.accepts, closed.accepts), (False, False))

    def test_held(self) -> None:
        """
        While it is held nobody is let in, whoever comes and goes; afterwards those for whom there is a place.
        """
        gate, port = self.guarded(2)
        gate.hold()
        self.assertFalse(port.accepts)
        gate.enter()
        gate.enter()
        gate.leave()
        self.assertFalse(port.accepts)
        gate.let_in()
        self.assertTrue(port.accepts)
        gate.hold()
        gate.enter()
        gate.let_in()
        self.assertFalse(port.accepts)


class Counted(Recorder):
    """
    One that goes through the gate.
    """

    gate: Gate

    def connectionMade(self) -> None:
        self.gate.enter()
        super().connectionMade()

    def connectionLost(self, *arguments: Any) -> None:
        self.gate.leave()
        super().connectionLost(*arguments)


class AcceptingGuarantees(Run):
    """
    A gate before real ports.
    """

    async def guarded(self, most: int) -> tuple[Gate, Recording, Any]:
        gate = Gate(most)

        def make() -> Counted:
            made = Counted()
            made.gate = gate
            return made

        recording = self.recording(make)
        port = self.listening(self.reactor.listenTCP(0, recording, interface="127.0.0.1"))
        gate.guard(port)
        return gate, recording, port.getHost()

    async def test_all_are_served_in_the_end(self) -> None:
        """
        Whoever finds no place waits, and is served when somebody leaves.
        """
        gate, recording, address = await self.guarded(3)
        peers = [self.peer(address) for _ in range(12)]
        for served in range(12):
            await recording.until_made(served + 1)
            peers[served].close()
        await self.until(lambda: gate.inside == 0)


class LeanGateTests(OverLean, AcceptingGuarantees, TestCase):
    """
    Over the lean reactor.
    """

    async def test_no_more_than_there_may_be(self) -> None:
        """
        Never are there more connections than there may be, although many wait.
        """
        gate, recording, address = await self.guarded(3)
        peers = [self.peer(address) for _ in range(12)]
        for gone in range(9):
            await recording.until_made(gone + 3)
            await self.round_trip()
            self.assertEqual((gate.inside, len(recording.made)), (3, gone + 3))
            peers[gone].close()


class PlainGateTests(OverPlain, AcceptingGuarantees, TestCase):
    """
    Over the plain reactor, whose ports accept up to a hundred that wait before they look again.
    """
