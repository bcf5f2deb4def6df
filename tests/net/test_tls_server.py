"""
TLS in a server as it is started.
"""

from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import Factory
from twisted.trial.unittest import TestCase

from echochat.net.endpoints import client_endpoint
from tests.net.authority import Folder, alice, authority, server
from tests.net.recorders import Recorder
from tests.net.tls_real import reactor
from tests.processes import start_server


class StartTests(TestCase):
    """
    A server with TLS starts, or says in one line why not.
    """

    def setUp(self) -> None:
        self.folder = Folder(self)
        self.folder.path = self.folder.path.resolve()
        self.certificate, self.key = self.folder.write_pair("server", server())

    async def test_wrong_files(self) -> None:
        """
        One line that names the file and what to do about it, no traceback, and exit code 1.
        """
        open_key = self.folder.write("open.key", server().key_pem, 0o644)
        _, other_key = self.folder.write_pair("alice", alice())

        async def refused(options: str, words: str) -> None:
            endpoint = f"tls:0:interface=127.0.0.1:{options}"
            started = start_server(self, "--history", "memory:", "--listen", endpoint)
            self.assertEqual(await started.end(), 1)
            complaints = [line for line in started.output.decode().splitlines() if line.startswith("echochat: ")]
            self.assertEqual(complaints, [f"echochat: cannot listen on {endpoint}: {words}"])
            self.assertNotIn(b"Traceback", started.output)

        await gatherResults(
            [
                Deferred.fromCoroutine(refused(f"cert={self.certificate}:key={key}", words))
                for key, words in (
                    (open_key, f"others can read the private key in {open_key} (mode 644): chmod 600 {open_key}"),
                    (
                        other_key,
                        f"the private key in {other_key} is not that of the certificate in {self.certificate}",
                    ),
                )
            ],
            consumeErrors=True,
        )

    async def test_conversation(self) -> None:
        """
        The line protocol over TLS, with the client's name from its certificate, to an end in good order.
        """
        ca = self.folder.write("ca.pem", authority().pem)
        endpoint = f"tls:0:interface=127.0.0.1:cert={self.certificate}:key={self.key}:clientCA={ca}"
        started = start_server(self, "--history", "memory:", "--listen", endpoint)
        port = await started.port()
        self.assertIn(
            b"try it with: openssl s_client -quiet -cert FILE -key FILE -connect 127.0.0.1:%d, "
            b"or: echochat chat --tls [--ca FILE] --cert FILE --key FILE 127.0.0.1:%d\n" % (port, port),
            started.output,
        )
        await self._talk(port, ca)
        await started.until(rb"connection 1 .*: quit; in 3 lines")
        self.assertEqual(await started.stop(), 0)

    async def _talk(self, port: int, ca: str) -> None:
        certificate, key = self.folder.write_pair("alice", alice())
        client = Recorder()
        endpoint = client_endpoint(reactor, f"tls:127.0.0.1:{port}:ca={ca}:cert={certificate}:key={key}")
        made: Deferred[Any] = endpoint.connect(Factory.forProtocol(lambda: client))
        await made
        client.transport.write(b"hello\n/whoami\n/quit\n")
        await client.until_lost()
        self.assertEqual(client.received, b"HELLO\n/ok whoami alice certificate\r\n/ok quit\r\n")
