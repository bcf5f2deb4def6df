"""
Tests for :mod:`echochat.server.rank`: rounds of which some steps are still to be done.
"""

from twisted.trial.unittest import SynchronousTestCase

from echochat.chat.arrivals import Step
from echochat.chat.events import Draft, encode_drafts
from echochat.chat.hub import Hub
from echochat.chat.topics import Cursor
from echochat.server import rank
from echochat.server.exchange import Counters
from echochat.server.rank import Rank, SendingRanks


def lines(*positions: int) -> bytes:
    """
    What subscribers are told of these.
    """
    return encode_drafts([Draft("lobby", "bob", "hi", None, 0) for _ in positions], positions)


class Reader:
    """
    A subscriber that stands in a rank, and takes as much as there is room for.
    """

    def __init__(self, hub: Hub) -> None:
        self.cursor: Cursor = hub.follow("lobby", 0, hub.head, self, "alice", False)
        log = self.cursor.log
        if not isinstance(log.ranks, SendingRanks):
            log.ranks = SendingRanks(log, Counters())
        self.ranks = log.ranks
        self.hub = hub
        self.room = 1_000_000
        self.received = b""
        self.counted = [0, 0]
        self.rank: Rank | None = None
        self.enter()

    def enter(self) -> None:
        self.rank = self.ranks.enter(self, self.send)

    def send(self, data: bytes) -> int:
        taken = min(self.room, len(data))
        self.room -= taken
        self.received += data[:taken]
        return taken

    def wake(self) -> None:
        while self.rank is None and (taken := self.cursor.take())[1]:
            self.received += taken[0]
            self.count(len(taken[0]), taken[1])

    def fall_out(self) -> None:
        left, self.rank = self.rank, None
        if left is not None:
            left.leave(self, self.send)

    def count(self, size: int, lines: int) -> None:
        self.counted[0] += size
        self.counted[1] += lines

    def catch_up(self, rest: bytes) -> None:
        self.received += rest


class RankTests(SynchronousTestCase):
    """
    Between two steps of a round anything may happen, and everybody is given everything once.
    """

    def setUp(self) -> None:
        self.patch(rank, "MOST", 3)
        self.patch(rank, "STEP", 1)
        self.steps: list[Step] = []
        self.hub = Hub(in_pieces=self.steps.append)
        self.readers = [self.reader() for _ in range(4)]

    def reader(self) -> Reader:
        return Reader(self.hub)

    def arrive(self, *positions: int) -> None:
        self.hub.arrived([Draft("lobby", "bob", "hi", None, 0) for _ in positions], positions)
        self.step()

    def step(self, number: int = 1) -> None:
        """
        The first of an arrival takes it in.
        """
        for _ in range(number):
            self.steps[0]()

    def finish(self) -> None:
        while self.steps[0]():
            pass

    def assert_all_have(self, *positions: int) -> None:
        for reader in self.readers:
            reader.fall_out()
            self.assertEqual(reader.received, lines(*positions))
            self.assertEqual(reader.counted, [len(reader.received), len(positions)])
            self.assertEqual(reader.cursor.at, positions[-1])

    def test_steps(self) -> None:
        """
        Each step sends to as many as it may, and not all wait for one rank.
        """
        self.arrive(1)
        told = []
        for _ in self.readers:
            told.append(sum(bool(reader.received) for reader in self.readers))
            self.assertEqual(self.hub.behind, 4 - told[-1])
            self.step()
        self.assertEqual(told, [0, 1, 2, 3])
        self.assert_all_have(1)
        self.assertEqual(self.hub.behind, 0)

    def test_leaves_in_a_round(self) -> None:
        """
        Who leaves before it was its turn is where it was before, and who leaves after that where the rank is.
        """
        for _ in range(len(self.readers)):
            self.setUp()
            self.arrive(1)
            self.finish()
            self.arrive(2, 3)
            self.step()
            for reader in self.readers:
                reader.fall_out()
                had = reader.received != lines(1)
                self.assertEqual(reader.cursor.at, 3 if had else 1)
                self.assertEqual(reader.counted, [len(reader.received), 3 if had else 1])
            self.finish()
            self.assert_all_have(1, 2, 3)

    def test_enters_in_a_round(self) -> None:
        """
        Who comes while a round is under way is not given what it had.
        """
        self.arrive(1)
        self.step(2)
        for reader in self.readers:
            if reader.received:
                reader.fall_out()
                reader.enter()
        late = self.reader()
        self.finish()
        self.assert_all_have(1)
        self.assertEqual(late.received, b"")
        self.arrive(2)
        self.finish()
        self.readers.append(late)
        late.received = lines(1) + late.received
        late.count(len(lines(1)), 1)
        self.assert_all_have(1, 2)

    def test_more_arrives_in_a_round(self) -> None:
        """
        What comes meanwhile is given afterwards, and together where it can be.
        """
        self.arrive(1)
        self.step(2)
        self.hub.arrived([Draft("lobby", "bob", "hi", None, 0)], [2])
        self.hub.arrived([Draft("lobby", "bob", "hi", None, 0)], [3])
        self.finish()
        self.assert_all_have(1, 2, 3)

    def test_not_all_taken(self) -> None:
        """
        Who does not take everything in its step falls out, and is given the rest first.
        """
        for each in self.readers:
            each.room = 5
        self.arrive(1)
        self.step(2)
        self.assertEqual(sum(reader.rank is None for reader in self.readers), 2)
        self.finish()
        self.arrive(2)
        self.finish()
        self.assert_all_have(1, 2)

    def test_memory_is_lost_in_a_round(self) -> None:
        """
        Where memory has lost what comes next, everybody falls out, and is where it was.
        """
        self.arrive(1)
        self.step()
        log = self.readers[0].cursor.log
        log.append([Draft("lobby", "bob", "hi", None, 0)], [2])
        while log.chunks:
            log.drop_oldest()
        self.finish()
        self.assertEqual([reader.rank for reader in self.readers], [None] * 4)
        self.assertEqual({reader.cursor.at for reader in self.readers}, {0, 1})
        for reader in self.readers:
            self.assertEqual(reader.received, lines(1) if reader.cursor.at else b"")

    def test_another_log(self) -> None:
        """
        When the log is replaced, nobody stands in a rank any more, and what was still to be told is not.
        """
        self.arrive(1)
        self.step()
        before = [reader.received for reader in self.readers]
        self.hub.arrived([Draft("lobby", "bob", "hi", None, 0)], [2])
        self.hub.start_over(7)
        self.finish()
        self.assertEqual([reader.rank for reader in self.readers], [None] * 4)
        self.assertEqual([reader.received for reader in self.readers], before)
        self.assertEqual(self.hub.head, 7)
