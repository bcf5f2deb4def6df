"""
What others wrote, on a terminal.
"""

import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echochat.client.harmless import harmless
from tests.wire.examples import reproducible


class HarmlessTests(SynchronousTestCase):
    """
    Nothing that others wrote acts on the terminal, and nothing is hidden.
    """

    def test_plain_text(self) -> None:
        """
        Ordinary text of any script, tabs too, is shown as it is.
        """
        for text in ("", "hello", "a\tb", "Grüße שלום 你好 👩‍💻"):
            self.assertEqual(harmless(text), text)

    def test_visible(self) -> None:
        """
        What would act is seen instead.
        """
        self.assertEqual(harmless("\x1b[2J\x07"), "^[[2J^G")
        self.assertEqual(harmless("\x7f\x9b31m"), "^?<U+009B>31m")
        self.assertEqual(harmless("a\r\nb"), "a^M^Jb")
        self.assertEqual(harmless("\u202eevil"), "<U+202E>evil")

    @settings(reproducible, max_examples=100)
    @given(st.text())
    def test_any_text(self, text: str) -> None:
        """
        No control character but tab is left of any text.
        """
        left = {character for character in harmless(text) if unicodedata.category(character) in ("Cc", "Zl", "Zp")}
        self.assertLessEqual(left, {"\t"})
