"""
What was asked, until it is answered.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from echochat.broker.errors import BrokerUnavailable, NobodyAnswers
from echochat.broker.messages import NO_RESPONDERS, Message

_NO_ANSWER: Final = "the broker did not answer in time"


@dataclass(slots=True)
class _Question:
    answer: Deferred[list[Message]]
    is_last: Callable[[Message], bool]
    deadline: IDelayedCall
    came: list[Message] = field(default_factory=list)


class Questions:
    """
    The questions of one connection after another.

    :param inbox: a subject that nobody else has: the answers come on subjects below it.
    """

    def __init__(self, inbox: str, clock: IReactorTime) -> None:
        self._inbox = inbox
        self._clock = clock
        self._numbers = count(1)
        self._open: dict[str, _Question] = {}

    def __len__(self) -> int:
        """
        How many have no answer yet.
        """
        return len(self._open)

    def ask(self, timeout: float, is_last: Callable[[Message], bool]) -> tuple[str, Deferred[list[Message]]]:
        """
        Expect answers.

        :param timeout: seconds until the last.
        :param is_last: tells it.
        :return: the subject for them, and what fires with them: fails with BrokerUnavailable, and can be cancelled.
        """
        inbox = f"{self._inbox}.{next(self._numbers)}"
        answer: Deferred[list[Message]] = Deferred(lambda _: self._forget(inbox))
        deadline = self._clock.callLater(timeout, self._give_up, inbox, BrokerUnavailable(_NO_ANSWER))
        self._open[inbox] = _Question(answer, is_last, deadline)
        return inbox, answer

    def came(self, messages: Sequence[Message]) -> None:
        """
        These came on subjects below the inbox.
        """
        for message in messages:
            question = self._open.get(message.subject)
            if question is None:
                continue
            if message.status == NO_RESPONDERS:
                self._give_up(message.subject, NobodyAnswers("nobody answers at the broker"))
                continue
            question.came.append(message)
            if question.is_last(message):
                self._take(message.subject)
                question.answer.callback(question.came)

    def fail_all(self, why: str) -> None:
        """
        Nothing of what was asked will be answered.
        """
        for inbox in [*self._open]:
            self._give_up(inbox, BrokerUnavailable(why))

    # Ours

    def _give_up(self, inbox: str, why: BrokerUnavailable) -> None:
        question = self._take(inbox)
        # Whoever asked an earlier one may have cancelled this one when that failed.
        if question is not None:
            question.answer.errback(why)

    def _forget(self, inbox: str) -> None:
        self._take(inbox)

    def _take(self, inbox: str) -> _Question | None:
        question = self._open.pop(inbox, None)
        if question is not None and question.deadline.active():
            question.deadline.cancel()
        return question
