"""
Figures for people.
"""

from twisted.trial.unittest import SynchronousTestCase

from echochat.wire.figures import duration, size


class FiguresTests(SynchronousTestCase):
    """
    Tests for :mod:`echochat.wire.figures`.
    """

    def test_size(self) -> None:
        """
        In three digits or so.
        """
        for number, text in (
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 KiB"),
            (123_456, "121 KiB"),
            (5 << 20, "5.0 MiB"),
            (7 << 30, "7.0 GiB"),
            (9 << 42, "36.0 TiB"),
        ):
            self.assertEqual(size(number), text)

    def test_duration(self) -> None:
        """
        In the two largest units.
        """
        for seconds, text in (
            (0.9, "0 s"),
            (59, "59 s"),
            (61, "1 min 1 s"),
            (7_325, "2 h 2 min"),
            (200_000, "2 d 7 h"),
        ):
            self.assertEqual(duration(seconds), text)
