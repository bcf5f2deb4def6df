# ruff: noqa: N805  methods of a zope.interface have no self
"""
Where events are kept: the one interface behind which the log can be replaced.

Three properties make the rest of the server simple, and every implementation must have them:

- *Durable first*: an event is handed to the receiver, and acknowledged, only when it is on disk (in memory,
  with the in-memory history, which is what its acknowledgement means).
- *One order*: the receiver gets events in the order of their positions, and those of a commit right before
  the appends of that commit are answered, in one turn of the reactor.
- *Readable when known*: a read that begins after the receiver was given an event finds it, and everything
  before it. The opposite may happen: a page may hold events that the receiver has yet to be given.
"""

from collections.abc import Sequence
from typing import Protocol

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from echochat.history.records import Draft, Event, Page, Status, Stored, TopicState


class Receiver(Protocol):
    """
    Who is told of what becomes durable: the hub. Called in the reactor's thread; must not raise.
    """

    def arrived(self, drafts: Sequence[Draft], positions: Sequence[int]) -> None:
        """
        These became durable, in the log's order: those of this server, and others' where the log is shared.

        Two parallel sequences instead of one of events: the drafts are the very objects that were appended
        (other ones where the log is shared, or after a recovery), so a live event costs no second object.
        Repeats of a label are not among them. Neither sequence may be changed.
        """

    def became_unavailable(self, why: str) -> None:
        """
        Nothing can be stored for now; reads go on as far as they can. Every append fails at once until
        :meth:`became_available`.
        """

    def became_available(self) -> None:
        """
        The history takes events again. Called after everything that the recovery found was given to
        :meth:`arrived`.
        """

    def interrupted(self, why: str) -> None:
        """
        What comes next does not go on where :meth:`arrived` has ended: the log is another one, or events were removed
        before they arrived. Everybody who follows a topic has to resume from the position that they have, and will be
        told what is missing. ``epoch`` and ``head`` are the new ones.
        """


class IHistory(Interface):
    """
    The log of all topics. All methods are called in the reactor's thread, and none blocks it.
    """

    epoch: str = Attribute(
        """
        Names the log itself: 8 to 16 letters and digits, random, kept with the log. Known once it is open.
        """
    )

    head: int = Attribute(
        """
        The last position in the log that the receiver was given, or that existed when it was opened; 0: none.
        """
    )

    durable: bool = Attribute(
        """
        Whether an acknowledgement means on disk.
        """
    )

    waiting: int = Attribute(
        """
        Drafts that were appended and not yet answered. Stop reading from publishers well before
        ``waiting_bound``.
        """
    )

    waiting_bound: int = Attribute(
        """
        How many drafts may wait; an append that would exceed it fails with HistoryBusy.
        """
    )

    status: Status = Attribute(
        """
        Counters, and whether the history is available. Changes in place; do not keep a copy of its fields.
        """
    )

    def open(receiver: Receiver) -> Deferred[None]:
        """
        Make ready. To be called once, before anything else.

        :param receiver: is given everything that becomes durable from now on.
        :return: fails with HistoryRefused when this log cannot be had, for instance because another process
            has it.
        """

    def append(drafts: Sequence[Draft]) -> Deferred[Stored]:
        """
        Store these, in this order, behind everything that was appended before.

        What is appended while a commit runs is taken together by the next one: call it once a turn of the
        reactor, with all that the turn brought. Appends are answered in the order in which they were made. A
        draft may be refused by itself, see :class:`~echochat.history.records.Stored`. To cancel the Deferred
        gives up the answer, not the drafts.

        :param drafts: not empty; must not be changed afterwards.
        :return: fires when they are durable, and after the receiver was given them. Fails with
            HistoryUnavailable when nothing of them is acknowledged, and with HistoryBusy (which is one) when
            too much waits already.
        """

    def follow(topic: str) -> Deferred[None]:
        """
        Have the events of this topic given to the receiver, whoever publishes them.

        A log that is shared by servers need not send all topics to each; a local one gives all of them
        anyway.

        :return: fires when every event of the topic that becomes durable from now on will be given to the
            receiver: read the topic's state after that, not before.
        """

    def unfollow(topic: str) -> None:
        """
        The opposite; events of the topic may go on to arrive.
        """

    def read_after(topic: str, after: int, limit: int, max_bytes: int) -> Deferred[Page]:
        """
        Read on from a position.

        :param after: the events behind this position; 0: from the beginning.
        :param limit: at most so many events.
        :param max_bytes: stop before exceeding so many bytes of text, though a page that is not complete
            holds at least one event.
        :return: can be cancelled. Fails with HistoryBusy when too many reads wait, HistoryUnavailable when
            nothing can be read now, HistoryCorrupt when the next event is damaged: those before it come in a
            page of their own.
        """

    def read_before(topic: str, before: int | None, last: int, max_bytes: int) -> Deferred[Page]:
        """
        Read the last events before a position, oldest first.

        :param before: None: the topic's last events.
        :param last: at most so many.
        :param max_bytes: as in :meth:`read_after`; the older ones are left out.
        :return: as for :meth:`read_after`; ``complete`` when nothing older exists.
        """

    def topic(topic: str) -> Deferred[TopicState]:
        """
        Tell how far a topic reaches; one that was never used is there, and empty.

        :return: fails as :meth:`read_after` does.
        """

    def topics() -> Deferred[list[TopicState]]:
        """
        Tell all topics that were ever used, sorted by name.

        :return: fails as :meth:`read_after` does.
        """

    def close() -> Deferred[None]:
        """
        Answer what waits, then let go of everything. Later appends and reads fail with HistoryUnavailable.
        Safe to call more than once, and before :meth:`open`.
        """


class IRestoringHistory(Interface):
    """
    A history that can take events with the positions that they had in another one.
    """

    def restore(events: Sequence[Event]) -> Deferred[Stored]:
        """
        Store these where they were.

        :param events: not empty; their positions ascend and are above :attr:`IHistory.head`.
        :return: as for :meth:`IHistory.append`, or fails with ValueError when the positions are not such, or appends
            are under way.
        """
