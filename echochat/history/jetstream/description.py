"""
How the consumer that a server wants is described to the broker.

The broker compares each filter with every other: 0.5 ms for 10 topics, 65 ms for 1,000, a second for 4,000 (nats-server
2.15). Beyond :data:`MOST_FILTERS` all topics are taken: the broker does not store more than some thousand events a
second when it syncs always, which is a tenth of what this side can receive. One consumer for each topic was the other
choice: a thousand of them for each server, all to be found again after a restart, and no order between topics.
"""

from collections.abc import Set
from typing import Final

from echochat.history.jetstream.api import Json
from echochat.history.jetstream.subjects import NO_TOPIC, token

MOST_FILTERS: Final = 1_000

HEARTBEAT: Final = 1.0
"""
Seconds of silence after which the broker says that there was nothing to say.
"""

_FORGOTTEN: Final = 30.0
"""
Seconds after which the broker forgets a consumer that nobody listens to.
"""

_NANOSECONDS: Final = 1_000_000_000


def takes_all(topics: Set[str]) -> bool:
    """
    Whether a consumer for these is sent all topics.
    """
    return len(topics) > MOST_FILTERS


def describe(stream: str, consumer: str, inbox: str, start: int, topics: Set[str]) -> Json:
    """
    :param inbox: the subject to which it pushes.
    :param start: the first position that it gives.
    :return: the request that makes it, or gives it other topics if it is there.
    """
    tokens = ["*"] if takes_all(topics) else [NO_TOPIC, *map(token, topics)]
    config = {
        "name": consumer,
        "deliver_subject": inbox,
        "deliver_policy": "by_start_sequence",
        "opt_start_seq": start,
        "filter_subjects": [f"{stream}.{each}" for each in tokens],
        "ack_policy": "none",
        "max_deliver": 1,
        "flow_control": True,
        "idle_heartbeat": int(HEARTBEAT * _NANOSECONDS),
        "inactive_threshold": int(_FORGOTTEN * _NANOSECONDS),
        "mem_storage": True,
        "num_replicas": 1,
    }
    return {"stream_name": stream, "config": config}
