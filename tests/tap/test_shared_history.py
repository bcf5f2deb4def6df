"""
Servers that share a history, as people start them: ``twistd -n echochat --history nats://...``.
"""

import re
import socket

from twisted.trial.unittest import TestCase

from tests.broker.nats import Nats
from tests.net.peers import Peer
from tests.processes import Server, start_server


class Person:
    """
    A client that types lines and reads what comes.
    """

    def __init__(self, port: int) -> None:
        self._peer = Peer(socket.create_connection(("127.0.0.1", port), timeout=20))
        self._read = b""

    async def say(self, line: str) -> None:
        await self._peer.send(f"{line}\r\n".encode())

    async def line(self, pattern: str) -> re.Match[str]:
        """
        The next line, which has to match.
        """
        while b"\r\n" not in self._read:
            self._read += await self._peer.read(1)
        line, _, self._read = self._read.partition(b"\r\n")
        matched = re.fullmatch(pattern, line.decode())
        assert matched is not None, f"{line!r} is not {pattern!r}"
        return matched

    def leave(self) -> None:
        self._peer.close()


class SharedHistoryTests(TestCase):
    """
    People on different servers are in the same topics.
    """

    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]  # trial awaits it
        self.nats = await Nats(self).start()

    def server(self, reactor: str = "epoll") -> Server:
        options = ("-n", "--pidfile=", f"--reactor={reactor}")
        return start_server(self, "--history", self.nats.address, "--drain", "0", program_options=options)

    async def person(self, server: Server) -> Person:
        person = Person(await server.port())
        self.addCleanup(person.leave)
        return person

    async def following(self) -> tuple[Server, Person, str]:
        """
        A server, somebody there who follows the lobby, and the epoch that they were told.
        """
        server = self.server()
        person = await self.person(server)
        await person.say("/sub lobby")
        return server, person, (await person.line(r"/ok sub lobby 0 (\w+)"))[1]

    async def assert_ends(self, *servers: Server) -> None:
        for server in servers:
            self.assertEqual(await server.stop(), 0)
            self.assertNotIn(b"Traceback", server.output)

    async def test_any_reactor(self) -> None:
        """
        Servers on different reactors, and no further flag: what one acknowledges the others deliver, and each gives the
        same position for a label.
        """
        servers = [self.server(kind) for kind in ("epoll", "select", "asyncio")]
        people = [await self.person(server) for server in servers]
        epochs = []
        for person in people:
            await person.say("/sub lobby")
            epochs.append((await person.line(r"/ok sub lobby 0 (\w+)"))[1])
        self.assertEqual(len(set(epochs)), 1)
        for number, person in enumerate(people, 1):
            await person.say(f"/pub#same{number} lobby hello {number}")
            for other in people:
                await other.line(
                    rf"/event lobby {number} \S+ guest-\w+ hello {number}"
                ) if other is not person else None
            await person.line(rf"/event lobby {number} \S+ guest-\w+ hello {number}")
            await person.line(rf"/ok#same{number} pub lobby {number}")
        for server in servers:
            self.assertIn(b"cannot see whether the broker", server.output)
        await self.assert_ends(*servers)

    async def test_resume_at_another_server(self) -> None:
        """
        Who was at one server goes on at another: nothing lost, nothing twice, and the label counts there, too.
        """
        first, second = self.server(), self.server()
        watcher = await self.person(second)
        await watcher.say("/sub lobby presence=on")
        await watcher.line(r"/ok sub lobby 0 \w+")
        await second.until(rb"server \w+ is there: ")
        person = await self.person(first)
        await person.say("/nick alice")
        await person.line("/ok nick alice")
        await person.say("/sub lobby")
        epoch = (await person.line(r"/ok sub lobby 0 (\w+)"))[1]
        await watcher.line("/join lobby alice")
        await person.say("/pub#1 lobby one")
        await person.line(r"/event lobby 1 .* one")
        await person.line(r"/ok#1 pub lobby 1")
        other = await self.person(second)
        await other.say("/pub lobby two")
        await other.line(r"/ok pub lobby 2")
        # A name is free at the other server when it was told there that nobody has it any more.
        person.leave()
        await watcher.line(r"/event lobby 1 .* one")
        await watcher.line(r"/event lobby 2 .* two")
        await watcher.line("/part lobby alice")
        person = await self.person(second)
        await person.say("/nick Alice")
        await person.line("/ok nick Alice")
        await person.say("/pub#1 lobby one")
        await person.line(r"/ok#1 pub lobby 1")
        await person.say(f"/sub lobby after=1 epoch={epoch}")
        await person.line(rf"/ok sub lobby 2 {epoch}")
        await person.line(r"/event lobby 2 .* two")
        await self.assert_ends(first, second)

    async def test_without_a_broker(self) -> None:
        """
        A server whose broker is not there echoes, publishes nothing, says so, and needs nobody when the broker comes.
        """
        await self.nats.kill()
        server = self.server()
        person = await self.person(server)
        await person.say("hello")
        await person.line("HELLO")
        await person.say("/pub lobby one")
        await person.line("/err unavailable .*")
        await person.say("/sub lobby")
        await person.line("/err unavailable .*")
        await self.nats.start()
        await server.until(rb"the history is available again")
        await person.say("/sub lobby")
        await person.line(r"/ok sub lobby 0 \w+")
        await person.say("/pub lobby two")
        await person.line("/event lobby 1 .* two")
        await person.line("/ok pub lobby 1")
        await self.assert_ends(server)

    async def test_broker_is_killed(self) -> None:
        """
        While the broker is gone a server echoes and its subscribers stay; afterwards they go on.
        """
        server, person, _ = await self.following()
        await self.nats.kill()
        await server.until(rb"the history is unavailable")
        await person.say("still here?")
        await person.line("STILL HERE\\?")
        await person.say("/pub#x lobby one")
        await person.line("/err#x unavailable .*")
        await self.nats.start()
        await server.until(rb"the history is available again")
        await person.say("/pub#x lobby one")
        await person.line("/event lobby 1 .* one")
        await person.line("/ok#x pub lobby 1")
        await self.assert_ends(server)

    async def test_stream_is_deleted(self) -> None:
        """
        A stream that is gone is made anew, as another log: those who follow something are asked to resume, and are told
        of the gap.
        """
        server, person, epoch = await self.following()
        for number in (1, 2, 3):
            await person.say(f"/pub lobby {number}")
            await person.line(f"/event lobby {number} .*")
            await person.line(f"/ok pub lobby {number}")
        await self.nats.kill()
        self.nats.empty_store()
        await self.nats.start()
        await person.line("/bye restarted .*")
        await server.until(rb"the history is available again")
        person = await self.person(server)
        await person.say(f"/sub lobby after=3 epoch={epoch}")
        answer = await person.line(r"/ok sub lobby 0 (\w+)")
        self.assertNotEqual(answer[1], epoch)
        await person.line("/gap lobby 3 0")
        await person.say("/pub lobby anew")
        await person.line("/event lobby 1 .* anew")
        await self.assert_ends(server)

    async def test_wrong(self) -> None:
        """
        An address that is none is one line; so is a login that the broker refuses, in the log, and the server goes on.
        """
        server = start_server(self, "--history", "nats://h:0")
        self.assertEqual(await server.end(), 1)
        self.assertIn(b"echochat: 'h:0' is not HOST:PORT", server.output)
        nats = await Nats(self, 'authorization { user: "me", password: "secret" }').start()
        server = start_server(self, "--history", f"nats://me:wrong@127.0.0.1:{nats.port}", "--drain", "0")
        await server.until(rb"cannot be reached: authorization violation")
        person = await self.person(server)
        await person.say("hello")
        await person.line("HELLO")
        self.assertNotIn(b"wrong", server.output)
        await self.assert_ends(server)
