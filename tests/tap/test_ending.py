"""
Tests for :mod:`echochat.tap.ending`, and of how a server's process takes signals: in real processes.
"""

import io
import os
import signal
import socket
import sqlite3
import sys
from typing import Any

from twisted.internet.error import ReactorNotRunning
from twisted.trial.unittest import SynchronousTestCase, TestCase

from echochat.daemon.ports import CannotStart
from echochat.tap import ending
from tests.net.lean.runs import SMALL
from tests.net.peers import Peer
from tests.processes import TWIST, TWISTD, Server, start_program, start_server

_DEAF = """
reading, writing = os.pipe()
os.close(reading)
os.dup2(writing, 1)
os.dup2(writing, 2)
"""
"""
Has a program write to a pipe that nobody reads.
"""

GOODBYE = b"/bye draining the server is going away: reconnect\r\n"


class ProcessCase(TestCase):
    """
    A server in a process of its own, and its clients.
    """

    async def client(self, port: int, receive_buffer: int = 0) -> Peer:
        """
        :return: a client that the server has answered: from then on it takes signals.
        """
        connected = socket.socket()
        if receive_buffer:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connected.connect(("127.0.0.1", port))
        peer = Peer(connected)
        self.addCleanup(peer.close)
        await peer.send(b"hello\n")
        self.assertEqual(await peer.read(6), b"HELLO\n")
        return peer


class SignalTests(ProcessCase):
    """
    A server that is told to end sends its clients away, and ends with exit code 0.
    """

    async def start(self, *options: str, program: Any = TWISTD) -> tuple[Server, int]:
        server = start_server(self, *options, program=program)
        return server, await server.port()

    def refuses(self, port: int) -> bool:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            return True
        return False

    async def test_drain(self) -> None:
        """
        SIGTERM: nobody new is let in, everybody is asked to leave and served meanwhile, and whoever stays is sent away
        in the end.
        """
        server, port = await self.start("--drain", "1")
        leaves, stays = await self.client(port), await self.client(port)
        server.send_signal(signal.SIGTERM)
        for peer in (leaves, stays):
            self.assertEqual(await peer.read(10), b"/drain 1\r\n")
        self.assertTrue(self.refuses(port))
        await stays.send(b"still there?\n")
        self.assertEqual(await stays.read(13), b"STILL THERE?\n")
        leaves.close()
        self.assertEqual(await stays.read_to_end(), GOODBYE)
        stays.close()
        self.assertEqual(await server.end(), 0)
        self.assertIn(b"the server is draining; in 2 lines", server.output)
        self.assertNotIn(b"Traceback", server.output)

    async def test_a_client_that_does_nothing(self) -> None:
        """
        A client that neither reads nor leaves does not keep it from ending.
        """
        server, port = await self.start("--drain", "0.1")
        peer = await self.client(port, receive_buffer=SMALL)
        peer.socket.settimeout(0.5)
        await self.assertFailure(peer.send(b"x\n" * 20_000_000), TimeoutError)
        self.assertEqual(await server.stop(), 0)
        self.assertRegex(server.output, rb"ended after .* the client did not let go in time|connection was lost")
        self.assertNotIn(b"Traceback", server.output)

    async def test_second_signal(self) -> None:
        """
        Whoever says it twice does not want to wait.
        """
        for program in (TWISTD, TWIST):
            server, port = await self.start("--drain", "1000", program=program)
            peer = await self.client(port)
            server.send_signal(signal.SIGTERM)
            self.assertEqual(await peer.read(13), b"/drain 1000\r\n")
            server.send_signal(signal.SIGTERM)
            self.assertEqual(await peer.read_to_end(), GOODBYE)
            # It does not close: the third time ends that wait, too.
            server.send_signal(signal.SIGTERM)
            self.assertEqual(await server.end(), 0)

    async def test_two_signals_at_once(self) -> None:
        """
        Two signals that come together are a first and a second one.
        """
        server, port = await self.start("--drain", "1000")
        peer = await self.client(port)
        for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, signal.SIGCONT):
            server.send_signal(number)
        self.assertTrue((await peer.read_to_end()).endswith(GOODBYE))
        peer.close()
        self.assertEqual(await server.end(), 0)
        self.assertNotIn(b"Traceback", server.output)

    async def test_interrupt(self) -> None:
        """
        Control-C is the same, and nobody there means at once.
        """
        for program in (TWISTD, TWIST):
            server, port = await self.start("--drain", "1000", program=program)
            peer = await self.client(port)
            peer.close()
            await server.until(rb"connection 1 from .* ended")
            self.assertEqual(await server.stop(signal.SIGINT), 0)
            self.assertNotIn(b"Traceback", server.output)

    async def test_at_once(self) -> None:
        """
        A server that is told to end as soon as it listens ends as later.
        """
        server, _ = await self.start()
        self.assertEqual(await server.stop(), 0)
        self.assertNotIn(b"Traceback", server.output)


class GivingUpTests(ProcessCase):
    """
    What cannot go on ends with one line and exit code 1.
    """

    async def give_up(self, before: str) -> tuple[int, bytes]:
        program = f"""
from twisted.internet import reactor
from echochat.tap.ending import give_up
{before}
give_up(reactor, "there is no more to do")
reactor.run()
print("the reactor has ended")
"""
        process = start_program(self, sys.executable, "-c", program)
        return await process.end(), process.output

    async def test_before_the_reactor_runs(self) -> None:
        """
        What is found out before the start is over.
        """
        code, output = await self.give_up("")
        self.assertEqual(code, 1)
        # What was said while it ended does not hide the reason.
        self.assertEqual(output, b"the reactor has ended\nechochat: there is no more to do\n")

    async def test_twice(self) -> None:
        """
        ... or more than once.
        """
        code, output = await self.give_up('give_up(reactor, "first")')
        self.assertEqual((code, output.count(b"echochat: ")), (1, 2))
        self.assertNotIn(b"Traceback", output)

    async def test_nobody_reads(self) -> None:
        """
        Whoever read the output has gone, as in "2>&1 | head -5": it ends all the same, with the same exit code.
        """
        code, output = await self.give_up(f"import os\n{_DEAF}")
        self.assertEqual((code, output), (1, b""))

    async def test_history_that_is_refused(self) -> None:
        """
        A history that cannot be had ends the server with one line.
        """
        folder = self.mktemp()
        os.makedirs(folder)
        with open(f"{folder}/history", "wb") as file:
            file.write(b"this is no database" * 100)
        for program in (TWISTD, TWIST):
            server = start_server(self, "--history", "sqlite:history", program=program, directory=folder)
            self.assertEqual(await server.end(), 1)
            told = "history is not a history: it is no SQLite database, or its beginning is corrupt"
            self.assertEqual(server.output.decode(), f"echochat: {os.path.realpath(folder)}/{told}\n")
            self.assertEqual(os.listdir(folder), ["history"])

    async def test_history_without_a_folder(self) -> None:
        """
        A history that nobody can make is refused before anything listens; by a daemon, to whoever starts it.
        """
        folder = self.mktemp()
        os.makedirs(folder)
        absent = f"{os.path.realpath(folder)}/absent"
        told = f"echochat: there is no folder {absent} for the history: make it, or mount its disk\n"
        for program, options in ((TWISTD, None), (TWIST, None), (TWISTD, ("--pidfile=pid", "--logfile=log"))):
            server = start_server(
                self, "--history", "sqlite:absent/x", program=program, program_options=options, directory=folder
            )
            self.assertEqual(await server.end(), 1)
            self.assertEqual(server.output.decode(), told)
        self.assertEqual(os.listdir(folder), [])

    async def test_history_of_another_program(self) -> None:
        """
        What shows only when the history is opened is told by a server that has not said that it listens.
        """
        folder = self.mktemp()
        os.makedirs(folder)
        others = sqlite3.connect(f"{folder}/history")
        others.execute("CREATE TABLE cats (name TEXT)")
        others.close()
        for program in (TWISTD, TWIST):
            server = start_server(self, "--history", "sqlite:history", program=program, directory=folder)
            self.assertEqual(await server.end(), 1)
            self.assertIn(b"history is an SQLite database, but not a history of echochat", server.output)
            self.assertNotIn(b"listening on", server.output)

    async def test_once_in_a_terminal(self) -> None:
        """
        In a terminal, where the log is shown, too, the reason is there once; elsewhere it is in the log as well.
        """
        with socket.create_server(("127.0.0.1", 0)) as taken:
            listen = ("--listen", f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1", "--history", "memory:")
            # twist begins its log when the service has started.
            for program, terminal, times in ((TWISTD, True, 1), (TWISTD, False, 2), (TWIST, True, 1)):
                server = start_server(self, *listen, program=program, terminal=terminal)
                self.assertEqual(await server.end(), 1)
                self.assertEqual(server.output.count(b"cannot listen on"), times, server.output)

    async def test_history_that_another_process_has(self) -> None:
        """
        That is the only thing said, before it listens anywhere; by a daemon to whoever starts it, too.
        """
        folder, path = self.mktemp(), os.path.realpath(self.mktemp())
        os.makedirs(folder)
        first = start_server(self, "--history", f"sqlite:{path}")
        await self.client(await first.port())
        told = f"echochat: {path}.lock: the history is in use by process {first.pid}\n"
        for program, options in ((TWISTD, None), (TWIST, None), (TWISTD, ("--pidfile=pid", "--logfile=log"))):
            second = start_server(
                self, "--history", f"sqlite:{path}", program=program, program_options=options, directory=folder
            )
            self.assertEqual(await second.end(), 1)
            self.assertEqual(second.output.decode(), told)
        self.assertEqual(os.listdir(folder), [])


class OneLineTests(SynchronousTestCase):
    """
    In this process.
    """

    def test_hook(self) -> None:
        """
        A service that cannot start ends Python with its sentence; any other exception with its traceback.
        """
        said = io.StringIO()
        shown: list[object] = []
        self.patch(sys, "excepthook", sys.excepthook)
        self.patch(sys, "__stderr__", said)
        self.patch(sys, "__excepthook__", lambda *arguments: shown.append(arguments))
        ending.tell_refusals_in_one_line()
        refused, other = CannotStart("no such luck"), ZeroDivisionError()
        sys.excepthook(CannotStart, refused, None)
        self.assertEqual((said.getvalue(), shown), ("echochat: no such luck\n", []))
        sys.excepthook(ZeroDivisionError, other, None)
        self.assertEqual(shown, [(ZeroDivisionError, other, None)])

    def test_stop(self) -> None:
        """
        A reactor is stopped once.
        """

        class Reactor:
            running = True

            def stop(self) -> None:
                if not self.running:
                    raise ReactorNotRunning
                self.running = False

        reactor = Reactor()
        self.assertEqual((ending.stop(reactor), ending.stop(reactor)), (True, False))
