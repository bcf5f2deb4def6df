"""
Tests for :mod:`echochat.cluster.log_lines`.
"""

from twisted.trial.unittest import SynchronousTestCase

from echochat.cluster.log_lines import LONGEST_LINE, Lines, LogLine, last_words, read_line

_STAMP = "2026-01-01T00:00:00+0000"


class ReadTests(SynchronousTestCase):
    """
    A line is logged as it was where it comes from, as far as it says something.
    """

    def levels(self, *lines: str) -> list[tuple[str, str]]:
        """
        The level and the text of each.
        """
        return [(said.level, said.text) for said in (read_line(line.encode()) for line in lines)]

    def test_routine(self) -> None:
        """
        That Twisted has started and ended, and what the broker tells of itself when nothing is wrong, is for those who
        debug.
        """
        read = self.levels(
            f"{_STAMP} [twisted.scripts._twistd_unix.UnixAppLogger#info] twistd 26.10.0 (/x/python 3.11) starting up.",
            f"{_STAMP} [twisted.scripts._twistd_unix.UnixAppLogger#info] reactor class: twisted.internet.E.",
            f"{_STAMP} [-] ControlFactory starting on '/x'",
            f"{_STAMP} [-] (UNIX Port /x Closed)",
            f"{_STAMP} [twisted.internet.base#info] Main loop terminated.",
            f"{_STAMP} [twisted.scripts._twistd_unix.UnixAppLogger#info] Server Shut Down.",
            "[123] [INF] Starting nats-server",
        )
        self.assertEqual([level for level, _ in read], ["debug"] * 7)
        self.assertEqual((read[3][1], read[6][1]), ("(UNIX Port /x Closed)", "Starting nats-server"))

    def test_levels(self) -> None:
        """
        What is wrong is as wrong as it was there, whatever it says.
        """
        read = self.levels(
            "no stamp at all",
            f"{_STAMP} [echochat.server.service.EchoChatService#info] something else",
            f"{_STAMP} [echochat.server.service.EchoChatService#warn] careful",
            f"{_STAMP} [echochat.server.service.EchoChatService#critical] Server Shut Down.",
            "[123] [WRN] the disk is slow",
            "[123] [ERR] the disk is full",
            "[123] [FTL] the end",
        )
        self.assertEqual(
            read,
            [
                ("info", "no stamp at all"),
                ("info", "something else"),
                ("warn", "careful"),
                ("error", "Server Shut Down."),
                ("warn", "the disk is slow"),
                ("error", "the disk is full"),
                ("error", "the end"),
            ],
        )

    def test_no_text(self) -> None:
        """
        Whatever bytes there are can be read.
        """
        self.assertEqual(read_line(b"\xff\r"), LogLine("info", "\N{REPLACEMENT CHARACTER}"))
        self.assertEqual(read_line(b""), LogLine("info", ""))


class LinesTests(SynchronousTestCase):
    """
    Lines come in pieces of any size.
    """

    def test_pieces(self) -> None:
        """
        A line is whole when its end has come, and not before.
        """
        lines = Lines()
        taken = [line for at in range(9) for line in lines.take(b"ab\n\ncd\nef"[at : at + 1])]
        self.assertEqual((taken, lines.rest), ([b"ab", b"", b"cd"], b"ef"))
        self.assertEqual(lines.take(b"g\n"), [b"efg"])

    def test_too_long(self) -> None:
        """
        One that is too long is several, and little is kept of one that never ends.
        """
        lines = Lines()
        taken = lines.take(b"x" * (2 * LONGEST_LINE + 1))
        self.assertEqual((list(map(len, taken)), lines.rest), ([LONGEST_LINE] * 2, b"x"))
        for _ in range(100):
            taken.extend(lines.take(b"x" * 1_000))
            self.assertLessEqual(len(lines.rest), LONGEST_LINE)
        self.assertEqual(len(b"".join(taken) + lines.rest), 2 * LONGEST_LINE + 1 + 100_000)


class ComplaintTests(SynchronousTestCase):
    """
    Why one of ours ends.
    """

    def test_repeated(self) -> None:
        """
        What its log has already is a repetition; another complaint, and a line that is none, is not.
        """
        said = ["no such file", "listening"]
        for text, is_repeated in (
            ("echochat: no such file", True),
            ("echochat: another thing", False),
            ("listening", False),
        ):
            self.assertEqual(LogLine("info", text).is_repeated(said), is_repeated)

    def test_last_words(self) -> None:
        """
        They are its last complaint; of a program that makes none, its last line.
        """
        self.assertEqual(last_words(["a", "echochat: no", "echochat: no such file", "b"]), "no such file")
        self.assertEqual(last_words(["a", "b"]), "b")
        self.assertEqual(last_words([]), "it ended")
