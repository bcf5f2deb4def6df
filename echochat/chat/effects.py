"""
What a session asks of whoever carries its connection.

An effect that ends in a reply has the slot in which the reply belongs: fill it, once, whatever happens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from echochat.chat.events import Draft
from echochat.chat.replies import Slot
from echochat.wire.answers import Bye


@dataclass(frozen=True, slots=True)
class Close:
    """
    Send the replies that are due and then ``bye``, if there is one, and close.

    :ivar cause: for the log, in words.
    """

    cause: str
    bye: Bye | None = None


@dataclass(slots=True)
class Publish:
    """
    Have these stored, in this order: a run of publishes with nothing between them.

    :ivar acknowledgements: for each draft, its reply without the position and the end of the line.
    """

    slot: Slot
    drafts: list[Draft] = field(default_factory=list)
    acknowledgements: list[str] = field(default_factory=list)

    def acknowledge(self, positions: Sequence[int]) -> bytes:
        """
        The replies, when all are stored.
        """
        return "".join(
            [f"{done} {position}\r\n" for done, position in zip(self.acknowledgements, positions, strict=True)]
        ).encode()


@dataclass(frozen=True, slots=True)
class Subscribe:
    """
    Follow a topic, and fill the slot when it is known from where.

    :ivar after: the position behind which to begin; None: with what is published next.
    :ivar epoch: the log in which ``after`` is; None: in this one.
    :ivar last: begin so many events back instead; None: do not.
    :ivar watches: whether presence is asked for.
    """

    slot: Slot
    label: str | None
    topic: str
    after: int | None
    epoch: str | None
    last: int | None
    watches: bool


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """
    Follow a topic no more.
    """

    slot: Slot
    label: str | None
    topic: str


@dataclass(frozen=True, slots=True)
class ReadPast:
    """
    Read the ``last`` events of a topic before a position, or its newest.
    """

    slot: Slot
    label: str | None
    topic: str
    last: int
    before: int | None


@dataclass(frozen=True, slots=True)
class ListFollowers:
    """
    Tell who follows a topic.
    """

    slot: Slot
    label: str | None
    topic: str


@dataclass(frozen=True, slots=True)
class ListTopics:
    """
    Tell all topics that this person may read.
    """

    slot: Slot
    label: str | None


@dataclass(frozen=True, slots=True)
class Renamed:
    """
    This person has another name now. No reply is due.
    """

    old: str
    new: str


@dataclass(frozen=True, slots=True)
class LogIn:
    """
    Check a name and a password.
    """

    slot: Slot
    label: str | None
    name: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class UseToken:
    """
    Check a token, and whose it is.
    """

    slot: Slot
    label: str | None
    token: str = field(repr=False)


Effect = Close | LogIn | UseToken | Renamed | Publish | Subscribe | Unsubscribe | ReadPast | ListFollowers | ListTopics
