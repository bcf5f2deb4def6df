"""
Answers connections while one long piece of work goes on in the reactor's thread.

The problem. An event for a hundred subscribers is half a millisecond of system calls, for a thousand it is five, and
with ten thousand events a second there is always one of them under way. A line that comes meanwhile on another
connection waited for all of it: beside a million deliveries a second the 99th percentile of an echo was 2 ms, 13 times
that of an idle server. To give the reactor a turn between two sends would let anything happen in the middle of a
delivery: somebody leaves the topic, ends, or publishes to it.

How. Whoever does the work calls :meth:`Interlude.look` between its steps. Every ``PIECE`` those connections that have
something to read are asked for an answer *in passing*: one that needs nothing but whole lines that have come, and
changes nothing that others look at. All others are left as they are, with all that they have sent, until the work is
done. While nobody can be answered the pieces become longer, up to ``LONGEST``: to ask is a system call.

That alone is not enough where the work comes as fast as it is done: the thread never rests, and both share two
processors with their clients. So when somebody was answered in passing, :attr:`Interlude.rest` says for how long the
work should not begin again. What comes meanwhile is done together, which costs less: with a rest of four times the work
1,000,000 deliveries a second left time for twice as many echoes, whose 99th percentile fell from 0.39 to 0.19 ms, and
half of the events were delivered within 3.6 ms instead of 2.6 (medians of five runs in turns).

The bounds:

- The work has a fifth of the time at least, however much is to be answered: ``SHARE``.
- Who cannot be answered in passing is asked once for each piece of work.
- Who publishes waits for ``MOST`` more at most, and not at all where nobody else was there. One rest is one wait: what
  others bring meanwhile, such as other servers, must not make it longer.

Rejected: to send in steps, and let anything happen between them. It halved the 99th percentile and cost a fifth of the
throughput, since less is sent together, and overloaded it delivered hardly anything.
"""

from collections.abc import Callable
from time import perf_counter
from typing import Any, Final

PIECE: Final = 0.000_1
LONGEST: Final = 0.000_8
"""
Seconds of the work between two times that others are answered: at first, and at most, where nobody could be.
"""

SHARE: Final = 0.25
"""
Of the time that was taken by answers, what the work has at least before the next ones.
"""

REST: Final = 4.0
MOST: Final = 0.004
"""
How long the work rests, by how long it took, and in seconds at most.
"""

AnswerInPassing = Callable[[set[int]], int]
"""
Answers those that can be, but for those whose numbers are in the set, and adds to it those that cannot. Returns how
many it has answered. Must not raise.
"""


class Interlude:
    """
    What may happen while some work goes on.

    :param answer: answers others.
    :param seconds: a clock that only grows.
    """

    __slots__ = ("_answer", "_answered", "_began", "_left_out", "_next", "_piece", "_rest_until", "_seconds")

    def __init__(self, answer: AnswerInPassing, seconds: Callable[[], float] = perf_counter) -> None:
        self._answer = answer
        self._seconds = seconds
        self._left_out: set[int] = set()
        self._answered = 0
        self._piece = PIECE
        self._began = self._next = self._rest_until = 0.0

    def begin(self) -> None:
        """
        The work begins.
        """
        self._left_out.clear()
        self._answered = 0
        self._piece = PIECE
        self._began = self._seconds()
        self._next = self._began + PIECE

    def look(self) -> None:
        """
        A step of the work is done: answer others, if it is time.
        """
        now = self._seconds()
        if now >= self._next:
            answered = self._answer(self._left_out)
            self._answered += answered
            self._piece = PIECE if answered else min(2 * self._piece, LONGEST)
            end = self._seconds()
            self._next = end + max(self._piece, SHARE * (end - now))

    def end(self) -> None:
        """
        The work is done.
        """
        if self._answered:
            now = self._seconds()
            self._rest_until = now + min(MOST, REST * (now - self._began))

    @property
    def rest(self) -> float:
        """
        Seconds in which the work should not begin again; 0 or less when it may.
        """
        return self._rest_until - self._seconds() if self._rest_until else 0.0


def interlude_of(reactor: Any) -> Interlude:
    """
    :return: one in which the connections of a lean reactor are answered; under any other reactor it is nobody.
    """
    return Interlude(getattr(reactor, "answer_in_passing", _nobody))


def _nobody(left_out: set[int]) -> int:
    return 0
