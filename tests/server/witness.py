"""
The promise, kept to the letter: whether what a client was told of its topics is what was published.
"""

from dataclasses import dataclass

from echochat.wire.answers import Err, Event, Gap, Joined, Ok, Parted
from tests.server.room import Client
from tests.server.scripted import ScriptedHistory


@dataclass
class Wish:
    """
    A ``/sub`` that was sent.
    """

    topic: str
    after: int | None = None
    epoch: str | None = None
    last: int | None = None


@dataclass
class Following:
    """
    A subscription, as the client knows it.

    :ivar at: the position up to which it has been told everything.
    :ivar begun: whether it has been told anything. What retention took before that need not be told where the client
        did not name the position from which it wants all.
    :ivar lead: the gap that has to come first.
    """

    at: int
    begun: bool
    lead: Gap | None = None


class Witness:
    """
    Looks at every line that a client is told, and knows what was published.

    :ivar complaint: what was wrong first; empty: nothing was.
    """

    def __init__(self, client: Client, history: ScriptedHistory) -> None:
        self.client = client
        self.complaint = ""
        self.following: dict[str, Following] = {}
        self.present: dict[tuple[str, str], bool] = {}
        self.told = 0
        self._history = history
        self._wishes: dict[str, Wish] = {}

    def subscribe(self, wish: Wish, presence: bool = False) -> None:
        """
        Send a ``/sub``.
        """
        label = f"s{len(self._wishes)}"
        self._wishes[label] = wish
        options = {"after": wish.after, "epoch": wish.epoch, "last": wish.last, "presence": "on" if presence else None}
        words = [f"{key}={value}" for key, value in options.items() if value is not None]
        self.client.say(" ".join([f"/sub#{label} {wish.topic}", *words]).encode() + b"\n")

    def unsubscribe(self, topic: str) -> None:
        """
        Send an ``/unsub``.
        """
        self.client.say(f"/unsub {topic}\n".encode())

    def look(self) -> str:
        """
        Look at what has come.

        :return: what was wrong with it, or with what came before.
        """
        for answer in self.client.answers():
            if not self.complaint:
                self.complaint = self._complaint_about(answer)
        return self.complaint

    def look_at_the_end(self) -> str:
        """
        The same, when everything that was published must have been told.
        """
        if self.look():
            return self.complaint
        for topic, following in self.following.items():
            if following.lead is not None:
                return f"{topic} should have begun with {following.lead}"
            for event in self._history.of(topic):
                if event.position > following.at and (following.begun or self._history.can_be_served(event)):
                    return f"{topic} ended at {following.at}, and {event} was never told"
        return ""

    # Ours

    def _complaint_about(self, answer: object) -> str:
        if isinstance(answer, Ok) and answer.verb == "sub":
            return self._begin(answer)
        if isinstance(answer, Ok) and answer.verb == "unsub":
            self.following.pop(answer.rest)
        if isinstance(answer, Err) and answer.code == "bad-arguments":
            return f"refused: {answer}"
        if isinstance(answer, Joined | Parted):
            return self._presence(answer)
        if not isinstance(answer, Event | Gap):
            return ""
        self.told += 1
        following = self.following.get(answer.topic)
        if following is None:
            return f"nobody follows: {answer}"
        return self._event(answer, following) if isinstance(answer, Event) else self._gap(answer, following)

    def _begin(self, answer: Ok) -> str:
        wish = self._wishes[answer.label or ""]
        topic, head, epoch = answer.rest.split()
        at, begun, lead = int(head), False, None
        if wish.last:
            before = [event.position for event in self._history.of(topic) if event.position <= int(head)]
            at = ([0] * (wish.last + 1) + before)[-wish.last - 1]
        elif wish.after is not None and wish.epoch not in (None, epoch):
            at, lead = 0, Gap(topic, wish.after, int(head))
        elif wish.after is not None:
            at, begun = wish.after, True
        else:
            begun = True
        self.following[topic] = Following(at, begun, lead)
        self.present = {key: here for key, here in self.present.items() if key[0] != topic}
        return ""

    def _between(self, topic: str, after: int, upto: int) -> list[int]:
        return [event.position for event in self._history.of(topic) if after < event.position <= upto]

    def _event(self, event: Event, following: Following) -> str:
        if following.lead is not None:
            return f"{event} came before {following.lead}"
        if event.position <= following.at:
            return f"{event} came at {following.at}: twice, or out of order"
        published = [each for each in self._history.of(event.topic) if each.position == event.position]
        if not published or (published[0].name, published[0].text) != (event.name, event.text):
            return f"{event} was never published so"
        skipped = self._between(event.topic, following.at, event.position - 1)
        if not following.begun:
            events = [each for each in self._history.of(event.topic) if each.position in skipped]
            skipped = [each.position for each in events if self._history.can_be_served(each)]
        if skipped:
            return f"{event} came at {following.at}, and {skipped} were not told of"
        following.at, following.begun = event.position, True
        return ""

    def _gap(self, gap: Gap, following: Following) -> str:
        if following.lead is not None:
            expected, following.lead = following.lead, None
            return "" if gap == expected else f"{gap} came instead of {expected}"
        if gap.after < following.at or gap.upto <= gap.after:
            return f"{gap} came at {following.at}"
        if following.begun and self._between(gap.topic, following.at, gap.after):
            return f"{gap} came at {following.at}: too late"
        lost = self._between(gap.topic, gap.after, gap.upto)
        events = [event for event in self._history.of(gap.topic) if event.position in lost]
        served = [event for event in events if self._history.can_be_served(event)]
        unknown = [event for event in events if event.position in self._history.damaged]
        if not events:
            return f"{gap} says that something was lost, and nothing was there"
        if served and not any(self._history.damaged[event.position] is None for event in unknown):
            return f"{gap} says that something was lost that is there: {served}"
        following.at, following.begun = gap.upto, True
        return ""

    def _presence(self, change: Joined | Parted) -> str:
        came = isinstance(change, Joined)
        key = (change.topic, change.name.lower())
        if self.present.get(key) is came:
            return f"{change} was told twice"
        self.present[key] = came
        return ""
