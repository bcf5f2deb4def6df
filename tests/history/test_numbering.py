"""
Tests for :mod:`echochat.history.numbering` and :mod:`echochat.history.labels`.
"""

from twisted.trial.unittest import SynchronousTestCase

from echochat.history import Deduplication
from echochat.history.labels import LabelWindow, label_key
from echochat.history.numbering import number
from tests.history.doubles import draft


class NumberingTests(SynchronousTestCase):
    """
    Positions are consecutive over what is fresh.
    """

    def setUp(self) -> None:
        self.now = 0.0
        self.window = LabelWindow(Deduplication(seconds=10, labels=3), lambda: self.now)

    def test_without_labels_nothing_is_made_for_a_draft(self) -> None:
        """
        The positions of the most frequent appends are ranges.
        """
        numbered = number([[draft("a"), draft("b")], [draft("c")]], 7, self.window)
        self.assertEqual([stored.positions for stored in numbered.stored], [range(8, 10), range(10, 11)])
        self.assertEqual(numbered.positions, range(8, 11))

    def test_repeats_take_no_position(self) -> None:
        """
        The next fresh one follows on the last.
        """
        self.window.remember({label_key(draft("", label="x")): 3})
        numbered = number([[draft("a"), draft("b", label="x"), draft("c")], [draft("d")]], 7, self.window)
        self.assertEqual([list(stored.positions) for stored in numbered.stored], [[8, 3, 9], [10]])
        self.assertEqual([d.text for d in numbered.drafts], ["a", "c", "d"])
        self.assertEqual(numbered.positions, range(8, 11))

    def test_nothing_is_remembered_before_it_is_durable(self) -> None:
        """
        If the commit fails, its labels are free.
        """
        batch = [draft("a", label="x")]
        number([batch], 0, self.window)
        self.assertEqual(list(number([batch], 0, self.window).stored[0].repeated), [])

    def test_room_counts_what_is_being_numbered(self) -> None:
        """
        One large append cannot exceed the bound of the window.
        """
        numbered = number([[draft(str(n), label=str(n)) for n in range(5)]], 0, self.window)
        self.assertEqual(sorted(numbered.stored[0].refused), [3, 4])
        self.assertEqual(len(numbered.labels), 3)


class LabelWindowTests(SynchronousTestCase):
    """
    Labels are remembered for the window, and bounded memory.
    """

    def setUp(self) -> None:
        self.now = 100.0
        self.window = LabelWindow(Deduplication(seconds=10, labels=3), lambda: self.now)

    def test_forgets_after_the_window_and_not_before(self) -> None:
        """
        Each call has a window of its own; the row under which it was written down is told when it has ended.
        """
        self.window.remember({"a": 1}, 5)
        self.now += 6
        self.window.remember({"b": 2}, 6)
        self.now += 4
        self.assertEqual(self.window.forget_old(), 0)
        self.now += 1
        self.assertEqual(self.window.forget_old(), 5)
        self.assertEqual((self.window.position_of("a"), self.window.position_of("b")), (None, 2))
        self.now += 100
        self.assertEqual(self.window.forget_old(), 6)
        self.assertEqual(len(self.window), 0)

    def test_room(self) -> None:
        """
        It says how many more fit.
        """
        self.window.remember({"a": 1, "b": 2})
        self.assertEqual(self.window.room, 1)
        self.window.clear()
        self.assertEqual(self.window.room, 3)

    def test_keys_cannot_run_into_each_other(self) -> None:
        """
        A name, topic and label that are split otherwise are another key.
        """
        keys = {label_key(draft("", *parts)) for parts in (("a", "b", "c"), ("ab", "", "c"), ("a", "bc", ""))}
        self.assertEqual(len(keys), 3)

    def test_in_two_rows(self) -> None:
        """
        A label that stands in two rows, as after a kill between a commit and the removal of what is over, is forgotten
        without harm.
        """
        self.window.remember({"k": 1}, row=1)
        self.window.remember({"k": 2}, row=2)
        self.now += 11
        self.assertEqual(self.window.forget_old(), 2)
