"""
How a client is told to speak TLS, and what it says when that does not work.
"""

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from echochat.client.address import parse_server
from echochat.client.cli import main
from echochat.net.tls.client_files import ClientFiles
from echochat.net.tls.connecting import TlsClientEndpoint
from tests.client.click_runner import make_runner
from tests.client.processes import start_client, stop_program
from tests.net.authority import alice
from tests.net.recorders import Recorder, Recording
from tests.net.tls_real import Site, echo


class AddressTests(SynchronousTestCase):
    """
    A server that is named for TLS is reached by TLS, or not at all.
    """

    def test_ports(self) -> None:
        """
        TLS has its own usual port; a port that was told stays.
        """
        files = ClientFiles("ca.pem")
        for text, name in (
            ("", "127.0.0.1:7443"),
            ("chat.example", "chat.example:7443"),
            ("chat.example:9", "chat.example:9"),
            ("chat.example:7007", "chat.example:7007"),
            ("::1", "[::1]:7443"),
            ("[::1]:9", "[::1]:9"),
        ):
            encrypted = parse_server(text).encrypted(files)
            self.assertEqual((encrypted.name, encrypted.files), (name, files))
            self.assertIsInstance(encrypted.endpoint(MemoryReactorClock()), TlsClientEndpoint)

    def test_endpoints(self) -> None:
        """
        The description of an endpoint says itself whether there is TLS: nothing is added to it silently.
        """
        self.assertIsInstance(parse_server("tls:chat.example:1").endpoint(MemoryReactorClock()), TlsClientEndpoint)
        for text in ("tcp:chat.example:1", "unix:/run/x"):
            error = self.assertRaises(ValueError, parse_server(text).encrypted, ClientFiles())
            self.assertIn("for TLS write it as tls:HOST:PORT:ca=FILE", str(error))


class CommandTests(TestCase):
    """
    The options on the command line, against a server of ours.
    """

    async def said(self, *arguments: str) -> tuple[int, str, str]:
        client = start_client(*arguments)
        self.addCleanup(stop_program, client)
        client.types(b"hello\n")
        client.transport.closeStdin()
        code = await client.ends()
        return code, client.output.decode(), client.errors.decode()

    async def test_chat(self) -> None:
        """
        A trusted server is talked to; one that is not trusted, or that does not accept us, is told in one line.
        """
        site = Site(self)
        port = await site.listen(Recording(lambda: echo(Recorder())))
        picky = await site.listen(Recording(), f":clientCA={site.ca}")
        certificate, key = site.folder.write_pair("alice", alice())
        there = f"127.0.0.1:{port.getHost().port}"
        for arguments, code, words in (
            (
                ("--tls", there),
                1,
                f"cannot reach {there}: the server's certificate is from an authority that is not trusted here: "
                "name the certificate of one with --ca FILE",
            ),
            (
                ("--ca", f"{site.ca}.absent", there),
                1,
                f"cannot reach {there}: cannot read {site.ca}.absent: No such file",
            ),
            (
                ("--ca", site.ca, f"127.0.0.1:{picky.getHost().port}"),
                1,
                f"lost 127.0.0.1:{picky.getHost().port}: the server asks for a certificate: name yours with "
                "--cert FILE --key FILE",
            ),
        ):
            ended, output, errors = await self.said("chat", *arguments)
            self.assertEqual((ended, output), (code, ""), errors)
            self.assertTrue(errors.startswith(f"echochat: {words}"), errors)
            self.assertEqual(errors.count("\n"), 1)
        client = start_client("chat", "--ca", site.ca, "--cert", certificate, "--key", key, there)
        self.addCleanup(stop_program, client)
        client.types(b"hello\n")
        await client.says(b"HELLO\n")

    def test_usage(self) -> None:
        """
        Options that do not go together are usage errors.
        """
        for arguments, words in (
            (("--key", "a.key", "localhost"), "--key belongs to a certificate: give --cert too"),
            (("--tls", "unix:/run/x"), "unix:/run/x is an endpoint: for TLS write it as tls:HOST:PORT:ca=FILE"),
        ):
            result = make_runner().invoke(main, ["chat", *arguments])
            self.assertEqual(result.exit_code, 2)
            self.assertIn(words, result.stderr)
