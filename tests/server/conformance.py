"""
The protocol as a table: what a client sends, and what it must be answered, word for word where the protocol says so.

Run it over anything that carries the line protocol, with :func:`tests.server.trying.complaint`; it may be run many
times against one server, and all its cases at once. A case's answer is a regular expression for all that is sent to
the client; where the protocol leaves the words to the server, it stands for any.
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from echochat.wire.lines import MAX_LINE


class End(Enum):
    """
    What becomes of the connection.
    """

    STAYS = "stays"
    CLOSES = "closes"


@dataclass(frozen=True)
class Case:
    """
    One thing that the protocol promises.

    :ivar name: of the promise.
    :ivar sent: by the client.
    :ivar answer: a regular expression for everything that comes back.
    :ivar end: whether the connection stays open, or the server closes it.
    :ivar half_close: whether the client closes its half then. The server closes too, when all is answered.
    :ivar neighbour: what another client, who stays, has said before.
    :ivar told: what the client is told besides, in its own time: it may come behind all answers.
    """

    name: str
    sent: bytes
    answer: bytes
    end: End = End.STAYS
    half_close: bool = False
    neighbour: bytes = b""
    told: bytes = b""


def exactly(answer: bytes) -> bytes:
    """
    These bytes and no others.
    """
    return re.escape(answer)


def err(code: bytes, label: bytes = b"") -> bytes:
    """
    A refusal with this code and any explanation.
    """
    return rb"/err" + (rb"#" + re.escape(label) if label else b"") + rb" " + code + rb" [^\r\n]+\r\n"


_GUEST = rb"/ok whoami guest-[A-Za-z0-9]+ guest\r\n"
_BYE_PROTOCOL = rb"/bye protocol [^\r\n]+\r\n"
_LONG = b"x" * MAX_LINE

LINES: Final = (
    Case("the server does not speak first", b"", b""),
    Case("LF ends a line, and the echo", b"hello\n", exactly(b"HELLO\n")),
    Case("CRLF ends a line, and the echo", b"hello\r\n", exactly(b"HELLO\r\n")),
    Case("CR NUL ends a line, and the echo", b"hello\r\0", exactly(b"HELLO\r\0")),
    Case("each echo ends as its own message", b"a\nb\r\nc\r\0d\n", exactly(b"A\nB\r\nC\r\0D\n")),
    Case("control lines end with CRLF, whatever the command's end", b"/ping\n", exactly(b"/ok ping\r\n")),
    Case("a CR or a NUL anywhere else is text", b"a\rb\0c\r\r\n\0\n", exactly(b"A\rB\0C\r\r\n\0\n")),
    Case(
        "replies come in the order of the lines",
        b"a\n/ping 1\nb\n\xff\nc\n",
        exactly(b"A\n/ok ping 1\r\nB\n") + err(b"bad-encoding") + exactly(b"C\n"),
    ),
    Case(
        "lines may be pipelined",
        b"".join(b"line %d\n" % n for n in range(2_000)),
        exactly(b"".join(b"LINE %d\n" % n for n in range(2_000))),
    ),
    Case(
        "telnet negotiation before the first line is removed",
        b"\xff\xfd\x03\xff\xfb\x18hello\r\n",
        exactly(b"HELLO\r\n"),
    ),
    Case(
        "telnet negotiation within a line is removed",
        b"he\xff\xfb\x01l\xff\xf1lo\r\xff\xfe\x05\n",
        exactly(b"HELLO\r\n"),
    ),
    Case(
        "telnet subnegotiation is removed with all that is in it",
        b"a\xff\xfa\x18\0x\n/quit\n\xff\xff\xff\xf0b\n",
        exactly(b"AB\n"),
    ),
    Case("telnet's escaped 0xFF is text, and no UTF-8", b"a\xff\xffb\nc\n", err(b"bad-encoding") + exactly(b"C\n")),
    Case("a line of exactly the limit", _LONG + b"\r\n", exactly(_LONG.upper() + b"\r\n")),
    Case(
        "a line over the limit is refused, and the connection goes on",
        _LONG + b"x\nnext\n",
        err(b"line-too-long") + exactly(b"NEXT\n"),
    ),
    Case(
        "a line over the limit by more than another one",
        b"a\n" + _LONG * 3 + b"\r\nnext\n",
        exactly(b"A\n") + err(b"line-too-long") + exactly(b"NEXT\n"),
    ),
    Case(
        "what is dropped is not done",
        _LONG + b"x CLOSE SOCKET\r\n/ping\n",
        err(b"line-too-long") + exactly(b"/ok ping\r\n"),
    ),
    Case(
        "a command over the limit is refused",
        b"/ping " + _LONG + b"\nnext\n",
        err(b"line-too-long") + exactly(b"NEXT\n"),
    ),
    Case(
        "a line over the limit is refused before its end comes",
        _LONG + b"xx",
        err(b"line-too-long"),
        End.CLOSES,
        half_close=True,
    ),
    Case(
        "bytes that are not UTF-8 are refused, and the connection goes on",
        b"caf\xe9\nnext\n",
        err(b"bad-encoding") + exactly(b"NEXT\n"),
    ),
    Case("a surrogate is not UTF-8", b"\xed\xa0\x80\n", err(b"bad-encoding")),
    Case("an overlong form is not UTF-8", b"\xc0\xaf\n", err(b"bad-encoding")),
    Case("a command that is not UTF-8", b"/ping \xe9\n", err(b"bad-encoding")),
    Case("UTF-8 cut in two by a line's end", b"\xc3\n\x9f\n", err(b"bad-encoding") * 2),
    Case("an unfinished line is not a message", b"hello\nwor", exactly(b"HELLO\n"), End.CLOSES, half_close=True),
    Case("an unfinished line may end in CR", b"hello\nworld\r", exactly(b"HELLO\n"), End.CLOSES, half_close=True),
    Case(
        "an unfinished command is not done",
        b"/ping 1\n/ping 2",
        exactly(b"/ok ping 1\r\n"),
        End.CLOSES,
        half_close=True,
    ),
    Case(
        "half-close: pending replies are delivered",
        b"a\n/ping\n//b\r\n",
        exactly(b"A\n/ok ping\r\n//B\r\n"),
        End.CLOSES,
        half_close=True,
    ),
    Case(
        "half-close: many pending replies are delivered",
        b"line\n" * 5_000,
        exactly(b"LINE\n" * 5_000),
        End.CLOSES,
        half_close=True,
    ),
    Case("half-close by a client that said nothing", b"", b"", End.CLOSES, half_close=True),
    Case("half-close within telnet negotiation", b"a\n\xff\xfb", exactly(b"A\n"), End.CLOSES, half_close=True),
    Case("HTTP closes at once", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", _BYE_PROTOCOL, End.CLOSES),
    Case(
        "what HTTP carries is not done",
        b"POST /x HTTP/1.1\r\nHost: a\r\n\r\nhello\r\n/ping\r\n",
        _BYE_PROTOCOL,
        End.CLOSES,
    ),
    Case("HTTP with any method, target and version", b"M-SEARCH * HTTP/3\n/ping\n", _BYE_PROTOCOL, End.CLOSES),
    Case(
        "HTTP longer than a line",
        b"GET /" + _LONG + b" HTTP/1.1\r\nHost: a\r\n\r\n/ping\r\n",
        err(b"line-too-long") + _BYE_PROTOCOL,
        End.CLOSES,
    ),
    Case("only the first line can be HTTP's", b"hello\nGET / HTTP/1.1\r\n", exactly(b"HELLO\nGET / HTTP/1.1\r\n")),
    Case("talking about HTTP is allowed", b"GET /\nHost: a\n", exactly(b"GET /\nHOST: A\n")),
)
"""
Section 1.
"""

MESSAGES: Final = (
    Case(
        "full Unicode mapping", "straße ﬁ ŉ ς ǆ ΐ é\n".encode(), exactly("straße ﬁ ŉ ς ǆ ΐ é".upper().encode() + b"\n")
    ),
    Case("straße is STRASSE", "straße\n".encode(), exactly(b"STRASSE\n")),
    Case("what has no upper case stays", "42 日本 🙂\t\x1b\n".encode(), exactly("42 日本 🙂\t\x1b\n".encode())),
    Case("an empty line is an empty message", b"\n\r\n\r\0\n", exactly(b"\n\r\n\r\0\n")),
    Case("spaces are text", b"  a  \n \n", exactly(b"  A  \n \n")),
    Case("// is a message that begins with /", b"//etc\r\n", exactly(b"//ETC\r\n")),
    Case("//ping is no command", b"//ping\n", exactly(b"//PING\n")),
    Case("// alone and ///", b"//\n///x\n", exactly(b"//\n///X\n")),
    Case("/ elsewhere is text", b" /ping\na/b\n", exactly(b" /PING\nA/B\n")),
    Case("CLOSE SOCKET closes", b"CLOSE SOCKET\n", b"", End.CLOSES),
    Case("CLOSE SOCKET with CRLF", b"CLOSE SOCKET\r\n", b"", End.CLOSES),
    Case("CLOSE SOCKET with CR NUL", b"CLOSE SOCKET\r\0", b"", End.CLOSES),
    Case(
        "CLOSE SOCKET: earlier replies are delivered",
        b"a\n/ping\nCLOSE SOCKET\n",
        exactly(b"A\n/ok ping\r\n"),
        End.CLOSES,
    ),
    Case("CLOSE SOCKET: later lines are not answered", b"a\nCLOSE SOCKET\nb\n/ping\n", exactly(b"A\n"), End.CLOSES),
    Case("CLOSE SOCKET anywhere in the text", b"a\nnow xCLOSE SOCKETx please\nb\n", exactly(b"A\n"), End.CLOSES),
    Case("CLOSE SOCKET in an escaped message", b"//CLOSE SOCKET\n", b"", End.CLOSES),
    Case("CLOSE SOCKET and half-close", b"a\nCLOSE SOCKET\nb\n", exactly(b"A\n"), End.CLOSES, half_close=True),
    Case("CLOSE SOCKET that telnet negotiates within", b"CLOSE\xff\xf1 SOCKET\r\n", b"", End.CLOSES),
    Case(
        "CLOSE SOCKET in other letter cases is text",
        b"close socket\nClose Socket\n",
        exactly(b"CLOSE SOCKET\nCLOSE SOCKET\n"),
    ),
    Case(
        "CLOSE SOCKET with more spaces is text",
        b"CLOSE  SOCKET\nCLOSE\tSOCKET\n",
        exactly(b"CLOSE  SOCKET\nCLOSE\tSOCKET\n"),
    ),
    Case("CLOSE SOCKET on two lines is text", b"CLOSE\nSOCKET\n", exactly(b"CLOSE\nSOCKET\n")),
    Case("CLOSE SOCKET in a command is an argument", b"/ping CLOSE SOCKET\n", exactly(b"/ok ping CLOSE SOCKET\r\n")),
    Case(
        "CLOSE SOCKET in what is not UTF-8 is no message",
        b"CLOSE SOCKET \xe9\na\n",
        err(b"bad-encoding") + exactly(b"A\n"),
    ),
    Case("CLOSE SOCKET without an end is no message", b"a\nCLOSE SOCKET", exactly(b"A\n"), End.CLOSES, half_close=True),
)
"""
Section 2.
"""

COMMANDS: Final = (
    Case("/ping", b"/ping\n", exactly(b"/ok ping\r\n")),
    Case(
        "/ping repeats its text as it was", "/ping  a  ß\t=# \n".encode(), exactly("/ok ping  a  ß\t=# \r\n".encode())
    ),
    Case("a text with control characters is refused", b"/ping \x1b[2J\n/ping a\rb\n/ping \x7f\n", err(b"bad-text") * 3),
    Case(
        "a text with C1 or separators is refused",
        "/ping \x9b\n/ping \u2028\n/ping \u2029\n".encode(),
        err(b"bad-text") * 3,
    ),
    Case("verbs are case-insensitive", b"/PING\n/pInG x\n", exactly(b"/ok ping\r\n/ok ping x\r\n")),
    Case("a label is repeated", b"/ping#a.B-1_ x\n", exactly(b"/ok#a.B-1_ ping x\r\n")),
    Case("a label of 64", b"/ping#" + b"l" * 64 + b"\n", exactly(b"/ok#" + b"l" * 64 + b" ping\r\n")),
    Case("a label that is none", b"/ping#\n/ping#a/b\n/ping#" + b"l" * 65 + b"\n", err(b"bad-arguments") * 3),
    Case(
        "a refusal has the label", b"/nosuch#7 x\n/nick#8 !\n", err(b"unknown-command", b"7") + err(b"bad-name", b"8")
    ),
    Case("unknown commands", b"/nosuch\n/\n/ ping\n/#x\n", err(b"unknown-command") * 3 + err(b"unknown-command", b"x")),
    Case("/help", b"/help\n", rb"(/info /[a-z]+[^\r\n]*\r\n)+/info [^\r\n]+\r\n/ok help\r\n"),
    Case("/help with a label", b"/help#h\n", rb"(/info#h [^\r\n]+\r\n)+/ok#h help\r\n"),
    Case("/help VERB", b"/help ping\n/help /PING\n", rb"(/info /ping[^\r\n]*\r\n/ok help\r\n){2}"),
    Case("/help on an alias", b"/help join\n", rb"/info /sub [^\r\n]*\r\n/ok help\r\n"),
    Case("/help on nothing that there is", b"/help nosuch\n", err(b"bad-arguments")),
    Case("/whoami of a guest", b"/whoami\n", _GUEST),
    Case("/whoami stays the same", b"/whoami\n/whoami\n", rb"(/ok whoami guest-[A-Za-z0-9]+ guest\r\n)\1"),
    Case("/whoami takes no arguments", b"/whoami x\n", err(b"bad-arguments")),
    Case("/nick", b"/nick Bob-1\n/whoami\n", exactly(b"/ok nick Bob-1\r\n/ok whoami Bob-1 guest\r\n")),
    Case(
        "/nick with one's own name in another letter case",
        b"/nick bob-2\n/nick BOB-2\n",
        exactly(b"/ok nick bob-2\r\n/ok nick BOB-2\r\n"),
    ),
    Case(
        "/nick with a name in use", b"/nick bob-3\n/whoami\n", err(b"name-taken") + _GUEST, neighbour=b"/nick bob-3\n"
    ),
    Case(
        "/nick with a name in use in another letter case",
        b"/nick BOB-4\n",
        err(b"name-taken"),
        neighbour=b"/nick bob-4\n",
    ),
    Case(
        "/nick with a name that somebody gave up",
        b"/nick bob-5\n",
        exactly(b"/ok nick bob-5\r\n"),
        neighbour=b"/nick bob-5\n/nick bob-6\n",
    ),
    Case("/nick without a name", b"/nick\n/nick  \n", err(b"bad-arguments") * 2),
    Case(
        "/nick with what is no name",
        "/nick -x\n/nick a b\n/nick ä\n/nick @bob\n/nick ".encode() + b"n" * 33 + b"\n",
        err(b"bad-name") * 5,
    ),
    Case("/nick with the longest name", b"/nick " + b"n" * 32 + b"\n", exactly(b"/ok nick " + b"n" * 32 + b"\r\n")),
    Case("/quit", b"a\n/quit\nb\n", exactly(b"A\n/ok quit\r\n"), End.CLOSES),
    Case("/quit with a label", b"/QUIT#bye\n", exactly(b"/ok#bye quit\r\n"), End.CLOSES),
    Case("/quit takes no arguments", b"/quit now\n", err(b"bad-arguments")),
)
"""
Section 3: the grammar, and the commands that are about the connection.
"""

TOPICS: Final = (
    Case("/pub is acknowledged with a position", b"/pub t1 hi\n", rb"/ok pub t1 [1-9][0-9]*\r\n"),
    Case("/say is /pub", b"/SAY#x t2 hi\n", rb"/ok#x pub t2 [1-9][0-9]*\r\n"),
    Case("/pub with a label is done once", b"/pub#l t3 hi\n/pub#l t3 hi\n", rb"(/ok#l pub t3 [1-9][0-9]*\r\n)\1"),
    Case(
        "/pub before half-close is acknowledged",
        b"/pub t4 a\n/pub t4 b\nx\n",
        rb"(/ok pub t4 [0-9]+\r\n){2}X\n",
        End.CLOSES,
        half_close=True,
    ),
    Case(
        "/pub before CLOSE SOCKET is acknowledged", b"/pub t5 a\nCLOSE SOCKET\n", rb"/ok pub t5 [0-9]+\r\n", End.CLOSES
    ),
    Case(
        "/pub refuses what is no topic or text",
        b"/pub\n/pub t6\n/pub -t x\n/pub t6 a\x1bb\n",
        err(b"bad-arguments") * 2 + err(b"bad-name") + err(b"bad-text"),
    ),
    Case("/msg is acknowledged", b"/msg carol  hi\n", rb"/ok msg carol [1-9][0-9]*\r\n"),
    Case(
        "/history gives what was published, byte for byte",
        "/pub t7   ß\t= \n/history#h t7 last=1\n".encode(),
        rb"/ok pub t7 ([0-9]+)\r\n/past#h t7 \1 [0-9TZ:.-]{24} guest-\w+ "
        + re.escape("  ß\t= ".encode())
        + rb"\r\n/ok#h history t7 1\r\n",
    ),
    Case("/join is /sub, /part is /unsub", b"/join t8\n/part t8\n", rb"/ok sub t8 [0-9]+ \S+\r\n/ok unsub t8\r\n"),
    Case(
        "who is subscribed gets what is published",
        b"/sub#s t9\n/pub t9 hi\n",
        rb"/ok#s sub t9 [0-9]+ \S+\r\n(/ok pub t9 [0-9]+\r\n|/event t9 [0-9]+ \S+ guest-\w+ hi\r\n){2}",
        told=b" hi\r\n",
    ),
    Case("another's inbox is denied", b"/sub @dave\n/history @dave\n/who @dave\n", err(b"denied") * 3),
    Case(
        "one's own inbox",
        b"/nick Erin\n/msg erin hi\n/history @ERIN last=1\n",
        rb"/ok nick Erin\r\n/ok msg erin ([0-9]+)\r\n/past @erin \1 \S+ Erin hi\r\n/ok history @erin 1\r\n",
    ),
    Case("/who of a topic that nobody follows", b"/who t10\n", exactly(b"/ok who t10 0\r\n")),
)
"""
Section 3: the commands about topics, as far as one line's answer goes.
"""

CASES: Final = (*LINES, *MESSAGES, *COMMANDS, *TOPICS)
