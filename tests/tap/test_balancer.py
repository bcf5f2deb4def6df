"""
Tests for :mod:`echochat.tap.balancer`: what can be written after ``echochat-lb``, and what comes of it.
"""

import os
import signal
import socket
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase, TestCase

from echochat.balancer.settings import BalancerSettings
from echochat.tap.balancer import AtTheEnd, Options
from tests.net.peers import Peer, connect
from tests.ports import free_port
from tests.processes import TWIST, Server, start_server

reactor: Any = _reactor


class _Shouting(Protocol):
    """
    A server that answers in upper case.
    """

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data.upper())


class OptionsTests(SynchronousTestCase):
    """
    The command line and the file become settings, or one sentence.
    """

    def parsed(self, *arguments: str) -> BalancerSettings:
        options = Options()
        options.parseOptions(list(arguments))
        return options.settings

    def refusal(self, *arguments: str) -> str:
        error = self.assertRaises(SystemExit, self.parsed, *arguments)
        self.assertIsInstance(error.code, str)
        self.assertNotIn("\n", str(error.code))
        return str(error.code)

    def test_options(self) -> None:
        """
        Each option is a setting; ``--listen`` and ``--backend`` may be given several times.
        """
        settings = self.parsed(
            *("--listen", "tcp:1", "--listen=unix:l", "--backend", "a=tcp:h:1", "--backend=b=unix:p", "--panic")
        )
        self.assertEqual(settings.listen, ("tcp:1", "unix:l"))
        self.assertEqual(
            [(each.name, each.endpoint) for each in settings.backends], [("a", "tcp:h:1"), ("b", "unix:p")]
        )
        self.assertEqual((settings.panic, settings.idle), (True, 0.0))

    def test_file(self) -> None:
        """
        What the command line does not say the file does, and it has tables for backends.
        """
        path = self.mktemp()
        with open(path, "w") as file:
            file.write('idle = 7\ndrain = 8\n[backends.a]\nendpoint = "tcp:h:1"\nweight = 3\n')
        settings = self.parsed("--config", path, "--idle", "9")
        self.assertEqual((settings.idle, settings.drain, settings.backends[0].weight), (9.0, 8.0, 3))

    def test_nothing(self) -> None:
        """
        A balancer without backends is of use only to somebody who can add some.
        """
        self.assertIn("there is no backend: --backend NAME=ENDPOINT", self.refusal())
        self.assertEqual(self.parsed("--control", "unix:c").backends, ())


class AtTheEndTests(SynchronousTestCase):
    """
    What only has to be stopped.
    """

    def test_stopped(self) -> None:
        """
        ... all of it, in its order, and not when the balancer begins.
        """
        stopped: list[str] = []
        part = AtTheEnd(lambda: stopped.append("watch"), lambda: stopped.append("checks"))
        part.begin()
        self.assertEqual(stopped, [])
        part.end()
        self.assertEqual(stopped, ["watch", "checks"])


class RunningTests(TestCase):
    """
    ``twistd -n echochat-lb`` as its user meets it.
    """

    def backend(self) -> str:
        """
        Start a server that answers in upper case.
        """
        listening = reactor.listenTCP(0, Factory.forProtocol(_Shouting), interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        return f"tcp:127.0.0.1:{listening.getHost().port}"

    async def client(self, server: Server) -> Peer:
        peer = connect(IPv4Address("TCP", "127.0.0.1", await server.port()))
        self.addCleanup(peer.close)
        return peer

    async def test_relays(self) -> None:
        """
        What a client says reaches the backend and the answer comes back; on SIGTERM the client that is there has
        ``--drain`` seconds, and the exit code is 0.
        """
        server = start_server(self, "--backend", f"a={self.backend()}", "--drain", "0", service="echochat-lb")
        client = await self.client(server)
        await client.send(b"hello\n")
        self.assertEqual(await client.read(6), b"HELLO\n")
        self.assertEqual(await server.stop(), 0)
        self.assertTrue(await client.is_reset())
        await server.until(
            rb"connection 1 from 127.0.0.1:\d+ to a ended after \d+\.\d+ s: drained; 6 bytes in, 6 bytes out"
        )

    async def test_waits(self) -> None:
        """
        ... and one that ends in that time ends by itself. A second signal does not wait.
        """
        server = start_server(self, "--backend", f"a={self.backend()}", "--drain", "600", service="echochat-lb")
        leaving, staying = await self.client(server), await self.client(server)
        for client in (leaving, staying):
            await client.send(b"hello\n")
            self.assertEqual(await client.read(6), b"HELLO\n")
        server.send_signal(signal.SIGTERM)
        await server.until(b"draining: connections have 600 s to end, and there are 2")
        leaving.finish()
        self.assertEqual(await leaving.read_to_end(), b"")
        await server.until(b"client closed")
        self.assertEqual(await server.stop(), 0)
        await server.until(b"drained")

    async def test_health(self) -> None:
        """
        While nobody looks at their health, clients of a backend that is not there get another one; after a reload it is
        looked at as the file says then, and the log says that it is down.
        """
        bad = f"tcp:127.0.0.1:{free_port()}"
        path = os.path.abspath(self.mktemp())
        written = (
            'check = "none"\ninterval = 0.1\ndrain = 0\n'
            f'[backends.bad]\nendpoint = "{bad}"\n[backends.good]\nendpoint = "{self.backend()}"\n'
        )
        with open(path, "w") as file:
            file.write(written)
        server = start_server(self, "--config", path, service="echochat-lb")
        for _ in range(2):
            client = await self.client(server)
            await client.send(b"hello\n")
            self.assertEqual(await client.read(6), b"HELLO\n")
        with open(path, "w") as file:
            file.write(written.replace("none", "tcp"))
        server.send_signal(signal.SIGHUP)
        await server.until(b"backend bad is down: connection refused")
        self.assertEqual(await server.stop(), 0)
        self.assertNotIn(b"backend good is down", server.output)

    async def test_reload_of_what_is_fixed(self) -> None:
        """
        What only a restart can change is named when the configuration is read again, and the rest is in use.
        """
        path = os.path.abspath(self.mktemp())
        written = f'drain = 0\n[backends.a]\nendpoint = "{self.backend()}"\n'
        with open(path, "w") as file:
            file.write(written)
        server = start_server(self, "--config", path, service="echochat-lb")
        await self.client(server)
        with open(path, "w") as file:
            file.write('send-proxy = "v1"\nmax-connections = 1\nidle = 0.1\n' + written)
        server.send_signal(signal.SIGHUP)
        await server.until(
            b"not reloaded, the configuration: send-proxy, max-connections can only change with a restart; "
            b"everything else is in use"
        )
        await server.until(b"to a ended after .*: idle")
        self.assertEqual(await server.stop(), 0)

    async def test_twist(self) -> None:
        """
        ``twist`` starts it, too.
        """
        server = start_server(
            self, "--backend", f"a={self.backend()}", "--drain", "0", service="echochat-lb", program=TWIST
        )
        client = await self.client(server)
        await client.send(b"hello\n")
        self.assertEqual(await client.read(6), b"HELLO\n")
        self.assertEqual(await server.stop(), 0)

    async def test_port_in_use(self) -> None:
        """
        A port that another process has is named, and what to do about it: with the option that named the port.
        """
        with socket.create_server(("127.0.0.1", 0)) as taken:
            endpoint = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
            for option in ("--listen", "--status"):
                server = start_server(self, "--backend", "a=tcp:127.0.0.1:1", option, endpoint, service="echochat-lb")
                self.assertEqual(await server.end(), 1)
                self.assertEqual(
                    server.output.decode().splitlines()[-1],
                    f"echochat: cannot listen on {endpoint}: Address already in use: "
                    f"end what listens there, or name another port with {option}",
                )

    async def test_wrong(self) -> None:
        """
        A wrong endpoint of a backend, and one on which nobody can listen, are one line and exit code 1.
        """
        path = self.mktemp()
        os.mkdir(path)
        for options, told in (
            (("--backend", "a=nonsense:1"), b"echochat: backend a: "),
            (
                ("--backend", f"a=unix:/{'x' * 107}"),
                b"echochat: backend a: the path of a UNIX socket has 107 bytes at most",
            ),
            (("--backend", "a=tls:h:1:colour=red"), b"echochat: backend a: tls: has no option colour="),
            (("--backend", "a=tcp:h:1", "--listen", f"unix:{path}"), b"echochat: cannot listen on unix:"),
        ):
            server = start_server(self, *options, service="echochat-lb")
            self.assertEqual(await server.end(), 1)
            self.assertNotIn(b"Traceback", server.output)
            self.assertIn(told, server.output)
