"""
Events as lines of the standard output.
"""

import io
import json
import sys

from twisted.trial.unittest import SynchronousTestCase

from echochat.client.cursor import Delivery, Replaced
from echochat.client.records import Writer
from echochat.wire.answers import Event, Gap, Joined, Parted, Past

_TIME = "2026-01-02T03:04:05.678Z"
EVENT = Event("lobby", 7, _TIME, "alice", "hi \x1b[2J there")


class WriterTests(SynchronousTestCase):
    """
    Data for programs, text for persons, and never the one for the other.
    """

    def setUp(self) -> None:
        self.errors = io.StringIO()
        self.patch(sys, "stderr", self.errors)

    def test_plain(self) -> None:
        """
        In a pipe an event is its five parts, the text as it came; what is no event is told aside.
        """
        writer = Writer(as_json=False, shown=False, with_topic=True)
        self.assertEqual(writer.line(EVENT), f"lobby 7 {_TIME} alice hi \x1b[2J there\n".encode())
        self.assertEqual(
            writer.line(Past("lobby", 7, _TIME, "alice", "x", "label")), f"lobby 7 {_TIME} alice x\n".encode()
        )
        self.assertEqual(self.errors.getvalue(), "")
        self.assertEqual(writer.line(Gap("lobby", 3, 9)), b"")
        self.assertEqual(writer.line(Joined("lobby", "bob")), b"")
        self.assertEqual(
            self.errors.getvalue(), "echochat: -- what lobby had from 4 to 9 is lost --\nechochat: -- bob is in lobby\n"
        )

    def test_json(self) -> None:
        """
        JSON has everything, gaps and presence too, and the log to which a position belongs.
        """
        writer = Writer(as_json=True, shown=False, with_topic=False)
        items: list[Delivery | Past] = [
            EVENT,
            Past("lobby", 7, _TIME, "alice", "grün", "label"),
            Gap("lobby", 3, 9),
            Replaced("lobby", 9, 2),
            Joined("lobby", "bob"),
            Parted("lobby", "bob"),
        ]
        lines = [writer.line(item, "e1") for item in items]
        self.assertIn("grün".encode(), lines[1])
        self.assertEqual(
            [json.loads(line) for line in lines],
            [
                {
                    "type": "event",
                    "topic": "lobby",
                    "position": 7,
                    "time": _TIME,
                    "name": "alice",
                    "text": "hi \x1b[2J there",
                    "epoch": "e1",
                },
                {"type": "event", "topic": "lobby", "position": 7, "time": _TIME, "name": "alice", "text": "grün"},
                {"type": "gap", "topic": "lobby", "after": 3, "upto": 9},
                {"type": "replaced", "topic": "lobby", "after": 9, "upto": 2},
                {"type": "join", "topic": "lobby", "name": "bob"},
                {"type": "part", "topic": "lobby", "name": "bob"},
            ],
        )

    def test_shown(self) -> None:
        """
        On a terminal nothing in it acts, in either form, and with several topics each line tells its own.
        """
        for writer in (
            Writer(as_json=False, shown=True, with_topic=True),
            Writer(as_json=True, shown=True, with_topic=True),
        ):
            line = writer.line(Event("lobby", 7, _TIME, "alice", "\x1b[2J\u202e")).decode()
            self.assertNotIn("\x1b[2J", line)
            self.assertNotIn("\u202e", line)
            self.assertIn("lobby", line)
        self.assertNotIn(b"lobby", Writer(as_json=False, shown=True, with_topic=False).line(EVENT))

    def test_no_colour(self) -> None:
        """
        Who does not want colours gets none.
        """
        self.patch(__import__("os"), "environ", {"NO_COLOR": "1"})
        line = Writer(as_json=False, shown=True, with_topic=True).line(EVENT)
        self.assertNotIn(b"\x1b", line)
