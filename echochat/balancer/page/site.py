"""
The status page's HTTP: four things to read, and nothing to write.

Whoever can connect may read, and cannot hold anything: a connection is for one request, has :data:`LIFETIME` seconds in
all however slowly its bytes come, and what it sends beyond the head of a request is thrown away as it comes.
"""

import json
from collections.abc import Callable
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from echochat.balancer.page.document import POLICY, render
from echochat.balancer.page.metrics import make_registry
from echochat.balancer.status import Status
from echochat.net.deadlines import Deadlines

LIFETIME: Final = 20.0
"""
Seconds from a connection to its end.
"""

MOST_READERS: Final = 64
"""
Connections at once.
"""

FRESH: Final = 0.5
"""
Seconds for which an answer is good: many readers cost no more than one.
"""

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Connection": "close",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "echochat-lb",
    "X-Content-Type-Options": "nosniff",
}

_TEXT: Final = "text/plain; charset=utf-8"


class StatusResource(Resource):
    """
    Everything that can be read, by path.
    """

    isLeaf = True

    def __init__(self, status: Status, seconds: Callable[[], float]) -> None:
        super().__init__()
        self._status = status
        self._seconds = seconds
        self._registry = make_registry(status)
        self._kept: dict[bytes, tuple[float, bytes]] = {}
        self._pages: dict[bytes, tuple[str, Callable[[], bytes]]] = {
            b"/": ("text/html; charset=utf-8", self._page),
            b"/status.json": ("application/json", self._json),
            b"/healthz": (_TEXT, lambda: b"ok\n"),
            b"/metrics": (CONTENT_TYPE_LATEST, lambda: generate_latest(self._registry)),
        }

    # Called by Twisted

    def render(self, request: Any) -> int:
        if request.method not in (b"GET", b"HEAD"):
            request.setHeader("Allow", "GET, HEAD")
            _answer(request, 405, _TEXT, b"only GET and HEAD\n")
        elif request.path not in self._pages:
            _answer(request, 404, _TEXT, b"there are /, /status.json, /healthz and /metrics\n")
        else:
            kind, make = self._pages[request.path]
            _answer(request, 200, kind, self._fresh(request.path, make))
        return NOT_DONE_YET

    # Ours

    def _fresh(self, path: bytes, make: Callable[[], bytes]) -> bytes:
        now = self._seconds()
        made, body = self._kept.get(path, (now - FRESH, b""))
        if now - made >= FRESH:
            body = make()
            self._kept[path] = now, body
        return body

    def _page(self) -> bytes:
        return render(self._status.balancer(), self._status.backends_over_time()).encode()

    def _json(self) -> bytes:
        answer = {"balancer": self._status.balancer(), "backends": self._status.backends_over_time()}
        return json.dumps(answer).encode() + b"\n"


class StatusSite(Site):
    """
    Serves the status page.

    :param clock: for the connections' deadlines.
    """

    noisy = False
    displayTracebacks = False

    def __init__(self, clock: Any, status: Status) -> None:
        super().__init__(
            StatusResource(status, clock.seconds), requestFactory=_Request, timeout=LIFETIME, reactor=clock
        )
        self.readers: set[_Channel] = set()
        self.deadlines: Deadlines[_Channel] = Deadlines(clock, LIFETIME, _Channel.is_late)

    # Called by Twisted

    def protocol(self) -> "_Channel":  # type: ignore[override]  # whatever makes a channel may be there
        return _Channel()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        return super().buildProtocol(addr) if len(self.readers) < MOST_READERS else None

    def startFactory(self) -> None:
        """
        There is no log of requests, which Twisted would have a timer for.
        """

    def stopFactory(self) -> None:
        """
        Likewise.
        """

    def log(self, request: Any) -> None:
        """
        A page that looks every two seconds is not worth a line each time.
        """

    # Called by the service

    def begin(self) -> None:
        """
        Nobody reads yet.
        """

    def end(self) -> None:
        """
        Close what there is.
        """
        for reader in [*self.readers]:
            reader.transport.abortConnection()
        self.deadlines.stop()


class _Request(Request):
    """
    A request whose body nobody reads.
    """

    def handleContentChunk(self, data: bytes) -> None:
        """
        Twisted would keep it, in a file even.
        """


class _Channel(HTTPChannel):
    """
    A connection for one request, with an end.
    """

    site: StatusSite
    transport: Any
    _is_closing = False

    # Called by Twisted

    def lineReceived(self, line: bytes) -> None:
        # Twisted would refuse each line that follows one that it has refused.
        if not self._is_closing:
            super().lineReceived(line)

    def loseConnection(self) -> None:
        self._is_closing = True
        super().loseConnection()

    def connectionMade(self) -> None:
        self.site.readers.add(self)
        self.site.deadlines.set(self)
        super().connectionMade()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.site.readers.discard(self)
        self.site.deadlines.clear(self)
        super().connectionLost(reason)

    def checkPersistence(self, request: Any, version: bytes) -> bool:
        return False

    # Called by the deadlines

    def is_late(self) -> None:
        """
        It had all the time there is.
        """
        self.transport.abortConnection()


def _answer(request: Any, code: int, kind: str, body: bytes) -> None:
    request.setResponseCode(code)
    for name, value in _HEADERS.items():
        request.setHeader(name, value)
    request.setHeader("Content-Type", kind)
    request.setHeader("Content-Length", str(len(body)))
    if request.method != b"HEAD":
        request.write(body)
    request.finish()
