"""
TLS on real sockets of loopback, as programs use it: endpoints in, connections out.
"""

from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.trial.unittest import TestCase

from echochat.net.endpoints import client_endpoint, server_endpoint
from echochat.net.lean import lean
from tests.net.authority import Folder, Pair, authority, server
from tests.net.recorders import Recorder, Recording

reactor: Any = _reactor


def echo(recorder: Recorder) -> Recorder:
    """
    Have a recorder answer everything in capitals.
    """
    recorder.on_data = lambda data: recorder.transport.write(data.upper())
    return recorder


class Site:
    """
    A folder with a server's files, and whatever listens and connects in a test.
    """

    def __init__(self, test: TestCase) -> None:
        self._test = test
        self.folder = Folder(test)
        self.ca = self.folder.write("ca.pem", authority().pem)
        self.install(server())

    def install(self, pair: Pair) -> None:
        """
        Give the server another certificate.
        """
        self.certificate, self.key = self.folder.write_pair("server", pair)

    def server_options(self) -> str:
        return f"interface=127.0.0.1:cert={self.certificate}:key={self.key}"

    async def listen(self, recording: Any = None, options: str = "", kind: str = "tls:0") -> Any:
        """
        Listen on the lean reactor, as the server does.

        :return: the port.
        """
        own = lean(reactor)
        factory = recording or Recording(lambda: echo(Recorder()))
        description = f"{kind}:{self.server_options()}{options}" if "cert=" not in kind else kind
        port = await server_endpoint(own, description).listen(factory)
        # Cleanups run last first: the connections of a test end before its ports, and those before the reactor.
        self._test.addCleanup(own.close)
        self._test.addCleanup(port.stopListening)
        return port

    async def connect(self, port: Any, options: str | None = None, host: str = "127.0.0.1") -> Recorder:
        """
        Connect to a port of the site.

        :param options: of the endpoint; otherwise what makes it trust the server.
        """
        options = f"ca={self.ca}" if options is None else options
        number = port.getHost().port
        endpoint = client_endpoint(reactor, f"tls:{host}:{number}:{options}".rstrip(":"))
        recorder = Recorder()
        made: Deferred[Any] = endpoint.connect(Factory.forProtocol(lambda: recorder))
        await made
        self._test.addCleanup(self._end, recorder)
        return recorder

    async def _end(self, recorder: Recorder) -> None:
        if not recorder.times_lost:
            recorder.transport.abortConnection()
            await recorder.until_lost()
