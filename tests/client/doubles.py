"""
A server for tests that need only its replies, and one topic or none, on loopback.
"""

from dataclasses import replace

from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol, IListeningPort, IReactorTCP, ITCPTransport
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.basic import LineOnlyReceiver
from zope.interface import implementer

from echochat.wire.answers import Answer, Echo, Err, Event, Ok
from echochat.wire.commands import Command, parse_command, split_options


@implementer(IHalfCloseableProtocol)
class EchoLines(LineOnlyReceiver):
    """
    The echo protocol as the simplest of servers would do it.
    """

    delimiter = b"\n"
    MAX_LENGTH = 1 << 20
    factory: "EchoLinesFactory"
    topics: set[str]
    transport: ITCPTransport

    def connectionMade(self) -> None:
        self.topics = set()
        self.factory.connections.append(self)

    def readConnectionLost(self) -> None:
        # Everything that was answered is delivered before the connection ends.
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        pass

    def lineReceived(self, line: bytes) -> None:
        text = line.decode()
        if self.factory.mute:
            waiting, self.factory.waiting = self.factory.waiting, []
            for each in waiting:
                each.callback(text)
            return
        if not text.startswith("/"):
            self._message(text)
            return
        if text.startswith("//"):
            self._message(text[1:])
            return
        command = parse_command(text)
        refusal = self.factory.refusals.get(command.verb)
        if refusal is not None:
            self.say(replace(refusal, label=command.label))
            return
        match command.verb:
            case "ping":
                self.say(Ok("ping", command.rest, command.label))
            case "whoami":
                self.say(Ok("whoami", "guest-1 guest", command.label))
            case "quit":
                self.say(Ok("quit", "", command.label))
                self.transport.loseConnection()
            case "sub":
                self._subscribe(command)
            case "unsub":
                self.topics.discard(command.rest)
                self.say(Ok("unsub", command.rest, command.label))
            case "history":
                self.say(Ok("history", f"{command.rest.split(' ')[0]} 0", command.label))
            case "pub":
                topic, _, text = command.rest.partition(" ")
                self.say(Ok("pub", f"{topic} {len(self.factory.events) + 1}", command.label))
                self.factory.publish(topic, "guest-1", text)
            case verb:
                self.say(Err("unknown-command", f"there is no /{verb}", command.label))

    def _subscribe(self, command: Command) -> None:
        (topic,), options = split_options(command.rest)
        self.topics.add(topic)
        events = self.factory.events
        self.say(Ok("sub", f"{topic} {len(events)} e1", command.label))
        for event in events[int(options.get("after", len(events))) :]:
            self.say(event)

    def say(self, answer: Answer) -> None:
        self.transport.write(answer.encode())

    def _message(self, text: str) -> None:
        if "CLOSE SOCKET" in text:
            self.transport.loseConnection()
        else:
            # Ended as the message was: with LF, and with the CR that is still at the end of this text, if any.
            self.transport.write(Echo(text.upper()).encode().replace(b"\r\n", b"\n"))


class EchoLinesFactory(Factory):
    """
    Makes the servers' ends, and keeps them for the tests to act on.

    :ivar refusals: what is answered to a verb instead of doing it.
    """

    def __init__(self) -> None:
        self.connections: list[EchoLines] = []
        self.mute = False
        self.waiting: list[Deferred[str]] = []
        self.refusals: dict[str, Err] = {}
        self.events: list[Event] = []

    def unanswered(self) -> "Deferred[str]":
        """
        Wait for the next line that is not answered.
        """
        heard: Deferred[str] = Deferred()
        self.waiting.append(heard)
        return heard

    def publish(self, topic: str, name: str, text: str) -> None:
        """
        Tell everybody who follows a topic.
        """
        event = Event(topic, len(self.events) + 1, "2026-01-02T03:04:05.678Z", name, text)
        self.events.append(event)
        for connection in self.connections:
            if topic in connection.topics:
                connection.say(event)

    def buildProtocol(self, addr: object) -> Protocol:
        line = EchoLines()
        line.factory = self
        return line


class Listening:
    """
    A double on an ephemeral port of loopback.
    """

    def __init__(self, factory: EchoLinesFactory) -> None:
        self._factory = factory
        self._listening: IListeningPort = IReactorTCP(reactor).listenTCP(
            0,
            factory,  # type: ignore[arg-type]  # Twisted's type is stricter than its documentation
            interface="127.0.0.1",
        )
        address = self._listening.getHost()
        assert isinstance(address, IPv4Address)
        self.port = address.port

    async def stop(self) -> None:
        """
        Stop listening, and break off what is connected; once or more than once.
        """
        for connection in self._factory.connections:
            connection.transport.abortConnection()
        stopped = self._listening.stopListening()
        if stopped is not None:
            await stopped
