"""
Take what a consumer pushes, and see that nothing is missing.

Its messages are numbered without holes, and its heartbeats say what the last number was. So everything that can go
wrong on the way shows: as a number that is missing, as silence, or as a broker that says again and again that it waits.
"""

from collections.abc import Callable, Sequence
from typing import Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from txaio.tx import make_logger

from echochat.broker import Broker, BrokerUnavailable, Message
from echochat.history.jetstream.patience import Patience
from echochat.history.jetstream.pushed import Heartbeat, Request, Trouble, numbers, told
from echochat.history.jetstream.subjects import NotAnEvent, read
from echochat.history.records import Draft

SILENCE: Final = 3.5
"""
Seconds after which the consumer is thought to be gone.
"""

STALLED: Final = 2.5
"""
Seconds for which the broker may say that it waits before it sends more, though it was told each time to go on.
"""

PROGRESS: Final = 5.0
"""
Seconds in which the next of the events has to come that there were when receiving was begun.
"""

Deliver = Callable[[list[Draft], list[int]], None]


class Reception:
    """
    Takes what one consumer after another pushes.

    :param name: the stream's, for the log.
    :param deliver: is given events, and called with none when only the position has moved.
    :param is_wrong: is told what is wrong with the consumer.
    :ivar position: everything up to here that is followed has been delivered.
    """

    log = make_logger()

    def __init__(
        self, broker: Broker, name: str, clock: IReactorTime, deliver: Deliver, is_wrong: Callable[[str], None]
    ) -> None:
        self.position = 0
        self._broker = broker
        self._name = name
        self._deliver = deliver
        self._is_wrong = is_wrong
        self._number = 0
        self._caught_up: Deferred[None] | None = None
        self._silence = Patience(clock, SILENCE, lambda: is_wrong("it is silent"))
        self._stall = Patience(clock, STALLED, lambda: is_wrong("it does not go on"))
        self._progress = Patience(clock, PROGRESS, self._has_not_caught_up)

    # Called by the consumer

    def begin(self) -> None:
        """
        Another consumer is made, that counts from its own beginning.
        """
        self._number = 0

    def listen(self) -> None:
        """
        The consumer is there: it has to be heard from now on.
        """
        self._silence.renew()

    def end(self) -> None:
        """
        There is no consumer any more.
        """
        self._silence.end()
        self._stall.end()

    def catch_up(self, last: int) -> Deferred[None]:
        """
        :param last: the number of the last message that there is. It may be here already: messages can be faster than
            the answer that says so.
        :return: fires when it has been delivered, also by another consumer. Fails with BrokerUnavailable when none of
            them come.
        """
        if self._number >= last:
            return succeed(None)
        self._caught_up = Deferred()
        self._progress.wait()
        return self._caught_up

    def see(self, last: int) -> None:
        """
        As for :meth:`catch_up`, of the consumer that has taken the place of another one.
        """
        if self._number >= last:
            self._has_caught_up()

    def give_up(self) -> None:
        """
        Nobody waits any more for what :meth:`catch_up` has returned.
        """
        self._progress.end()
        self._caught_up = None

    # Called by the broker

    def came(self, messages: Sequence[Message]) -> None:
        """
        See :data:`echochat.broker.broker.Callback`.
        """
        self._silence.renew()
        drafts: list[Draft] = []
        positions: list[int] = []
        wrong = ""
        left = 1
        for message in messages:
            if message.status:
                said = told(message)
                wrong = self._note(said)
                if isinstance(said, Heartbeat) and not said.stalled:
                    left = 0
            else:
                position, number, left = numbers(message.reply)
                if number != self._number + 1:
                    wrong = f"message {self._number + 1} did not arrive"
                else:
                    self._moved(number, position)
                    self._take(message, position, drafts, positions)
            if wrong:
                break
        self._deliver(drafts, positions)
        if wrong:
            self._is_wrong(wrong)
        elif not left:
            self._has_caught_up()

    # Ours

    def _has_caught_up(self) -> None:
        self._progress.end()
        caught_up, self._caught_up = self._caught_up, None
        if caught_up is not None:
            caught_up.callback(None)

    def _has_not_caught_up(self) -> None:
        caught_up, self._caught_up = self._caught_up, None
        if caught_up is not None:
            caught_up.errback(BrokerUnavailable("the broker does not send what it has"))

    def _moved(self, number: int, position: int) -> None:
        self._number = number
        self.position = position
        self._stall.end()
        if self._caught_up is not None:
            self._progress.renew()

    def _take(self, message: Message, position: int, drafts: list[Draft], positions: list[int]) -> None:
        try:
            drafts.append(read(message.subject, message.payload))
        except NotAnEvent as error:
            self.log.warn("{name} has something else at {position}: {error}", **_fields(self._name, position, error))
            return
        positions.append(position)

    def _note(self, said: Request | Heartbeat | Trouble) -> str:
        """
        The broker itself says something.

        :return: what is wrong; empty if nothing is.
        """
        match said:
            case Request(reply):
                # All that came before this has been delivered: more may be sent.
                self._broker.publish(reply, b"")
            case Heartbeat(number, position, stalled):
                if number != str(self._number):
                    return f"message {self._number + 1} did not arrive"
                self.position = max(self.position, position)
                self._wait_for_more(stalled)
            case Trouble(what):
                return what
        return ""

    def _wait_for_more(self, stalled: str) -> None:
        if not stalled:
            self._stall.end()
            return
        # It has not heard that it may go on, or not yet: once more. Where a permission is missing it never does.
        self._broker.publish(stalled, b"")
        self._stall.wait()


def _fields(name: str, position: int, error: Exception) -> dict[str, object]:
    return {"name": name, "position": position, "error": error}
