"""
Direct gets: messages by position and subject, straight from a broker that has them
(https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-31.md).
"""

import json
from dataclasses import dataclass
from typing import Any, Final

from echochat.broker import Broker, Message
from echochat.history.jetstream.api import NOT_FOUND, TIMEOUT, JetStreamError, ask

_END: Final = "204"
_NONE: Final = "404"


@dataclass(slots=True)
class Found:
    """
    Some messages, and how many more match behind them.
    """

    messages: list[Message]
    left: int

    @property
    def count(self) -> int:
        """
        How many match in all.
        """
        return len(self.messages) + self.left


class Direct:
    """
    Gets from one stream. All fail with BrokerUnavailable or JetStreamError.

    :ivar replicas: how many brokers keep it.
    """

    def __init__(self, broker: Broker, name: str) -> None:
        self.replicas = 1
        self._broker = broker
        self._name = name

    async def get(self, subject: str, start: int, limit: int, max_bytes: int = 1 << 20) -> Found:
        """
        The next messages of a subject from a position on.

        :param limit: at most so many.
        :param max_bytes: about so many, though at least one.
        """
        request = {"seq": max(start, 1), "next_by_subj": subject, "batch": limit, "max_bytes": max_bytes}
        where, payload = f"$JS.API.DIRECT.GET.{self._name}", json.dumps(request).encode()
        messages = await self._broker.gather(where, payload, TIMEOUT, _has_status)
        end = messages.pop()
        if end.status == _NONE:
            return Found([], 0)
        if end.status != _END:
            raise _refusal(end)
        return Found(messages, int(end.header("Nats-Num-Pending") or 0))

    async def first(self) -> int | None:
        """
        The position of the first message that there is; None: there is none.
        """
        return await self._one({"seq": 1, "next_by_subj": f"{self._name}.*"})

    async def last(self, subject: str) -> int:
        """
        The last position of a subject, as the leader knows it; 0: it has none.
        """
        if self.replicas == 1:
            return await self._one({"last_by_subj": subject}) or 0
        try:
            answer = await ask(self._broker, f"STREAM.MSG.GET.{self._name}", {"last_by_subj": subject})
        except JetStreamError as error:
            if error.number != NOT_FOUND:
                raise
            return 0
        return int(answer["message"]["seq"])

    async def _one(self, request: dict[str, Any]) -> int | None:
        where, payload = f"$JS.API.DIRECT.GET.{self._name}", json.dumps(request).encode()
        message = await self._broker.request(where, payload, TIMEOUT)
        if message.status == _NONE:
            return None
        if message.status:
            raise _refusal(message)
        return position_of(message)


def position_of(message: Message) -> int:
    """
    Where a message is in its stream.
    """
    return int(message.header("Nats-Sequence"))


def _has_status(message: Message) -> bool:
    return bool(message.status)


def _refusal(message: Message) -> JetStreamError:
    return JetStreamError({"description": f"{message.status} {message.header('Description')}"})
