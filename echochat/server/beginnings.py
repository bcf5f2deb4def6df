"""
Where a new subscription begins.

The history is asked more than once for that, and every answer is of the log that there was when it was asked. When the
log does not go on where it has ended, which is told between two answers, a position of the one log would be taken for
one of the other: a head that is too high, and the hub would leave out all that comes below it, for everybody. So what
was found before is thrown away, and asked again.
"""

from dataclasses import dataclass

from echochat.chat.effects import Subscribe
from echochat.server.exchange import Exchange
from echochat.server.looking_back import find_last
from echochat.wire.commands import CommandError


@dataclass(frozen=True, slots=True)
class Beginning:
    """
    A subscription's first position, as long as nothing else has happened.

    :ivar head: the topic's last position.
    :ivar at: the position behind which the subscription begins.
    :ivar lost_after: what the subscriber had of another log, whose rest cannot be had any more.
    """

    head: int
    at: int
    lost_after: int | None


async def find_beginning(exchange: Exchange, wish: Subscribe) -> Beginning:
    """
    Where a subscription of a topic begins whose events have begun to come to the hub.

    :raises CommandError: it would begin where the topic has not got to.
    :raises HistoryUnavailable, HistoryCorrupt: the history cannot tell.
    """
    while True:
        interruptions = exchange.interruptions
        beginning = await _look(exchange, wish)
        if exchange.interruptions == interruptions:
            return beginning


async def _look(exchange: Exchange, wish: Subscribe) -> Beginning:
    history, now = exchange.history, exchange.hub.head
    # Read after that: what is above the head that it tells comes to the hub, what is not can be read.
    state = await history.topic(wish.topic)
    lost_after = None
    if wish.last:
        at = await find_last(history, wish.topic, wish.last, state.head)
    elif wish.after is None:
        at = state.head
    elif wish.epoch is not None and wish.epoch != history.epoch:
        at, lost_after = state.floor, wish.after
    elif wish.after > state.head:
        raise CommandError("bad-arguments", f"after= is beyond the last position, {state.head}")
    else:
        at = wish.after
    if at == state.head:
        # Of what the hub had been told before, nothing is the topic's behind its head: nothing has to be read.
        at = max(at, now)
    return Beginning(state.head, at, lost_after)
