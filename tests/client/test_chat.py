"""
``echochat chat`` as a user meets it: a process in a pipe or a terminal, and a server on loopback.
"""

import os
import signal
import stat
import sys
from pathlib import Path

from twisted.trial.unittest import TestCase

from echochat.wire.answers import Bye
from tests.client.doubles import EchoLinesFactory, Listening
from tests.client.processes import Program, start_client, start_program, stop_program
from tests.processes import start_server


class DoubleTestCase(TestCase):
    """
    A server in this process, which can also misbehave.
    """

    def setUp(self) -> None:
        self.factory = EchoLinesFactory()
        self.listening = Listening(self.factory)
        self.address = f"127.0.0.1:{self.listening.port}"
        self.addCleanup(self.listening.stop)

    def start(self, *arguments: str, in_terminal: bool = False) -> Program:
        """
        Start a chat that the test may forget about.
        """
        state = self.mktemp()
        self.state = Path(state).absolute()
        environment = {"XDG_STATE_HOME": str(self.state), "PROMPT_TOOLKIT_NO_CPR": "1", "TERM": "xterm"}
        client = start_client("chat", self.address, *arguments, environment=environment, in_terminal=in_terminal)
        self.addCleanup(stop_program, client)
        return client


class PipeTests(DoubleTestCase):
    """
    In a pipe: lines in, replies out, and an exit code.
    """

    async def talk(self, text: bytes) -> Program:
        client = self.start()
        client.types(text)
        client.transport.closeStdin()
        self.code = await client.ends()
        return client

    async def test_until_close_socket(self) -> None:
        """
        The conversation of the README: the echo and nothing else, and success.
        """
        client = await self.talk(b"hello\nCLOSE SOCKET\n")
        self.assertEqual((client.output, client.errors, self.code), (b"HELLO\n", b"", 0))

    async def test_until_the_input_ends(self) -> None:
        """
        Every line is answered before the end, commands too, and a last line that has no end.
        """
        client = await self.talk(b"one\n/ping x\n//etc\ntwo")
        self.assertEqual((client.output, client.errors, self.code), (b"ONE\n/ok ping x\n//ETC\nTWO\n", b"", 0))

    async def test_nothing_to_say(self) -> None:
        """
        An empty input is a short conversation, and a success.
        """
        client = await self.talk(b"")
        self.assertEqual((client.output, client.errors, self.code), (b"", b"", 0))

    async def test_reply_before_the_next_line(self) -> None:
        """
        A program that waits for each reply before it writes the next line is not kept waiting.
        """
        client = self.start()
        client.types(b"one\n")
        await client.says(rb"ONE\n")
        client.types(b"two\n")
        await client.says(rb"TWO\n")
        client.transport.closeStdin()
        self.assertEqual(await client.ends(), 0)

    async def test_raw(self) -> None:
        """
        In a pipe nothing is made of what the server sent: it is data.
        """
        client = await self.talk(b"a\x1bb\x07\n")
        self.assertEqual(client.output, b"A\x1bB\x07\n")

    async def test_nobody_there(self) -> None:
        """
        One line says which server is not there, and why.
        """
        await self.listening.stop()
        client = await self.talk(b"hello\n")
        self.assertEqual((client.output, self.code), (b"", 1))
        self.assertRegex(
            client.errors.decode(),
            rf"\Aechochat: cannot reach {self.address}: connection refused: is the server running\?\n\Z",
        )

    async def test_server_goes(self) -> None:
        """
        A server that goes in the middle is told in one line, though the input is still open.
        """
        client = self.start()
        client.types(b"one\n")
        await client.says(rb"ONE\n")
        self.factory.connections[0].transport.loseConnection()
        self.assertEqual(await client.ends(), 1)
        self.assertEqual(client.errors.decode(), f"echochat: {self.address} closed the connection\n")

    async def test_server_breaks_off(self) -> None:
        """
        So is a connection that breaks.
        """
        client = self.start()
        client.types(b"one\n")
        await client.says(rb"ONE\n")
        self.factory.connections[0].transport.abortConnection()
        self.assertEqual(await client.ends(), 1)
        self.assertRegex(client.errors.decode(), rf"\Aechochat: lost {self.address}: .*\n\Z")

    async def test_server_says_goodbye(self) -> None:
        """
        A server that says why it goes is quoted.
        """
        client = self.start()
        client.types(b"one\n")
        await client.says(rb"ONE\n")
        self.factory.connections[0].say(Bye("draining", "see you"))
        self.factory.connections[0].transport.loseConnection()
        self.assertEqual(await client.ends(), 1)
        self.assertIn(f"{self.address} closed the connection: draining see you\n", client.errors.decode())

    async def test_goodbye_cannot_act(self) -> None:
        """
        What it says is quoted so that it does not act on the terminal where the error is read.
        """
        client = self.start()
        client.types(b"one\n")
        await client.says(rb"ONE\n")
        self.factory.connections[0].say(Bye("banned", "\x1b]0;owned\x07\x1b[2J"))
        self.factory.connections[0].transport.loseConnection()
        self.assertEqual(await client.ends(), 1)
        self.assertTrue(client.errors.endswith(b": banned ^[]0;owned^G^[[2J\n"), client.errors)

    async def test_not_everything_answered(self) -> None:
        """
        Replies that never come are no success, however clean the end is.
        """
        self.factory.mute = True
        client = await self.talk(b"one\ntwo\n")
        self.assertEqual((client.output, self.code), (b"", 1))
        self.assertIn(b"with 2 lines unanswered", client.errors)

    async def test_interrupted(self) -> None:
        """
        An interrupt ends it without a word, and not as a success.
        """
        client = self.start()
        client.types(b"one\n")
        await client.says(rb"ONE\n")
        client.signal(signal.SIGINT)
        self.assertEqual(await client.ends(), 128 + signal.SIGINT)
        self.assertEqual(client.errors, b"")

    async def test_nobody_reads(self) -> None:
        """
        ``| head`` ends it quietly, though the input is endless.
        """
        script = f'yes | "{sys.executable}" -c "$0" chat {self.address} | head -n 2'
        code = "from echochat.client.cli import main; main()"
        pipeline = start_program(("/bin/sh", "-c", script, code))
        self.addCleanup(stop_program, pipeline)
        self.assertEqual(await pipeline.ends(), 0)
        self.assertEqual((pipeline.output, pipeline.errors), (b"Y\nY\n", b""))

    async def test_terminal_on_one_side(self) -> None:
        """
        Where only the output is a terminal, lines are still filtered, and what the server sent cannot act.
        """
        code = "from echochat.client.cli import main; main()"
        script = f'printf \'a\\033[2Jb\\n\' | "{sys.executable}" -c "$0" chat {self.address}'
        pipeline = start_program(("/bin/sh", "-c", script, code), in_terminal=True)
        self.addCleanup(stop_program, pipeline)
        await pipeline.ends()
        self.assertEqual(pipeline.output, b"A^[[2JB\r\n")


class TerminalTests(DoubleTestCase):
    """
    In a terminal: a prompt, and replies above it.
    """

    async def started(self) -> Program:
        client = self.start(in_terminal=True)
        await client.says(rb"Connected to.*>.*\x1b\[\?25h")
        return client

    async def joined(self) -> Program:
        client = await self.started()
        client.types(b"/join lobby\r")
        await client.says(rb"lobby>.*\x1b\[\?25h")
        return client

    async def test_conversation(self) -> None:
        """
        What is typed is answered: text, text that begins with a slash, commands, and what is no command.
        """
        client = await self.started()
        client.types(b"hello\r")
        await client.says(rb"HELLO")
        client.types(b"//etc\r")
        await client.says(rb"[^/]/ETC")
        client.types(b"/ping there\r")
        await client.says(rb"[^/]ping there")
        client.types(b"/nope\r")
        await client.says(rb"unknown-command: there is no /nope")
        client.types(b"/ping#\xc3\xa9 x\r")
        await client.says(rb"a label is")
        client.types(b"\x04")
        self.assertEqual(await client.ends(), 0)

    async def test_close_socket(self) -> None:
        """
        The message that closes the connection ends the program as the user wanted.
        """
        client = await self.started()
        client.types(b"CLOSE SOCKET\r")
        self.assertEqual(await client.ends(), 0)

    async def test_line_being_typed(self) -> None:
        """
        What comes while a line is being typed is printed above it, and the line is drawn again and can be ended.
        """
        client = await self.joined()
        client.types(b"unfin")
        await client.says(rb"unfin")
        self.factory.publish("lobby", "alice", "hi there")
        await client.says(rb"hi there.*lobby>.*unfin")
        client.types(b"ished\r")
        await client.says(rb"\x1b\[0m  unfinished\r")

    async def test_typing_into_a_flood(self) -> None:
        """
        No key is lost or echoed into the lines that are printed meanwhile, the last Ctrl-D neither.
        """
        client = await self.joined()
        for number, letter in enumerate("abcdefghijklmnopqrstuvwxyz", 1):
            self.factory.publish("lobby", "alice", f"hi-{number}-")
            client.types(letter.encode())
            await client.says(b"hi-%d-" % number)
        client.types(b"\r")
        await client.says(rb"\x1b\[0m  abcdefghijklmnopqrstuvwxyz\r")
        client.types(b"\x04")
        self.assertEqual(await client.ends(), 0)

    async def test_control_characters(self) -> None:
        """
        A hostile server cannot move the cursor, set the title or type for the user.
        """
        client = await self.joined()
        self.factory.publish("lobby", "alice", "\x1b]0;owned\x07")
        await client.says(rb"\^\[\]0;owned\^G")

    async def test_interrupt(self) -> None:
        """
        Ctrl-C takes back what was typed; with nothing typed, it leaves.
        """
        client = await self.started()
        client.types(b"oops")
        await client.says(rb"oops")
        client.types(b"\x03")
        client.types(b"again\r")
        await client.says(rb"AGAIN")
        self.assertNotIn(b"OOPS", client.output)
        client.types(b"\x03")
        self.assertEqual(await client.ends(), 0)
        self.assertNotIn(b"Aborted", client.output)

    async def test_terminated(self) -> None:
        """
        A signal ends it with the terminal as it was, without a traceback.
        """
        client = await self.started()
        client.signal(signal.SIGTERM)
        self.assertEqual(await client.ends(), 128 + signal.SIGTERM)
        self.assertNotIn(b"Traceback", client.output)
        # Bracketed paste was switched on for the prompt, and off again for the shell.
        self.assertGreater(client.output.rfind(b"\x1b[?2004l"), client.output.rfind(b"\x1b[?2004h"))

    async def test_server_goes(self) -> None:
        """
        A server that goes is waited for, with nothing joined, too: what had no answer yet is told as not done, and is
        not said again; what is typed then is answered when the server is back.
        """
        client = await self.started()
        self.factory.mute = True
        client.types(b"first\r")
        self.assertEqual(await self.factory.unanswered(), "first")
        self.factory.mute = False
        self.factory.connections.pop().transport.abortConnection()
        await client.says(rb"not done: .*-- connected to .* again")
        client.types(b"second\r")
        await client.says(rb"SECOND")
        self.assertNotIn(b"FIRST", client.output)
        client.types(b"\x04")
        self.assertEqual(await client.ends(), 0)

    async def test_topic(self) -> None:
        """
        With a topic joined, what is typed is published there and seen when it comes back, with its time and its
        publisher; after parting it is echoed again.
        """
        client = await self.joined()
        client.types(b"hello all\r")
        await client.says(rb"\d\d:\d\d \x1b\[[0-9;]+mguest-1\x1b\[0m  hello all")
        client.types(b"/part\r")
        await client.says(rb"you have left lobby")
        client.types(b"hello you\r")
        await client.says(rb"HELLO YOU")

    async def test_server_comes_back(self) -> None:
        """
        With a topic joined, a server that goes is waited for, and the topic goes on.
        """
        client = await self.joined()
        self.factory.connections.pop().transport.abortConnection()
        await client.says(rb"-- lost .* Trying again.*-- connected to .* again")
        self.factory.publish("lobby", "alice", "still here?")
        await client.says(rb"still here\?")
        client.types(b"yes\r")
        await client.says(rb"  yes\r")
        client.types(b"\x04")
        self.assertEqual(await client.ends(), 0)

    async def test_nobody_there(self) -> None:
        """
        There is no prompt without a server.
        """
        await self.listening.stop()
        client = self.start(in_terminal=True)
        self.assertEqual(await client.ends(), 1)
        self.assertIn(f"echochat: cannot reach {self.address}".encode(), client.output)

    async def test_history(self) -> None:
        """
        What was typed is kept for the next time, for the user alone, and secrets are not.
        """
        client = await self.started()
        client.types(b"remember\r")
        await client.says(rb"REMEMBER")
        client.types(b"/login alice swordfish\r")
        await client.says(rb"unknown-command")
        client.types(b"\x04")
        await client.ends()
        path = self.state / "echochat" / "chat-history"
        self.assertIn("+remember\n", path.read_text())
        self.assertNotIn("swordfish", path.read_text())
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)


class RealServerTests(TestCase):
    """
    The same against ``twistd``.
    """

    async def test_pipe(self) -> None:
        """
        The two commands of the README understand each other.
        """
        port = await start_server(self, "--history", "memory:").port()
        client = start_client("chat", environment={"ECHOCHAT_SERVER": f"127.0.0.1:{port}"})
        client.types("hello\n/ping x\n//etc\nstraße\nCLOSE SOCKET\nmore\n".encode())
        client.transport.closeStdin()
        self.assertEqual(await client.ends(), 0)
        self.assertEqual(client.output.decode(), "HELLO\n/ok ping x\n//ETC\nSTRASSE\n")
        self.assertEqual(client.errors, b"")

    async def test_tls(self) -> None:
        """
        Over TLS, which has no half-close, everything is answered after the end of the input, too, and nothing else is
        printed.
        """
        folder = os.path.abspath(self.mktemp())
        made = start_client("certs", "--directory", folder)
        self.addCleanup(stop_program, made)
        self.assertEqual(await made.ends(), 0)
        listen = f"tls:0:interface=127.0.0.1:cert={folder}/server.pem:key={folder}/server.key"
        port = await start_server(self, "--history", "memory:", "--listen", listen).port()
        client = start_client("chat", "--ca", f"{folder}/ca.pem", f"127.0.0.1:{port}")
        self.addCleanup(stop_program, client)
        client.types(b"hello\n/ping x\nlast")
        client.transport.closeStdin()
        self.assertEqual(await client.ends(), 0)
        self.assertEqual((client.output, client.errors), (b"HELLO\n/ok ping x\nLAST\n", b""))

    async def test_many_lines(self) -> None:
        """
        Far more than fits into any buffer goes through, in order and complete, and half-closing loses nothing.
        """
        port = await start_server(self, "--history", "memory:").port()
        script = f'seq 400000 | "{sys.executable}" -c "$0" chat 127.0.0.1:{port} | cksum; seq 400000 | cksum'
        code = "from echochat.client.cli import main; main()"
        pipeline = start_program(("/bin/sh", "-c", script, code))
        self.addCleanup(stop_program, pipeline)
        await pipeline.ends()
        echoed, sent = pipeline.output.splitlines()
        self.assertEqual(echoed, sent)
