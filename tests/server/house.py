"""
A server in memory that knows people: with accounts, tokens, access rules, and connections from wherever a test says.

Hashing is done when a test says so, and so does time pass.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableDescriptor, ISSLTransport, ITransport
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides

from echochat.history.memory import MemoryHistory
from echochat.identity.checker import AccountsChecker
from echochat.identity.keys import Key
from echochat.identity.rule_file import AccessRules
from echochat.identity.tokens import Grants, Token, Tokens, make_token
from echochat.server.admission import Admission
from echochat.server.exchange import Exchange
from echochat.server.factory import EchoChatFactory
from echochat.server.settings import ServerSettings
from tests.identity.doubles import HashersByHand, cheap_hash, write_file

SHARED = "0123456789abcdef0123456789abcdef"
"""
The key of the house's tokens.
"""

ELSEWHERE = "192.0.2.7"
"""
Another machine.
"""


def token_for(name: str, seconds: float = 3600, grants: Grants | None = None, key: str = SHARED) -> str:
    """
    A token that is good for so long from now on.
    """
    return make_token(Key("HS256", key.encode()), Token(name, time.time() + seconds, grants), time.time())


def rule(who: str, may: str, topics: str) -> str:
    """
    One access rule. Actions and topics are separated by spaces.
    """
    return f'[[rule]]\nwho = "{who}"\nmay = {may.split()}\ntopics = {topics.split()}\n'


class Visitor:
    """
    A client and its connection. It takes whatever it is sent, and closes when the server does.

    :param host: where from; the empty string is a UNIX socket.
    :param encrypted: whether it is TLS.
    :param certified: the name in the certificate that was verified; it is TLS then.
    :ivar received: all that came.
    :ivar lost: whether the connection is over.
    """

    def __init__(self, house: "House", host: str, encrypted: bool, certified: str | None) -> None:
        self.received = b""
        self.lost = False
        self.reading = True
        self.verified_name = certified
        self._house = house
        self._told_end = False
        self._address = _address(host)
        directlyProvides(
            self, ISSLTransport if encrypted or certified is not None else (ITransport, IHalfCloseableDescriptor)
        )
        protocol: Any = house.factory.buildProtocol(self._address)
        self.protocol = protocol
        protocol.makeConnection(self)
        house.settle()

    # Called by the test

    def say(self, *segments: bytes) -> bytes:
        """
        Send segments; whatever follows of each is done before the next.

        :return: what came since they were sent.
        """
        before = len(self.received)
        for data in segments:
            self.send(data)
            self._house.settle()
        return self.received[before:]

    def send(self, data: bytes) -> None:
        """
        Send a segment. No time passes, and nothing is hashed.
        """
        assert self.reading, "the server does not read"
        if not self.lost:
            self.protocol.dataReceived(data)

    def log_in(self, name: str = "alice", secret: str = "right") -> None:
        """
        Log in, which has to succeed.
        """
        answer = self.say(f"/login {name} {secret}\r\n".encode())
        assert answer == f"/ok login {name}\r\n".encode(), answer

    def vanish(self) -> None:
        """
        Reset the connection.
        """
        self._lose(Failure(ConnectionLost()))
        self._house.settle()

    # Called by the protocol

    def write(self, data: bytes) -> None:
        if not self.lost:
            self.received += data

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert producer is self.protocol

    def unregisterProducer(self) -> None:
        """
        This client takes everything.
        """

    def pauseProducing(self) -> None:
        self.reading = False

    def resumeProducing(self) -> None:
        self.reading = True

    def loseWriteConnection(self) -> None:
        self._house.clock.callLater(0, self._tell_end)

    def loseConnection(self) -> None:
        self._house.clock.callLater(0, self._lose, Failure(ConnectionDone()))

    def abortConnection(self) -> None:
        self._lose(Failure(ConnectionAborted()))

    def getPeer(self) -> Any:
        return self._address

    def getHost(self) -> Any:
        return IPv4Address("TCP", "127.0.0.1", 7007)

    # Ours

    def _tell_end(self) -> None:
        if not self.lost and not self._told_end and hasattr(self.protocol, "readConnectionLost"):
            self._told_end = True
            self.protocol.readConnectionLost()

    def _lose(self, reason: Failure) -> None:
        if not self.lost:
            self.lost = True
            self.protocol.connectionLost(reason)


class House:
    """
    The server.

    :param accounts: passwords by name, which may have groups behind a space: ``{"alice staff": "right"}``. None: there
        is no file of accounts.
    :param rules: the text of the access rules; None: there are none.
    :param tokens: whether it takes tokens.
    :param guests: as ``--guests``; None: everything, or nothing where there are accounts or tokens.
    :param checkers: others, for names and passwords.
    :param clock: that of another house.
    """

    def __init__(
        self,
        test: SynchronousTestCase,
        accounts: Mapping[str, str] | None = None,
        rules: str | None = None,
        *,
        tokens: bool = False,
        guests: str | None = None,
        checkers: tuple[Any, ...] = (),
        settings: ServerSettings = ServerSettings(),  # noqa: B008 frozen
        clock: Clock | None = None,
    ) -> None:
        self.clock = Clock() if clock is None else clock
        self.hashers = HashersByHand()
        self.hashing = True
        self.accounts_path = write_file(test, _accounts(accounts)) if accounts is not None else ""
        self.rules_path = write_file(test, rules) if rules is not None else ""
        self.key_path = write_file(test, SHARED) if tokens else ""
        self.accounts = AccountsChecker(self.accounts_path, self.hashers.hashing) if self.accounts_path else None
        self.rules = AccessRules(self.rules_path or None)
        self.tokens = Tokens(self.key_path) if tokens else None
        own = (self.accounts,) if self.accounts is not None else ()
        self.admission = Admission(self.clock.seconds, (*own, *checkers), self.tokens, self.rules)
        self.exchange = Exchange(self.clock, MemoryHistory(self.clock))
        test.successResultOf(self.exchange.open())
        asks = bool(own or checkers or tokens)
        self.factory = EchoChatFactory(self.clock, settings, self.exchange, admission=self.admission)
        self.factory.commons.guests = guests or ("no" if asks else "yes")
        self.visitors: list[Visitor] = []

    def connect(self, host: str = "127.0.0.1", *, encrypted: bool = False, certified: str | None = None) -> Visitor:
        """
        Somebody comes; see :class:`Visitor`.
        """
        visitor = Visitor(self, host, encrypted, certified)
        self.visitors.append(visitor)
        return visitor

    def settle(self) -> None:
        """
        Let everything happen that happens at once, hashing too unless :attr:`hashing` is off.
        """
        for _ in range(20):
            self.clock.advance(0)
            if self.hashing:
                self.hashers.run()
            if not any(call.getTime() <= self.clock.seconds() for call in self.clock.getDelayedCalls()):
                return

    def wait(self, seconds: float) -> None:
        """
        Let time pass.
        """
        self.clock.advance(seconds)
        self.settle()

    def rewrite_accounts(self, accounts: Mapping[str, str]) -> None:
        """
        Change the accounts, as an operator does who reloads then.
        """
        _rewrite(self.accounts_path, _accounts(accounts))
        assert self.accounts is not None
        self._reload(self.accounts.reload)

    def rewrite_rules(self, rules: str) -> None:
        """
        Change the rules, likewise.
        """
        _rewrite(self.rules_path, rules)
        self._reload(self.rules.reload)

    def clean_up(self) -> None:
        """
        Everybody leaves. What is left on the clock then is a leak; the factory's own timers are stopped.
        """
        for visitor in self.visitors:
            visitor.vanish()
        self.factory.stop_timers()

    def _reload(self, reload: Callable[[], None]) -> None:
        reload()
        self.factory.look_again()
        self.settle()


class HouseTestCase(SynchronousTestCase):
    """
    Tests in a house: nothing is left when everybody has gone.
    """

    house: House

    def open(self, *arguments: Any, **named: Any) -> House:
        """
        Make the house; see :class:`House`.
        """
        self.house = House(self, *arguments, **named)
        self.addCleanup(self._close)
        return self.house

    def refused(self, answer: bytes, code: bytes, label: bytes = b"") -> None:
        """
        It is one refusal with this code.
        """
        mark = b"#" + label if label else b""
        self.assertRegex(answer, rb"\A/err" + mark + b" " + code + rb" [^\r\n]+\r\n\Z")

    def _close(self) -> None:
        self.house.clean_up()
        self.assertEqual(self.house.clock.getDelayedCalls(), [])
        self.assertEqual(self.house.factory.connections, set())
        self.assertEqual(self.house.exchange.hub.followed, [])
        self.assertEqual(self.house.exchange.interests.users, [])


def _accounts(accounts: Mapping[str, str]) -> str:
    lines = []
    for who, password in accounts.items():
        name, _, groups = who.partition(" ")
        lines.append(f"{name} {cheap_hash(password.encode())} {groups}\n")
    return "".join(lines)


def _rewrite(path: str, content: str) -> None:
    with open(path, "w") as file:
        file.write(content)


def _address(host: str) -> Any:
    if not host:
        return UNIXAddress(b"")
    return IPv6Address("TCP", host, 4711) if ":" in host else IPv4Address("TCP", host, 4711)
