"""
Reading files again while a process runs.
"""

from collections.abc import Awaitable, Callable

from txaio.tx import make_logger

Reload = Callable[[], Awaitable[None] | None]
"""
Reads something again. Raises, with one sentence, when it keeps what it had.
"""


class Reloads:
    """
    What is read again on SIGHUP, and when an operator asks for it.
    """

    log = make_logger()

    def __init__(self) -> None:
        self._reloads: list[tuple[str, Reload]] = []
        self._afterwards: list[Callable[[], None]] = []

    def add(self, what: str, reload: Reload) -> None:
        """
        Reload this too, when it is asked for.

        :param what: names it, for people.
        """
        self._reloads.append((what, reload))

    def afterwards(self, look: Callable[[], None]) -> None:
        """
        Call this when everything has been reloaded.
        """
        self._afterwards.append(look)

    async def reload(self) -> dict[str, str]:
        """
        Read again what can change while the server runs. What is broken is kept as it was.

        :return: for each thing, ``reloaded`` or why not.
        """
        results = {}
        for what, reload in self._reloads:
            try:
                waiting = reload()
                if waiting is not None:
                    await waiting
            except Exception as error:
                results[what] = f"kept as it was: {error}"
                self.log.error("not reloaded, {what}: {why}", what=what, why=str(error))
            else:
                results[what] = "reloaded"
                self.log.info("reloaded, {what}", what=what)
        for look in self._afterwards:
            look()
        return results
