"""
A real server in bad weather: what it costs, and that it goes on.
"""

import os
import random
import resource
import select
import signal
import socket
import time

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.net.lean.runs import SMALL
from tests.net.peers import Peer
from tests.processes import Server, start_server

MEBIBYTE = 1 << 20


def memory_of(pid: int) -> int:
    """
    :return: bytes of a process's memory that are in use.
    """
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def seconds_of(pid: int) -> float:
    """
    :return: how long a process has computed so far.
    """
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class WeatherTests(TestCase):
    """
    What a server survives.
    """

    async def start(self, *options: str) -> Server:
        self.server = start_server(self, "--history", "memory:", *options)
        self.port = await self.server.port()
        return self.server

    def client(self, receive_buffer: int = 0) -> Peer:
        connected = socket.socket()
        if receive_buffer:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connected.connect(("127.0.0.1", self.port))
        peer = Peer(connected)
        self.addCleanup(peer.close)
        return peer

    async def assert_well(self) -> None:
        """
        It answers, and nothing has gone wrong in it.
        """
        peer = self.client()
        await peer.send(b"how are you?\n")
        self.assertEqual(await peer.read(13), b"HOW ARE YOU?\n")
        peer.close()
        self.assertNotIn(b"Traceback", self.server.output)

    async def test_clients_that_never_read(self) -> None:
        """
        A client that sends many megabytes and reads nothing costs less than one; when it is gone nothing of it is left.
        """
        server = await self.start()
        await self.assert_well()
        before = memory_of(server.pid)
        peers = [self.client(SMALL) for _ in range(10)]
        sent = await deferToThread(_send_what_is_taken, peers, b"x" * 99 + b"\n", 30 * MEBIBYTE)
        self.assertGreater(sent, 10 * MEBIBYTE)
        self.assertLess(memory_of(server.pid) - before, len(peers) * MEBIBYTE)
        await self.assert_well()
        for peer in peers:
            peer.reset()
        await server.until(rb"connection \d+ from .* ended", times=1)

    async def test_stall(self) -> None:
        """
        A client that takes nothing for the stall time is told so and gone.
        """
        server = await self.start("--stall", "0.5")
        peer = self.client(SMALL)
        await deferToThread(_send_what_is_taken, [peer], b"x\n", 30 * MEBIBYTE)
        # When it has given up it reads again, to throw away what comes.
        await deferToThread(_until_more_is_taken, peer)
        answers = await peer.read_to_end()
        self.assertTrue(answers.endswith(b"/bye slow nothing was taken for 0.5 seconds\r\n"), answers[-100:])
        peer.close()
        await server.until(rb"ended after .*: the client stopped reading; in \d+ lines")
        await self.assert_well()

    async def test_silent(self) -> None:
        """
        A client that says nothing is told so and gone, one that says half a line too.
        """
        server = await self.start("--first-line", "0.3")
        silent, half = self.client(), self.client()
        await half.send(b"half")
        for peer in (silent, half):
            said = b"/bye idle the first line did not come within 0.3 seconds\r\n"
            self.assertEqual(await peer.read_to_end(), said)
            peer.close()
        await server.until(rb"no first line in time; in 0 lines, 4 bytes")
        await self.assert_well()

    async def test_log_line(self) -> None:
        """
        The log says of each connection who it was, from where, how long it lasted, how much came and went, and why it
        ended; what users wrote cannot change that.
        """
        server = await self.start()
        peer = self.client()
        host, port = peer.socket.getsockname()
        answered = b"{cause}\n{0}{1.__class__}%s\n"
        last = b"CLOSE SOCKET {x}\n"
        await peer.send(answered + last)
        await peer.read_to_end()
        peer.close()
        told = (
            rf"connection 1 from {host}:{port} ended after \d+\.\d\d\d s: CLOSE SOCKET; "
            rf"in 3 lines, {len(answered + last)} bytes; out 2 lines, {len(answered)} bytes\n"
        )
        await server.until(told.encode())
        self.assertNotIn(b"__class__", server.output)

    async def test_crowd_from_one_address(self) -> None:
        """
        One more than may come from one address is told so and let go; the others there, and elsewhere, are served.
        """
        listen = "proxied:from=127.0.0.1:tcp:0:interface=127.0.0.1"
        server = await self.start("--per-address", "2", "--listen", listen)
        asked = [await self.client_from(host) for host in ("192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2")]
        for peer in (asked[0], asked[1], asked[3]):
            self.assertEqual(await peer.read(6), b"HELLO\n")
        told = b"/err too-many connections from your address: 2 at once, and 4 new in 10 seconds\r\n"
        self.assertEqual(await asked[2].read_to_end(), told)
        self.assertIn(b"too-many", (await server.until(rb"refused a connection from [^\n]*192\.0\.2\.1[^\n]*"))[0])
        asked[0].close()
        await server.until(rb"connection 1 from 192.0.2.1:\d+ ended")
        self.assertEqual(await (await self.client_from("192.0.2.1")).read(6), b"HELLO\n")

    async def client_from(self, host: str) -> Peer:
        """
        :return: a client that a proxy has brought from there, and that has said hello.
        """
        peer = self.client()
        await peer.send(f"PROXY TCP4 {host} 192.0.2.9 1000 7007\r\nhello\n".encode())
        return peer

    async def test_out_of_descriptors(self) -> None:
        """
        Without descriptors it neither spins nor drops those who wait; it says so, and serves them when there are some.
        """
        server = await self.start()
        await self.assert_well()
        _, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        open_now = max(int(each) for each in os.listdir(f"/proc/{server.pid}/fd"))
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (open_now + 4, hard))
        peers = [self.client() for _ in range(30)]
        for peer in peers:
            peer.socket.sendall(b"hello\n")
        for peer in peers[:2]:
            self.assertEqual(await peer.read(6), b"HELLO\n")
        await server.until(rb"no more connections for 1 s: Too many open files")
        before = seconds_of(server.pid)
        await server.until(rb"no more connections for 1 s", times=3)
        self.assertLess(seconds_of(server.pid) - before, 0.5)
        self.assertLess(server.output.count(b"\n"), 30)
        # Those who are served are served on.
        await peers[0].send(b"again\n")
        self.assertEqual(await peers[0].read(6), b"AGAIN\n")
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (hard, hard))
        for peer in peers[2:]:
            self.assertEqual(await peer.read(6), b"HELLO\n")
        await self.assert_well()

    async def test_nonsense(self) -> None:
        """
        Whatever bytes come, in whatever pieces, and however the clients vanish: no traceback, nothing left, and the
        others are served.
        """
        server = await self.start("--max-line", "2000")
        served = await deferToThread(_talk_nonsense, self.port, 300)
        self.assertGreater(served, 50)
        await self.assert_well()
        peer = self.client()
        await peer.send(b"still here\n")
        self.assertEqual(await peer.read(11), b"STILL HERE\n")
        peer.close()
        await server.until(rb"connection \d+ from .* ended", times=302)
        self.assertEqual(await server.stop(signal.SIGTERM), 0)
        self.assertNotIn(b"Traceback", server.output)
        self.assertNotIn(b"draining", server.output)


def _send_what_is_taken(peers: list[Peer], line: bytes, most: int) -> int:
    """
    Send as long as somebody takes it, and read nothing.

    :param most: bytes for each.
    :return: how many were sent.
    """
    poll = select.poll()
    left = {}
    chunk = line * (65_536 // len(line))
    for peer in peers:
        peer.socket.setblocking(False)
        poll.register(peer.socket, select.POLLOUT)
        left[peer.socket.fileno()] = [peer.socket, most, b""]
    sent = 0
    # Nothing was taken for so long: nothing more will be.
    while events := poll.poll(300):
        for number, _ in events:
            connected, remaining, rest = left[number]
            data = rest or chunk
            count = connected.send(data)
            sent += count
            left[number] = [connected, remaining - count, data[count:]]
            if remaining <= count:
                poll.unregister(connected)
    for peer in peers:
        peer.socket.settimeout(20)
    return sent


def _until_more_is_taken(peer: Peer) -> None:
    poll = select.poll()
    poll.register(peer.socket, select.POLLOUT)
    poll.poll(20_000)


def _talk_nonsense(port: int, clients: int) -> int:
    """
    :return: how many were answered anything.
    """
    dice = random.Random(23)
    pieces = (
        b"hello\r\n",
        b"\r",
        b"\n",
        b"\r\0",
        b"\0",
        b"/",
        b"//\n",
        b"/#\n",
        b"/help\r\n",
        b"/nick {}\n",
        b"/sub \xf0\x9f\x98\x80\n",
        b"/pub lobby \x1b[2J\n",
        b"/ping " + b"x" * 1_990 + b"\n",
        b"\xff\xfd\x01",
        b"\xff\xfa\x18",
        b"\xff\xff",
        b"\xc3",
        "straße\n".encode(),
        b"x" * 3_000,
        b"GET / HTTP/1.1\r\n",
        b"CLOSE ",
        b"SOCKET",
    )
    answered = 0
    for number in range(clients):
        connected = socket.create_connection(("127.0.0.1", port), timeout=20)
        try:
            for _ in range(dice.randrange(12)):
                kind = dice.random()
                data = dice.choice(pieces) if kind < 0.7 else dice.randbytes(dice.randrange(400))
                connected.sendall(data)
                if kind < 0.1:
                    time.sleep(0)
            if number % 3 == 0:
                connected.shutdown(socket.SHUT_WR)
                answered += bool(connected.recv(65_536))
        except OSError:
            pass
        Peer(connected).reset() if dice.random() < 0.5 else connected.close()
    return answered
