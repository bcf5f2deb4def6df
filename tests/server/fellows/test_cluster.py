"""
Servers that share a log, as one starts them: two ``twistd echochat`` and a nats-server, each a process of its own.
"""

import shutil
import signal
import tempfile

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from echochat.client.operator import OperationFailed, ask
from tests.broker.nats import Nats
from tests.history.jetstream.sharing import documented_permissions, user_with
from tests.processes import Server, start_server
from tests.server.talking import Talker, talk_to

LEASE = 3
"""
Seconds, where a test waits for the end of a lease; otherwise it is the usual one, which no pause of the machine
outlasts.
"""


class Member:
    """
    One of the servers.
    """

    def __init__(self, server: Server, control: str) -> None:
        self.server = server
        self._control = control

    async def connect(self, name: str) -> Talker:
        """
        Somebody comes, and takes a name.
        """
        talker = await talk_to(await self.server.port())
        assert await talker.ask(b"/nick %s" % name.encode()) == b"/ok nick %s" % name.encode()
        return talker

    async def operate(self, command: str) -> tuple[list[str], str]:
        """
        Its operator's command: the items, and what the closing line says.
        """
        items, rest = await deferToThread(ask, self._control, command)
        return list(items), rest

    async def status(self) -> dict[str, str]:
        """
        How it is.
        """
        items, _ = await self.operate("/status")
        return dict(item.split(": ", 1) for item in items)

    async def knows(self, number: int) -> None:
        """
        Wait until it has met so many other servers, since it was started.
        """
        await self.server.until(rb"server [0-9a-f]{12} is there: ", number)


class ClusterTests(TestCase):
    """
    People on different servers are in the same topics.
    """

    timeout = 120

    async def begin(self, *options: str, settings: str = "") -> tuple[Member, Member]:
        """
        Start a broker and two servers, and wait until they know each other.
        """
        self.options = options
        # A UNIX socket's path is short.
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.nats = await Nats(self, settings).start()
        self.members: list[Member] = []
        one, other = await self.start(), await self.start()
        for member in (one, other):
            await member.knows(1)
        return one, other

    async def start(self) -> Member:
        """
        Start one more server.
        """
        control = f"unix:{self.folder}/{len(self.members)}"
        options = ("--history", self.nats.address, "--drain", "0", "--control", control)
        member = Member(start_server(self, *options, *self.options), control)
        self.members.append(member)
        await member.server.port()
        return member

    async def hear(self, talker: Talker, *lines: bytes) -> None:
        """
        The next lines are these.
        """
        for line in lines:
            self.assertEqual(await talker.hear(), line)

    async def meet(self, one: Member, other: Member) -> tuple[Talker, Talker]:
        """
        Alice watches the lobby on the one, bob comes to it on the other.
        """
        alice, bob = await one.connect("alice"), await other.connect("bob")
        self.assertRegex(await alice.ask(b"/sub lobby presence=on"), rb"\A/ok sub lobby ")
        self.assertRegex(await bob.ask(b"/sub lobby"), rb"\A/ok sub lobby ")
        await self.hear(alice, b"/join lobby bob")
        return alice, bob

    async def test_one_chat(self) -> None:
        """
        Who is there, what is followed, who comes and goes, a name in use and a message for one person: all of it across
        servers.
        """
        one, other = await self.begin()
        alice, bob = await self.meet(one, other)
        alice.say(b"/who lobby")
        self.assertEqual(sorted([await alice.hear(), await alice.hear()]), [b"/here lobby alice", b"/here lobby bob"])
        await self.hear(alice, b"/ok who lobby 2")
        self.assertRegex(await bob.ask(b"/pub lobby hello"), rb"\A/(ok pub lobby|event lobby) ")
        self.assertRegex(await bob.hear(), rb"\A/(ok pub lobby|event lobby) ")
        self.assertRegex(await alice.hear(), rb"\A/event lobby \d+ \S+ bob hello\Z")
        self.assertRegex(await alice.ask(b"/topics"), rb"\A/topic lobby [1-9]\d* 2\Z")
        await self.hear(alice, b"/ok topics 1")
        self.assertRegex(await alice.ask(b"/nick BOB"), rb"\A/err name-taken ")
        self.assertRegex(await bob.ask(b"/sub @bob"), rb"\A/ok sub @bob ")
        self.assertRegex(await alice.ask(b"/msg bob psst"), rb"\A/ok msg bob \d+\Z")
        self.assertRegex(await bob.hear(), rb"\A/event @bob \d+ \S+ alice psst\Z")
        bob.end()
        await self.hear(alice, b"/part lobby bob")
        await one.connect("bob")

    async def test_killed(self) -> None:
        """
        The people of a server that is killed are gone when its lease is over, and their names are free; a server that
        is started in its place is one more.
        """
        one, other = await self.begin("--lease", str(LEASE))
        alice, _ = await self.meet(one, other)
        await other.server.stop(signal.SIGKILL)
        await self.hear(alice, b"/part lobby bob")
        await one.server.until(rb"has gone: it was not heard of for %d s" % LEASE)
        self.assertEqual(await alice.ask(b"/who lobby"), b"/here lobby alice")
        await self.hear(alice, b"/ok who lobby 1")
        again = await self.start()
        await again.knows(1)
        await again.connect("bob")
        self.assertEqual((await again.status())["other servers"], "1")

    async def test_paused(self) -> None:
        """
        A server that is paused for longer than its lease is gone for the others, and back with its people when it goes
        on; for its own people nobody was away.
        """
        one, other = await self.begin("--lease", str(LEASE))
        alice, bob = await self.meet(one, other)
        self.assertRegex(await bob.ask(b"/sub lobby presence=on"), rb"\A/ok sub lobby ")
        other.server.send_signal(signal.SIGSTOP)
        await self.hear(alice, b"/part lobby bob")
        other.server.send_signal(signal.SIGCONT)
        await self.hear(alice, b"/join lobby bob")
        await one.connect("carol")
        self.assertEqual(await bob.ask(b"/ping"), b"/ok ping")

    async def test_operators(self) -> None:
        """
        Operators of one server kick and ban on all, see the others, and lift a ban that another one made. All that
        servers want of their broker they may do with the permissions in the documentation.
        """
        one, other = await self.begin(settings=user_with(documented_permissions()))
        alice, bob = await self.meet(one, other)
        self.assertRegex(await alice.ask(b"/pub lobby hello"), rb"\A/(ok pub lobby|event lobby) ")
        self.assertRegex(await alice.hear(), rb"\A/(ok pub lobby|event lobby) ")
        self.assertRegex(await bob.hear(), rb"\A/event lobby ")
        self.assertEqual(await one.operate("/kick bob"), ([], "1"))
        self.assertRegex(await bob.hear(), rb"\A/bye restarted ")
        await self.hear(alice, b"/part lobby bob")
        bob = await other.connect("bob")
        self.assertEqual(await one.operate("/ban bob 3600"), ([], "1"))
        self.assertRegex(await bob.hear(), rb"\A/bye banned ")
        carol = await other.connect("carol")
        self.assertRegex(await carol.ask(b"/nick bob"), rb"\A/err name-taken ")
        status = await one.status()
        self.assertEqual((status["broker"], status["other servers"]), ("connected", "1"))
        [fellow] = [value for name, value in status.items() if name.startswith("server ")]
        self.assertRegex(fellow, rf", process {other.server.pid}: 0 subscriptions of 0 topics, heard of \d\.\d s ago\Z")
        await other.operate("/unban bob")
        self.assertEqual(await carol.ask(b"/nick bob"), b"/ok nick bob")
        third = await self.start()
        await third.knows(2)
        with self.assertRaises(OperationFailed):
            await third.operate("/unban bob")
        for member in (one, other, third):
            self.assertNotIn(b"permissions violation", member.server.output)

    async def test_stopped(self) -> None:
        """
        The people of a server that is stopped are gone at once. A ban holds after all servers, and the broker, were
        started again, for the first client that is let in.
        """
        one, other = await self.begin()
        alice, _ = await self.meet(one, other)
        await one.operate("/ban mallory")
        await other.operate("/ban trudy 3600")
        self.assertEqual(await other.server.stop(), 0)
        await self.hear(alice, b"/part lobby bob")
        await one.server.until(rb"has gone: it was stopped")
        self.assertEqual((await one.status())["other servers"], "0")
        await one.server.stop()
        await self.nats.kill()
        await self.nats.start()
        third = await self.start()
        visitor = await talk_to(await third.server.port())
        for name in (b"mallory", b"trudy"):
            self.assertRegex(await visitor.ask(b"/nick " + name), rb"\A/err name-taken ")

    async def test_broker_restart(self) -> None:
        """
        When the broker is killed and started again nobody is told anything but what has changed; what cannot be done
        meanwhile is said to the operator.
        """
        one, other = await self.begin()
        alice, bob = await self.meet(one, other)
        await self.nats.kill()
        await one.server.until(rb"the connection to the broker at \S+ has ended")
        remarks, closed = await one.operate("/kick nobody")
        self.assertEqual((remarks, closed), (["the broker cannot be reached: only this server has done it"], "0"))
        await self.nats.start()
        for member in (one, other):
            await member.server.until(rb"the history is available again")
        carol = await other.connect("carol")
        self.assertRegex(await carol.ask(b"/sub lobby"), rb"\A/ok sub lobby ")
        await self.hear(alice, b"/join lobby carol")
        self.assertEqual(bob.lost, False)
