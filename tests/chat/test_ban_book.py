"""
Tests for :mod:`echochat.chat.ban_book`.
"""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echochat.chat import ban_book
from echochat.chat.ban_book import LIFTED, BanBook, BanBookFull, BanRecord
from tests.wire.examples import reproducible

RECORDS = st.lists(
    st.builds(BanRecord, st.sampled_from("ab"), st.integers(1, 3), st.sampled_from([None, LIFTED, 5, 9])), max_size=8
)


class BanRecordTests(SynchronousTestCase):
    """
    What a record says.
    """

    def test_end(self) -> None:
        """
        A ban is in force until its end, not at it; one without an end for ever; one that was lifted never.
        """
        self.assertTrue(BanRecord("alice", 1, 100).is_in_force(99))
        self.assertFalse(BanRecord("alice", 1, 100).is_in_force(100))
        self.assertTrue(BanRecord("alice", 1, None).is_in_force(10**15))
        self.assertFalse(BanRecord("alice", 1, LIFTED).is_in_force(0))

    def test_same_moment(self) -> None:
        """
        Of what two operators decided at the same moment, the stricter one counts.
        """
        records = [BanRecord("alice", 1, until) for until in (LIFTED, 5, 9, None)]
        for index, record in enumerate(records):
            self.assertEqual([record.overrules(other) for other in records], [index > each for each in range(4)])


class BanBookTests(SynchronousTestCase):
    """
    What servers know of bans.
    """

    def test_decisions(self) -> None:
        """
        The last decision counts, even if the clock has gone back, or others' clocks are ahead.
        """
        book = BanBook()
        self.assertIsNone(book.find("alice"))
        self.assertEqual(book.decide("alice", None, 1000), BanRecord("alice", 1000, None))
        self.assertEqual(book.decide("alice", LIFTED, 900), BanRecord("alice", 1001, LIFTED))
        self.assertTrue(book.learn(BanRecord("alice", 5000, None), 900))
        self.assertEqual(book.decide("alice", LIFTED, 1100), BanRecord("alice", 5001, LIFTED))
        self.assertEqual(book.find("alice"), BanRecord("alice", 5001, LIFTED))

    @settings(reproducible, max_examples=100)
    @given(RECORDS, st.randoms(use_true_random=False))
    def test_any_order(self, records: list[BanRecord], random: object) -> None:
        """
        Two servers that learn the same, in any order and some of it twice, know the same.
        """
        one, another = BanBook(), BanBook()
        for record in records:
            one.learn(record, 0)
        shuffled = records * 2
        random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis does not tell its type
        for record in shuffled:
            another.learn(record, 0)
        self.assertEqual({each.who: each for each in one.records}, {each.who: each for each in another.records})

    def test_news(self) -> None:
        """
        What is known already is no news, and what was overruled is not either.
        """
        book = BanBook()
        self.assertTrue(book.learn(BanRecord("alice", 2, None), 0))
        self.assertFalse(book.learn(BanRecord("alice", 2, None), 0))
        self.assertFalse(book.learn(BanRecord("alice", 1, LIFTED), 0))

    def test_bounded(self) -> None:
        """
        Only so much is kept: of what is not in force any more that goes first which was decided longest ago.
        """
        self.patch(ban_book, "MOST_RECORDS", 3)
        book = BanBook()
        for who, version, until in (("a", 100, None), ("b", 102, 50), ("c", 101, LIFTED)):
            self.assertTrue(book.learn(BanRecord(who, version, until), 100))
        book.decide("d", None, 103)
        self.assertEqual([record.who for record in book.records], ["a", "b", "d"])
        book.decide("e", None, 103)
        self.assertEqual([record.who for record in book.records], ["a", "d", "e"])

    def test_full(self) -> None:
        """
        Of bans that are in force none is forgotten for another: it is refused until one is lifted or has ended.
        """
        self.patch(ban_book, "MOST_RECORDS", 2)
        book = BanBook()
        book.decide("a", None, 100)
        book.decide("b", 200, 100)
        self.assertRaises(BanBookFull, book.decide, "c", None, 100)
        self.assertFalse(book.learn(BanRecord("c", 101, None), 100))
        self.assertEqual(book.decide("a", 300, 101), BanRecord("a", 101, 300))
        book.decide("c", None, 200)
        self.assertEqual([record.who for record in book.records], ["a", "c"])
        book.decide("c", LIFTED, 201)
        book.decide("d", None, 201)
        self.assertEqual([record.who for record in book.records], ["a", "d"])

    def test_forgotten_is_no_news(self) -> None:
        """
        What there was no room for, and what was forgotten, is not taken for news when it is told again; what is decided
        here afterwards is later than all of it.
        """
        self.patch(ban_book, "MOST_RECORDS", 2)
        book = BanBook()
        for who in ("a", "b"):
            book.decide(who, None, 100)
        self.assertEqual(book.decide("c", LIFTED, 100), BanRecord("c", 100, LIFTED))
        self.assertFalse(book.learn(BanRecord("c", 500, LIFTED), 100))
        lifted = book.decide("a", LIFTED, 400)
        book.decide("d", None, 400)
        for record in (lifted, BanRecord("a", 399, None), BanRecord("e", 400, LIFTED)):
            self.assertFalse(book.learn(record, 400))
        self.assertEqual(book.decide("b", LIFTED, 401), BanRecord("b", 401, LIFTED))
        self.assertEqual(book.decide("e", None, 300), BanRecord("e", 402, None))
        self.assertEqual([record.who for record in book.records], ["d", "e"])
        lifted = book.decide("e", LIFTED, 500)
        book.decide("f", None, 500)
        book.decide("d", LIFTED, 500)
        self.assertFalse(book.learn(lifted, 500))
        self.assertTrue(book.learn(BanRecord("e", 501, None), 501))
