"""
A chat in a pipe, with no I/O: what of the input goes to the server, what of its answers goes to the output, and
whether everything was answered in the end.

A pipe speaks the protocol as it is: its lines are the server's lines, so that a script can send commands and read
replies. Both directions go through as blocks and are only looked at with searches that run in C; a hundred megabytes
of short lines would take minutes one by one. What has to be known for a right exit code is only *how many* lines were
sent and *how many* were answered, since answers are in order.
"""

import re
from typing import Final

from echochat.client.core import MAX_ANSWER
from echochat.client.harmless import harmless
from echochat.wire.lines import MAX_LINE

# The line after which the server closes: a message with CLOSE SOCKET in it, or the command /quit.
_MESSAGE_THAT_CLOSES: Final = re.compile(rb"^(?:(?!/)|(?=//))[^\n]*CLOSE SOCKET[^\n]*\n", re.MULTILINE)
_QUIT: Final = re.compile(rb"^/quit(?:#[\w.-]*)? *\r?\n", re.MULTILINE | re.IGNORECASE)

_CONTROL_LINE: Final = re.compile(rb"^(/(?!/)[^\n]*)\r$", re.MULTILINE)
_NOT_A_REPLY: Final = re.compile(rb"^/(?!/|ok\b|err\b)", re.MULTILINE)
_ANSWER: Final = re.compile(rb"^/(ok|err)(?:#[\w.-]*)?(?: ([^\r\n]*))?\r?\n", re.MULTILINE)
_BYE: Final = re.compile(rb"^/bye ([^\r\n]*)", re.MULTILINE)


class _Blocks:
    """
    Cut a stream into blocks of whole lines, and let through in pieces a line that is longer than ``limit``.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._partial = b""
        self._inside = False

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """
        Give what can go on: pieces of an overlong line, which nobody need look at, and the whole lines behind it.
        """
        data = self._partial + data
        pieces = b""
        if self._inside:
            end = data.find(b"\n") + 1
            pieces = data[:end] if end else data
            data = data[end:] if end else b""
            self._inside = not end
        cut = data.rfind(b"\n") + 1
        whole, self._partial = data[:cut], data[cut:]
        if len(self._partial) > self._limit and not whole and not pieces:
            pieces, self._partial = self._partial, b""
            self._inside = True
        return pieces, whole

    def end(self) -> bytes:
        """
        Give what is left when the stream ends within a line.
        """
        rest, self._partial = self._partial, b""
        return rest

    @property
    def within_line(self) -> bool:
        """
        Whether something of the current line has been given, or waits here.
        """
        return self._inside or bool(self._partial)


class Outgoing:
    """
    From the input to the server.

    Nothing is sent after the line on which the server closes: it would not be answered, and a server that closes with
    unread bytes before it resets the connection, which can destroy the last replies on their way.
    """

    def __init__(self) -> None:
        self._blocks = _Blocks(MAX_LINE + 1)
        self.expected = 0
        """
        How many replies there will be.
        """
        self.finished = False
        """
        Whether the closing line has gone through: the input need not be read on.
        """

    def feed(self, data: bytes) -> bytes:
        """
        Take some of the input, and give what is to be sent.
        """
        if self.finished:
            return b""
        pieces, whole = self._blocks.feed(data)
        # The pieces of one long line are one line, and count when it ends.
        self.expected += pieces.count(b"\n")
        return pieces + self._pass(whole)

    def end(self) -> bytes:
        """
        Take the end of the input, and give what is still to be sent: a last line that had no end is given one.
        """
        if self.finished or not self._blocks.within_line:
            return b""
        rest = self._blocks.end() + b"\n"
        if rest == b"\n":
            self.expected += 1
            return rest
        return self._pass(rest)

    def _pass(self, whole: bytes) -> bytes:
        closing = _MESSAGE_THAT_CLOSES.search(whole) if b"CLOSE SOCKET" in whole else None
        if closing is not None:
            whole = whole[: closing.end()]
        quitting = _QUIT.search(whole) if b"/" in whole else None
        if quitting is not None:
            whole = whole[: quitting.end()]
            closing = None
        self.finished = closing is not None or quitting is not None
        self.expected += whole.count(b"\n") - (closing is not None)
        return whole


class Incoming:
    """
    From the server to the output, where every line ends in LF: control lines lose the CR that the server gives them,
    an echo ends as its message did.

    :param hidden: a line, without its end, that is not passed on nor counted: the reply to what was not asked by the
        user.
    """

    def __init__(self, hidden: bytes | None = None) -> None:
        self._blocks = _Blocks(MAX_ANSWER)
        self._hidden = None if hidden is None else re.compile(rb"^" + re.escape(hidden) + rb"\r?\n", re.MULTILINE)
        self.replies = 0
        self.bye: str | None = None

    def feed(self, data: bytes) -> bytes:
        """
        Take some of what the server sent, and give what is to be written.
        """
        pieces, whole = self._blocks.feed(data)
        self.replies += pieces.count(b"\n")
        return pieces + self._pass(whole)

    def end(self) -> bytes:
        """
        Take the end of the connection, and give an unfinished last line.
        """
        return self._blocks.end()

    def _pass(self, whole: bytes) -> bytes:
        if b"/" in whole:
            if self._hidden is not None:
                whole = self._hidden.sub(b"", whole)
            self.replies -= len(_NOT_A_REPLY.findall(whole))
            bye = _BYE.search(whole)
            if bye is not None:
                self.bye = bye.group(1).decode(errors="replace")
            whole = _CONTROL_LINE.sub(rb"\1", whole)
        self.replies += whole.count(b"\n")
        return whole


class SigningIn:
    """
    The answer to ``/login`` or ``/token``: the first closing line, for nothing else is asked before it comes.

    :ivar answered: whether it has come.
    :ivar refusal: what the server says against it.
    """

    def __init__(self) -> None:
        self._blocks = _Blocks(MAX_ANSWER)
        self.answered = False
        self.refusal: str | None = None

    def feed(self, data: bytes) -> bytes:
        """
        Take some of what the server sent, and give what is not the answer.
        """
        pieces, whole = self._blocks.feed(data)
        answer = _ANSWER.search(whole)
        if answer is None:
            return pieces + whole
        self.answered = True
        if answer[1] == b"err":
            self.refusal = (answer[2] or b"").decode(errors="replace")
        return pieces + whole[: answer.start()] + whole[answer.end() :] + self._blocks.end()

    def end(self) -> bytes:
        """
        Take the end of the connection, and give what came of a line.
        """
        return self._blocks.end()


def harmless_block(data: bytes) -> bytes:
    """
    Make a block of lines fit to be shown on a terminal.
    """
    lines = data.decode(errors="replace").split("\n")
    return "\n".join(harmless(line.removesuffix("\r")) for line in lines).encode()
