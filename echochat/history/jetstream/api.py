"""
Ask JetStream: requests and answers are JSON (https://docs.nats.io/reference/reference-protocols/nats_api_reference).
"""

import json
from typing import Any, Final

from echochat.broker import Broker

TIMEOUT: Final = 5.0
"""
Seconds that an answer may take.
"""

NOT_FOUND: Final = 10037
STREAM_NAME_IN_USE: Final = 10058
STREAM_NOT_FOUND: Final = 10059

Json = dict[str, Any]


class JetStreamError(Exception):
    """
    The broker has answered that it does not.

    :ivar number: of the error (https://github.com/nats-io/nats-server/blob/main/server/errors.json).
    """

    def __init__(self, error: Json) -> None:
        super().__init__(str(error.get("description", "an error without a description")))
        self.number = int(error.get("err_code", 0))


async def ask(broker: Broker, what: str, request: Json | None = None, timeout: float = TIMEOUT) -> Json:
    """
    :param what: for instance ``STREAM.INFO.name``.
    :raises JetStreamError: it refuses.
    :raises BrokerUnavailable: it does not answer.
    """
    payload = b"" if request is None else json.dumps(request).encode()
    answer: Json = json.loads((await broker.request(f"$JS.API.{what}", payload, timeout)).payload)
    if "error" in answer:
        raise JetStreamError(answer["error"])
    return answer
