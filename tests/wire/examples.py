"""
What clients send, good and bad, for tests of properties: the bytes that mean something occur often.
"""

import os
from itertools import pairwise
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir

# What it works out about Unicode, for a second in each process, is the same in the next run, and trial's folder is not.
set_hypothesis_home_dir(Path(__file__).parents[2] / ".hypothesis")

reproducible = settings(
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=int(os.environ.get("ECHOCHAT_EXAMPLES", "100")),
    suppress_health_check=[HealthCheck.too_slow],
)
"""
The same examples in every run, and no verdict on how long one takes, or to make: the machine has other work. The long
tests look at more of them.
"""

ENDS = st.sampled_from([b"\n", b"\r\n", b"\r\0"])

NEGOTIATION = st.sampled_from(
    [
        b"\xff\xfb\x01",  # WILL ECHO
        b"\xff\xfd\x03",  # DO SUPPRESS-GO-AHEAD
        b"\xff\xfe\xff",  # DONT EXTENDED-OPTIONS-LIST
        b"\xff\xfa\x18\0xterm\xff\xf0",  # SB TERMINAL-TYPE IS xterm SE
        b"\xff\xfa\x1f\0\xff\xff\n/quit\n\xff\xf0",  # SB with an escaped 0xFF, and what looks like lines
        b"\xff\xf1",  # NOP
        b"\xff\xec",  # EOF, the lowest of the commands
    ]
)
"""
Telnet commands, whole ones.
"""

PIECES = st.one_of(
    st.sampled_from(
        [
            b"\r",
            b"\n",
            b"\0",
            b"\xff",
            b"\xff\xff",
            b"\xff\xfa",
            b"\xff\xf0",
            b"\xff\xa0",
            b"/",
            b"//",
            b" ",
            b"\t",
            b"\x1b",
            b"CLOSE SOCKET",
            b"CLOSE",
            b" SOCKET",
            b"hello",
            b"0123456789",
            "straße ﬁ ŉ ΐ".encode(),
            b"\xc3",
            b"\xed\xa0\x80",
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /" + b"x" * 60 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
            b"hOST:\n",
            b"/ping x\n",
            b"/PING#a.B-1 x\r\n",
            b"/ping#!\n",
            b"/help ping\n",
            b"/nick Bob\n",
            b"/whoami\n",
            b"/quit\n",
        ]
    ),
    ENDS,
    NEGOTIATION,
    st.binary(max_size=4),
)
"""
Bytes that mean something, alone or beside others.
"""

STREAMS = st.lists(PIECES, max_size=24).map(b"".join)
"""
All that a client sends, from its first byte to its last.
"""

WORDS = st.text(
    st.sampled_from(" /#=aß") | st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=12
)
"""
A line without its end.
"""

MESSAGES = st.one_of(
    WORDS.filter(lambda text: not text.startswith("/")),
    WORDS.map(lambda text: "//" + text),
).filter(lambda text: "CLOSE SOCKET" not in text)
"""
A line that is answered in capitals.
"""


@st.composite
def segmented(draw: st.DrawFn, streams: st.SearchStrategy[bytes] = STREAMS) -> list[bytes]:
    """
    A stream as a network may deliver it: in segments of any lengths, none of them empty.
    """
    stream = draw(streams)
    if not stream:
        return []
    cuts = draw(st.one_of(st.sets(st.integers(1, len(stream)), max_size=8), st.just(set(range(1, len(stream))))))
    edges = [0, *sorted(cuts - {len(stream)}), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]
