"""
What is done to a cluster, in an order that a seed decides. Whatever is broken is mended again within seconds.
"""

import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, Protocol

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from txaio.tx import make_logger

from tests.checker.cluster.brokers import Broker, Brokers
from tests.checker.cluster.network import Machine, Network

reactor: Any = _reactor

Fault = Callable[[], Awaitable[None]]

LONGEST_STOP: Final = 4.0
LONGEST_CUT: Final = 12.0
"""
Seconds. A leader without its followers notices after ten.
"""

RECOVERY: Final = 60.0
"""
Seconds after which events must be acknowledged again.
"""

_log = make_logger()


class Faults(Protocol):
    """
    What can be done to one part of a cluster.
    """

    def kinds(self) -> dict[str, Fault]:
        """
        :return: by name, what does it and mends it again.
        """


class BrokerFaults:
    """
    What can be done to brokers, and to the network between them and the others.

    :param companions: of these, one is with a broker that is cut off.
    """

    def __init__(self, brokers: Brokers, network: Network, random: Random, companions: list[Machine]) -> None:
        self._brokers = brokers
        self._network = network
        self._random = random
        self._companions = companions

    def kinds(self) -> dict[str, Fault]:
        kinds: dict[str, Fault] = {
            "kill leader": self._kill_leader,
            "kill broker": self._kill_any,
            "stop leader": self._stop_leader,
            "stop broker": self._stop_any,
            "roll brokers": self._roll,
        }
        if self._network.can_be_cut:
            kinds["cut off leader"] = self._cut_off_leader
            kinds["cut off broker"] = self._cut_off_any
        else:
            kinds["stop majority"] = self._stop_majority
        return kinds

    async def _kill_leader(self) -> None:
        await self._kill(await self._leader())

    async def _kill_any(self) -> None:
        await self._kill(self._any())

    async def _stop_leader(self) -> None:
        await stop_and_go([await self._leader()], self._random)

    async def _stop_any(self) -> None:
        await stop_and_go([self._any()], self._random)

    async def _stop_majority(self) -> None:
        await stop_and_go(self._random.sample(self._brokers.all, len(self._brokers.all) // 2 + 1), self._random)

    async def _cut_off_leader(self) -> None:
        await self._cut_off(await self._leader())

    async def _cut_off_any(self) -> None:
        await self._cut_off(self._any())

    async def _roll(self) -> None:
        await self._brokers.roll(self._random.sample(self._brokers.all, len(self._brokers.all)))

    async def _kill(self, broker: Broker) -> None:
        _log.info("{name} is killed", name=broker.name)
        await broker.end(signal.SIGKILL)
        await wait(self._random.uniform(0.0, 3.0))
        self._brokers.start_one(broker)

    async def _cut_off(self, broker: Broker) -> None:
        minority = [broker.machine]
        if self._companions:
            minority.append(self._random.choice(self._companions))
        # A companion is reached by clients still, or is not.
        planes = self._random.choice((["back"], ["back", "front"]))
        _log.info("{machines} are cut off on {planes}", machines=[each.name for each in minority], planes=planes)
        self._network.cut(minority, planes)
        try:
            await wait(self._random.uniform(1.0, LONGEST_CUT))
        finally:
            self._network.heal()

    async def _leader(self) -> Broker:
        return await self._brokers.leader() or self._any()

    def _any(self) -> Broker:
        return self._random.choice(self._brokers.all)


class Signalled(Protocol):
    """
    What takes signals.
    """

    machine: Machine

    def signal(self, number: int) -> None:
        """
        Send it one.
        """


async def stop_and_go(targets: Sequence[Signalled], random: Random) -> None:
    """
    Stop processes for a while, as a machine that swaps does; they know nothing of it.
    """
    for each in targets:
        _log.info("{name} is stopped", name=each.machine.name)
        each.signal(signal.SIGSTOP)
    try:
        await wait(random.uniform(0.1, LONGEST_STOP))
    finally:
        for each in targets:
            each.signal(signal.SIGCONT)


@dataclass
class Nemesis:
    """
    Does so many faults of all kinds, each kind as often as any other.

    :param progress: how many events were acknowledged so far.
    :param clock: the reactor, or a ``Clock``.
    :ivar done: how many of each kind.
    :ivar began: for each fault, its kind and when it began.
    :ivar recovery: for each fault, its kind and the seconds from its mending to the next acknowledgement.
    """

    log = make_logger()

    random: Random
    parts: Sequence[Faults]
    progress: Callable[[], int]
    clock: Any = reactor
    done: Counter[str] = field(default_factory=Counter)
    began: list[tuple[str, float]] = field(default_factory=list)
    recovery: list[tuple[str, float]] = field(default_factory=list)

    def __str__(self) -> str:
        kinds = ", ".join(f"{name} {number}" for name, number in sorted(self.done.items()))
        slowest = sorted(self.recovery, key=lambda each: -each[1])[:3]
        late = ", ".join(f"{seconds:.1f} s ({name})" for name, seconds in slowest)
        return f"{self.done.total()} faults: {kinds}; slowest to acknowledge again: {late}"

    def join(self, other: "Nemesis") -> None:
        """
        Count what another one did as done by this one.
        """
        self.done += other.done
        self.began = sorted([*self.began, *other.began], key=lambda each: each[1])
        self.recovery += other.recovery

    async def torment(self, number: int) -> None:
        """
        :raises AssertionError: nothing was acknowledged for long after a fault.
        """
        kinds = {name: fault for part in self.parts for name, fault in part.kinds().items()}
        upto = self.done.total() + number
        while (left := upto - self.done.total()) > 0:
            for name in self.random.sample([*kinds], min(left, len(kinds))):
                await deferLater(self.clock, self.random.uniform(0.1, 1.0))
                await self.do(name, kinds[name])

    async def do(self, name: str, fault: Fault) -> None:
        """
        Do one, and wait until something is acknowledged.

        :raises AssertionError: nothing was for long.
        """
        self.log.info("{name} begins", name=name)
        self.began.append((name, self.clock.seconds()))
        await fault()
        self.done[name] += 1
        self.log.info("{name} is over", name=name)
        self.recovery.append((name, await self.recovered(name)))

    async def recovered(self, name: str) -> float:
        """
        Wait until something more is acknowledged.
        """
        before, since = self.progress(), self.clock.seconds()
        while self.progress() == before:
            if self.clock.seconds() - since > RECOVERY:
                raise AssertionError(f"nothing was acknowledged within {RECOVERY:g} s after: {name}")
            await deferLater(self.clock, 0.02)
        return float(self.clock.seconds() - since)


def wait(seconds: float) -> Deferred[None]:
    """
    Do nothing for so long.
    """
    return deferLater(reactor, seconds)
