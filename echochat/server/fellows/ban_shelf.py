"""
Where bans are kept when no server runs: a stream of the broker, with the last record of each name and address.

The servers do not hear of bans by it, they tell one another: what is read from the stream is what was decided before
any of them was started. So it is read with each new connection, and whatever is known better here is written then.

Several servers write at the same time, and the stream does not know which record counts: each is written only if what
it replaces is still what was there when they were compared.
"""

import json
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.python.failure import Failure
from txaio.tx import make_logger

from echochat.broker import BrokerUnavailable, Message
from echochat.chat.ban_book import BanRecord
from echochat.chat.fellows.encoding import MalformedMessage, read_record, write_record
from echochat.server.bans import time_of_day

PATIENCE: Final = 5.0
"""
Seconds for each answer of the broker.
"""

AT_ONCE: Final = 500
"""
Records that are read with one question.
"""

FORGOTTEN: Final = 86_400_000
"""
Milliseconds after which a ban that has ended, or was lifted, is not kept any more.
"""

ATTEMPTS: Final = 8
"""
How often a record is compared and written while others write records of the same name.
"""

_EXISTS_OTHERWISE: Final = 10058
_NO_MESSAGE: Final = 10037
_REPLACED: Final = frozenset({10071, 10164})

_END: Final = "204"
_NONE: Final = "404"


class Asking(Protocol):
    """
    The connection to the broker, as far as it is needed: see :class:`echochat.broker.Broker`.
    """

    def request(
        self, subject: str, payload: bytes, timeout: float, headers: Mapping[str, str] | None = None
    ) -> Deferred[Message]: ...
    def gather(
        self, subject: str, payload: bytes, timeout: float, is_last: Callable[[Message], bool]
    ) -> Deferred[list[Message]]: ...


class _Refused(Exception):
    """
    The broker does not do it; it says why.
    """


class BanShelf:
    """
    Keeps records of bans.

    :param bus: the connection to the broker.
    :param name: of the stream; its subjects begin with it.
    :param replicas: on how many brokers it is kept.
    :param wall: the time of day, in milliseconds since the epoch.
    """

    log = make_logger()

    def __init__(self, bus: Asking, name: str, replicas: int, wall: Callable[[], int] = time_of_day) -> None:
        self._bus = bus
        self._name = name
        self._replicas = replicas
        self._wall = wall
        self._looking: Deferred[None] | None = None
        self._waiting: list[Deferred[None]] = []

    def look(self, known: Iterable[BanRecord], learn: Callable[[BanRecord], object]) -> Deferred[None]:
        """
        There is a connection: read what is there, and write what is known better.

        :param known: what is known here, when it is asked for.
        :param learn: is told of each record.
        :return: fires when that is done, or cannot be.
        """
        self.leave()
        self._looking = Deferred.fromCoroutine(self._look(known, learn))
        return self._looking.addErrback(self._failed).addCallback(self._over)

    def when_looked(self) -> Deferred[None]:
        """
        :return: fires when nothing is being read: what could be had is known.
        """
        if self._looking is None:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def leave(self) -> None:
        """
        There is no connection any more.
        """
        looking, self._looking = self._looking, None
        if looking is not None:
            looking.cancel()

    def put(self, record: BanRecord) -> Deferred[bool]:
        """
        Keep a record. What cannot be kept now is with the next connection.

        :return: whether the broker keeps it, or one that overrules it; never fails. Can be cancelled, and is not kept
            now then.
        """
        # Before that there may be no stream.
        kept = self.when_looked().addCallback(lambda _: Deferred.fromCoroutine(self._put(record)))
        return kept.addCallbacks(lambda _: True, self._not_put)

    # Ours

    async def _look(self, known: Iterable[BanRecord], learn: Callable[[BanRecord], object]) -> None:
        await self._make()
        kept: dict[str, BanRecord] = {}
        wall = self._wall()
        for number, record in await self._read():
            if record.is_in_force(wall) or max(record.version, record.until or 0) > wall - FORGOTTEN:
                kept[record.who] = record
                learn(record)
            else:
                await self._remove(number)
        for record in [*known]:
            there = kept.get(record.who)
            if record.overrules(there) if there is not None else record.is_in_force(wall):
                await self._put(record)

    async def _make(self) -> None:
        wanted = {
            "name": self._name,
            "subjects": [f"{self._name}.*"],
            "storage": "file",
            "retention": "limits",
            "discard": "old",
            "max_msgs_per_subject": 1,
            "allow_direct": True,
            "num_replicas": self._replicas,
        }
        try:
            await self._ask(f"STREAM.CREATE.{self._name}", wanted)
        except _Refused as error:
            # Somebody has set it otherwise, which is theirs to do.
            if error.args[1] != _EXISTS_OTHERWISE:
                raise

    async def _read(self) -> list[tuple[int, BanRecord]]:
        """
        All records, and the numbers that they have in the stream.
        """
        records: list[tuple[int, BanRecord]] = []
        begin = 1
        while begin:
            begin = await self._read_some(begin, records)
        return records

    async def _read_some(self, begin: int, records: list[tuple[int, BanRecord]]) -> int:
        """
        :return: where to go on; 0: there are no more.
        """
        # Several answers to one question, the last of which has a status: ADR-31 of NATS, "batched requests".
        question = json.dumps({"seq": begin, "next_by_subj": f"{self._name}.*", "batch": AT_ONCE}).encode()
        *messages, last = await self._bus.gather(f"$JS.API.DIRECT.GET.{self._name}", question, PATIENCE, _has_status)
        if last.status not in (_END, _NONE):
            raise _Refused(f"{last.status} {last.header('Description')}".rstrip(), None)
        for message in messages:
            number = int(message.header("Nats-Sequence"))
            begin = number + 1
            try:
                records.append((number, read_record(message.payload)))
            except MalformedMessage as error:
                self.log.error("a ban that the broker keeps cannot be read: {why}", why=str(error))
        return begin if int(last.header("Nats-Num-Pending") or 0) else 0

    def _over(self, _: None) -> None:
        self._looking = None
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)

    async def _remove(self, number: int) -> None:
        try:
            await self._ask(f"STREAM.MSG.DELETE.{self._name}", {"seq": number, "no_erase": True})
        except _Refused:
            # Another server has done so already, or something else was decided meanwhile.
            return

    async def _put(self, record: BanRecord) -> None:
        subject = f"{self._name}.{record.who.encode().hex()}"
        for _ in range(ATTEMPTS):
            number, there = await self._find(subject)
            if there is not None and not record.overrules(there):
                return
            only_behind = {"Nats-Expected-Last-Subject-Sequence": str(number)}
            try:
                _check(await self._bus.request(subject, write_record(record), PATIENCE, only_behind))
            except _Refused as error:
                if error.args[1] not in _REPLACED:
                    raise
            else:
                return
        raise _Refused("others write the same record again and again", None)

    async def _find(self, subject: str) -> tuple[int, BanRecord | None]:
        """
        The number of a subject's last message, 0 if there is none, and the record in it, if it can be read.
        """
        try:
            # By the leader, who alone has what was just written.
            message = (await self._ask(f"STREAM.MSG.GET.{self._name}", {"last_by_subj": subject}))["message"]
        except _Refused as error:
            if error.args[1] != _NO_MESSAGE:
                raise
            return 0, None
        try:
            return message["seq"], read_record(b64decode(message.get("data", "")))
        except MalformedMessage:
            return message["seq"], None

    async def _ask(self, what: str, question: Mapping[str, Any]) -> Mapping[str, Any]:
        return _check(await self._bus.request(f"$JS.API.{what}", json.dumps(question).encode(), PATIENCE))

    def _not_put(self, failure: Failure) -> bool:
        self._failed(failure)
        return False

    def _failed(self, failure: Failure) -> None:
        why = failure.value
        if isinstance(why, CancelledError):
            return
        if isinstance(why, BrokerUnavailable | _Refused):
            self.log.warn("bans are not kept at the broker for now: {why}", why=why.args[0])
            return
        self.log.failure("bans cannot be kept", failure)


def _check(message: Message) -> Mapping[str, Any]:
    answer: Mapping[str, Any] = json.loads(message.payload)
    error = answer.get("error")
    if error is not None:
        raise _Refused(error.get("description"), error.get("err_code"))
    return answer


def _has_status(message: Message) -> bool:
    return bool(message.status)
