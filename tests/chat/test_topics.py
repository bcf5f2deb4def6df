"""
Tests for :mod:`echochat.chat.topics`.
"""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echochat.chat import topics
from echochat.chat.events import Draft, encode_drafts
from echochat.chat.topics import CHUNK, Chunk, Cursor, TopicLog
from tests.wire.examples import reproducible


class Nobody:
    """
    A subscriber that is not woken.
    """

    def wake(self) -> None:
        raise AssertionError


def follow(log: TopicLog, at: int) -> Cursor:
    """
    A cursor of nobody's.
    """
    return Cursor(log, at, Nobody(), None)


def append(log: TopicLog, *events: tuple[int, str]) -> list[Chunk]:
    """
    Something has become durable.
    """
    return log.append([Draft("lobby", "a", text, None, 0) for _, text in events], [position for position, _ in events])


def lines(*events: tuple[int, str]) -> bytes:
    """
    As a subscriber is told of it.
    """
    drafts = [Draft("lobby", "a", text, None, 0) for _, text in events]
    return encode_drafts(drafts, [position for position, _ in events])


def take_all(cursor: Cursor) -> list[bytes]:
    """
    What a cursor gives until it is up to date, or needs the history.
    """
    taken: list[bytes] = []
    while True:
        data, count = cursor.take()
        if not data:
            assert not count
            return taken
        assert count == data.count(b"\n")
        taken.append(data)


class ChunkTests(SynchronousTestCase):
    """
    Who has been told of a part of a chunk is told of the rest.
    """

    def test_after(self) -> None:
        """
        What lies at or below the position is left out, whether or not something is at it.
        """
        events = [(3, "c"), (5, "e"), (9, "i")]
        chunk = Chunk(2, [3, 5, 9], lines(*events))
        for position in range(11):
            left = [event for event in events if event[0] > position]
            self.assertEqual(chunk.after(position), (lines(*left), len(left)))


class TopicLogTests(SynchronousTestCase):
    """
    The newest events of a topic are in memory once, however many follow it.
    """

    def test_up_to_date(self) -> None:
        """
        All who are up to date are given the very same bytes.
        """
        log = TopicLog("lobby", 7)
        cursors = [follow(log, 7) for _ in range(3)]
        for cursor in cursors:
            self.assertEqual(cursor.take(), (b"", 0))
        append(log, (8, "a"), (11, "b"))
        taken = [cursor.take() for cursor in cursors]
        self.assertEqual(taken[0], (lines((8, "a"), (11, "b")), 2))
        self.assertTrue(all(data is taken[0][0] for data, _ in taken))
        self.assertEqual([cursor.take() for cursor in cursors], [(b"", 0)] * 3)

    def test_behind(self) -> None:
        """
        Who is behind is given what they missed, in one piece where it is small.
        """
        log = TopicLog("lobby", 0)
        cursor = follow(log, 0)
        append(log, (1, "a"))
        append(log, (2, "b"), (3, "c"))
        append(log, (4, "d"))
        self.assertEqual(cursor.take(), (lines((1, "a"), (2, "b"), (3, "c"), (4, "d")), 4))
        self.assertEqual(cursor.at, 4)
        self.assertEqual(follow(log, 2).take(), (lines((3, "c"), (4, "d")), 2))

    def test_history_was_ahead(self) -> None:
        """
        Who has read more of the history than the memory has is given the rest of what comes, or nothing of it.
        """
        log = TopicLog("lobby", 0)
        append(log, (1, "a"))
        inside, beyond, at_the_end = follow(log, 3), follow(log, 9), follow(log, 4)
        append(log, (3, "b"), (4, "c"))
        self.assertEqual(inside.take(), (lines((4, "c")), 1))
        self.assertEqual(beyond.take(), (b"", 0))
        self.assertEqual(at_the_end.take(), (b"", 0))
        self.assertEqual(beyond.at, 9)
        self.assertFalse(beyond.needs_history)

    def test_needs_history(self) -> None:
        """
        Who is further behind than the memory reaches is given nothing of it.
        """
        log = TopicLog("lobby", 5)
        cursor = follow(log, 4)
        self.assertTrue(cursor.needs_history)
        append(log, (6, "a"))
        self.assertEqual(cursor.take(), (b"", 0))
        self.assertEqual(cursor.at, 4)

    def test_drop_oldest(self) -> None:
        """
        What is dropped is not given any more, and who wants it is sent to the history; also if nothing is left.
        """
        log = TopicLog("lobby", 0)
        late, later = follow(log, 0), follow(log, 1)
        append(log, (1, "a"))
        append(log, (2, "b"))
        self.assertEqual(log.drop_oldest(), len(lines((1, "a"))))
        self.assertTrue(late.needs_history)
        self.assertEqual((late.take(), later.take()), ((b"", 0), (lines((2, "b")), 1)))
        self.assertEqual(log.drop_oldest(), len(lines((2, "b"))))
        self.assertEqual([cursor.take() for cursor in (late, later, follow(log, 1))], [(b"", 0)] * 3)
        self.assertEqual((log.kept, log.head, log.floor), (0, 2, 2))
        append(log, (3, "c"))
        self.assertEqual(later.take(), (lines((3, "c")), 1))
        self.assertEqual(late.take(), (b"", 0))

    def test_has_spare(self) -> None:
        """
        The oldest chunk is kept as long as fewer events than a topic's share would be left.
        """
        self.patch(topics, "KEPT", 3)
        log = TopicLog("lobby", 0)
        self.assertFalse(log.has_spare)
        append(log, (1, "a"), (2, "b"))
        append(log, (3, "c"), (4, "d"))
        self.assertFalse(log.has_spare)
        append(log, (5, "e"))
        self.assertTrue(log.has_spare)

    def test_cut(self) -> None:
        """
        What one commit brought is cut between events into pieces that a connection may have to hold, and an event that
        is longer than that is a piece by itself.
        """
        log = TopicLog("lobby", 0)
        long = "x" * CHUNK
        events = [*[(n, "y" * 1_000) for n in range(1, 200)], (200, long), (201, "z"), (202, long), (203, long)]
        made = append(log, *events)
        self.assertEqual(b"".join([chunk.data for chunk in made]), lines(*events))
        self.assertEqual([position for chunk in made for position in chunk.positions], [n for n, _ in events])
        for chunk in made:
            self.assertTrue(len(chunk.data) <= CHUNK or len(chunk.positions) == 1)
            self.assertEqual(chunk.data.count(b"\n"), len(chunk.positions))
        self.assertEqual(len(made), 6)
        taken = take_all(follow(log, 0))
        self.assertEqual(b"".join(taken), lines(*events))
        self.assertEqual(len(taken), 6)

    @reproducible
    @given(
        st.lists(st.lists(st.tuples(st.integers(1, 3), st.sampled_from([0, 1, 30, 90, 200])), max_size=8), max_size=10),
        st.data(),
    )
    def test_any_cursor(self, commits: list[list[tuple[int, int]]], data: st.DataObject) -> None:
        """
        Wherever a cursor is, whatever was dropped, and whenever it takes: it is given every event behind it that is
        above the floor, once and in order, in pieces of bounded size.
        """
        self.patch(topics, "CHUNK", 150)
        log = TopicLog("lobby", 2)
        cursors = [(follow(log, at), at, [b""]) for at in range(8)]
        published: list[tuple[int, str]] = []
        position = 2
        for commit in filter(None, commits):
            events = []
            for step, size in commit:
                position += step
                events.append((position, "x" * size))
            published += events
            append(log, *events)
            for _ in range(data.draw(st.integers(0, len(log.chunks)), "drop")):
                log.drop_oldest()
            for index in data.draw(st.sets(st.integers(0, 7)), "take"):
                cursor, at, taken = cursors[index]
                if cursor.needs_history:
                    cursors[index] = (cursor, log.floor, [b""])
                    cursor.at = log.floor
                pieces = take_all(cursor)
                cursors[index][2].extend(pieces)
                self.assertTrue(all(len(each) <= 150 or each.count(b"\n") == 1 for each in pieces))
        for cursor, at, taken in cursors:
            if not cursor.needs_history:
                taken += take_all(cursor)
                self.assertEqual(b"".join(taken), lines(*[event for event in published if event[0] > at]))
                self.assertGreaterEqual(cursor.at, log.head)
        self.assertEqual(log.kept, sum(len(chunk.positions) for chunk in log.chunks))
