"""
A real nats-server for tests: on loopback, on a port of its own, with JetStream that syncs always.
"""

import os
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SkipTest, TestCase

from echochat.broker import Broker, Message, parse_address
from tests.ports import free_port
from tests.processes import DEADLINE, Program, program_beside, start_program

reactor: Any = _reactor


class Nats:
    """
    One server, which may be stopped in any way and started again on the same port and store.

    :param settings: lines of its configuration besides the usual ones.
    :param sync: its ``sync_interval``.
    :param jetstream: whether it keeps streams.
    """

    def __init__(self, test: TestCase, settings: str = "", sync: str = "always", jetstream: bool = True) -> None:
        self._test = test
        self._folder = Path(test.mktemp()).resolve()
        self._folder.mkdir(parents=True)
        self._settings = settings
        self._sync = sync
        self._jetstream = jetstream
        self._program: Program | None = None
        self.port = free_port()

    async def start(self) -> "Nats":
        """
        Start, and wait until it takes connections.
        """
        lines = [f'listen: "127.0.0.1:{self.port}"', self._settings]
        if self._jetstream:
            lines.append(f'jetstream {{ store_dir: "{self._folder / "store"}", sync_interval: {self._sync} }}')
        path = self._folder / "nats.conf"
        path.write_text("\n".join(lines))
        binary = program_beside("nats-server")
        if binary is None:
            raise SkipTest("nats-server is not installed")
        self._program = start_program(self._test, binary, "--config", str(path))
        await self._program.until(rb"Server is ready")
        return self

    @property
    def address(self) -> str:
        """
        As an operator writes it.
        """
        return f"nats://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """
        The process that runs.
        """
        return self._running.pid

    async def kill(self) -> None:
        """
        As a power cut of the process alone would.
        """
        await self._running.stop(signal.SIGKILL)

    async def stop(self) -> None:
        """
        Politely.
        """
        await self._running.stop(signal.SIGTERM)

    def pause(self) -> None:
        """
        It keeps its connections, and does nothing.
        """
        self._running.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """
        After a pause.
        """
        self._running.send_signal(signal.SIGCONT)

    def has_messages(self) -> bool:
        """
        Whether its store has any.
        """
        return any(file.stat().st_size for file in (self._folder / "store").rglob("*.blk"))

    def empty_store(self) -> None:
        """
        Lose everything; while it does not run.
        """
        os.rename(self._folder / "store", self._folder / f"store-{os.urandom(4).hex()}")

    def save_store(self) -> None:
        """
        Keep a copy; while it does not run.
        """
        shutil.copytree(self._folder / "store", self._folder / "copy")

    def restore_store(self) -> None:
        """
        Put the copy back; while it does not run.
        """
        self.empty_store()
        shutil.copytree(self._folder / "copy", self._folder / "store")

    @property
    def _running(self) -> Program:
        assert self._program is not None, "it was not started"
        return self._program


class Connections:
    """
    A watcher, to be waited for.
    """

    def __init__(self) -> None:
        self.told: list[str] = []
        self._waiting: list[tuple[str, Deferred[None]]] = []

    def broker_connected(self) -> None:
        self._tell("connected")

    def broker_disconnected(self, why: str) -> None:
        self._tell(f"disconnected: {why}")

    def when(self, beginning: str) -> Deferred[None]:
        """
        :return: fires the next time that something is told that begins so.
        """
        waiting: Deferred[None] = Deferred()
        self._waiting.append((beginning, waiting))
        return waiting.addTimeout(DEADLINE, reactor, lambda *_: self._fail(beginning))

    def _fail(self, beginning: str) -> None:
        raise AssertionError(f"was not told {beginning!r}, but {self.told}")

    def _tell(self, what: str) -> None:
        self.told.append(what)
        for each in [each for each in self._waiting if what.startswith(each[0])]:
            self._waiting.remove(each)
            each[1].callback(None)


class Inbox:
    """
    What came for a subscription, to be waited for.
    """

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.batches = 0
        self._waiting: list[tuple[int, Deferred[None]]] = []

    def __call__(self, messages: Sequence[Message]) -> None:
        self.batches += 1
        self.messages.extend(messages)
        for each in [each for each in self._waiting if len(self.messages) >= each[0]]:
            self._waiting.remove(each)
            each[1].callback(None)

    def when(self, number: int) -> Deferred[None]:
        """
        :return: fires when there are so many messages.
        """
        waiting: Deferred[None] = Deferred()
        if len(self.messages) >= number:
            waiting.callback(None)
            return waiting
        self._waiting.append((number, waiting))
        return waiting.addTimeout(DEADLINE, reactor)

    @property
    def payloads(self) -> list[bytes]:
        return [message.payload for message in self.messages]


async def connected(test: TestCase, address: str) -> tuple[Broker, Connections]:
    """
    :return: a broker that has a connection, and ends with the test.
    """
    broker, connections = Broker(reactor, parse_address(address)), Connections()
    broker.watch(connections)
    test.addCleanup(broker.stop)
    up = connections.when("connected")
    broker.start()
    await up
    return broker, connections
