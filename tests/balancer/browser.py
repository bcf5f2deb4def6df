"""
A page as a browser shows it: headless Chromium, and what is on the page when its scripts have run.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any, Final

from twisted.trial.unittest import TestCase

from tests.processes import start_program

CHROMIUM: Final = shutil.which("chromium") or ""

WITHOUT: Final = None if CHROMIUM else "chromium is not installed"
"""
Why a test that needs it is skipped.
"""

_OPTIONS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
    "--enable-logging=stderr",
)


class Shown(HTMLParser):
    """
    What a page of the balancer shows.

    :ivar rows: by name of the backend, the text of each cell by its label; those without one are ``name``, ``state``
        and ``graph``.
    :ivar tiles: the figures above the table, by what is said of each.
    :ivar state: what it says of itself.
    :ivar console: what the browser complained of.
    """

    def __init__(self, document: str, console: str) -> None:
        super().__init__()
        self.rows: dict[str, dict[str, str]] = {}
        self.tiles: dict[str, str] = {}
        self.state = ""
        self.console = re.findall(r"CONSOLE[^\n]*", console)
        self.tags: list[str] = []
        self._row: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        self._into: tuple[dict[str, str], str] | None = None
        self.feed(document)

    # Called by the parser

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        given: Mapping[str, str] = dict(attrs)
        if tag == "tr":
            self._row = {}
        elif tag == "td":
            self._into = self._row, given.get("data-label", given.get("class", ""))
        elif tag in ("b", "small", "dt", "dd") or given.get("id") == "state":
            part = {"b": "name", "small": "small"}.get(tag, tag)
            self._texts.pop(part, None) if part in ("dt", "dd") else None
            self._into = (self._row if tag in ("b", "small") else self._texts), part

    def handle_endtag(self, tag: str) -> None:
        if tag == "b":
            self.rows[self._row["name"]] = self._row
        elif tag == "dd":
            self.tiles[self._texts["dt"]] = self._texts["dd"]
        elif tag == "p":
            self.state = self._texts["p"]
        if tag in ("td", "b", "dt", "dd", "p"):
            self._into = None

    def handle_data(self, data: str) -> None:
        if self._into is not None:
            texts, part = self._into
            texts[part] = texts.get(part, "") + data


async def show(test: TestCase, url: str, seconds: float = 1) -> Shown:
    """
    Open a page.

    :param seconds: how much of its own time the page has; it does not pass while answers are on their way.
    :return: what it shows then.
    """
    folder = tempfile.mkdtemp()
    test.addCleanup(shutil.rmtree, folder, ignore_errors=True)
    errors, document = os.path.join(folder, "errors"), os.path.join(folder, "document")
    options = (
        *_OPTIONS,
        f"--user-data-dir={folder}/user",
        f"--virtual-time-budget={seconds * 1_000:.0f}",
        "--dump-dom",
    )
    command = f'exec "$0" "$@" > {document} 2> {errors}'
    browser = start_program(test, "/bin/sh", "-c", command, CHROMIUM, *options, url)
    test.assertEqual(await browser.end(90), 0)
    with open(document, encoding="utf-8") as dom, open(errors, encoding="utf-8", errors="replace") as console:
        return Shown(dom.read(), console.read())
