"""
Printing above the line that is being typed.

prompt_toolkit's own way (``run_in_terminal``, and ``patch_stdout`` on top of it) hands the terminal back in its cooked
mode meanwhile: a key pressed in that moment is echoed into the middle of what is printed, and a Ctrl-D is swallowed.
So the prompt is erased, the lines are printed and the prompt is drawn again in one go, with the terminal as it is.
Nothing waits here but what arrived in one turn of the loop: a terminal that does not take more holds the loop itself,
which then does not read from the server either.
"""

import asyncio
from typing import Any, Final

from prompt_toolkit.application import Application
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.renderer import print_formatted_text
from prompt_toolkit.styles import Style

from echochat.client.harmless import harmless
from echochat.client.rendering import Fragment

STYLE: Final = Style.from_dict({"quiet": "ansibrightblack", "error": "ansired"})


class Screen:
    """
    :param application: what draws the prompt.
    """

    def __init__(self, application: Application[Any]) -> None:
        self._application = application
        self._lines: list[list[Fragment]] = []

    def show(self, *fragments: Fragment) -> None:
        """
        Print one line, in this turn of the loop, together with whatever else comes in it.
        """
        if not self._lines:
            asyncio.get_running_loop().call_soon(self.flush)
        self._lines.append([(style, harmless(text)) for style, text in fragments])

    def flush(self) -> None:
        """
        Print what waits, now.
        """
        lines, self._lines = self._lines, []
        if not lines:
            return
        application = self._application
        if application.is_running:
            application.renderer.erase()
        fragments = [fragment for line in lines for fragment in (*line, ("", "\n"))]
        print_formatted_text(application.output, FormattedText(fragments), STYLE)
        application.output.flush()
        application.invalidate()
