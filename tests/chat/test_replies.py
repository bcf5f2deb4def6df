"""
Tests for :mod:`echochat.chat.replies`.
"""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echochat.chat.replies import ENOUGH, Replies, Slot
from tests.wire.examples import reproducible


class RepliesTests(SynchronousTestCase):
    """
    Replies come in the order of the lines that they answer.
    """

    def test_known_at_once(self) -> None:
        """
        What is known is given at once, and once.
        """
        replies = Replies()
        self.assertEqual(replies.take(), b"")
        replies.add(b"a")
        self.assertEqual(replies.take(), b"a")
        replies.add(b"b")
        replies.add(b"c")
        self.assertEqual(replies.take(), b"bc")
        self.assertEqual(replies.take(), b"")
        self.assertEqual(replies.waiting, 0)

    def test_behind_an_unknown_one(self) -> None:
        """
        What is known waits for what is not, and is given as soon as that is.
        """
        replies = Replies()
        replies.add(b"a")
        first = replies.reserve()
        replies.add(b"c")
        second = replies.reserve()
        self.assertEqual(replies.take(), b"a")
        self.assertEqual(replies.waiting, 3)
        replies.fill(second, b"d")
        self.assertEqual(replies.take(), b"")
        replies.fill(first, b"b")
        self.assertEqual(replies.take(), b"bcd")
        self.assertEqual(replies.waiting, 0)

    def test_last(self) -> None:
        """
        A place is the last until something is added behind it or it has been given.
        """
        replies = Replies()
        self.assertFalse(replies.is_last(Slot()))
        first = replies.reserve()
        self.assertTrue(replies.is_last(first))
        replies.add(b"b")
        self.assertFalse(replies.is_last(first))
        second = replies.reserve()
        self.assertTrue(replies.is_last(second))
        replies.fill(first, b"a")
        replies.fill(second, b"c")
        self.assertFalse(replies.is_last(second))

    def test_abandoned(self) -> None:
        """
        When nobody waits any more, what was ready and what comes later are dropped.
        """
        replies = Replies()
        replies.add(b"a")
        slot = replies.reserve()
        replies.abandon()
        replies.fill(slot, b"b")
        self.assertEqual(replies.take(), b"")
        self.assertEqual(replies.waiting, 0)

    def test_enough(self) -> None:
        """
        What is known and has not been taken is counted, whether it waits for another or not.
        """
        replies = Replies()
        replies.add(b"x" * (ENOUGH - 2))
        slot = replies.reserve()
        replies.add(b"y")
        self.assertFalse(replies.are_enough)
        replies.fill(slot, b"z")
        self.assertTrue(replies.are_enough)
        replies.take()
        self.assertFalse(replies.are_enough)
        replies.reserve()
        replies.add(b"x" * ENOUGH)
        self.assertTrue(replies.are_enough)

    @reproducible
    @given(st.lists(st.booleans(), max_size=20), st.data())
    def test_any_order(self, known: list[bool], data: st.DataObject) -> None:
        """
        Whichever order replies become known in, they are given in the order of the lines, as early as can be.
        """
        replies = Replies()
        slots: dict[int, Slot] = {}
        for number, at_once in enumerate(known):
            if at_once:
                replies.add(bytes([number]))
            else:
                slots[number] = replies.reserve()
        given_so_far = replies.take()
        for number in data.draw(st.permutations(sorted(slots))):
            replies.fill(slots.pop(number), bytes([number]))
            given_so_far += replies.take()
            unknown = min(slots, default=len(known))
            self.assertEqual(given_so_far, bytes(range(unknown)))
        self.assertEqual(given_so_far, bytes(range(len(known))))
