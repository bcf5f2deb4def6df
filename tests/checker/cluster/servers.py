"""
Servers and the balancer in front of them, each on a machine of its own, and what can be done to them.
"""

import signal
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Final

from twisted.trial.unittest import TestCase
from txaio.tx import make_logger

from tests.checker.cluster.nemesis import Fault, stop_and_go, wait
from tests.checker.cluster.network import Machine
from tests.checker.cluster.records import keep_output
from tests.processes import TWISTD, Server, start_server

DRAIN: Final = 2.0


class Service:
    """
    One ``twistd``, which may be ended in any way and is started again as it was.

    :param folder: what it writes goes there.
    :param service: its name.
    :param options: besides where it listens, which is on the front.
    :param usual: its port, where the machine has them all for itself.
    :ivar listen: where it listens, with the names ``port`` and ``host``.
    """

    listen = "tcp:{port}:interface={host}"

    def __init__(
        self, test: TestCase, machine: Machine, folder: Path, service: str, options: Sequence[str], usual: int
    ) -> None:
        self.machine = machine
        self.port = machine.port(usual)
        self._test = test
        self._folder = folder
        self._service = service
        self._options = options
        self._running: Server | None = None

    @property
    def host(self) -> str:
        """
        Where it is.
        """
        return self.machine.addresses["front"]

    async def start(self) -> None:
        """
        Start it, and wait until it listens.
        """
        self._running = start_server(
            self._test,
            *("--listen", self.listen.format(port=self.port, host=self.host), *self._options),
            service=self._service,
            program=self.machine.command(*TWISTD),
        )
        keep_output(self._test, self._folder / f"{self.machine.name}.output", self._running)
        await self._running.port()

    async def end(self, number: int) -> None:
        """
        End it, and wait for that.
        """
        assert self._running is not None
        code = await self._running.stop(number)
        if number == signal.SIGTERM and code != 0:
            raise AssertionError(f"{self.machine.name} ended with {code}:\n{self.story}")

    def signal(self, number: int) -> None:
        """
        Tell its process something.
        """
        assert self._running is not None
        self._running.send_signal(number)

    @property
    def story(self) -> str:
        """
        What it has written since it was started.
        """
        return self._running.output.decode(errors="replace") if self._running is not None else ""


class ServerFaults:
    """
    What can be done to servers.
    """

    log = make_logger()

    def __init__(self, servers: Sequence[Service], random: Random) -> None:
        self._servers = servers
        self._random = random

    def kinds(self) -> dict[str, Fault]:
        return {"kill server": self._kill, "stop server": self._stop, "roll servers": self._roll}

    async def _kill(self) -> None:
        server = self._random.choice(self._servers)
        self.log.info("{name} is killed", name=server.machine.name)
        await server.end(signal.SIGKILL)
        await wait(self._random.uniform(0.0, 3.0))
        await server.start()

    async def _stop(self) -> None:
        await stop_and_go([self._random.choice(self._servers)], self._random)

    async def _roll(self) -> None:
        for server in self._random.sample(self._servers, len(self._servers)):
            await server.end(signal.SIGTERM)
            await server.start()


class BalancerFaults:
    """
    What can be done to the balancer.
    """

    def __init__(self, balancer: Service, random: Random) -> None:
        self._balancer = balancer
        self._random = random

    def kinds(self) -> dict[str, Fault]:
        return {"kill balancer": self._kill, "stop balancer": self._stop}

    async def _kill(self) -> None:
        await self._balancer.end(signal.SIGKILL)
        await self._balancer.start()

    async def _stop(self) -> None:
        await stop_and_go([self._balancer], self._random)
