"""
The control: publishers and subscribers with nothing but NATS's own client, to check what checks echochat.

A program of its own, because that client is asyncio's. It writes what happens to a file, a line of JSON each: a
publish, its acknowledgement, an event that a subscriber was given. It publishes until it reads a number of seconds, and
ends when each subscriber has what was acknowledged last, or after so many seconds without that::

    python -m tests.checker.cluster.plain JOURNAL HOST:PORT [HOST:PORT ...]
"""

import asyncio
import json
import random
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import nats
from nats.aio.client import Client
from nats.errors import Error, NoRespondersError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamConfig

from tests.checker.ledger import Ledger

STREAM: Final = "plain"
TOPICS: Final = ("topic-0", "topic-1", "topic-2")
PUBLISHERS: Final = 3
SUBSCRIBERS: Final = 2
PACE: Final = 0.01
LONGEST_PUBLISH: Final = 100.0
"""
Seconds in which a publish is repeated: the stream remembers for two minutes what it has had.
"""


class Load:
    """
    All of them.
    """

    def __init__(self, path: str, addresses: list[str]) -> None:
        self._journal = open(path, "a", buffering=1)  # noqa: SIM115 open for as long as the program runs
        self._addresses = [f"nats://{address}" for address in addresses]
        self._stopping = asyncio.Event()
        self._last = dict.fromkeys(TOPICS, 0)
        self._seen = {(f"subscriber-{number}", topic): 0 for number in range(SUBSCRIBERS) for topic in TOPICS}

    async def run(self) -> None:
        """
        Do it all.
        """
        client = await self._connect()
        subjects = [f"{STREAM}.*"]
        config = StreamConfig(name=STREAM, subjects=subjects, num_replicas=len(self._addresses))
        await client.jetstream(timeout=30).add_stream(config)
        print("the stream is there", flush=True)
        subscribers = [asyncio.create_task(self._subscribe(*each)) for each in self._seen]
        publishers = [asyncio.create_task(self._publish(f"publisher-{each}")) for each in range(PUBLISHERS)]
        patience = float(await asyncio.to_thread(sys.stdin.readline) or 0)
        self._stopping.set()
        await asyncio.gather(*publishers)
        # The others have seen what was lost since. One that comes now has not.
        late = {("auditor", topic): 0 for topic in TOPICS}
        self._seen.update(late)
        subscribers += [asyncio.create_task(self._subscribe(*each)) for each in late]
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline and any(seen < self._last[topic] for (_, topic), seen in self._seen.items()):
            await asyncio.sleep(0.05)
        for each in subscribers:
            each.cancel()

    async def _connect(self) -> Client:
        async def ignore(error: Exception) -> None:
            """
            What it may say is that a broker is away.
            """

        return await nats.connect(
            self._addresses, error_cb=ignore, max_reconnect_attempts=-1, reconnect_time_wait=0.2, ping_interval=1
        )

    def _note(self, *what: Any) -> None:
        self._journal.write(f"{json.dumps(what)}\n")

    async def _publish(self, name: str) -> None:
        stream = (await self._connect()).jetstream(timeout=2)
        number = 0
        while not self._stopping.is_set():
            number += 1
            topic, text = random.choice(TOPICS), f"{name} {number}"
            self._note("publishing", topic, text)
            deadline = time.monotonic() + LONGEST_PUBLISH
            while time.monotonic() < deadline:
                with suppress(Error, asyncio.TimeoutError):
                    stored = await stream.publish(f"{STREAM}.{topic}", text.encode(), headers={"Nats-Msg-Id": text})
                    self._note("stored", text, stored.seq)
                    self._last[topic] = max(self._last[topic], stored.seq)
                    break
                await asyncio.sleep(0.05)
            await asyncio.sleep(random.expovariate(1 / PACE))

    async def _subscribe(self, name: str, topic: str) -> None:
        stream = (await self._connect()).jetstream(timeout=2)
        while True:
            # A consumer of which nothing is known after a failure is left, and another one begins behind the last.
            with suppress(Error, asyncio.TimeoutError):
                config = ConsumerConfig(
                    deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                    opt_start_seq=self._seen[name, topic] + 1,
                    ack_policy=AckPolicy.NONE,
                    inactive_threshold=10,
                    mem_storage=True,
                    num_replicas=1,
                )
                pull = await stream.pull_subscribe(f"{STREAM}.{topic}", config=config)
                await self._pull(name, topic, pull)
            await asyncio.sleep(0.1)

    async def _pull(self, name: str, topic: str, pull: Any) -> None:
        latest = 0
        while True:
            try:
                messages = await pull.fetch(100, timeout=1)
            except (TimeoutError, NoRespondersError):
                return
            for message in messages:
                latest += 1
                if message.metadata.sequence.consumer != latest:
                    return  # what was sent while there was no connection did not arrive, and is not sent again
                position = message.metadata.sequence.stream
                if position <= self._seen[name, topic]:
                    self._note("repeated", name, topic, position, message.data.decode())
                    continue
                self._seen[name, topic] = position
                self._note("event", name, topic, position, message.data.decode())


def read(path: Path, ledger: Ledger) -> None:
    """
    Tell a ledger what the journal has.
    """
    for line in path.read_text().splitlines():
        what, *values = json.loads(line)
        if what == "publishing":
            ledger.publishing(*values)
        elif what == "stored":
            ledger.stored(*values)
        else:
            name, topic, position, text = values
            ledger.sight(name, topic).events.append((position, text))


if __name__ == "__main__":
    asyncio.run(Load(sys.argv[1], sys.argv[2:]).run())
