"""
The client's side of the protocol, with no I/O: what to write, and which reply belongs to which request.

Replies come in the order of the lines that they answer (protocol, section 1), so the requests on the way are one
queue and a closing line always answers its head; a label is only a check that both sides still agree on where they
are. Events may come between any two lines and belong to nobody.
"""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from echochat.wire.answers import (
    Answer,
    Bye,
    Drain,
    Echo,
    Err,
    Event,
    Gap,
    Here,
    Info,
    Joined,
    Ok,
    Parted,
    Past,
    TopicLine,
    UnreadableAnswer,
    parse_answer,
)
from echochat.wire.lines import LineReader, Overlong
from echochat.wire.names import is_label

MAX_ANSWER: Final = 1_048_576
"""
The most bytes of one line of a server. A line of 65,536 bytes may treble in upper case, and servers can be configured
to take longer ones.
"""

MAX_ITEMS: Final = 134_217_728
"""
The most bytes of the items of one reply: more than twice a thousand lines of history of 65,536 bytes each.
"""

_VERB: Final = re.compile(r"[A-Za-z][A-Za-z-]*")
_LINE_BREAK: Final = re.compile(r"[\r\n]")

Item = Info | Past | Here | TopicLine
Closing = Echo | Ok | Err
News = Event | Gap | Joined | Parted | Drain | Bye | Err


class ProtocolViolation(Exception):
    """
    The other end sent what no echochat server sends; the connection is of no more use, and should be aborted.
    """


@dataclass(eq=False, slots=True)
class Request:
    """
    One line to the server, which exactly one closing line answers.
    """

    line: bytes
    label: str | None = None
    items: list[Item] = field(default_factory=list)
    size: int = 0
    """
    The bytes of the items so far.
    """


@dataclass(frozen=True, slots=True)
class Answered:
    """
    A request and the line that closed it; the items that came before are ``request.items``.
    """

    request: Request
    closing: Closing


Arrival = Answered | News


def encode_message(text: str) -> Request:
    """
    Put a message on the wire; a ``/`` at its beginning is escaped, so that the text is what is echoed.

    A message that contains ``CLOSE SOCKET`` is answered by the end of the connection.

    :raises ValueError: the text has a line break in it, or cannot be written in UTF-8.
    """
    _refuse_line_breaks(text)
    escaped = "/" + text if text.startswith("/") else text
    return Request(f"{escaped}\n".encode())


def encode_command(verb: str, *arguments: str, label: str | None = None) -> Request:
    """
    Put a command on the wire.

    :param arguments: what follows the verb, each after one space: words, ``key=value``, and a text last.
    :param label: repeated by the server on the reply; of ``pub`` and ``msg`` it names the publish, which is then done
        once however often it is asked for.
    :raises ValueError: a line break, a label that is none, or a verb that is none.
    """
    if _VERB.fullmatch(verb) is None:
        raise ValueError(f"not a verb: {verb!r}")
    if label is not None and not is_label(label):
        raise ValueError(f"not a label: {label!r}")
    for argument in arguments:
        _refuse_line_breaks(argument)
    head = f"/{verb}#{label}" if label is not None else f"/{verb}"
    return Request((" ".join((head, *arguments)) + "\n").encode(), label)


def _refuse_line_breaks(text: str) -> None:
    if _LINE_BREAK.search(text) is not None:
        # Two lines would be two requests, and every later reply would be taken for another's.
        raise ValueError(f"a line break within a line: {text[:80]!r}")


class ClientCore:
    """
    Knows what was asked and is not answered yet, and reads what the server says.

    The caller writes each :attr:`Request.line` and calls :meth:`sent` in the same order, and feeds what arrives.

    :param max_answer: the most bytes of one line of the server, without its end.
    """

    def __init__(self, max_answer: int = MAX_ANSWER) -> None:
        self._reader = LineReader(max_answer)
        self._unanswered: deque[Request] = deque()

    @property
    def unanswered(self) -> int:
        """
        How many requests are on the way.
        """
        return len(self._unanswered)

    def sent(self, request: Request) -> None:
        """
        Remember a request whose line has been handed to the transport.
        """
        self._unanswered.append(request)

    def give_up(self) -> list[Request]:
        """
        Forget the requests that the connection's end left without an answer, and return them, oldest first.
        """
        left = list(self._unanswered)
        self._unanswered.clear()
        return left

    def feed(self, data: bytes) -> Iterator[Arrival]:
        """
        Take the next bytes of the server, and give what is complete, in order. Exhaust this before the next call.

        Control lines that this version does not know are skipped.

        :raises ProtocolViolation: after everything that came before it was given; abort the connection then.
        """
        for line in self._reader.feed(data):
            if isinstance(line, Overlong):
                raise ProtocolViolation(f"the server sent a line of more than {self._reader.max_line} bytes")
            try:
                answer = parse_answer(line[0].decode())
            except UnreadableAnswer:
                continue
            except UnicodeDecodeError as error:
                raise ProtocolViolation("the server sent bytes that are not UTF-8") from error
            arrival = self._sort(answer, len(line[0]))
            if arrival is not None:
                yield arrival

    def _sort(self, answer: Answer, size: int) -> Arrival | None:
        match answer:
            case Event() | Gap() | Joined() | Parted() | Drain() | Bye():
                return answer
            case Info() | Past() | Here() | TopicLine():
                self._collect(answer, size)
                return None
            case Err() if not self._unanswered:
                # A server that turns a connection away says why before anything was asked.
                return answer
            case Echo() | Ok() | Err():
                request = self._head(answer)
                self._unanswered.popleft()
                return Answered(request, answer)

    def _collect(self, item: Item, size: int) -> None:
        request = self._head(item)
        request.items.append(item)
        request.size += size
        if request.size > MAX_ITEMS:
            raise ProtocolViolation(f"the server sent a reply of more than {MAX_ITEMS} bytes")

    def _head(self, answer: Item | Closing) -> Request:
        """
        The request to which this belongs: always the oldest, if the two agree.
        """
        if not self._unanswered:
            raise ProtocolViolation("what came answers nothing that was asked: is it an echochat server?")
        request = self._unanswered[0]
        is_command = request.line.startswith(b"/") and not request.line.startswith(b"//")
        if isinstance(answer, Echo):
            agreed = not is_command
        elif isinstance(answer, Err) and answer.label is None:
            # A line that could not be read at all (too long, not UTF-8) is refused without its label.
            agreed = True
        else:
            agreed = is_command and answer.label == request.label
        if not agreed:
            raise ProtocolViolation("what came does not answer what was asked: is it an echochat server?")
        return request
