"""
The stream: made where there is none, checked and brought up to date where there is one.
"""

import json
import secrets
from dataclasses import dataclass
from typing import Final

from txaio.tx import make_logger

from echochat.broker import Broker, NobodyAnswers
from echochat.history.jetstream.api import STREAM_NAME_IN_USE, STREAM_NOT_FOUND, TIMEOUT, JetStreamError, Json, ask
from echochat.history.jetstream.settings import Settings
from echochat.history.jetstream.subjects import PROBE
from echochat.history.records import EVERYTHING

_EPOCH: Final = "echochat-epoch"
_TRIMMED: Final = "echochat-trimmed"

_OLDEST_BROKER: Final = (2, 11)
"""
The first that answers a direct get with many messages.
"""

_NANOSECONDS: Final = 1_000_000_000
_LONGEST_AGE: Final = 9_000_000_000


class StreamRefused(Exception):
    """
    The stream cannot be had, or not as it must be; the first argument is a piece of a sentence for the operator.
    """


class NoStream(StreamRefused):
    """
    There is none, and whoever only reads makes none.
    """


class StreamChanged(Exception):
    """
    The stream is not the one that it was, or has lost its last events.
    """


@dataclass(frozen=True, slots=True)
class Found:
    """
    The stream as it was found, or made.

    :param first: the position of its first event, as far as there is one: all below it has been removed.
    :param last: the last position that it gave.
    :param trimmed: up to here events may have been removed from the middle, under a bound that was lower than now.
    :param messages: how many it has.
    :param events: how many a topic may have; 0: there is no bound.
    :param replicas: how many brokers keep it.
    """

    epoch: str
    first: int
    last: int
    trimmed: int
    messages: int
    events: int
    replicas: int

    def has_all_behind(self, position: int) -> bool:
        """
        Whether nothing can have been removed behind a position: neither with all before it, nor of a topic that has
        got more events since than it may have.
        """
        return self.first <= position + 1 and not 0 < self.events <= self.last - position


class Stream:
    """
    Finds the stream.
    """

    log = make_logger()

    def __init__(self, broker: Broker, settings: Settings) -> None:
        self._broker = broker
        self._settings = settings
        self._warned = False

    async def prepare(self) -> Found:
        """
        Make the stream if it is not there, and have it kept as the settings say.

        :raises StreamRefused: that is not possible.
        :raises NoStream: it is not there, and is only to be read.
        :raises BrokerUnavailable: the broker does not answer.
        """
        self._require_version()
        try:
            info = await self._info()
            if info is None and self._settings.retention == EVERYTHING:
                raise NoStream(f"the broker has no stream {self._settings.name}")
            if info is None:
                info = await self._create()
            self._require_ours(info["config"])
            return _found(await self._update(info))
        except JetStreamError as error:
            raise StreamRefused(f"the stream {self._settings.name} cannot be had: {error}") from error
        except NobodyAnswers as error:
            raise StreamRefused("it has no JetStream, or none that this user may use, or none for now") from error
        finally:
            self._warn()

    async def look(self) -> Found:
        """
        The stream as it is now.

        :raises JetStreamError: it is not there.
        :raises BrokerUnavailable: the broker does not answer.
        """
        return _found(await ask(self._broker, f"STREAM.INFO.{self._settings.name}"))

    async def reached(self) -> int:
        """
        A position that the stream has now, beyond doubt: something is written, which is no event.

        A broker that led and was stopped, or cut off from the others, says for some seconds what was true when it did:
        only what most of them have acknowledged is true now.

        :raises JetStreamError: it is not taken.
        :raises BrokerUnavailable: it is not acknowledged.
        """
        subject = f"{self._settings.name}.{PROBE}"
        answer: Json = json.loads((await self._broker.request(subject, b"", TIMEOUT)).payload)
        if "error" in answer:
            raise JetStreamError(answer["error"])
        return int(answer["seq"])

    async def rename(self) -> Found:
        """
        Give the stream another epoch: it has lost events, and will give their positions to others.

        :raises JetStreamError, BrokerUnavailable: that is not possible now.
        """
        info = await ask(self._broker, f"STREAM.INFO.{self._settings.name}")
        config: Json = info["config"]
        config["metadata"] = {**_ours(config), _EPOCH: secrets.token_hex(6)}
        return _found(await ask(self._broker, f"STREAM.UPDATE.{self._settings.name}", config))

    async def _info(self) -> Json | None:
        try:
            return await ask(self._broker, f"STREAM.INFO.{self._settings.name}")
        except JetStreamError as error:
            if error.number != STREAM_NOT_FOUND:
                raise
            return None

    async def _create(self) -> Json:
        name = self._settings.name
        config = {
            "name": name,
            "subjects": [f"{name}.*"],
            "storage": "file",
            "retention": "limits",
            "discard": "old",
            "allow_direct": True,
            **self._kept(),
            "metadata": {_EPOCH: secrets.token_hex(6)},
        }
        try:
            info = await ask(self._broker, f"STREAM.CREATE.{name}", config)
        except JetStreamError as error:
            if error.number != STREAM_NAME_IN_USE:
                raise
            # Another server was faster.
            return await ask(self._broker, f"STREAM.INFO.{name}")
        self.log.info("made the stream {name}, epoch {epoch}", name=name, epoch=config["metadata"][_EPOCH])
        return info

    async def _update(self, info: Json) -> Json:
        config: Json = info["config"]
        kept = self._kept() if self._settings.retention != EVERYTHING else {}
        different = {key: value for key, value in kept.items() if config.get(key) != value}
        if not different:
            return info
        metadata = _ours(config)
        if 0 < config["max_msgs_per_subject"] < kept["max_msgs_per_subject"]:
            metadata[_TRIMMED] = str(info["state"]["last_seq"])
        changed = {**config, **kept, "metadata": metadata}
        self.log.info("the stream {name} is kept otherwise from now on: {new}", name=config["name"], new=different)
        return await ask(self._broker, f"STREAM.UPDATE.{config['name']}", changed)

    def _kept(self) -> Json:
        retention = self._settings.retention
        # The broker refuses a window that is longer than events are kept.
        window = min(self._settings.deduplication.seconds, retention.age)
        return {
            "num_replicas": self._settings.replicas,
            "max_age": int(min(retention.age, _LONGEST_AGE) * _NANOSECONDS),
            "max_bytes": retention.size,
            "max_msgs_per_subject": retention.events,
            "duplicate_window": int(window * _NANOSECONDS),
        }

    def _require_version(self) -> None:
        written = str(self._broker.server.get("version", "0"))
        version = tuple(int(part) for part in written.split("-")[0].split(".")[:2] if part.isdigit())
        if version < _OLDEST_BROKER:
            oldest = ".".join(map(str, _OLDEST_BROKER))
            raise StreamRefused(f"it is nats-server {written}, and {oldest} is the oldest that will do")

    def _require_ours(self, config: Json) -> None:
        name = self._settings.name
        if _EPOCH not in (config.get("metadata") or {}):
            raise StreamRefused(f"it has a stream {name} that is not echochat's: name another as nats://HOST:PORT/NAME")
        if config["subjects"] != [f"{name}.*"] or not config.get("allow_direct"):
            raise StreamRefused(f"somebody has changed the subjects of the stream {name}, or its direct access")
        if config.get("persist_mode") == "async":
            raise StreamRefused(f"the stream {name} has persist_mode async: it acknowledges what is not on disk")

    def _warn(self) -> None:
        if self._warned or self._broker.address.synced:
            return
        self._warned = True
        self.log.warn(
            "A client cannot see whether the broker at {address} syncs always, and by default it does not: a power cut "
            "may then lose up to two minutes of acknowledged events. Have jetstream {{ sync_interval: always }} in the "
            "configuration of each broker, and say so by sync=always in the address",
            address=self._broker.address,
        )


def _ours(config: Json) -> dict[str, str]:
    """
    The metadata without what the broker itself adds.
    """
    return {key: value for key, value in config["metadata"].items() if not key.startswith("_nats.")}


def _found(info: Json) -> Found:
    state, metadata = info["state"], info["config"].get("metadata") or {}
    trimmed = metadata.get(_TRIMMED, "0")
    return Found(
        epoch=str(metadata.get(_EPOCH, "")),
        # A stream that is empty has no first one: 0 when it is new, one more than the last when all were removed.
        first=max(1, state["first_seq"]),
        last=state["last_seq"],
        trimmed=int(trimmed) if trimmed.isdigit() else 0,
        messages=state["messages"],
        events=max(0, info["config"]["max_msgs_per_subject"]),
        replicas=info["config"]["num_replicas"],
    )
