"""
Tests for :mod:`echochat.history.sqlite.label_rows`.
"""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echochat.history.sqlite.label_rows import DamagedLabels, decode_labels, encode_labels
from tests.wire.examples import reproducible

LABELS = st.dictionaries(st.text(min_size=1, max_size=20), st.integers(1, 1 << 50), min_size=1, max_size=20)


class LabelRowTests(SynchronousTestCase):
    """
    The labels of a commit come out of their row as they were put in, or not at all.
    """

    @settings(reproducible, max_examples=200)
    @given(labels=LABELS)
    def test_what_comes_out_is_what_was_put_in(self, labels: dict[str, int]) -> None:
        """
        Whatever the keys hold.
        """
        self.assertEqual(decode_labels(*encode_labels(7, labels)), labels)

    def test_consecutive_positions(self) -> None:
        """
        The usual commit, all of whose events have labels, stores one position.
        """
        labels = {f"alice lobby {n}": n for n in range(1_000, 2_000)}
        row, crc, text = encode_labels(7, labels)
        self.assertEqual(text.partition("\n")[0], "[1000]")
        self.assertEqual(decode_labels(row, crc, text), labels)

    @settings(reproducible, max_examples=200)
    @given(labels=LABELS, place=st.integers(0, 1 << 20))
    def test_a_changed_character_is_noticed(self, labels: dict[str, int], place: int) -> None:
        """
        Also where it would still make sense; and so is the row's number.
        """
        row, crc, text = encode_labels(7, labels)
        place %= len(text)
        changed = text[:place] + ("x" if text[place] != "x" else "y") + text[place + 1 :]
        self.assertRaises(DamagedLabels, decode_labels, row, crc, changed)
        self.assertRaises(DamagedLabels, decode_labels, row + 1, crc, text)
