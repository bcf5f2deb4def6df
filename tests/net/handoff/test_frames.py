"""
Tests for :mod:`echochat.net.handoff.frames`.
"""

import hashlib
from typing import Any
from unittest import TestCase

from hypothesis import given, settings
from hypothesis import strategies as st

from echochat.net.handoff.frames import (
    FROM_BALANCER,
    FROM_WORKER,
    MOST_RECORD,
    TOKEN,
    VERSION,
    Alive,
    Complete,
    End,
    Ended,
    FrameError,
    Hand,
    Hello,
    Kick,
    Move,
    Moved,
    Ping,
    Pong,
    Refused,
    Situation,
    Strangers,
    Taken,
    Welcome,
    Willing,
    decode,
    encode,
)
from tests.wire.examples import reproducible

NUMBERS = st.integers(0, 2**64 - 1)
COUNTS = st.integers(-1, 2**63 - 1)
SMALL = st.integers(0, 2**32 - 1)
VERSIONS = st.integers(0, 255)
TOKENS = st.binary(min_size=TOKEN, max_size=TOKEN)
WILLING = st.sampled_from(Willing)

OF_BALANCER: Any = st.one_of(
    st.builds(Hello, VERSIONS, TOKENS),
    st.builds(Hand, NUMBERS),
    st.builds(Move, SMALL, SMALL),
    st.builds(Kick, NUMBERS),
    st.builds(Ping, NUMBERS),
)
OF_WORKER: Any = st.one_of(
    st.builds(Welcome, VERSIONS, TOKENS, WILLING),
    st.builds(Alive, NUMBERS),
    st.builds(Complete, NUMBERS, NUMBERS),
    st.builds(Strangers, NUMBERS),
    st.builds(Taken, NUMBERS),
    st.builds(Refused, NUMBERS, WILLING),
    st.builds(Ended, NUMBERS, COUNTS, COUNTS, st.sampled_from(End)),
    st.builds(Situation, WILLING),
    st.builds(Moved, SMALL),
    st.builds(Pong, NUMBERS),
)


class FrameTests(TestCase):
    """
    What one side encodes the other reads.
    """

    @settings(reproducible, max_examples=100)
    @given(st.lists(OF_BALANCER, min_size=1))
    def test_from_a_balancer(self, frames: list[Any]) -> None:
        """
        Any frames of a balancer, joined, are read as the same frames.
        """
        self.assertEqual(list(decode(b"".join(map(encode, frames)), FROM_BALANCER)), frames)

    def test_version(self) -> None:
        """
        A balancer and a worker of one version mean the same: whoever changes a frame has to change the version.
        """
        layouts = [
            f"{letter:c}{layout.format} {kind.__name__} {' '.join(kind._fields)}"
            for table in (FROM_BALANCER, FROM_WORKER)
            for letter, (layout, kind) in table.items()
        ]
        digest = hashlib.sha256("\n".join(layouts).encode()).hexdigest()[:8]
        self.assertEqual((VERSION, digest), (2, "29706a76"))

    @settings(reproducible, max_examples=100)
    @given(st.lists(OF_WORKER, min_size=1))
    def test_from_a_worker(self, frames: list[Any]) -> None:
        """
        Any frames of a worker, joined, are read as the same frames, of the same types.
        """
        read = list(decode(b"".join(map(encode, frames)), FROM_WORKER))
        self.assertEqual(read, frames)
        self.assertEqual([[type(field) for field in each] for each in read], [[type(f) for f in e] for e in frames])

    @settings(reproducible, max_examples=100)
    @given(st.lists(OF_WORKER, max_size=3), OF_WORKER, st.data())
    def test_cut_off(self, whole: list[Any], last: Any, drawn: st.DataObject) -> None:
        """
        A record that ends inside a frame is malformed wherever it ends; what was whole is read before.
        """
        cut = encode(last)
        cut = cut[: drawn.draw(st.integers(1, len(cut) - 1))]
        reading = decode(b"".join(map(encode, whole)) + cut, FROM_WORKER)
        self.assertEqual([next(reading) for _ in whole], whole)
        with self.assertRaises(FrameError):
            next(reading)

    @settings(reproducible, max_examples=100)
    @given(st.binary(max_size=200), st.sampled_from([FROM_BALANCER, FROM_WORKER]))
    def test_anything(self, record: bytes, table: Any) -> None:
        """
        Whatever bytes come, they are frames that are encoded as they came, or a FrameError.
        """
        try:
            read = list(decode(record, table))
        except FrameError:
            return
        self.assertEqual(b"".join(map(encode, read)), record)

    @settings(reproducible, max_examples=100)
    @given(st.one_of(OF_BALANCER, OF_WORKER))
    def test_from_the_wrong_side(self, frame: Any) -> None:
        """
        A balancer does not say what a worker says, nor the other way round.
        """
        wrong = FROM_WORKER if type(frame) in (Hello, Hand, Move, Kick, Ping) else FROM_BALANCER
        with self.assertRaises(FrameError):
            list(decode(encode(frame), wrong))

    def test_empty(self) -> None:
        """
        A record without a frame is malformed.
        """
        with self.assertRaises(FrameError):
            list(decode(b"", FROM_WORKER))

    def test_unknown_words(self) -> None:
        """
        A number that stands for nothing is malformed.
        """
        for frame in (Situation(Willing.OPEN), Ended(1, 2, 3, End.LOST)):
            with self.assertRaises(FrameError):
                list(decode(encode(frame)[:-1] + b"\x09", FROM_WORKER))

    def test_a_record_has_room(self) -> None:
        """
        So many frames as are sent in one record are read at once.
        """
        longest = max(len(encode(each)) for each in (Welcome(1, bytes(16), Willing.OPEN), Ended(1, 2, 3, End.LOST)))
        self.assertLessEqual(longest, 32)
        self.assertGreaterEqual(MOST_RECORD // longest, MOST_RECORD // 32)
