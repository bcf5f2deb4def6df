"""
Printing above the line that is being typed.

prompt_toolkit can be asked to hide its prompt, let a function print, and draw the prompt again. Each of these costs a
redraw and sometimes a question to the terminal and its answer, so lines that come meanwhile wait and are printed
together. What waits is bounded: whoever feeds the screen is told to pause.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from prompt_toolkit.application import run_in_terminal
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.output import Output
from prompt_toolkit.renderer import print_formatted_text
from prompt_toolkit.styles import Style

from echochat.client.harmless import harmless

MANY_LINES: Final = 500

Fragment = tuple[str, str]
"""
A style, and a text that is made harmless before it is shown.
"""

STYLE: Final = Style.from_dict({"quiet": "ansibrightblack", "error": "ansired", "time": "ansibrightblack"})


class Screen:
    """
    :param pause: called when too much waits to be shown.
    :param resume: called when all has been shown, after a pause.
    """

    def __init__(self, output: Output, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self._output = output
        self._pause = pause
        self._resume = resume
        self._lines: list[list[Fragment]] = []
        self._paused = False
        self._printing: asyncio.Task[None] | None = None

    def show(self, *fragments: Fragment) -> None:
        """
        Print one line, soon.
        """
        self._lines.append([(style, harmless(text)) for style, text in fragments])
        if len(self._lines) >= MANY_LINES and not self._paused:
            self._paused = True
            self._pause()
        if self._printing is None:
            self._printing = asyncio.ensure_future(self._print_all())

    async def flushed(self) -> None:
        """
        Return when everything has been printed.
        """
        if self._printing is not None:
            await self._printing

    async def _print_all(self) -> None:
        try:
            while self._lines:
                await run_in_terminal(self._print_waiting)
                if self._paused:
                    self._paused = False
                    self._resume()
        finally:
            self._printing = None

    def _print_waiting(self) -> None:
        lines, self._lines = self._lines, []
        fragments = [fragment for line in lines for fragment in (*line, ("", "\n"))]
        print_formatted_text(self._output, FormattedText(fragments), STYLE)
        self._output.flush()
