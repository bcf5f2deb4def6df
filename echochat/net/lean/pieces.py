"""
Long work in the reactor's thread, in pieces: between two of them whoever has said something is answered.

The problem. An event for a thousand subscribers is 5 ms of system calls, and a line that comes meanwhile, on any other
connection, waits for all of them. To give the reactor a turn after each piece costs some 30 µs: a third of the time of
a piece that is short enough.

How. To ask the dispatcher's epoll who is ready costs one system call. So after each piece it is asked, those who are
ready are served, and only after ``TURN`` of that the outer reactor gets its turn, for timers and for what it watches
itself.

Whoever does work in pieces must be ready for everything that a connection may do between two of them.
"""

from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from txaio.tx import make_logger

PIECE: Final = 0.000_05
"""
Seconds after which a piece ends, with the step that is under way then.
"""

TURN: Final = 0.002
"""
Seconds until the outer reactor has its turn.
"""

Step = Callable[[], bool]
"""
Does a bit of the work, and returns whether more is left. Is called again also where it has raised, so it must have
moved on before that.
"""


class Pieces:
    """
    Does work step by step.

    :param clock: the outer reactor.
    :param serve: serves the connections that are ready, once.
    """

    log = make_logger()

    def __init__(self, clock: IReactorTime, serve: Callable[[], Any]) -> None:
        self._clock = clock
        self._serve = serve
        self._steps: deque[Step] = deque()
        self._later: IDelayedCall | None = None

    def do(self, step: Step) -> None:
        """
        Have a step called until nothing is left, the first piece of it now. One that is being done already goes on as
        it does.
        """
        if step in self._steps:
            return
        self._steps.append(step)
        if self._later is None and len(self._steps) == 1:
            self._do_a_piece()
            self._go_on_later()

    # Ours

    def _go_on_later(self) -> None:
        if self._steps:
            self._later = self._clock.callLater(0, self._go_on)

    def _go_on(self) -> None:
        end = perf_counter() + TURN
        try:
            while self._steps:
                self._serve()
                self._do_a_piece()
                if perf_counter() >= end:
                    break
        finally:
            self._later = None
            self._go_on_later()

    def _do_a_piece(self) -> None:
        end = perf_counter() + PIECE
        steps = self._steps
        while steps:
            try:
                more = steps[0]()
            except Exception:
                self.log.failure("a step of some work failed")
                more = True
            if not more:
                steps.popleft()
            elif perf_counter() >= end:
                steps.rotate(-1)
                return


def in_pieces(reactor: Any) -> Callable[[Step], None]:
    """
    :return: what does work in pieces under a reactor: a lean one serves its connections in between, and any other one
        gets its turn.
    """
    pieces: Pieces | None = getattr(reactor, "pieces", None)
    return (pieces if pieces is not None else Pieces(reactor, _nothing)).do


def _nothing() -> None:
    """
    The reactor serves all connections itself.
    """
