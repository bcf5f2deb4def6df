"""
Tests for L{tests.checker.cluster.network}: what is cut off hears nothing, and all is as before when it is healed.
"""

import os
import sys
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectError, TimeoutError
from twisted.internet.protocol import Protocol
from twisted.trial.unittest import SkipTest, TestCase

from tests.checker.cluster.namespaces import NotPermitted
from tests.checker.cluster.network import Bridged, Machine
from tests.processes import start_program

reactor: Any = _reactor

LISTEN = (
    "import socket, sys\n"
    "listening = socket.create_server((sys.argv[1], 7))\n"
    "print('listening', flush=True)\n"
    "while True: listening.accept()[0].close()\n"
)


class CutTests(TestCase):
    """
    Two machines of a network of ours.
    """

    timeout = 60

    async def setUp(self) -> None:  # type: ignore[override]  # trial awaits it
        # Cleanups are called last first: this one when we are back.
        self.addCleanup(lambda: self.assertEqual(os.readlink("/proc/thread-self/ns/net"), self.before))
        self.before = os.readlink("/proc/thread-self/ns/net")
        try:
            self.network = Bridged(self)
        except NotPermitted as why:
            raise SkipTest(str(why)) from why
        self.machines = [await self.listener(name) for name in ("a", "b")]

    async def listener(self, name: str) -> Machine:
        machine = await self.network.machine(name, ["front", "back"])
        command = machine.command(sys.executable, "-c", LISTEN, "0.0.0.0")
        await start_program(self, *command).until(b"listening")
        return machine

    async def reaches(self, machine: Machine, plane: str) -> bool:
        endpoint = TCP4ClientEndpoint(reactor, machine.addresses[plane], 7, timeout=0.5)
        try:
            connected = await connectProtocol(endpoint, Protocol())
        except (TimeoutError, ConnectError):
            return False
        connected.transport.abortConnection()
        return True

    async def reached(self) -> list[str]:
        return [
            f"{machine.name} {plane}"
            for machine in self.machines
            for plane in machine.addresses
            if await self.reaches(machine, plane)
        ]

    async def test_cut(self) -> None:
        """
        Only the machine that is cut off is not reached, and only on the planes that are cut.
        """
        self.assertEqual(await self.reached(), ["a front", "a back", "b front", "b back"])
        self.network.cut([self.machines[0]], ["back"])
        self.assertEqual(await self.reached(), ["a front", "b front", "b back"])
        self.network.heal()
        self.assertEqual(await self.reached(), ["a front", "a back", "b front", "b back"])

    async def test_leaves_nothing(self) -> None:
        """
        The thread is in a network of its own, in which nothing else has a name, and back in the machine's in the end.
        """
        self.assertNotEqual(os.readlink("/proc/thread-self/ns/net"), self.before)
