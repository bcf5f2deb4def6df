"""
Tests for :mod:`echochat.history.sqlite.bundles`.
"""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echochat.history import Draft
from echochat.history.sqlite.bundles import MAX_CHARACTERS, MAX_EVENTS, Bundle, Damaged, Row, make_rows, open_bundle
from tests.history.doubles import draft
from tests.wire.examples import reproducible

EVENTS = st.lists(
    st.builds(
        Draft,
        topic=st.just("lobby"),
        name=st.text(max_size=8),
        text=st.text(max_size=40),
        label=st.none(),
        time=st.integers(0, 1 << 45),
    ),
    min_size=1,
    max_size=40,
)


def unpacked(rows: list[Row], topic: str = "lobby") -> list[tuple[int, str, str, int]]:
    """
    :return: position, name, text and time of each event.
    """
    events = []
    for row in rows:
        bundle = Bundle(*row)
        contents = open_bundle(bundle, topic)
        events += contents.events(range(bundle.count), topic)
    return [(event.position, event.name, event.text, event.time) for event in events]


class BundleTests(SynchronousTestCase):
    """
    What is put into bundles comes out again, or is known to be damaged.
    """

    @settings(reproducible, max_examples=200)
    @given(drafts=EVENTS, gaps=st.lists(st.integers(1, 3), min_size=40, max_size=40))
    def test_what_comes_out_is_what_was_put_in(self, drafts: list[Draft], gaps: list[int]) -> None:
        """
        Whatever the texts, names, times and positions are.
        """
        positions = [10 + sum(gaps[:index]) for index in range(len(drafts))]
        rows = make_rows("lobby", 7, 9, 100, 1_000, positions, drafts)
        expected = [(p, d.name, d.text, d.time) for p, d in zip(positions, drafts, strict=True)]
        self.assertEqual(unpacked(rows), expected)

    @settings(reproducible, max_examples=300)
    @given(drafts=EVENTS, column=st.integers(0, 7), where=st.integers(0, 1 << 20), bit=st.integers(0, 7))
    def test_every_flipped_bit_is_noticed(self, drafts: list[Draft], column: int, where: int, bit: int) -> None:
        """
        In any column but the topic's number, which has no meaning of its own: the topic's name is checked in its place.
        """
        row = list(make_rows("lobby", 7, 9, 100, 1_000, range(10, 10 + len(drafts)), drafts)[0])
        value = row[column]
        if isinstance(value, bytes):
            place = where % len(value)
            row[column] = value[:place] + bytes([value[place] ^ (1 << bit)]) + value[place + 1 :]
        elif column == 1:
            return
        else:
            row[column] = int(str(value)) ^ (1 << (where % 40))
        self.assertRaises(Damaged, open_bundle, Bundle(*row), "lobby")  # type: ignore[arg-type]  # mixed columns

    def test_another_topics_bundle_is_noticed(self) -> None:
        """
        A bundle whose topic was changed is not served in the other topic.
        """
        (row,) = make_rows("lobby", 7, 0, 0, 1_000, [1], [draft("a")])
        self.assertRaises(Damaged, open_bundle, Bundle(*row), "other")

    def test_bundles_are_chained(self) -> None:
        """
        Each knows where the one before it ended, and how many events there were.
        """
        count = 2 * MAX_EVENTS + 1
        rows = make_rows("lobby", 7, 5, 50, 1_000, range(10, 10 + count), [draft(str(n)) for n in range(count)])
        bundles = [Bundle(*row) for row in rows]
        self.assertEqual([b.count for b in bundles], [MAX_EVENTS, MAX_EVENTS, 1])
        self.assertEqual([b.previous for b in bundles], [5, bundles[0].last, bundles[1].last])
        self.assertEqual([b.number for b in bundles], [50 + MAX_EVENTS, 50 + 2 * MAX_EVENTS, 50 + count])

    def test_long_texts_are_spread_over_bundles(self) -> None:
        """
        A page of few events does not mean to read megabytes: the texts of a bundle are bounded too.
        """
        drafts = [draft(str(n) * (MAX_CHARACTERS // 4)) for n in range(10)]
        rows = make_rows("lobby", 7, 0, 0, 1_000, range(1, 11), drafts)
        self.assertLessEqual(max(len(row[-1]) for row in rows), MAX_CHARACTERS + 100)
        self.assertEqual([text for _, _, text, _ in unpacked(rows)], [d.text for d in drafts])

    def test_one_text_may_be_longer_than_the_bound(self) -> None:
        """
        The configured limit of a line is not the business of the history.
        """
        drafts = [draft("x" * (3 * MAX_CHARACTERS))]
        self.assertEqual(unpacked(make_rows("lobby", 7, 0, 0, 1_000, [1], drafts))[0][2], drafts[0].text)
