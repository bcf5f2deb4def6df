"""
``echochat history copy`` as an operator meets it: processes, and a real server.
"""

import os
import signal
from collections.abc import Callable

from twisted.internet import reactor
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from echochat.client.cli import main
from echochat.history.jetstream.api import ask
from tests.broker.nats import Nats, connected
from tests.client.click_runner import make_runner
from tests.client.processes import Program
from tests.client.test_topics import TopicTestCase
from tests.processes import DEADLINE, start_server


class HistoryCopyTests(TopicTestCase):
    """
    A server goes on with a copy as if nothing had been.
    """

    async def copy(self, source: str, target: str, code: int = 0) -> Program:
        """
        Run the command, which has to end with this code.
        """
        program = self.start("history", "copy", source, target)
        self.assertEqual(await program.ends(), code, program.errors)
        return program

    def refused(self, source: str, target: str, code: int) -> str:
        """
        Run the command in this process, where it has to end with this code before it does anything.

        :return: what it says.
        """
        result = make_runner().invoke(main, ["history", "copy", source, target])
        self.assertEqual((result.exit_code, result.stdout), (code, ""))
        return result.stderr

    async def until(self, condition: Callable[[], bool]) -> None:
        """
        Look in each turn whether it holds; it has to soon.
        """
        clock = IReactorTime(reactor)
        deadline = clock.seconds() + DEADLINE
        while not condition():
            self.assertLess(clock.seconds(), deadline)
            await deferLater(clock, 0)

    async def publish(self, *topics: str) -> None:
        """
        Serve, publish the same in each topic, and stop the server.
        """
        await self.serve()
        for topic in topics:
            await self.run_client("pub", topic, text=b"one\ntwo\nthree\n")
        await self.server.stop()

    async def test_a_server_goes_on(self) -> None:
        """
        Events have their positions, and what is published next the positions behind.
        """
        await self.publish("lobby", "kitchen")
        copy = os.path.abspath(self.mktemp())
        program = await self.copy(f"sqlite:{self.history}", f"sqlite:{copy}")
        self.assertIn(b"copied 6 events of 2 topics", program.output)
        self.assertIn(b"with their positions", program.output)
        self.assertEqual(os.stat(copy).st_mode & 0o777, 0o600)
        before = self.history
        self.history, listen = copy, f"tcp:{self.port}:interface=127.0.0.1"
        self.server = start_server(self, "--history", f"sqlite:{copy}", "--listen", listen)
        await self.server.port()
        self.assertEqual((await self.run_client("pub", "lobby", "four", "--positions")).output, b"7\n")
        past = await self.run_client("history", "kitchen")
        self.assertEqual(self.texts(past.output), ["one", "two", "three"])
        self.assertEqual([line.split()[1] for line in past.output.decode().splitlines()], ["4", "5", "6"])
        await self.server.stop()
        # The other way: only what is new.
        program = await self.copy(f"sqlite:{copy}", f"sqlite:{before}")
        self.assertIn(b"copied 1 events", program.output)
        self.assertIn(b"6 were there already", program.output)

    async def test_killed_and_run_again(self) -> None:
        """
        Wherever a copy is killed, the next one completes it.
        """
        await self.serve()
        await self.run_client("pub", "lobby", text=b"".join(b"%d\n" % number for number in range(20_000)))
        await self.server.stop()
        copy = os.path.abspath(self.mktemp())
        program = self.start("history", "copy", f"sqlite:{self.history}", f"sqlite:{copy}")
        # It copies for a second or less: at its first sign of life it is somewhere at the beginning.
        await self.until(lambda: os.path.exists(copy) or program.errors != b"")
        program.signal(signal.SIGKILL)
        await program.ends()
        await self.copy(f"sqlite:{self.history}", f"sqlite:{copy}")
        program = await self.copy(f"sqlite:{self.history}", f"sqlite:{copy}")
        self.assertIn(b"copied 0 events", program.output)
        self.assertIn(b"20,000 were there already", program.output)

    async def test_mistakes(self) -> None:
        """
        Each gets one line that says what to do, and changes nothing.
        """
        await self.publish("lobby")
        missing, other = os.path.abspath(self.mktemp()), os.path.abspath(self.mktemp())
        source, first = f"sqlite:{self.history}", self.history
        self.assertIn("does not exist", self.refused(f"sqlite:{missing}", source, 1))
        self.assertFalse(os.path.exists(missing))
        os.symlink(first, other)
        for same in (source, f"sqlite:{os.path.relpath(first)}", f"sqlite-unsafe:{first}", f"sqlite:{other}"):
            self.assertIn("into itself", self.refused(source, same, 2))
        os.remove(other)
        for memory in ((source, "memory:"), ("memory:", source)):
            self.assertIn("a history in memory ends with this command", self.refused(*memory, 2))
        program = await self.copy(source, "nothing", 1)
        self.assertIn(b"is not a history", program.errors)
        await self.copy(source, f"sqlite:{other}")
        # Another history with another event in the same topic.
        await self.serve()
        await self.run_client("pub", "lobby", "something else")
        program = await self.copy(f"sqlite:{self.history}", f"sqlite:{other}", 1)
        self.assertIn(b"is in use by process", program.errors)
        await self.server.stop()
        program = await self.copy(f"sqlite:{self.history}", f"sqlite:{other}", 1)
        self.assertIn(b"has other events of lobby", program.errors)
        self.assertEqual(len(program.errors.splitlines()), 1)
        self.assertTrue(os.path.exists(first))

    async def test_a_broker_without_it(self) -> None:
        """
        A source that is not there is not made; and a password is not shown.
        """
        nats = await Nats(self).start()
        self.port = 1
        target = os.path.abspath(self.mktemp())
        where = nats.address.replace("//", "//me:secret@") + "/elsewhere"
        program = await self.copy(where, f"sqlite:{target}", 1)
        self.assertEqual(
            program.errors.decode(), f"echochat: {nats.address}/elsewhere: the broker has no stream elsewhere\n"
        )
        broker, _ = await connected(self, nats.address)
        self.assertEqual((await ask(broker, "STREAM.NAMES"))["streams"], None)
        told = self.refused(where, f"{nats.address},other:1/elsewhere", 2)
        self.assertIn("into itself", told)
        self.assertNotIn("secret", told)

    async def test_to_a_broker_and_back(self) -> None:
        """
        To a broker everything but positions and epoch goes, also after a copy that was killed; back into a new file the
        broker's positions are kept.
        """
        nats = await Nats(self).start()
        await self.serve()
        await self.run_client("pub", "lobby", text=b"".join(b"%d\n" % number for number in range(3_000)))
        await self.run_client("pub", "@Alice", "for you")
        await self.server.stop()
        source, back = f"sqlite:{self.history}", f"sqlite:{os.path.abspath(self.mktemp())}"
        program = self.start("history", "copy", source, nats.address)
        # It has published something when the broker's store has a file with messages.
        await self.until(nats.has_messages)
        program.signal(signal.SIGKILL)
        await program.ends()
        await self.copy(source, nats.address)
        program = await self.copy(source, nats.address)
        self.assertIn(b"copied 0 events", program.output)
        self.assertIn(b"3,001 were there already", program.output)
        program = await self.copy(nats.address.replace("//", "//me:secret@"), back)
        self.assertNotIn(b"secret", program.output + program.errors)
        self.assertIn(b"copied 3,001 events of 2 topics", program.output)
        self.history, listen = back.removeprefix("sqlite:"), f"tcp:{self.port}:interface=127.0.0.1"
        self.server = start_server(self, "--history", back, "--listen", listen)
        await self.server.port()
        past = await self.run_client("history", "lobby", "--last", "5000")
        self.assertEqual(self.texts(past.output), [str(number) for number in range(3_000)])
