"""
The machines that a run is on, and the network between them.

Where the machine allows it, each is a network namespace on two bridges, ``front`` with the clients, the balancer and
the servers, and ``back`` with the servers and the brokers. The run itself has an address on both. A partition takes
the links of some machines to bridges of their own: nothing is refused, nothing arrives. All of it is inside a
namespace of the run, so no address or name of it can meet another run's or the machine's own.

Elsewhere they are processes on 127.0.0.1, and nothing can be cut.
"""

import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from twisted.trial.unittest import TestCase

from tests.checker.cluster.namespaces import NotPermitted, enter_own_network
from tests.ports import free_port
from tests.processes import start_program

PLANES: Final = ("front", "back")

_ADDRESSES: Final = {"front": "198.18.0", "back": "198.18.1"}
"""
Of the block that RFC 2544 sets aside for tests of isolated networks.
"""


@dataclass(frozen=True)
class Machine:
    """
    Where programs run.

    :ivar addresses: its address on each plane that it is on.
    :ivar prefix: the beginning of a command that runs there.
    """

    name: str
    addresses: dict[str, str]
    prefix: tuple[str, ...] = ()

    def port(self, usual: int) -> int:
        """
        :return: a port to listen on: the usual one, where the machine is not shared.
        """
        if self.prefix:
            return usual
        return free_port(next(iter(self.addresses.values())))

    def command(self, *command: str) -> tuple[str, ...]:
        """
        :return: what runs the command there, and ends it when we end without being able to.
        """
        program = shutil.which("setpriv")
        tied = (program, "--pdeathsig", "KILL", "--") if program is not None else ()
        return (*self.prefix, *tied, *command)


class Network(Protocol):
    """
    Machines, and what can be done to the links between them.
    """

    can_be_cut: bool

    async def machine(self, name: str, planes: Iterable[str]) -> Machine:
        """
        Make one.
        """

    def cut(self, machines: Iterable[Machine], planes: Iterable[str]) -> None:
        """
        Leave these with each other, and with nobody else on these planes.
        """

    def heal(self) -> None:
        """
        Undo all that was cut.
        """


class Loopback:
    """
    All on 127.0.0.1.
    """

    can_be_cut = False

    def __str__(self) -> str:
        return "processes on loopback"

    async def machine(self, name: str, planes: Iterable[str]) -> Machine:
        return Machine(name, dict.fromkeys(planes, "127.0.0.1"))

    def cut(self, machines: Iterable[Machine], planes: Iterable[str]) -> None:
        raise NotPermitted("loopback cannot be cut")

    def heal(self) -> None:
        """
        Nothing was cut.
        """


class Bridged:
    """
    Each in a namespace, on bridges.

    :param test: the thread of its reactor is in the run's network until it ends.
    :raises NotPermitted: this machine does not allow it.
    """

    can_be_cut = True

    def __init__(self, test: TestCase) -> None:
        self._test = test
        self._number = 1
        self._aside: list[str] = []
        go_back = enter_own_network()
        try:
            _ip("link set lo up")
            for plane in PLANES:
                for bridge in (plane, f"{plane}-cut"):
                    _ip(f"link add {bridge} type bridge")
                    _ip(f"link set {bridge} up")
                _ip(f"address add {_ADDRESSES[plane]}.1/24 dev {plane}")
        except subprocess.CalledProcessError as error:
            go_back()
            raise NotPermitted(error.stderr) from error
        test.addCleanup(go_back)

    def __str__(self) -> str:
        return "network namespaces"

    async def machine(self, name: str, planes: Iterable[str]) -> Machine:
        self._number += 1
        # It ends when its input does: with us, if not before.
        keeper = start_program(self._test, "unshare", "--net", "sh", "-c", "echo made; exec cat")
        await keeper.until(b"made")
        prefix = ("nsenter", f"--net=/proc/{keeper.pid}/ns/net", "--")
        _ip("link set lo up", prefix)
        addresses = {}
        for plane in planes:
            addresses[plane] = f"{_ADDRESSES[plane]}.{self._number}"
            _ip(f"link add {name}-{plane} type veth peer name {plane} netns {keeper.pid}")
            _ip(f"address add {addresses[plane]}/24 dev {plane}", prefix)
            _ip(f"link set {plane} up", prefix)
            _ip(f"link set {name}-{plane} master {plane} up")
        return Machine(name, addresses, prefix)

    def cut(self, machines: Iterable[Machine], planes: Iterable[str]) -> None:
        chosen = [*planes]
        for machine in machines:
            for plane in machine.addresses:
                if plane in chosen:
                    _ip(f"link set {machine.name}-{plane} master {plane}-cut")
                    self._aside.append(f"{machine.name}-{plane}")

    def heal(self) -> None:
        for link in self._aside:
            _ip(f"link set {link} master {link.rpartition('-')[2]}")
        self._aside.clear()


def make_network(test: TestCase) -> Bridged | Loopback:
    """
    :return: the best that there can be here.
    """
    try:
        return Bridged(test)
    except NotPermitted:
        return Loopback()


def _ip(arguments: str, prefix: tuple[str, ...] = ()) -> None:
    # A few milliseconds: nothing that the reactor could not wait for.
    subprocess.run([*prefix, "ip", *arguments.split()], check=True, capture_output=True, timeout=10)
