"""
How what the server says looks.
"""

import os
import time

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echochat.client.cursor import Replaced
from echochat.client.rendering import _CODES, colour_of, local_time, render, to_ansi
from echochat.wire.answers import Bye, Drain, Err, Event, Gap, Here, Info, Joined, Parted, Past, TopicLine
from tests.wire.examples import reproducible

_TIME = "2026-01-02T03:04:05.678Z"


class RenderingTests(SynchronousTestCase):
    """
    A person sees who said what and when.
    """

    def setUp(self) -> None:
        self.addCleanup(time.tzset)
        self.addCleanup(os.environ.__setitem__, "TZ", os.environ.get("TZ", ""))
        os.environ["TZ"] = "EST+5"
        time.tzset()

    def test_lines(self) -> None:
        """
        Each kind of line as it looks without colours.
        """
        for said, line in (
            (Event("lobby", 7, _TIME, "alice", "hi  there"), "22:04 alice  hi  there"),
            (Past("lobby", 7, _TIME, "alice", "hi"), "22:04 alice  hi"),
            (Gap("lobby", 3, 9), "-- what lobby had from 4 to 9 is lost --"),
            (Replaced("lobby", 2, 6), "-- another history of lobby begins here: the one before was seen up to 2 --"),
            (Replaced("lobby", 0, 6), "-- another history of lobby begins here --"),
            (Gap("lobby", 1, 0), "-- another history of lobby begins here: the one before was seen up to 1 --"),
            (Joined("lobby", "bob"), "-- bob is in lobby"),
            (Parted("lobby", "bob"), "-- bob has left lobby"),
            (Drain(9), "-- the server goes away within 9 s"),
            (Bye("idle", "nothing was said"), "idle: nothing was said"),
            (Err("denied", "not here"), "denied: not here"),
            (Info("a line of help"), "a line of help"),
            (Here("lobby", "bob"), "bob"),
            (TopicLine("lobby", 7, 2), "lobby  2 subscribed, up to 7"),
        ):
            self.assertEqual(to_ansi(render(said), coloured=False), line)

    def test_time(self) -> None:
        """
        The time is the user's; one that is none is shown as it came.
        """
        self.assertEqual(local_time(_TIME), "22:04")
        self.assertEqual(local_time("soon"), "soon")
        self.assertEqual(local_time("0001-01-01T00:00:00.000Z"), "0001-01-01T00:00:00.000Z")

    def test_colours(self) -> None:
        """
        A name has one colour, in any letter case and every run; not all names have the same.
        """
        self.assertEqual(colour_of("Alice"), colour_of("alice"))
        self.assertEqual(colour_of("alice"), "ansibrightmagenta")
        self.assertGreater(len({colour_of(f"guest-{number}") for number in range(50)}), 4)

    @settings(reproducible, max_examples=100)
    @given(st.text())
    def test_every_style_is_known(self, name: str) -> None:
        """
        Whatever is said can be shown in colours, and nothing in it acts on the terminal.
        """
        line = to_ansi(render(Event("t", 1, _TIME, name, name)), coloured=True)
        for code in _CODES.values():
            line = line.replace(f"\x1b[{code}m", "")
        self.assertNotIn("\x1b", line.replace("\x1b[0m", ""))
