"""
What there is: the topics, and who follows one.
"""

from collections.abc import Callable
from typing import Final

from echochat.chat.effects import ListFollowers, ListTopics
from echochat.chat.hub import Hub
from echochat.server.exchange import Exchange
from echochat.wire.answers import Err, Here, Ok, TopicLine
from echochat.wire.commands import CommandError

MOST_LISTED: Final = 10_000
"""
Topics, and followers of a topic, that are listed: the answer is made in one turn, and has to be held.
"""


def list_followers(hub: Hub, wish: ListFollowers) -> bytes:
    """
    The answer to ``/who``.
    """
    names = hub.who(wish.topic)
    if len(names) > MOST_LISTED:
        return Err("too-many", f"{len(names)} follow it: {MOST_LISTED} can be listed", wish.label).encode()
    lines = [Here(wish.topic, name, wish.label).encode() for name in names]
    lines.append(Ok("who", f"{wish.topic} {len(names)}", wish.label).encode())
    return b"".join(lines)


async def list_topics(exchange: Exchange, reads: Callable[[str], bool], wish: ListTopics) -> bytes:
    """
    The answer to ``/topics``.

    :param reads: tells whether a topic may be read by whoever asks.
    :raises CommandError: there are too many.
    :raises HistoryUnavailable: the history cannot tell.
    """
    hub = exchange.hub
    states = await exchange.topics()
    if len(states) > MOST_LISTED:
        raise CommandError("too-many", f"there are {len(states)} topics: {MOST_LISTED} can be listed")
    heads = {state.topic: state.head for state in states}
    # One that is followed and was never published to exists, too.
    heads.update((topic, 0) for topic in hub.followed if topic not in heads)
    lines = [
        TopicLine(topic, head, hub.followers(topic), wish.label).encode()
        for topic, head in sorted(heads.items())
        if reads(topic)
    ]
    lines.append(Ok("topics", str(len(lines)), wish.label).encode())
    return b"".join(lines)
