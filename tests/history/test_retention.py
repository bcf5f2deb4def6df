"""
Tests for :mod:`echochat.history.sqlite.retention`.
"""

import os

from twisted.trial.unittest import SynchronousTestCase

from echochat.history import Draft, Retention
from echochat.history.sqlite.bundles import MAX_EVENTS
from echochat.history.sqlite.check import check
from echochat.history.sqlite.reading import read_after, read_topic
from echochat.history.sqlite.retention import Retainer
from echochat.history.sqlite.schema import connect_reader, create
from echochat.history.sqlite.settings import Settings
from echochat.history.sqlite.store import Store
from tests.history.doubles import draft

HOUR = 3_600
FAR = 1 << 60


class RetentionTests(SynchronousTestCase):
    """
    What need not be kept goes, oldest first, a little at a time.
    """

    def setUp(self) -> None:
        self.path = os.path.realpath(self.mktemp())
        create(self.path)
        self.now = 100 * HOUR
        self.store: Store | None = None

    def tearDown(self) -> None:
        self.open_with(Retention()).close()
        self.store = None
        self.assertEqual(check(self.path).problems, [])

    def open_with(self, retention: Retention) -> Store:
        if self.store is not None:
            self.store.close()
        self.store = Store(Settings(self.path, retention, now=lambda: self.now, monotonic=lambda: self.now))
        return self.store

    def append(self, drafts: list[Draft]) -> None:
        store = self.store
        assert store is not None
        store.commit(drafts, range(store.head + 1, store.head + 1 + len(drafts)), {})

    def tidy(self, store: Store, retainer: Retainer | None = None) -> tuple[int, int]:
        """
        :return: how many steps it took, and how many events were removed.
        """
        retainer = retainer or Retainer(store)
        retainer.tick()
        steps = removed = 0
        while retainer.due:
            removed += retainer.step()
            steps += 1
        return steps, removed

    def texts(self, topic: str = "lobby") -> list[str]:
        reader = connect_reader(self.path)
        try:
            return [event.text for event in read_after(reader, FAR, topic, 0, 1 << 20, 1 << 30).events]
        finally:
            reader.close()

    def floor(self, topic: str = "lobby") -> tuple[int, int]:
        """
        :return: and the head.
        """
        reader = connect_reader(self.path)
        try:
            state = read_topic(reader, FAR, topic)
            return state.floor, state.head
        finally:
            reader.close()

    def test_events_of_a_topic(self) -> None:
        """
        At least so many of each topic are kept, and few more; other topics are not touched.
        """
        store = self.open_with(Retention(events=1_000))
        self.append([draft("quiet", "other")])
        for _ in range(20):
            self.append([draft(str(n)) for n in range(300)])
        retainer = Retainer(store)
        self.tidy(store, retainer)
        kept = len(self.texts())
        self.append([draft("one more")])
        self.assertFalse(retainer.due)
        self.assertGreaterEqual(kept, 1_000)
        self.assertLess(kept, 1_000 + MAX_EVENTS)
        self.assertEqual(self.floor(), (6_001 - kept, 6_002))
        self.assertEqual(self.texts("other"), ["quiet"])

    def test_nothing_is_removed_below_the_bounds(self) -> None:
        """
        What is within all bounds stays.
        """
        store = self.open_with(Retention(age=HOUR, events=300))
        self.append([draft(str(n)) for n in range(300)])
        self.assertEqual(self.tidy(store)[1], 0)

    def test_age(self) -> None:
        """
        What is older than the bound goes, whatever its topic; what is not stays.
        """
        store = self.open_with(Retention(age=3 * HOUR - 1))
        for n in range(5):
            self.append([draft(str(n)), draft(str(n), "other")])
            self.now += HOUR
        self.assertEqual(self.tidy(store)[1], 6)
        self.assertEqual((self.texts(), self.texts("other")), (["3", "4"], ["3", "4"]))

    def test_a_clock_that_jumps_removes_nothing(self) -> None:
        """
        Age is the time that has passed, whatever the time of day was said to be, and whatever times the events have.
        """
        self.now = 100 * HOUR
        passed = 0.0
        settings = Settings(self.path, Retention(age=HOUR), now=lambda: self.now, monotonic=lambda: passed)
        self.store = store = Store(settings)
        self.append([draft("a", time=0), draft("b", time=1 << 50)])
        self.now += 1_000 * HOUR
        passed += HOUR - 1
        self.assertEqual(self.tidy(store)[1], 0)
        store.close()
        self.now = 0
        self.store = store = Store(settings)
        passed += HOUR
        self.append([draft("c")])
        passed += 1
        self.assertEqual(self.tidy(store)[1], 2)
        self.assertEqual(self.texts(), ["c"])

    def test_size(self) -> None:
        """
        The pages in use stay within the bound, and the newest events are those that are kept.
        """
        store = self.open_with(Retention(size=1 << 20))
        for n in range(40):
            self.append([draft(f"{n} {'x' * 1_000}") for _ in range(100)])
        self.assertGreater(store.size(), 3 << 20)
        self.tidy(store)
        self.assertLessEqual(store.size(), 1 << 20)
        self.assertEqual(self.texts()[-1][:3], "39 ")
        self.assertGreater(len(self.texts()), 400)

    def test_the_file_does_not_grow(self) -> None:
        """
        What became free is used again: a server that runs for a year has the file of its first week.
        """
        store = self.open_with(Retention(events=1_000))
        retainer = Retainer(store)
        sizes = []
        for _ in range(12):
            for n in range(10):
                self.append([draft(f"{n} {'x' * 100}") for _ in range(300)])
                self.tidy(store, retainer)
            store.checkpoint()
            sizes.append(os.path.getsize(self.path))
        self.assertLessEqual(max(sizes[2:]), sizes[1] * 1.1)

    def test_steps_are_short(self) -> None:
        """
        A million events that are suddenly too old do not stop the server: a step removes a bounded number of rows.
        """
        store = self.open_with(Retention(age=HOUR))
        self.append([draft(str(n), f"t{n}") for n in range(1_000)])
        self.append([draft("last")])
        self.now += 2 * HOUR
        steps, removed = self.tidy(store)
        self.assertEqual(removed, 1_001)
        self.assertGreater(steps, 1_001 // 64)

    def test_it_keeps_up_with_any_rate(self) -> None:
        """
        With one step after each commit, as many rows go as come, however many that are.
        """
        store = self.open_with(Retention(events=500))
        retainer = Retainer(store)
        for _ in range(30):
            for _ in range(100):
                self.append([draft("x")])
            self.append([draft("x") for _ in range(1_000)])
            retainer.step()
        while retainer.due:
            retainer.step()
        self.assertLess(len(self.texts()), 500 + MAX_EVENTS)

    def test_positions_never_go_back(self) -> None:
        """
        When the newest events are removed, too, and the server is restarted, none of their positions is given again,
        and subscribers that saw them are not told that they are ahead of the log.
        """
        store = self.open_with(Retention(age=HOUR))
        self.append([draft("a"), draft("b", "other")])
        self.now += 2 * HOUR
        self.tidy(store)
        self.assertEqual(self.texts(), [])
        store = self.open_with(Retention(age=HOUR))
        self.assertEqual(store.head, 2)
        self.assertEqual((self.floor(), self.floor("other")), ((1, 1), (2, 2)))
        self.append([draft("c")])
        self.assertEqual(self.floor(), (1, 3))

    def test_bounds_that_were_made_narrower(self) -> None:
        """
        After a restart with other settings, topics that nobody writes to are trimmed too.
        """
        self.open_with(Retention(events=10_000))
        for n in range(6):
            self.append([draft("x", f"t{n}") for _ in range(900)])
        store = self.open_with(Retention(events=300))
        self.tidy(store)
        for n in range(6):
            self.assertLess(len(self.texts(f"t{n}")), 300 + MAX_EVENTS)

    def test_labels_are_removed_when_their_window_has_ended(self) -> None:
        """
        Rows up to the one that was forgotten go, the others stay.
        """
        store = self.open_with(Retention())
        for n in range(1, 4):
            store.commit([draft("a")], range(n, n + 1), {f"alice lobby {n}": n})
        Retainer(store).forget_labels(2)
        self.assertEqual(list(store.labels()), [{"alice lobby 3": 3}])
