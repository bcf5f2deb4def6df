"""
Who is at the other end of a connection, and what they may do.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from math import ceil
from typing import Final

from echochat.chat.effects import Renamed
from echochat.chat.people import People
from echochat.chat.policy import Allowance, Permissions, may_read
from echochat.wire.commands import CommandError

GUEST: Final = "guest"


class Need(Enum):
    """
    What a line needs of whoever sends it.
    """

    NOTHING = "nothing"
    # What harms nobody: servers may allow it to guests, and nothing else.
    ECHO = "echo"
    ALL = "all"


@dataclass(slots=True)
class Commons:
    """
    What all sessions of a server share.

    :ivar wall: the time of day, in milliseconds since the epoch: for timestamps only.
    :ivar now: seconds of a clock that never jumps: for everything else.
    :ivar guests: what those may do who have not logged in: ``yes``, everything; ``echo``, what harms nobody; ``no``,
        nothing but log in.
    :ivar permissions_of: what somebody may do with topics; None: there are no access rules.
    """

    people: People
    wall: Callable[[], int]
    now: Callable[[], float]
    guests: str = "yes"
    permissions_of: Callable[["Person"], Permissions | None] | None = None


class Person:
    """
    A guest at first, and somebody when they have shown that they are.

    :param allowance: what a guest may publish; None: as much as they like.
    :ivar kind: ``guest``, ``password``, ``certificate`` or ``token``.
    :ivar is_private: whether nobody can listen in: encrypted, or on one machine. Secrets are taken only then.
    :ivar follows_inbox: whether there is a subscription that goes with the name.
    :ivar failures: logins of this connection that failed.
    """

    __slots__ = (
        "_allowance",
        "_ask_permissions",
        "_commons",
        "_name",
        "_permissions",
        "failures",
        "follows_inbox",
        "is_private",
        "kind",
    )

    def __init__(self, commons: Commons, allowance: Allowance | None) -> None:
        self._commons = commons
        self._allowance = allowance
        self._name: str | None = None
        self._permissions: Permissions | None = None
        self._ask_permissions: Callable[[], Permissions | None] | None = None
        self.kind = GUEST
        self.is_private = True
        self.failures = 0
        self.follows_inbox = False

    @property
    def name(self) -> str:
        """
        This person's name. A guest is given one when it is first asked for: most connections never show theirs.
        """
        if self._name is None:
            self._name = self._commons.people.admit_guest()
        return self._name

    @property
    def known_name(self) -> str | None:
        """
        This person's name, if it was ever asked for.
        """
        return self._name

    @property
    def is_limited(self) -> bool:
        """
        Whether a publish has to be asked for by itself: it may be one too many, or not be allowed.
        """
        return (self.kind == GUEST and self._allowance is not None) or self.permissions is not None

    @property
    def permissions(self) -> Permissions | None:
        """
        What this person may do with topics; None: whatever the protocol allows.
        """
        if self._permissions is None:
            if self._ask_permissions is not None:
                self._permissions = self._ask_permissions()
            elif self._commons.permissions_of is not None:
                self._permissions = self._commons.permissions_of(self)
        return self._permissions

    def forget_permissions(self) -> None:
        """
        The rules have changed: ask for them again.
        """
        self._permissions = None

    def rename(self, name: str) -> Renamed:
        """
        Take another name, as guests may.

        :raises NameTaken: the old one is kept.
        """
        old = self.name
        self._commons.people.rename(old, name)
        self._name = name
        self._permissions = None
        return Renamed(old, name)

    def become(self, name: str, kind: str, ask_permissions: Callable[[], Permissions | None]) -> Renamed | None:
        """
        This person has shown who they are.

        :param ask_permissions: tells what they may do with topics as the rules are then; None: whatever the protocol
            allows.
        :return: what follows of it, when others knew them as a guest.
        """
        old = self._name
        if old is not None and self.kind == GUEST:
            self._commons.people.release(old)
        self._commons.people.reserve(name)
        self._name, self.kind = name, kind
        self._ask_permissions, self._permissions = ask_permissions, None
        return Renamed(old, name) if old is not None else None

    def leave(self) -> None:
        """
        This person has gone.
        """
        if self._name is not None and self.kind == GUEST:
            self._commons.people.release(self._name)

    def lacks(self, need: Need) -> bool:
        """
        Tell whether a line with this need is refused until this person logs in.
        """
        guests = self._commons.guests
        if guests == "yes" or self.kind != GUEST or need is Need.NOTHING:
            return False
        return guests == "no" or need is Need.ALL

    def require(self, need: Need) -> None:
        """
        :raises CommandError: ``not-logged-in``.
        """
        if self.lacks(need):
            raise CommandError("not-logged-in", "log in first: /login NAME SECRET, or /token TOKEN")

    def require_read(self, topic: str) -> None:
        """
        :raises CommandError: ``denied``, this person may not read the topic.
        """
        if not may_read(self.name, topic):
            raise CommandError("denied", "an inbox is read by its owner only")
        if not self.reads(topic):
            raise CommandError("denied", "you may not read that topic")

    def reads(self, topic: str) -> bool:
        """
        Tell whether this person may read a topic.
        """
        permissions = self.permissions
        allowed = permissions is None or permissions.may_read(topic)
        return allowed and may_read(self.name, topic) and not self.lacks(Need.ALL)

    def require_publish(self, topic: str) -> None:
        """
        Publish once more.

        :raises CommandError: ``denied``, or ``slow-down``, when this person has published too much of late.
        """
        permissions = self.permissions
        if permissions is not None and not permissions.may_publish(topic):
            raise CommandError("denied", "you may not publish to that topic")
        if self.kind == GUEST and self._allowance is not None:
            wait = self._allowance.spend(self._commons.now())
            if wait:
                seconds = ceil(wait * 10) / 10
                raise CommandError("slow-down", f"you publish faster than guests may: try again in {seconds} seconds")
