"""
Balancers as processes, each told in its own words to do the same.
"""

import signal
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from twisted.internet.task import deferLater
from twisted.trial.unittest import SkipTest, TestCase

from tests.balancer.scenarios.ends import reactor
from tests.balancer.scenarios.sockets import is_listening
from tests.ports import free_port
from tests.processes import DEADLINE, Program

HAND_OVER: Final = ("echochat-lb",)
"""
Who can give a connection itself to a backend.
"""


class NotThere(SkipTest):
    """
    This balancer has no such thing. The message says what.
    """


@dataclass(frozen=True)
class Member:
    """
    A backend, as a balancer is told of it.

    :ivar control: the control socket of the echochat server there.
    :ivar handoff: the path of the socket over which it takes connections, instead of on a port.
    """

    name: str
    port: int
    weight: int = 1
    most: int = 0
    backup: bool = False
    control: str | None = None
    handoff: str | None = None

    @property
    def endpoint(self) -> str:
        """
        Where it is, as an endpoint string.
        """
        return f"tcp:127.0.0.1:{self.port}" if self.handoff is None else f"handoff:{self.handoff}"


@dataclass(frozen=True)
class Setup:
    """
    What a balancer is to do; times in seconds.

    :ivar checks: whether backends are looked at, every ``interval``.
    :ivar trusted: who may send PROXY headers, and has to; None: nobody.
    :ivar rebalance: whether sessions move to a backend that has joined, over ``drain``.
    :ivar send_proxy: which PROXY header backends get: ``v1`` or ``v2``.
    """

    members: tuple[Member, ...]
    checks: bool = True
    interval: float = 0.2
    connect_timeout: float = 5.0
    queue_timeout: float = 5.0
    slow_start: float = 0.0
    trusted: str | None = None
    send_proxy: str | None = None
    rebalance: bool = False
    drain: float = 0.0


class Proxy:
    """
    A balancer that runs; :meth:`start` starts it.

    :ivar port: where it listens.
    """

    title: ClassVar[str]
    reload_signal: ClassVar[int] = signal.SIGHUP
    waited_in_vain: ClassVar[bytes]
    """What its log says of a client for whom no place came free."""

    program: Program

    def __init__(self, test: TestCase, folder: Path, setup: Setup) -> None:
        self._test = test
        self.folder = folder
        self.setup = setup
        self.port = free_port()

    @staticmethod
    @abstractmethod
    def absent() -> str | None:
        """
        Why it cannot be tried here.
        """

    @abstractmethod
    def configure(self) -> Sequence[str]:
        """
        Write its configuration, and return its command line.
        """

    async def counts(self) -> dict[str, int]:
        """
        How many connections it says that each backend has.
        """
        raise NotThere("it does not tell its counts")

    async def down(self) -> set[str]:
        """
        Which backends it says are down.
        """
        raise NotThere("it does not tell its backends' states")

    async def drain(self, name: str, seconds: float) -> None:
        """
        Give the backend no new connections, and have its sessions move within this time.
        """
        raise NotThere("it cannot ask sessions to move")

    async def ready(self, name: str) -> None:
        """
        Give it connections again.
        """
        raise NotThere("it cannot ask sessions to move")

    async def add(self, member: Member) -> None:
        """
        Have one more backend.
        """
        raise NotThere("backends are added by a reload")

    async def start(self) -> None:
        """
        Start it, and wait until it listens.
        """
        if self.title not in HAND_OVER and any(member.handoff is not None for member in self.setup.members):
            raise NotThere("it hands no connection over")
        self.program = Program(self.configure(), {}, str(self.folder))
        self._test.addCleanup(self.program.stop, signal.SIGKILL)
        # Those that have children end them when they are asked to, and not when they are killed.
        self._test.addCleanup(self.program.stop)
        await self._until_it_listens()

    async def reload(self, setup: Setup) -> None:
        """
        Read another configuration. What tells that it was read differs, so it may be a moment until it counts.
        """
        self.setup = setup
        self.configure()
        self.program.send_signal(self.reload_signal)

    def memory(self) -> int:
        """
        Bytes that its processes have written to and share with nobody.
        """
        return sum(_private(pid) for pid in self._pids())

    # Ours

    def _pids(self) -> list[int]:
        children = Path(f"/proc/{self.program.pid}/task/{self.program.pid}/children").read_text().split()
        return [self.program.pid, *map(int, children)]

    async def _until_it_listens(self) -> None:
        # A connection that tried it would be counted, so the kernel is asked, again and again.
        for _ in range(int(DEADLINE / 0.02)):
            if is_listening(self.port):
                return
            if self.program.exit_code is not None:
                break
            await deferLater(reactor, 0.02)
        raise AssertionError(f"{self.title} does not listen: {self.program.output.decode(errors='replace')}")


def _private(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Private_Dirty:"):
            return int(line.split()[1]) * 1024
    return 0
