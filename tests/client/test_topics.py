"""
``echochat pub``, ``sub`` and ``history`` as a user meets them: processes, and a real server.
"""

import json
import os
import re
import signal

from twisted.trial.unittest import TestCase

from echochat.client.cli import main
from echochat.wire.answers import Bye, Err
from tests.client.click_runner import make_runner
from tests.client.doubles import EchoLinesFactory, Listening
from tests.client.processes import Program, start_client, stop_program
from tests.processes import Server, start_server


class TopicTestCase(TestCase):
    """
    A server whose history is in a file, and clients that know where it is.
    """

    server: Server

    async def serve(self) -> None:
        self.history = os.path.abspath(self.mktemp())
        self.server = start_server(self, "--history", f"sqlite:{self.history}")
        self.port = await self.server.port()

    async def serve_again(self) -> None:
        """
        Kill the server, and start it again where it was.
        """
        await self.server.stop(signal.SIGKILL)
        listen = f"tcp:{self.port}:interface=127.0.0.1"
        self.server = start_server(self, "--history", f"sqlite:{self.history}", "--listen", listen)
        await self.server.port()

    def start(self, *arguments: str, in_terminal: bool = False) -> Program:
        environment = {"ECHOCHAT_SERVER": f"127.0.0.1:{self.port}", "TERM": "xterm"}
        client = start_client(*arguments, environment=environment, in_terminal=in_terminal)
        self.addCleanup(stop_program, client)
        return client

    async def run_client(self, *arguments: str, text: bytes = b"") -> Program:
        """
        Run a client to its end, which must be a success.
        """
        client = self.start(*arguments)
        client.types(text)
        client.transport.closeStdin()
        self.assertEqual(await client.ends(), 0, client.errors)
        return client

    def assert_usage(self, *arguments: str) -> None:
        """
        These are a usage error, which no server is asked for.
        """
        result = make_runner().invoke(main, arguments, env={"ECHOCHAT_SERVER": "127.0.0.1:1"})
        self.assertEqual((result.exit_code, result.stdout), (2, ""), arguments)

    def texts(self, output: bytes) -> list[str]:
        """
        The texts of the lines that ``sub`` and ``history`` print in a pipe.
        """
        return [line.split(" ", 4)[4] for line in output.decode().splitlines()]


class HostileServerTests(TopicTestCase):
    """
    Whatever a server says, it does not act on the terminal of the one who reads it in an error message.
    """

    EXPLANATION = "no \x1b]0;owned\x07\x1b[2J\u202e"
    SHOWN = "no ^[]0;owned^G^[[2J<U+202E>"

    def refusing(self, verb: str, code: str = "denied") -> None:
        """
        Be a server that refuses a command.
        """
        self.factory = EchoLinesFactory()
        self.factory.refusals[verb] = Err(code, self.EXPLANATION)
        listening = Listening(self.factory)
        self.addCleanup(listening.stop)
        self.port = listening.port

    async def told(self, *arguments: str) -> str:
        """
        What a client that fails has written on standard error.
        """
        client = self.start(*arguments)
        self.assertEqual(await client.ends(), 1)
        return client.errors.decode()

    async def test_refused(self) -> None:
        """
        A refusal of the command, of a line, and of the first question.
        """
        for verb, arguments in (
            ("history", ("history", "lobby")),
            ("sub", ("sub", "lobby")),
            ("pub", ("pub", "lobby", "x")),
        ):
            self.refusing(verb)
            self.assertEqual(await self.told(*arguments), f"echochat: lobby: denied: {self.SHOWN}\n")
        self.refusing("pub", "bad-text")
        self.assertEqual(
            await self.told("pub", "lobby", "x"), f"echochat: the text was not published: bad-text: {self.SHOWN}\n"
        )
        self.refusing("whoami")
        self.assertTrue((await self.told("sub", "lobby")).endswith(f"denied: {self.SHOWN}\n"))

    async def test_farewell(self) -> None:
        """
        A farewell for good, and one after which the server is waited for.
        """
        self.refusing("nothing")
        client = self.start("sub", "lobby", "--after", "0")
        self.factory.publish("lobby", "alice", "hi")
        await client.says(b" hi\n")
        for code in ("draining", "banned"):
            self.factory.connections[-1].say(Bye(code, self.EXPLANATION))
            self.factory.connections[-1].transport.loseConnection()
            shown = re.escape(self.SHOWN)
            await client.says(rf"{code}: {shown}|{shown} \({code}\)".encode())
            if code == "draining":
                await client.says(b"connected to .* again")
        self.assertEqual(await client.ends(), 1)
        self.assertNotIn(b"\x1b", client.errors)


class PubTests(TopicTestCase):
    """
    ``echochat pub``
    """

    async def test_text_and_lines(self) -> None:
        """
        What is published is in the history, in order, byte for byte; the positions are told on request.
        """
        await self.serve()
        one = await self.run_client("pub", "lobby", "  one", "--positions")
        self.assertGreater(int(one.output), 0)
        lines = await self.run_client("pub", "lobby", text="two\n\nstraße\tx\nlast".encode())
        self.assertEqual((lines.output, lines.errors), (b"", b""))
        past = await self.run_client("history", "lobby")
        self.assertEqual(self.texts(past.output), ["  one", "two", "", "straße\tx", "last"])

    async def test_many_lines(self) -> None:
        """
        More lines than may be unacknowledged at once all arrive.
        """
        await self.serve()
        texts = [str(number) for number in range(5000)]
        await self.run_client("pub", "lobby", text="".join(f"{text}\n" for text in texts).encode())
        past = await self.run_client("history", "lobby", "--last", "5000")
        self.assertEqual(self.texts(past.output), texts)

    async def test_label(self) -> None:
        """
        Who repeats a publish under one name and one label does it once.
        """
        await self.serve()
        runs = [
            await self.run_client("pub", "lobby", "hi", "--name", "cron", "--label", "today", "--positions")
            for _ in range(2)
        ]
        self.assertEqual(runs[0].output, runs[1].output)
        for _ in range(2):
            await self.run_client("pub", "lobby", "--name", "cron", "--label", "lines", text=b"a\nb\n")
        past = await self.run_client("history", "lobby")
        self.assertEqual(self.texts(past.output), ["hi", "a", "b"])

    async def test_bad_lines(self) -> None:
        """
        A line that cannot be published is told by its number, those behind it are published, and it is no success.
        """
        await self.serve()
        client = self.start("pub", "lobby")
        client.types(b"one\nb\x07d\n\xff\n" + b"x" * 70_000 + b"\ntwo\n")
        client.transport.closeStdin()
        self.assertEqual(await client.ends(), 1)
        told = client.errors.decode().splitlines()
        for line, number in zip(told, (2, 3, 4), strict=True):
            self.assertTrue(line.startswith(f"echochat: line {number} was not published: "), line)
        past = await self.run_client("history", "lobby")
        self.assertEqual(self.texts(past.output), ["one", "two"])

    async def test_refused(self) -> None:
        """
        What the server refuses is told, in one line.
        """
        await self.serve()
        first = self.start("sub", "lobby", "--name", "alice", "--after", "0")
        await self.run_client("pub", "lobby", "hi")
        await first.says(b" hi\n")
        second = self.start("pub", "lobby", "x", "--name", "alice")
        self.assertEqual(await second.ends(), 1)
        self.assertRegex(second.errors.decode(), r"\Aechochat: .*name-taken.*\n\Z")

    def test_usage(self) -> None:
        """
        What no server would accept is a usage error.
        """
        for arguments in (
            ("no topic", "x"),
            ("lobby", "x", "--name", "no name"),
            ("lobby", "x", "--label", "no label"),
        ):
            self.assert_usage("pub", *arguments)

    async def test_server_goes(self) -> None:
        """
        When the server goes in the middle, it is waited for, and everything is published once.
        """
        await self.serve()
        client = self.start("pub", "lobby")
        client.types(b"one\n")
        await self.run_client("sub", "lobby", "--after", "0", "--count", "1")
        await self.server.stop(signal.SIGKILL)
        await client.says(rb"lost 127.0.0.1:\d+: .* Trying again")
        client.types(b"two\n")
        await self.serve_again()
        client.transport.closeStdin()
        self.assertEqual(await client.ends(), 0)
        self.assertIn(f"connected to 127.0.0.1:{self.port} again".encode(), client.errors)
        past = await self.run_client("history", "lobby")
        self.assertEqual(self.texts(past.output), ["one", "two"])

    async def test_nobody_there(self) -> None:
        """
        Without a server there is one line of error, naming it.
        """
        self.port = 1
        for arguments in (("pub", "lobby", "x"), ("sub", "lobby"), ("history", "lobby")):
            client = self.start(*arguments)
            self.assertEqual(await client.ends(), 1)
            self.assertRegex(client.errors.decode(), r"\Aechochat: cannot reach 127.0.0.1:1: .*\n\Z")

    async def test_progress(self) -> None:
        """
        On a terminal a long input shows how far it is.
        """
        await self.serve()
        client = self.start("pub", "lobby", in_terminal=True)
        client.types(b"one\r")
        await client.says(rb"1 published")
        client.types(b"\x04")
        self.assertEqual(await client.ends(), 0)
        # How long the input will be is not known.
        self.assertNotIn(b"/?", client.output)


class SubTests(TopicTestCase):
    """
    ``echochat sub``
    """

    async def test_follow(self) -> None:
        """
        What is published after the beginning is printed at once; JSON has every part of it.
        """
        await self.serve()
        await self.run_client("pub", "lobby", "before")
        plain = self.start("sub", "lobby", "other", "--after", "0")
        await plain.says(b" before\n")
        as_json = self.start("sub", "lobby", "--last", "1", "--json", "--count", "2")
        await as_json.says(b"before")
        await self.run_client("pub", "lobby", "äfter", "--name", "alice")
        await plain.says(rb"lobby \d+ \S+ alice " + "äfter\n".encode())
        await self.run_client("pub", "other", "elsewhere")
        await plain.says(rb"other \d+ \S+ \S+ elsewhere\n")
        self.assertEqual(await as_json.ends(), 0)
        event = json.loads(as_json.output.splitlines()[1])
        self.assertEqual(
            (event["type"], event["topic"], event["name"], event["text"]), ("event", "lobby", "alice", "äfter")
        )
        plain.signal(signal.SIGINT)
        self.assertEqual(await plain.ends(), 128 + signal.SIGINT)
        self.assertEqual(plain.errors, b"")

    async def test_continue(self) -> None:
        """
        Another run continues where this one was, by position and log.
        """
        await self.serve()
        await self.run_client("pub", "lobby", text=b"a\nb\nc\nd\n")
        first = await self.run_client("sub", "lobby", "--last", "10", "--count", "2", "--json")
        last = json.loads(first.output.splitlines()[-1])
        second = await self.run_client(
            "sub", "lobby", "--after", str(last["position"]), "--epoch", last["epoch"], "--count", "2"
        )
        self.assertEqual(self.texts(second.output), ["c", "d"])

    async def test_server_goes(self) -> None:
        """
        A server that is killed and comes back is told aside, and nothing is missed.
        """
        await self.serve()
        client = self.start("sub", "lobby", "--after", "0", "--count", "2")
        await self.run_client("pub", "lobby", "one")
        await client.says(b" one\n")
        await self.serve_again()
        await self.run_client("pub", "lobby", "two")
        self.assertEqual(await client.ends(), 0)
        self.assertEqual(self.texts(client.output), ["one", "two"])
        self.assertIn(b"Trying again", client.errors)

    async def test_presence(self) -> None:
        """
        Who comes is told aside.
        """
        await self.serve()
        client = self.start("sub", "lobby", "--presence", "--after", "0")
        await self.run_client("pub", "lobby", "x")
        await client.says(b" x\n")
        other = self.start("sub", "lobby", "--name", "bob")
        await client.says(b"-- bob is in lobby\n")
        other.signal(signal.SIGKILL)
        await client.says(b"-- bob has left lobby\n")

    async def test_nobody_reads(self) -> None:
        """
        ``| head`` ends it, though nothing more is published.
        """
        await self.serve()
        client = self.start("sub", "lobby", "--after", "0")
        await self.run_client("pub", "lobby", "x")
        await client.says(b" x\n")
        client.transport.closeStdout()
        self.assertEqual(await client.ends(), 128 + signal.SIGPIPE)
        self.assertEqual(client.errors, b"")

    async def test_slow_reader(self) -> None:
        """
        A reader that stops for a while gets everything when it goes on.
        """
        await self.serve()
        lines = [f"{number} {'x' * 200}" for number in range(20_000)]
        client = self.start("sub", "lobby", "--after", "0", "--count", "20000")
        client.is_not_read()
        await self.run_client("pub", "lobby", text="".join(f"{line}\n" for line in lines).encode())
        client.is_read()
        self.assertEqual(await client.ends(), 0)
        self.assertEqual(self.texts(client.output), lines)

    async def test_refused(self) -> None:
        """
        A topic that one may not read ends it, with the reason.
        """
        await self.serve()
        client = self.start("sub", "lobby", "@somebody")
        self.assertEqual(await client.ends(), 1)
        self.assertRegex(client.errors.decode(), r"\Aechochat: @somebody: denied: .*\n\Z")

    async def test_unwanted(self) -> None:
        """
        A server that will not have one any more ends it, with the reason, in one line.
        """
        factory = EchoLinesFactory()
        listening = Listening(factory)
        self.addCleanup(listening.stop)
        self.port = listening.port
        factory.publish("lobby", "alice", "hi")
        client = self.start("sub", "lobby", "--after", "0")
        await client.says(b" hi\n")
        factory.connections[0].say(Bye("banned", "go away"))
        factory.connections[0].transport.loseConnection()
        self.assertEqual(await client.ends(), 1)
        self.assertEqual(client.errors, b"echochat: lobby: banned: go away\n")

    async def test_terminal(self) -> None:
        """
        On a terminal a person sees who said what, and nothing can act on it.
        """
        await self.serve()
        client = self.start("sub", "lobby", "--after", "0", "--count", "1", in_terminal=True)
        await self.run_client("pub", "lobby", "hi \u202ethere", "--name", "alice")
        self.assertEqual(await client.ends(), 0)
        self.assertRegex(client.output.decode(), r"\d\d:\d\d \x1b\[0m\x1b\[95malice\x1b\[0m  hi <U\+202E>there\r\n\Z")

    def test_usage(self) -> None:
        """
        Options that exclude each other, and no topic, are usage errors.
        """
        for arguments in ((), ("lobby", "--after", "1", "--last", "1"), ("lobby", "--epoch", "e"), ("no topic",)):
            self.assert_usage("sub", *arguments)


class HistoryTests(TopicTestCase):
    """
    ``echochat history``
    """

    async def test_pages(self) -> None:
        """
        So many of the last, or of those before a position, more than the server gives at once too.
        """
        await self.serve()
        texts = [str(number) for number in range(2500)]
        await self.run_client("pub", "lobby", text="".join(f"{text}\n" for text in texts).encode())
        few = await self.run_client("history", "lobby", "--last", "3", "--json")
        events = [json.loads(line) for line in few.output.splitlines()]
        self.assertEqual([event["text"] for event in events], ["2497", "2498", "2499"])
        before = await self.run_client("history", "lobby", "--last", "2400", "--before", str(events[0]["position"]))
        self.assertEqual(self.texts(before.output), texts[97:2497])
        usual = await self.run_client("history", "lobby")
        self.assertEqual(self.texts(usual.output), texts[-50:])

    async def test_what_one_may_read(self) -> None:
        """
        A topic in which nothing was said is empty, not an error; what one may not read is told; one's own inbox is read
        under one's own name.
        """
        await self.serve()
        client = await self.run_client("history", "silence")
        self.assertEqual((client.output, client.errors), (b"", b""))
        client = await self.run_client("history", "check")
        self.assertEqual(client.output, b"")
        self.assertIn(b"to look into a file: echochat history check FILE", client.errors)
        client = self.start("history", "@somebody")
        self.assertEqual(await client.ends(), 1)
        self.assertRegex(client.errors.decode(), r"\Aechochat: @somebody: denied: .*\n\Z")
        await self.run_client("pub", "@alice", "psst")
        client = await self.run_client("history", "@alice", "--name", "alice")
        self.assertEqual(self.texts(client.output), ["psst"])

    async def test_check(self) -> None:
        """
        A sound file is told to be one, also while the server uses it; what is no history is an error.
        """
        await self.serve()
        await self.run_client("pub", "lobby", "x")
        client = await self.run_client("history", "check", f"sqlite:{self.history}")
        self.assertIn(b"1 events in 1 topics", client.output)
        self.assertIn(b"no problems", client.output)
        nothing = self.start("history", "check", os.path.abspath(self.mktemp()))
        self.assertEqual(await nothing.ends(), 1)
        self.assertTrue(nothing.errors)
        self.assert_usage("history", "lobby", "file")
