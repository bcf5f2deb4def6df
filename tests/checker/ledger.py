"""
What was acknowledged, what was seen, and what follows of it.

Nothing here knows how events travel: it is told, and compares in the end. That is the part of the checker that has to
be right for all else to mean anything, so it has tests of its own, which lie to it in every way that it must notice.
"""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Sight:
    """
    What one subscriber was given of one topic, in order: events as (position, text), gaps as (after, upto).
    """

    events: list[tuple[int, str]] = field(default_factory=list)
    gaps: list[tuple[int, int]] = field(default_factory=list)

    def excuses(self, position: int) -> bool:
        """
        Tell whether a gap covers a position.
        """
        return any(after < position <= upto for after, upto in self.gaps)


@dataclass
class Verdict:
    """
    What the comparison found; everything but the first three and ``gaps`` should be 0.

    :ivar unacknowledged: publishes that were stored without ever being acknowledged: that is allowed.
    :ivar lost: acknowledged events that a subscriber did not get, and no gap covers.
    :ivar doubled: events that came twice to one subscriber, or were stored twice.
    :ivar reordered: events that came behind a later one.
    :ivar contradicted: positions at which two subscribers saw different events, or at which another event was
        acknowledged than was seen.
    :ivar invented: events that nobody published.
    :ivar unstated: unacknowledged events that one subscriber got and another did not, without a gap.
    """

    acknowledged: int = 0
    delivered: int = 0
    gaps: int = 0
    unacknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    reordered: int = 0
    contradicted: int = 0
    invented: int = 0
    unstated: int = 0

    @property
    def is_clean(self) -> bool:
        """
        Whether every promise was kept.
        """
        return not (self.lost or self.doubled or self.reordered or self.contradicted or self.invented or self.unstated)

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in vars(self).items())


class Ledger:
    """
    Everything that publishers and subscribers tell. Texts are unique: each is published once, and may be sent often.
    """

    def __init__(self) -> None:
        self.published: dict[str, str] = {}
        self.acknowledged: dict[str, int] = {}
        self.sights: dict[tuple[str, str], Sight] = {}

    def publishing(self, topic: str, text: str) -> None:
        """
        Somebody is about to publish this.
        """
        self.published[text] = topic

    def stored(self, text: str, position: int) -> None:
        """
        It was acknowledged.
        """
        self.acknowledged[text] = position

    def sight(self, subscriber: str, topic: str) -> Sight:
        """
        What a subscriber was given of a topic so far.
        """
        return self.sights.setdefault((subscriber, topic), Sight())

    def judge(self) -> Verdict:
        """
        Compare. Every subscriber must have begun at the beginning of its topics, and have been given time.
        """
        verdict = Verdict(
            acknowledged=len(self.acknowledged),
            delivered=sum(len(sight.events) for sight in self.sights.values()),
            gaps=sum(len(sight.gaps) for sight in self.sights.values()),
        )
        logs = self._logs(verdict)
        for (_, topic), sight in self.sights.items():
            self._judge_sight(sight, logs[topic], verdict)
        for topic, log in logs.items():
            copies = Counter(log.values())
            verdict.doubled += sum(number - 1 for number in copies.values())
            verdict.invented += sum(self.published.get(text) != topic for text in copies)
            verdict.unacknowledged += sum(text not in self.acknowledged for text in copies)
        return verdict

    def _logs(self, verdict: Verdict) -> dict[str, dict[int, str]]:
        """
        By topic, the event at each position that anybody saw or was told of.
        """
        logs: dict[str, dict[int, str]] = {topic: {} for _, topic in self.sights}
        for text, position in self.acknowledged.items():
            log = logs.setdefault(self.published[text], {})
            verdict.contradicted += log.setdefault(position, text) != text
        for (_, topic), sight in self.sights.items():
            for position, text in sight.events:
                verdict.contradicted += logs[topic].setdefault(position, text) != text
        return logs

    def _judge_sight(self, sight: Sight, log: dict[int, str], verdict: Verdict) -> None:
        seen: set[int] = set()
        latest = 0
        for position, _ in sight.events:
            if position in seen:
                verdict.doubled += 1
            elif position < latest:
                verdict.reordered += 1
            seen.add(position)
            latest = max(latest, position)
        for position, text in log.items():
            if position in seen or sight.excuses(position):
                continue
            if text in self.acknowledged:
                verdict.lost += 1
            else:
                verdict.unstated += 1
