"""
One line for each connection that has ended, also when thousands end in a second.

An event of Twisted's log costs 45 to 60 µs, most of it to format it: as much as all the rest of a short connection. So
the first few of each tenth of a second are logged as they come, and the others together, at its end, in one event:
still a line for each, in the order in which they came, and the event's ``ended`` has all that is known of each.
"""

from typing import Any, Final, NamedTuple

from twisted.internet.interfaces import IReactorTime
from txaio.tx import make_logger

WINDOW: Final = 0.1

SINGLE: Final = 5
"""
How many are logged by themselves in each window.
"""


class Ended(NamedTuple):
    """
    What became of a connection; sizes in bytes.

    :ivar number: identifies it.
    :ivar address: where the client was: Twisted's, or as its socket gave it.
    :ivar backend: the backend's name.
    :ivar seconds: how long it lasted.
    :ivar cause: why it ended.
    :ivar server_name: what the client wanted to talk to, as its TLS said; empty: it did not, or had none.
    """

    number: int
    address: Any
    backend: str
    seconds: float
    cause: str
    bytes_in: int
    bytes_out: int
    server_name: str = ""

    def __str__(self) -> str:
        name = f" for {self.server_name}" if self.server_name else ""
        return (
            f"connection {self.number} from {in_words(self.address)}{name} to {self.backend} ended after "
            f"{self.seconds:.3f} s: {self.cause}; {self.bytes_in} bytes in, {self.bytes_out} bytes out"
        )


def in_words(address: Any) -> str:
    """
    Where somebody is, for people.

    :param address: Twisted's, or as a socket gave it.
    """
    if isinstance(address, tuple):
        host, port = address[:2]
    else:
        host, port = getattr(address, "host", None), getattr(address, "port", 0)
    if host is None:
        return "a UNIX socket"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Journal:
    """
    Logs what became of connections.
    """

    log = make_logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._singles = 0
        self._until = 0.0
        self._waiting: list[Ended] = []
        self._timer: Any = None

    def add(self, ended: Ended) -> None:
        """
        Log a line: now, or soon.
        """
        if self._timer is not None:
            self._waiting.append(ended)
            return
        now = self._clock.seconds()
        if now >= self._until:
            self._until = now + WINDOW
            self._singles = 0
        self._singles += 1
        if self._singles > SINGLE:
            self._waiting.append(ended)
            self._timer = self._clock.callLater(WINDOW, self._flush)
        else:
            self._tell([ended])

    def stop(self) -> None:
        """
        Log what waits.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._flush()

    def _flush(self) -> None:
        self._timer = None
        waiting, self._waiting = self._waiting, []
        self._tell(waiting)

    def _tell(self, ended: list[Ended]) -> None:
        self.log.info("{lines}", lines="\n".join(map(str, ended)), ended=ended)
