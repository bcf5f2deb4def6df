"""
Whoever carries a session's connection, in memory: performs what the session asks, at once or when it is told to.
"""

from collections import deque
from collections.abc import Callable
from itertools import count

from echochat.chat.effects import Close, Effect, LogIn, Publish, Renamed, UseToken
from echochat.chat.people import People
from echochat.chat.person import Commons
from echochat.chat.policy import Allowance
from echochat.chat.replies import Slot
from echochat.chat.session import Session
from echochat.wire.answers import Err, Ok
from echochat.wire.lines import MAX_LINE, LineReader
from echochat.wire.telnet import TelnetFilter


def make_commons(guests: str = "yes") -> Commons:
    """
    Where the first guest is ``guest-1``, ``root`` has an account, and no time passes.
    """
    numbers = count(1)
    return Commons(People(lambda: str(next(numbers)), lambda name: name == "root"), lambda: 0, lambda: 0.0, guests)


class Conversation:
    """
    A session from its first byte to its last.

    :param prompt: whether effects are performed at once; else :meth:`perform_next` performs one.
    :ivar sent: all that the client was sent.
    :ivar closed: how it ended, once everything that was asked before has been answered.
    :ivar effects: everything that the session asked.
    """

    def __init__(
        self,
        commons: Commons | None = None,
        max_line: int = MAX_LINE,
        prompt: bool = True,
        telnet: TelnetFilter | None = None,
        allowance: Allowance | None = None,
    ) -> None:
        self.session = Session(commons or make_commons(), LineReader(max_line), telnet, allowance)
        self.sent = b""
        self.closed: Close | None = None
        self.effects: list[Effect] = []
        self._prompt = prompt
        self._position = 0
        self._waiting: deque[tuple[Slot, Callable[[], bytes]]] = deque()
        self._closing: Close | None = None

    def say(self, *segments: bytes) -> bytes:
        """
        Let bytes arrive.

        :return: what is sent because of them.
        """
        before = len(self.sent)
        for data in segments:
            answer = self.session.answer(data)
            if answer is not None:
                self.sent += answer
            else:
                self._perform(self.session.receive(data))
        return self.sent[before:]

    @property
    def performing(self) -> bool:
        """
        Whether there is something that the session waits for.
        """
        return bool(self._waiting)

    def perform_next(self) -> None:
        """
        Let the reply that was asked for first become known.
        """
        slot, answer = self._waiting.popleft()
        self.session.replies.fill(slot, answer())
        self._flush()

    def _perform(self, effects: list[Effect]) -> None:
        while effects:
            self.effects += effects
            for effect in effects:
                if isinstance(effect, Close):
                    self._closing = effect
                elif not isinstance(effect, Renamed):
                    answer = self._reply_to(effect)
                    if self._prompt:
                        self.session.replies.fill(effect.slot, answer())
                    else:
                        self._waiting.append((effect.slot, answer))
            effects = self.session.go_on() if self.session.can_go_on else []
        self._flush()

    def _flush(self) -> None:
        if self.closed is not None:
            return
        session = self.session
        self.sent += session.replies.take()
        if session.can_go_on:
            self._perform(session.go_on())
            return
        session.settle()
        if self._closing is not None and not session.replies.waiting and not session.holds:
            if self._closing.bye is not None:
                self.sent += self._closing.bye.encode()
            session.end()
            self.closed = self._closing

    def _reply_to(self, effect: Effect) -> Callable[[], bytes]:
        """
        What makes a reply when its time has come. It depends on what was asked before, as a log's does.
        """
        if isinstance(effect, LogIn):
            known = effect.secret == "right"
            return lambda: self._admit(effect.name, "password", known, effect.label)
        if isinstance(effect, UseToken):
            return lambda: self._admit("bot", "token", effect.token == "right", effect.label)
        if isinstance(effect, Publish):
            first = self._position + 1
            self._position += len(effect.drafts)
            acknowledged = effect.acknowledge(range(first, self._position + 1))
            return lambda: acknowledged
        answer = Ok(type(effect).__name__, str(self._position)).encode()
        return lambda: answer

    def _admit(self, name: str, kind: str, known: bool, label: str | None) -> bytes:
        if not known:
            return Err("login-failed", "no", label).encode()
        renamed = self.session.person.become(name, kind, lambda: None)
        if renamed is not None:
            self.effects.append(renamed)
        return Ok("login", name, label).encode()
