"""
Tests for :mod:`echochat.chat.fellows.encoding`.
"""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echochat.chat.ban_book import LIFTED, BanRecord
from echochat.chat.fellows.encoding import MOST_BYTES, MalformedMessage, decode, encode, read_record, write_record
from echochat.chat.fellows.facts import Facts, TopicFacts
from echochat.chat.fellows.messages import Alive, Ask, Done, Everything, Farewell, Hello, Message, News, Order
from tests.wire.examples import reproducible

ME = "server01"
ALIVE = Alive(ME, 7, 20.0, "a machine")
BAN = BanRecord("192.0.2.1", 5, None)
FACTS = Facts(
    {"lobby": TopicFacts(3, ["alice"], ["Bob"]), "@bob": TopicFacts(0)},
    ["guest-1"],
    ["guest-2"],
    ["carol"],
    [BAN, BanRecord("::1", 6, LIFTED), BanRecord("bob", 7, 10**12)],
)

MESSAGES: tuple[Message, ...] = (
    ALIVE,
    Hello(ALIVE),
    News(ME, 8, FACTS),
    News(ME, 8, Facts()),
    Everything(ALIVE, 1, 2, 3, FACTS),
    Ask(ME),
    Farewell(ME),
    Order(ME, 4, "alice", None),
    Order(ME, 4, "alice", BAN),
    Done(ME, 4, 2),
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats()
    | st.sampled_from(["alice", "alive", ME, "", "\n", "\0x"]),
    lambda each: (
        st.lists(each, max_size=4) | st.dictionaries(st.sampled_from(["lobby", "a b", "came"]), each, max_size=3)
    ),
    max_leaves=6,
)


class EncodingTests(SynchronousTestCase):
    """
    What servers say arrives as it was meant, or not at all.
    """

    def test_round_trip(self) -> None:
        """
        What was sent is what is read.
        """
        for message in MESSAGES:
            self.assertEqual(decode(encode(message)), message)

    def test_malformed(self) -> None:
        """
        What is not JSON, not an object, too long, of another version or of an unknown kind is refused, by name.
        """
        alive = {"v": 1, "from": ME, "kind": "alive", "seq": 0, "lease": 1, "place": ""}
        for data, why in (
            (b"", "not JSON"),
            (b"\xff", "not JSON"),
            (b"[" * 100_000, "not JSON"),
            (b"1" * 5_000, "not JSON"),
            (b" " * (MOST_BYTES + 1), f"{MOST_BYTES + 1} bytes"),
            (b"[]", "not an object"),
            (json.dumps(alive | {"v": 2}).encode(), "another version"),
            (json.dumps(alive | {"from": "SERVER01"}).encode(), "from"),
            (json.dumps(alive | {"from": 1}).encode(), "from"),
            (json.dumps(alive | {"kind": "dead"}).encode(), "kind"),
            (json.dumps(alive | {"kind": []}).encode(), "kind"),
        ):
            refused = self.assertRaises(MalformedMessage, decode, data)
            self.assertEqual(str(refused), why)

    def test_wrong_values(self) -> None:
        """
        A value that cannot be is refused, whichever it is, and named.
        """
        for kind, name, wrong in (
            ("alive", "seq", [-1, 1.5, True, None, "1", 1 << 53]),
            ("alive", "lease", [0, -1, 61, True, None, float("nan"), float("inf"), "1"]),
            ("alive", "place", [None, 1, "x" * 101, "a\nb", "\x1b[2J"]),
            ("hello", "seq", [-1]),
            ("news", "seq", [0]),
            ("news", "facts", [None, []]),
            ("everything", "part", [None, [1, 1], [1, 0, 1], [1, 2, 1], [-1, 1, 1], [1, 1, 4_097], [1, 1, 1, 1]]),
            ("everything", "facts", [None]),
            ("order", "who", [None, "", "a b", "x" * 65]),
            ("order", "ban", [1, [], ["a", 1], ["a b", 1, None], ["a", -1, None], ["a", 1, -1], [1, 1, 1]]),
            ("order", "number", [-1]),
            ("done", "number", [None]),
            ("done", "closed", [-1]),
        ):
            for value in wrong:
                refused = self.assertRaises(MalformedMessage, decode, written(kind, {name: value}))
                self.assertEqual(str(refused), name, value)

    def test_wrong_facts(self) -> None:
        """
        So are names, topics and bans that cannot be.
        """
        for name, wrong in (
            ("topics", [[], {"a b": [1, [], []]}, {"lobby": [1, []]}, {"lobby": {}}]),
            ("followers", [{"lobby": [-1, [], []]}]),
            ("entered", [{"lobby": [1, ["a b"], []]}, {"lobby": [1, "alice", []]}]),
            ("left", [{"lobby": [1, [], [1]]}]),
            ("came", ["alice", ["a\nb"], [1], {}]),
            ("went", [None, [""]]),
            ("shown", [["x" * 33]]),
            ("bans", [{}, None]),
        ):
            key = {"followers": "topics", "entered": "topics", "left": "topics"}.get(name, name)
            for value in wrong:
                refused = self.assertRaises(MalformedMessage, decode, written("news", {"facts": {key: value}}))
                self.assertEqual(str(refused), name, value)

    @settings(reproducible, max_examples=300)
    @given(
        st.sampled_from(["alive", "hello", "news", "everything", "ask", "farewell", "order", "done"]),
        st.dictionaries(
            st.sampled_from(["seq", "lease", "place", "facts", "part", "who", "ban", "number", "closed", "kind"]), JSON
        ),
    )
    def test_anything(self, kind: str, values: dict[str, Any]) -> None:
        """
        Whatever arrives, it is a message or it is refused; and what was read can be said again.
        """
        try:
            message = decode(written(kind, values))
        except MalformedMessage:
            return
        self.assertEqual(decode(encode(message)), message)

    def test_who(self) -> None:
        """
        An order names what can be a name or an address, IPv6 included.
        """
        for who in ("alice", "192.0.2.1", "2001:db8::1", "guest-1_x"):
            self.assertEqual(decode(written("order", {"who": who})), Order(ME, 1, who, None))
        for who in ("", "a b", "a\n", "é"):
            self.assertRaises(MalformedMessage, decode, written("order", {"who": who}))

    def test_a_ban_that_cannot_be(self) -> None:
        """
        A ban that cannot be read is left out, and all else that is told with it is known.
        """
        facts = {"came": ["guest-1"], "bans": [1, ["a"], ["10.0.0.0/8", 1, None], [BAN.who, BAN.version, None]]}
        self.assertEqual(decode(written("news", {"facts": facts})), News(ME, 1, Facts(came=["guest-1"], bans=[BAN])))


class RecordTests(SynchronousTestCase):
    """
    Bans are kept by the broker, for servers that start later.
    """

    def test_round_trip(self) -> None:
        """
        What was kept is what is read, and it is kept as all servers of this version write it.
        """
        for record in FACTS.bans:
            self.assertEqual(read_record(write_record(record)), record)
        self.assertEqual(write_record(BAN), b'{"v":1,"ban":["192.0.2.1",5,null]}')

    def test_malformed(self) -> None:
        """
        What is no ban, or one of another version, is refused, by name.
        """
        for data, why in (
            (b"", "not JSON"),
            (b"[]", "not an object"),
            (b'{"v":2,"ban":["192.0.2.1",5,null]}', "another version"),
            (b'{"v":1}', "ban"),
            (b'{"v":1,"ban":["10.0.0.0/8",5,null]}', "ban"),
            (b'{"v":1,"ban":["192.0.2.1",5]}', "ban"),
        ):
            refused = self.assertRaises(MalformedMessage, read_record, data)
            self.assertEqual(str(refused), why)


def written(kind: str, values: dict[str, Any]) -> bytes:
    """
    A message of this kind that is right but for these values.
    """
    right = {
        "v": 1,
        "from": ME,
        "kind": kind,
        "seq": 1,
        "lease": 1.5,
        "place": "",
        "facts": {},
        "part": [1, 1, 1],
        "who": "alice",
        "number": 1,
        "closed": 0,
    }
    return json.dumps(right | values).encode()
