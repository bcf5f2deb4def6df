"""
Tests for :mod:`echochat.daemon.serving`, with ports that are none and time that the test passes.
"""

import errno
from typing import Any

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echochat.daemon import ports as ports_module
from echochat.daemon.ports import CannotStart
from echochat.daemon.serving import ServingService
from echochat.net.gate import Gate


class _Port:
    """
    A port that notes whether it would accept; a new one does when it listens.
    """

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.connected = False
        self.disconnecting = False
        self.accepts = False

    def listens(self) -> "_Port":
        self.connected = self.accepts = True
        return self

    def getHost(self) -> UNIXAddress:
        return UNIXAddress(self.endpoint.encode())

    def stopReading(self) -> None:
        self.accepts = False

    def startReading(self) -> None:
        self.accepts = True

    def stopListening(self) -> Deferred[None]:
        self.connected = self.accepts = False
        return succeed(None)


class _Endpoint:
    """
    Has a port, or will have one.
    """

    def __init__(self, listening: Deferred[Any]) -> None:
        self._listening = listening

    def listen(self, factory: object) -> Deferred[Any]:
        return self._listening


class _Crowd:
    """
    Connections that are names.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.connections: set[str] = set()
        self._empty: list[Deferred[None]] = []

    def when_empty(self) -> Deferred[None]:
        self._empty.append(Deferred())
        return self._empty[-1]

    def leave(self, name: str) -> None:
        self.connections.remove(name)
        waiting = [] if self.connections else self._empty
        for each in waiting:
            each.callback(None)


class _Service(ServingService):
    """
    Notes the steps of its life.
    """

    def __init__(self, crowd: _Crowd, endpoints: tuple[str, ...], steps: list[str]) -> None:
        self.steps = steps
        self.ending: Deferred[None] = Deferred()
        super().__init__(None, crowd, Gate(0), endpoints, lambda why: steps.append(f"fails: {why}"))

    def listen_first(self) -> None:
        self.steps.append("listens for operators")

    def begin(self) -> None:
        self.steps.append("begins")

    def tell(self, endpoint: str, port: Any) -> None:
        self.steps.append(f"tells of {endpoint}, on {port.getHost().name.decode()}")

    async def end(self) -> None:
        self.steps.append("ends")
        await self.ending
        await self.ports.close()


class ServingCase(SynchronousTestCase):
    """
    A service, and where it listens.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.crowd = _Crowd(self.clock)
        self.steps: list[str] = []
        self.ports = {endpoint: _Port(endpoint) for endpoint in ("one", "two", "slow")}
        self.slow: Deferred[Any] = Deferred()
        self.patch(ports_module, "server_endpoint", self._endpoint)

    def _endpoint(self, reactor: object, endpoint: str) -> _Endpoint:
        self.steps.append(f"listens on {endpoint}")
        return _Endpoint(self.slow if endpoint == "slow" else succeed(self.ports[endpoint].listens()))

    def make(self, *endpoints: str) -> _Service:
        return _Service(self.crowd, endpoints, self.steps)

    def start(self, *endpoints: str) -> _Service:
        """
        A service that has begun, and lets nobody in yet.
        """
        service = self.make(*endpoints)
        service.privilegedStartService()
        service.startService()
        self.new_steps()
        return service

    def new_steps(self) -> list[str]:
        """
        The steps since this was asked last.
        """
        steps, self.steps[:] = list(self.steps), []
        return steps

    def accepting(self) -> list[str]:
        """
        The endpoints at which somebody would be let in.
        """
        return [endpoint for endpoint, port in self.ports.items() if port.accepts]


class StartTests(ServingCase):
    """
    Everything that can fail comes before anybody is invited.
    """

    def test_privileged(self) -> None:
        """
        ``twistd``: it listens while it may do so anywhere, for operators first, and begins when it is started.
        """
        service = self.make("one", "two")
        service.privilegedStartService()
        self.assertEqual(self.new_steps(), ["listens for operators", "listens on one", "listens on two"])
        service.startService()
        self.assertEqual(self.new_steps(), ["begins"])

    def test_not_privileged(self) -> None:
        """
        ``twist``: it does all of that when it is started.
        """
        self.make("one").startService()
        self.assertEqual(self.new_steps(), ["listens for operators", "listens on one", "begins"])

    def test_let_in(self) -> None:
        """
        Nobody is let in, nor told where it listens, before everything has begun.
        """
        service = self.start("one", "two")
        self.assertEqual((self.accepting(), self.new_steps()), ([], []))
        self.assertEqual(service.ports.addresses, [self.ports[each].getHost() for each in ("one", "two")])
        service.let_in()
        self.assertEqual(self.accepting(), ["one", "two"])
        self.assertEqual(self.new_steps(), ["tells of one, on one", "tells of two, on two"])

    def test_late_port(self) -> None:
        """
        A port that comes late is told of with the others, or when it comes; then it accepts as they do.
        """
        for is_before in (True, False):
            self.slow = Deferred()
            service = self.start("slow")
            if is_before:
                self.slow.callback(self.ports["slow"].listens())
                self.assertEqual((self.accepting(), self.new_steps()), ([], []))
            service.let_in()
            if not is_before:
                self.assertEqual(self.new_steps(), [])
                self.slow.callback(self.ports["slow"].listens())
            self.assertEqual((self.accepting(), self.new_steps()), (["slow"], ["tells of slow, on slow"]))

    def test_cannot_listen(self) -> None:
        """
        Where it cannot listen it does not start: that is one sentence, with the option that named the endpoint.
        """
        for start in ("privilegedStartService", "startService"):
            service = self.make("one", "slow", "two")
            self.slow = fail(CannotListenError("", 7, OSError(errno.EADDRINUSE, "Address already in use")))
            error = self.assertRaises(CannotStart, getattr(service, start))
            self.assertTrue(str(error).startswith("cannot listen on slow: Address already in use: "), str(error))
            self.assertTrue(str(error).endswith(" with --listen"), str(error))
            self.assertEqual(self.new_steps(), ["listens for operators", "listens on one", "listens on slow"])

    def test_cannot_listen_later(self) -> None:
        """
        When that shows later, it fails with such a sentence.
        """
        self.start("slow")
        self.slow.errback(OSError(errno.EIO, "Input/output error"))
        self.assertEqual(self.new_steps(), ["fails: cannot listen on slow: Input/output error"])

    def test_stopped_before(self) -> None:
        """
        One that was stopped before everything had begun invites nobody any more.
        """
        service = self.start("one")
        service.stopService()
        service.ending.callback(None)
        service.let_in()
        self.assertEqual((self.accepting(), self.new_steps()), ([], ["ends"]))


class StopTests(ServingCase):
    """
    It has stopped when its last step is done, and waits for clients no longer than it should.
    """

    def wait(self, service: _Service) -> Deferred[None]:
        return Deferred.fromCoroutine(service.until_empty(10))

    def test_steps(self) -> None:
        """
        Whoever stops it waits for all the steps.
        """
        service = self.start("one")
        stopped = service.stopService()
        self.assertNoResult(stopped)
        service.ending.callback(None)
        self.successResultOf(stopped)
        self.assertEqual((self.new_steps(), self.ports["one"].connected), (["ends"], False))

    def test_failing_step(self) -> None:
        """
        A step that fails is told to whoever stops it.
        """
        service = self.start("one")
        service.ending.errback(ZeroDivisionError())
        self.failureResultOf(service.stopService(), ZeroDivisionError)

    def test_nobody_is_here(self) -> None:
        """
        For nobody it does not wait.
        """
        self.successResultOf(self.wait(self.start("one")))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_last_one_leaves(self) -> None:
        """
        It waits for the last connection, and no timer is left.
        """
        service = self.start("one")
        self.crowd.connections.update(("alice", "bob"))
        waiting = self.wait(service)
        self.crowd.leave("alice")
        self.assertNoResult(waiting)
        self.crowd.leave("bob")
        self.successResultOf(waiting)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_time_is_over(self) -> None:
        """
        It does not wait longer than it was told to, for however many.
        """
        service = self.start("one")
        self.crowd.connections.add("alice")
        waiting = self.wait(service)
        self.clock.advance(9.9)
        self.assertNoResult(waiting)
        self.clock.advance(0.1)
        self.successResultOf(waiting)
        # That the last one leaves later is nothing to it.
        self.crowd.leave("alice")

    def test_hurry(self) -> None:
        """
        Each hurry ends one wait, and no other.
        """
        service = self.start("one")
        self.crowd.connections.add("alice")
        for _ in range(2):
            waiting = self.wait(service)
            self.assertNoResult(waiting)
            service.hurry()
            self.successResultOf(waiting)
        waiting = self.wait(service)
        self.assertNoResult(waiting)
        self.clock.advance(10)
        self.successResultOf(waiting)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_hurry_before_a_wait(self) -> None:
        """
        One that comes before any wait ends the next, and two that come together are one.
        """
        service = self.start("one")
        self.crowd.connections.add("alice")
        service.hurry()
        service.hurry()
        self.successResultOf(self.wait(service))
        waiting = self.wait(service)
        self.assertNoResult(waiting)
        self.clock.advance(10)
        self.successResultOf(waiting)
        self.assertEqual(self.clock.getDelayedCalls(), [])
