"""
Who listens, and what is told: for tests of histories.
"""

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from echochat.history import Draft, IHistory, Page
from echochat.history.sqlite.history import SQLiteHistory


def draft(text: str, topic: str = "lobby", name: str = "alice", label: str | None = None, time: int = 1_000) -> Draft:
    """
    Something to store, of which only the text matters unless told.
    """
    return Draft(topic, name, text, label, time)


class Recorder:
    """
    A receiver that keeps all that it was told.
    """

    def __init__(self) -> None:
        self.events: list[tuple[int, str, str]] = []
        self.told: list[str] = []
        self.on_arrived: Callable[[], object] = lambda: None
        self._waiting: list[tuple[str, Deferred[None]]] = []

    def arrived(self, drafts: Sequence[Draft], positions: Sequence[int]) -> None:
        for a_draft, position in zip(drafts, positions, strict=True):
            self.events.append((position, a_draft.topic, a_draft.text))
        self.on_arrived()

    def became_unavailable(self, why: str) -> None:
        self._tell(f"unavailable: {why}")

    def became_available(self) -> None:
        self._tell("available")

    def interrupted(self, why: str) -> None:
        self._tell(f"interrupted: {why}")

    def when_told(self, what: str) -> Deferred[None]:
        """
        :return: fires when the history says something that begins so, the next time.
        """
        waiting: Deferred[None] = Deferred()
        self._waiting.append((what, waiting))
        return waiting

    def texts(self, topic: str = "lobby") -> list[str]:
        return [text for _, its_topic, text in self.events if its_topic == topic]

    def positions(self) -> list[int]:
        return [position for position, _, _ in self.events]

    def _tell(self, what: str) -> None:
        self.told.append(what)
        waiting, self._waiting = self._waiting, []
        for beginning, told in waiting:
            if what.startswith(beginning):
                told.callback(None)
            else:
                self._waiting.append((beginning, told))


def texts(page: Page) -> list[str]:
    return [event.text for event in page.events]


async def read_everything(history: IHistory, topic: str, limit: int = 100, max_bytes: int = 1 << 20) -> list[Page]:
    """
    Page through a topic from its beginning.
    """
    pages: list[Page] = []
    after = 0
    while not pages or not pages[-1].complete:
        page = await history.read_after(topic, after, limit, max_bytes)
        pages.append(page)
        if page.events:
            after = page.events[-1].position
    return pages


def when_probed_in_vain(history: SQLiteHistory) -> Deferred[None]:
    """
    :return: fires when this failed history has tried to recover for the next time, and not been able to.
    """
    tried: Deferred[None] = Deferred()
    still_failed = history.still_failed

    def fire(why: str, error: Failure, hopeless: bool) -> None:
        history.still_failed = still_failed  # type: ignore[method-assign]  # as it was
        still_failed(why, error, hopeless)
        tried.callback(None)

    history.still_failed = fire  # type: ignore[method-assign]  # the writer's report, listened to
    return tried
