"""
One person's side of a conversation: bytes in; replies, and what else is to be done, out.

A session does no I/O and calls nobody: it collects replies in :attr:`Session.replies` and returns effects, which the
protocol that carries the connection performs in their order. Most of what arrives is plain messages, so there are two
ways through: :meth:`Session.answer` for a chunk of whole plain messages, and :meth:`Session.receive` for anything.
"""

from collections.abc import Sequence

from echochat.chat.effects import Close, Effect
from echochat.chat.person import Commons, Need, Person
from echochat.chat.policy import Allowance
from echochat.chat.replies import Replies
from echochat.chat.topic_verbs import publish_all
from echochat.chat.verbs import VERBS
from echochat.wire.answers import Bye, Err
from echochat.wire.commands import CommandError, parse_command, parse_publishes
from echochat.wire.echo import CLOSE, echo_chunk, echo_line, is_http_host, is_http_request
from echochat.wire.lines import Line, LineReader, Overlong, cut_whole
from echochat.wire.telnet import TelnetFilter


class Session:
    """
    A conversation from its first byte to its last.

    :param commons: what all sessions share.
    :param reader: cuts this connection's bytes into lines.
    :param telnet: removes telnet negotiation; None where none can be, on TLS and WebSocket.
    :param allowance: what this person may publish; None: as much as they like.
    """

    __slots__ = (
        "_asking",
        "_closing",
        "_held",
        "_lines",
        "_plain",
        "_reader",
        "_telnet",
        "_trusted",
        "commons",
        "echoed",
        "person",
        "replies",
    )

    def __init__(
        self,
        commons: Commons,
        reader: LineReader,
        telnet: TelnetFilter | None,
        allowance: Allowance | None = None,
    ) -> None:
        self.commons = commons
        self.person = Person(commons, allowance)
        self.replies = Replies()
        self.echoed = 0
        self._lines = 0
        self._reader = reader
        self._telnet = telnet
        # Whether a line has come that no browser begins with: until then each is looked at.
        self._trusted = False
        self._closing = False
        # Lines whose turn has not come: something before them is not answered yet, or the replies are many.
        self._held: Sequence[Line | Overlong] = ()
        self._asking = False
        # Whether a chunk of plain messages may be answered as a whole: the conversation has begun, is not ending,
        # and nothing is unfinished. Derived, and kept because it is asked for with every chunk.
        self._plain = False

    @property
    def started(self) -> bool:
        """
        Whether a first line has come.
        """
        return self.lines > 0

    @property
    def lines(self) -> int:
        """
        How many lines have come; :attr:`echoed` of them were answered by :meth:`answer`.
        """
        return self.echoed + self._lines

    @property
    def name(self) -> str:
        """
        This person's name.
        """
        return self.person.name

    def answer(self, data: bytes) -> bytes | None:
        """
        Answer a chunk of plain messages at once, if it is one and nothing is in the way.

        :return: the answers, to be sent as they are; or None when nothing was taken: then call :meth:`receive`.
        """
        if self._plain and data[-1] == 0x0A and len(data) <= self._reader.max_line:
            answer = echo_chunk(data)
            if answer is not None:
                self.echoed += data.count(b"\n")
                return answer
        return None

    def receive(self, data: bytes) -> list[Effect]:
        """
        Take the next bytes, whatever they are. Replies that are due are in :attr:`replies` then.
        """
        if self._closing:
            return []
        if self._telnet is not None:
            data = self._telnet.feed(data)
        effects: list[Effect] = []
        whole = self._reader.take_whole(data) if self._trusted else None
        if whole is None:
            self._take_lines(self._reader.feed(data), effects)
        elif whole and (self._held or self._asking or not self._take_alike(whole, effects)):
            self._take_lines(cut_whole(whole), effects)
        self.settle()
        return effects

    @property
    def holds(self) -> bool:
        """
        Whether there are lines whose turn has not come: take no more bytes now than have come already.
        """
        return bool(self._held)

    @property
    def can_go_on(self) -> bool:
        """
        Whether the turn of held lines has come: then call :meth:`go_on`.
        """
        return bool(self._held) and not self.replies.waiting

    def go_on(self) -> list[Effect]:
        """
        Take the lines that were held, as :meth:`receive` would have.
        """
        effects: list[Effect] = []
        held, self._held = self._held, ()
        self._asking = False
        self._take_lines(held, effects)
        self.settle()
        return effects

    def settle(self) -> None:
        """
        Look again whether chunks may be answered as a whole: to be called when waiting replies have been filled.
        """
        if not self.replies.waiting:
            self._asking = False
        self._plain = (
            self._trusted
            and not self._closing
            and not self.replies.waiting
            and not self._held
            and self._reader.between_lines
            and (self._telnet is None or self._telnet.between_commands)
            and not self.person.lacks(Need.ECHO)
        )

    def end(self) -> None:
        """
        The connection has gone: give back what this person holds.
        """
        self._closing = True
        self._plain = False
        self.replies.abandon()
        self.person.leave()

    def take_no_more(self) -> None:
        """
        Take no more lines, not even those that have come already and whose turn has not.
        """
        self._closing = True
        self._plain = False
        self._held = ()

    def close(self, close: Close, effects: list[Effect]) -> None:
        """
        This is the last thing that is done; what follows it is not read.
        """
        self._closing = True
        effects.append(close)

    def _take_alike(self, whole: bytes, effects: list[Effect]) -> bool:
        """
        Take a chunk of lines that are all messages, or all publishes; or return False: it is neither.
        """
        if self.person.lacks(Need.ALL):
            return False
        answer = echo_chunk(whole)
        if answer is not None:
            self.replies.add(answer)
        elif not self.person.is_limited and (publishes := parse_publishes(whole)) is not None:
            publish_all(self, publishes, effects)
        else:
            return False
        self._lines += whole.count(b"\n")
        return True

    def _take_lines(self, lines: Sequence[Line | Overlong], effects: list[Effect]) -> None:
        if self._held:
            self._held = [*self._held, *lines]
            return
        for index, line in enumerate(lines):
            if self._asking or self.replies.are_enough or not self._take_line(line, effects):
                self._held = lines[index:]
                return
            self._lines += 1
            if self._closing:
                return

    def _take_line(self, line: Line | Overlong, effects: list[Effect]) -> bool:
        """
        Do what a line says, or return False: its turn has not come.
        """
        if isinstance(line, Overlong):
            limit = self._reader.max_line
            self._refuse("line-too-long", f"a line may have {limit} bytes, and the rest of this one is dropped")
            return True
        text, end = line
        # A browser's request line may have been longer than a line; then it shows with the next.
        stranger, self._trusted = not self._trusted, True
        if stranger and (is_http_host(text) if self._lines else is_http_request(text)):
            bye = Bye("protocol", "this port speaks lines, not HTTP")
            self.close(Close("HTTP was sent to the line port", bye), effects)
        elif text[:1] == b"/" and text[1:2] != b"/":
            return self._take_command(text, effects)
        else:
            self._take_message(text, end, effects)
        return True

    def _take_message(self, text: bytes, end: bytes, effects: list[Effect]) -> None:
        try:
            answer = echo_line(text)
        except UnicodeDecodeError:
            self._refuse("bad-encoding", "a line is UTF-8 text")
            return
        if CLOSE in text:
            self.close(Close("CLOSE SOCKET"), effects)
        elif self.person.lacks(Need.ECHO):
            self._refuse("not-logged-in", "log in first: /login NAME SECRET, or /token TOKEN")
        else:
            self.replies.add(answer + end)

    def _take_command(self, text: bytes, effects: list[Effect]) -> bool:
        label = None
        try:
            command = parse_command(text.decode())
            label = command.label
            verb = VERBS.get(command.verb)
            if verb is None:
                raise CommandError("unknown-command", "there is no such command: /help lists them")
            if verb.in_turn and self.replies.waiting:
                return False
            self.person.require(verb.need)
            verb.run(self, command, effects)
            self._asking = verb.in_turn and self.replies.waiting > 0
        except UnicodeDecodeError:
            self._refuse("bad-encoding", "a line is UTF-8 text")
        except CommandError as error:
            self._refuse(error.code, error.explanation, label)
        return True

    def _refuse(self, code: str, explanation: str, label: str | None = None) -> None:
        self.replies.add(Err(code, explanation, label).encode())
