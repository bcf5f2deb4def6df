"""
What each user follows, over all their connections.
"""

from typing import Final

from echochat.chat.person import GUEST, Person
from echochat.wire.commands import CommandError
from echochat.wire.names import fold_name

MOST_TOPICS: Final = 1_000


class Interests:
    """
    The topics of users, each once however many of a user's connections follow it.

    Guests are not counted: a guest is one connection, which may follow less than a user may.

    :ivar most: how many each may follow; it may be changed at any time, and holds for what is followed from then on.
    """

    def __init__(self, most: int = MOST_TOPICS) -> None:
        self.most = most
        # By folded name: how many subscriptions there are of each topic.
        self._of: dict[str, dict[str, int]] = {}

    def require_room(self, person: Person, topic: str) -> None:
        """
        :raises CommandError: ``too-many``, this user follows as many other topics as one may.
        """
        if person.kind == GUEST:
            return
        topics = self._of.get(fold_name(person.name), {})
        if topic not in topics and len(topics) >= self.most:
            raise CommandError("too-many", f"topics of a user, on all connections together: {self.most}")

    def begin(self, person: Person, topic: str) -> str | None:
        """
        A subscription has begun; or it was a guest's, and the guest has turned out to be a user: such subscriptions go
        on, even if they are too many.

        :return: under which name it is counted, if it is: to be given to :meth:`end`, whoever the person is then.
        """
        if person.kind == GUEST:
            return None
        user = fold_name(person.name)
        topics = self._of.setdefault(user, {})
        topics[topic] = topics.get(topic, 0) + 1
        return user

    def end(self, user: str | None, topic: str) -> None:
        """
        A subscription has ended.
        """
        if user is None:
            return
        topics = self._of[user]
        topics[topic] -= 1
        if not topics[topic]:
            del topics[topic]
        if not topics:
            del self._of[user]

    @property
    def users(self) -> list[str]:
        """
        The names, in one letter case, of those who follow something.
        """
        return list(self._of)
