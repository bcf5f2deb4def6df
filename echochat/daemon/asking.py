"""
Asking another process over its control socket (:mod:`echochat.daemon.control`), without waiting for it.
"""

import os
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from echochat.net.endpoints import client_endpoint, not_in_time
from echochat.wire.answers import Err, Info, Ok, UnreadableAnswer, parse_answer
from echochat.wire.lines import LineReader, Overlong

DEADLINE: Final = 5.0
"""
Seconds that a process has to answer: its commands take none.
"""


class NotAnswered(Exception):
    """
    The process could not be asked, or refused. The message is one sentence.
    """


class _Question(Protocol):
    """
    One command, and its answer.
    """

    transport: Any

    def __init__(self, command: str, answer: "Deferred[str]") -> None:
        self.items: list[str] = []
        self._command = command
        self._answer = answer
        self._reader = LineReader()

    # Called by Twisted

    def connectionMade(self) -> None:
        self.transport.write(f"{self._command}\r\n".encode())

    def dataReceived(self, data: bytes) -> None:
        for line in self._reader.feed(data):
            if isinstance(line, Overlong):
                continue
            try:
                answer = parse_answer(line[0].decode("utf-8", "replace"))
            except UnreadableAnswer:
                continue
            if isinstance(answer, Info):
                self.items.append(answer.text)
            elif isinstance(answer, Ok):
                self._tell(answer.rest)
            elif isinstance(answer, Err):
                self._tell(Failure(NotAnswered(answer.explanation)))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._tell(Failure(NotAnswered("it closed without an answer")))

    # Ours

    def _tell(self, result: str | Failure) -> None:
        if not self._answer.called:
            if isinstance(result, Failure):
                self._answer.errback(result)
            else:
                self._answer.callback(result)


class _Questions(Factory):
    """
    Makes what asks.
    """

    noisy = False


async def ask(reactor: Any, clock: IReactorTime, control: str, command: str) -> tuple[list[str], str]:
    """
    Have a process carry out one command.

    :param control: its control socket, ``unix:PATH``.
    :param command: with its ``/`` and arguments.
    :return: the texts of the items, and what stands behind the verb in the closing line.
    :raises NotAnswered: it was not carried out, or not answered within :data:`DEADLINE`.
    """
    answer: Deferred[str] = Deferred()
    question = _Question(command, answer)
    try:
        endpoint = client_endpoint(reactor, control)
        connecting: Deferred[Any] = endpoint.connect(_Questions.forProtocol(lambda: question))
        await connecting.addTimeout(DEADLINE, clock, not_in_time)
        rest = await answer.addTimeout(DEADLINE, clock)
    except (CancelledError, ConnectingCancelledError):
        # Whoever asks has given up: told that there is no answer, it would go on.
        raise CancelledError from None
    except NotAnswered as error:
        raise NotAnswered(f"{control}: {error}") from None
    except TimeoutError:
        raise NotAnswered(f"{control}: no answer within {DEADLINE:g} s") from None
    except Exception as error:
        # Whatever an endpoint fails with: a connection that is refused, a path that is none.
        number = getattr(error, "osError", None)
        reason = os.strerror(number) if isinstance(number, int) else str(error) or type(error).__name__
        raise NotAnswered(f"{control} cannot be reached: {reason}") from None
    finally:
        if question.transport is not None:
            question.transport.loseConnection()
    return question.items, rest
