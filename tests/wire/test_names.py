"""
Tests for :mod:`echochat.wire.names`.
"""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echochat.wire.names import MAX_LABEL, MAX_NAME, MAX_TOPIC, fold_name, is_label, is_name, is_text, is_topic
from tests.wire.examples import reproducible


class NameTests(SynchronousTestCase):
    """
    A name is short, visible, and the same on every terminal.
    """

    def test_names(self) -> None:
        """
        1 to 32 of letters, digits, dot, underscore and hyphen, a letter or digit first.
        """
        for name in ("a", "Z", "0", "guest-1a2b", "a.b_c-d", "a" * MAX_NAME):
            self.assertTrue(is_name(name), name)
        for name in ("", ".a", "_a", "-a", "a" * (MAX_NAME + 1), "a b", "a\n", "a/b", "@a", "ä", "a#b", "٣"):
            self.assertFalse(is_name(name), name)

    def test_topics(self) -> None:
        """
        1 to 128 of the same characters, or a name's inbox.
        """
        for topic in ("lobby", "0", "a.b_c-d", "a" * MAX_TOPIC, "@bob", "@" + "a" * MAX_NAME):
            self.assertTrue(is_topic(topic), topic)
        for topic in (
            "",
            ".a",
            "a" * (MAX_TOPIC + 1),
            "a b",
            "a\n",
            "@",
            "@@a",
            "@.a",
            "@" + "a" * (MAX_NAME + 1),
            "ä",
        ):
            self.assertFalse(is_topic(topic), topic)

    def test_labels(self) -> None:
        """
        1 to 64 of the same characters, in any order.
        """
        for label in ("1", ".", "-_.", "a" * MAX_LABEL):
            self.assertTrue(is_label(label), label)
        for label in ("", "a b", "a#", "a\n", "a" * (MAX_LABEL + 1), "é"):
            self.assertFalse(is_label(label), label)

    def test_names_in_any_case_are_one(self) -> None:
        """
        Names are compared without their letter case.
        """
        self.assertEqual(fold_name("Bob.X"), fold_name("bOB.x"))
        self.assertNotEqual(fold_name("bob"), fold_name("rob"))

    def test_no_copies(self) -> None:
        """
        A name that is folded already is kept once, in however many tables it is.
        """
        name = "".join(["guest-", "12ab34cd"])
        self.assertIs(fold_name(name), name)


class TextTests(SynchronousTestCase):
    """
    What one person sends cannot act on another's terminal, page or log.
    """

    def test_control_characters(self) -> None:
        """
        C0 but tab, DEL, C1 and the separators of lines and paragraphs are refused.
        """
        refused = [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029]
        refused.remove(0x09)
        for number in refused:
            self.assertFalse(is_text(f"a{chr(number)}b"), hex(number))

    def test_everything_else(self) -> None:
        """
        Every other character may be published, printable here or not.
        """
        for text in ("", "a\tb", "\u00a0", "\u200d", "\u202e", "\ufeff", "\ue000", "日本 🙂", "\U0010ffff"):
            self.assertTrue(is_text(text), ascii(text))

    @reproducible
    @given(st.text(st.characters(exclude_categories=["Cs"])))
    def test_by_category(self, text: str) -> None:
        """
        What is refused is exactly what Unicode calls control, line separator and paragraph separator, but not tab.
        """
        acts = any(unicodedata.category(each) in ("Cc", "Zl", "Zp") and each != "\t" for each in text)
        self.assertEqual(is_text(text), not acts)
