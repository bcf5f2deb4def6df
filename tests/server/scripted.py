"""
A history that does each thing when it is told to: for tests of what happens in between.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from echochat.history.errors import HistoryCorrupt, HistoryUnavailable
from echochat.history.interface import IHistory, Receiver
from echochat.history.records import Draft, Event, Page, Status, Stored, TopicState


@dataclass(eq=False)
class Question:
    """
    Something that was asked, and is answered with what is true when it is looked at.

    :ivar kind: the method's name.
    :ivar topic: about which topic; empty for all.
    """

    kind: str
    topic: str
    deferred: "Deferred[Any]"
    compute: Callable[[], Any]
    found: list[Any] = field(default_factory=list)

    def look(self) -> None:
        """
        Find the answer now, if it has not been found yet; it comes with :meth:`ScriptedHistory.answer`.
        """
        if not self.found:
            try:
                self.found.append(self.compute())
            except HistoryCorrupt as error:
                self.found.append(error)


@implementer(IHistory)
class ScriptedHistory:
    """
    What is appended waits to be stored, what is stored can be read and waits to be told to the receiver, and what is
    asked waits to be answered.

    :param shared: whether this is a log that many servers share: the receiver is given the followed topics' events
        only, and not those of others that it has not asked for.
    :ivar prompt: questions are answered at once; what is appended still waits.
    :ivar prompt_kinds: the same, for some questions only.
    :ivar log: all that was ever stored, with what retention took.
    :ivar questions: that are not answered yet, oldest first.
    :ivar appends: that are not stored yet.
    """

    durable = True
    waiting_bound = 200_000

    def __init__(self, shared: bool = False) -> None:
        self.epoch = "scripted01"
        self.head = 0
        self.waiting = 0
        self.status = Status()
        self.prompt = False
        self.prompt_kinds: Collection[str] = ()
        self.log: list[Event] = []
        self.floors: dict[str, int] = {}
        self.damaged: dict[int, int | None] = {}
        self.followed: list[str] = []
        self.questions: list[Question] = []
        self.appends: list[tuple[Sequence[Draft], Deferred[Stored]]] = []
        self._shared = shared
        self._stored: list[tuple[Sequence[Draft], list[int], Deferred[Stored] | None]] = []
        self._receiver: Receiver | None = None
        self._position = 0

    # What a test does

    def store(self) -> None:
        """
        Store what was appended: it can be read then.
        """
        appends, self.appends = self.appends, []
        for drafts, deferred in appends:
            self._store(drafts, deferred)

    def tell(self) -> None:
        """
        Give the receiver what is stored, and answer the appends.
        """
        stored, self._stored = self._stored, []
        drafts: list[Draft] = []
        positions: list[int] = []
        for its_drafts, its_positions, _ in stored:
            for draft, position in zip(its_drafts, its_positions, strict=True):
                if not self._shared or draft.topic in self.followed:
                    drafts.append(draft)
                    positions.append(position)
        if positions:
            self.head = positions[-1]
            assert self._receiver is not None
            self._receiver.arrived(drafts, positions)
        for _, its_positions, deferred in stored:
            if deferred is not None:
                deferred.callback(Stored(its_positions))

    def publish(self, *drafts: Draft) -> None:
        """
        Let somebody have published elsewhere: it is stored, and not told yet.
        """
        self._store(drafts, None)

    def start_over(self, *drafts: Draft) -> None:
        """
        Let there be another log, with these in it that the receiver is not given.
        """
        self.epoch += "x"
        self._position = 0
        self.log.clear()
        self.floors.clear()
        self._store(drafts, None)
        self._stored.clear()
        self.head = self._position
        assert self._receiver is not None
        self._receiver.interrupted("there is another log")

    def look(self, index: int = 0) -> None:
        """
        Find the answer to a question, and keep it back.
        """
        self.questions[index].look()

    def answer(self, index: int = 0) -> None:
        """
        Answer a question.
        """
        question = self.questions.pop(index)
        question.look()
        found = question.found[0]
        if isinstance(found, Exception):
            question.deferred.errback(found)
        else:
            question.deferred.callback(found)

    def answer_all(self) -> None:
        """
        Answer whatever is asked, and what is asked because of that.
        """
        while self.questions:
            self.answer()

    def refuse(self, error: Exception, index: int = 0) -> None:
        """
        Fail a question.
        """
        self.questions.pop(index).deferred.errback(error)

    def remove(self, topic: str, upto: int) -> None:
        """
        Let retention take a topic's events up to a position.
        """
        gone = [event.position for event in self.log if event.topic == topic and event.position <= upto]
        if gone:
            self.floors[topic] = max(self.floors.get(topic, 0), gone[-1])

    def damage(self, position: int, beyond: int | None = None) -> None:
        """
        Let an event be found damaged.
        """
        self.damaged[position] = beyond

    def can_be_served(self, event: Event) -> bool:
        """
        Tell whether an event is neither removed nor damaged.
        """
        return event.position > self.floors.get(event.topic, 0) and event.position not in self.damaged

    def of(self, topic: str) -> list[Event]:
        """
        All that was ever stored of a topic.
        """
        return [event for event in self.log if event.topic == topic]

    @property
    def untold(self) -> bool:
        """
        Whether something is appended or stored and its publisher has not been told.
        """
        return bool(self.appends or self._stored)

    # Called by the exchange and the connections

    def open(self, receiver: Receiver) -> "Deferred[None]":
        self._receiver = receiver
        return succeed(None)

    def append(self, drafts: Sequence[Draft]) -> "Deferred[Stored]":
        if self.status.unavailable is not None:
            return fail(HistoryUnavailable(self.status.unavailable))
        deferred: Deferred[Stored] = Deferred()
        self.appends.append((drafts, deferred))
        return deferred

    def follow(self, topic: str) -> "Deferred[None]":
        return self._ask("follow", topic, lambda: self.followed.append(topic))

    def unfollow(self, topic: str) -> None:
        self.followed = [each for each in self.followed if each != topic]

    def read_after(self, topic: str, after: int, limit: int, max_bytes: int) -> "Deferred[Page]":
        def compute() -> Page:
            events: list[Event] = []
            size = 0
            floor = self.floors.get(topic, 0)
            for event in self.of(topic):
                if event.position <= max(after, floor):
                    continue
                if event.position in self.damaged:
                    if events:
                        return Page(events, False, floor)
                    raise HistoryCorrupt("damaged", self.damaged[event.position])
                size += len(event.text.encode())
                if len(events) >= limit or (events and size > max_bytes):
                    return Page(events, False, floor)
                events.append(event)
            return Page(events, True, floor)

        return self._ask("read_after", topic, compute)

    def read_before(self, topic: str, before: int | None, last: int, max_bytes: int) -> "Deferred[Page]":
        def compute() -> Page:
            events: list[Event] = []
            size = 0
            floor = self.floors.get(topic, 0)
            for event in reversed(self.of(topic)):
                if event.position <= floor or (before is not None and event.position >= before):
                    continue
                size += len(event.text.encode())
                if len(events) >= last or (events and size > max_bytes):
                    return Page(events[::-1], False, floor)
                events.append(event)
            return Page(events[::-1], True, floor)

        return self._ask("read_before", topic, compute)

    def topic(self, topic: str) -> "Deferred[TopicState]":
        return self._ask("topic", topic, lambda: self._state(topic))

    def topics(self) -> "Deferred[list[TopicState]]":
        return self._ask("topics", "", lambda: [self._state(each) for each in sorted({e.topic for e in self.log})])

    def close(self) -> "Deferred[None]":
        self.store()
        self.tell()
        self.status.unavailable = "the history is closed"
        return succeed(None)

    # Ours

    def _ask(self, kind: str, topic: str, compute: Callable[[], Any]) -> "Deferred[Any]":
        question = Question(kind, topic, Deferred(lambda _: self.questions.remove(question)), compute)
        self.questions.append(question)
        if self.prompt or kind in self.prompt_kinds:
            self.answer(self.questions.index(question))
        return question.deferred

    def _state(self, topic: str) -> TopicState:
        events = self.of(topic)
        return TopicState(topic, events[-1].position if events else 0, self.floors.get(topic, 0))

    def _store(self, drafts: Sequence[Draft], deferred: "Deferred[Stored] | None") -> None:
        positions = []
        for draft in drafts:
            # Positions grow, and not by one.
            self._position += 1 + self._position % 2
            positions.append(self._position)
            self.log.append(Event(self._position, draft.topic, draft.name, draft.text, draft.time))
        self._stored.append((drafts, positions, deferred))
