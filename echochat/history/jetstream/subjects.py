"""
How an event is written for the broker: its topic as a subject, the rest as a message.

A subject is the stream's name, a dot, and the topic as one token. What has a meaning in a subject (a dot, a wildcard,
white space), and whatever else a topic should never have, becomes ``=`` and two hexadecimal digits for each byte of its
UTF-8: no topic can name a subject outside its stream, nor two topics one subject.
"""

import re
from functools import lru_cache
from typing import Final

from echochat.history.records import Draft
from echochat.wire.names import is_name, is_text, is_topic

_OTHER: Final = re.compile(rb"[^A-Za-z0-9_@-]")
_ESCAPED: Final = re.compile(r"=([0-9A-F]{2})")

NO_TOPIC: Final = "=none"
"""
A token that is no topic's, and on which nothing is.
"""

PROBE: Final = "=probe"
"""
Another one, on which is what was written to see whether the stream takes it.
"""


class NotAnEvent(Exception):
    """
    This message was not published by a server of ours. Whoever may write to the stream can put anything there: no name,
    topic or text that no server would take may get past this, or it would act on the terminals of all.
    """


@lru_cache(4_096)
def token(topic: str) -> str:
    """
    A topic as one token of a subject.
    """
    return _OTHER.sub(lambda found: f"={found[0][0]:02X}".encode(), topic.encode()).decode()


@lru_cache(4_096)
def topic_of(subject: str) -> str:
    """
    The topic of a subject with two tokens.

    :raises NotAnEvent: no topic, or nothing that may be one, has this subject.
    """
    written = subject.partition(".")[2]
    raw = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), written)
    try:
        topic = raw.encode("latin-1").decode()
    except UnicodeError:
        raise NotAnEvent(f"{subject!r} is not a topic's subject") from None
    if token(topic) != written or not is_topic(topic):
        raise NotAnEvent(f"{subject!r} is not a topic's subject")
    return topic


def write(draft: Draft) -> bytes:
    """
    Time, name and text, each once and as they are.
    """
    return f"{draft.time} {draft.name} {draft.text}".encode()


def read(subject: str, payload: bytes) -> Draft:
    """
    The opposite.

    :raises NotAnEvent: this is not what :func:`write` has written.
    """
    try:
        time, name, text = payload.decode().split(" ", 2)
        draft = Draft(topic_of(subject), name, text, None, int(time))
    except ValueError:
        raise NotAnEvent(f"a message on {subject!r} is not an event") from None
    if not is_name(name) or not is_text(text):
        raise NotAnEvent(f"a message on {subject!r} has a name or a text that nobody may have published")
    return draft
