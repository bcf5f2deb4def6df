"""
The operator's end of the control socket: one command, its items, its closing line.

It blocks: an operator's command has nothing else to do, and needs no Twisted for it.
"""

import errno
import socket
from collections.abc import Iterator
from typing import Final

from echochat.wire.answers import Answer, Err, Info, Ok, UnreadableAnswer, parse_answer
from echochat.wire.lines import LineReader, Overlong

TIMEOUT: Final = 30.0

NOBODY: Final = (errno.ENOENT, errno.ECONNREFUSED)
"""
Nobody listens at a UNIX socket.
"""


class OperationFailed(Exception):
    """
    The server could not be asked, or did not do it. The message is one sentence for the operator.
    """


def ask(control: str, command: str) -> tuple[list[str], str]:
    """
    Have a server carry out one command.

    :param control: where its control socket is: ``unix:PATH``, or the path alone.
    :param command: with its ``/`` and arguments.
    :return: the texts of the items, and what stands behind the verb in the closing line.
    :raises OperationFailed: the socket cannot be reached, or the server refused. Items that came before a refusal are
        its second argument.
    """
    path = control.removeprefix("unix:")
    if "\n" in command or "\r" in command:
        raise OperationFailed("a command is one line", [])
    items: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(TIMEOUT)
        try:
            connection.connect(path)
            connection.sendall(command.encode() + b"\r\n")
            for answer in _answers(connection):
                if isinstance(answer, Info):
                    items.append(answer.text)
                elif isinstance(answer, Ok):
                    return items, answer.rest
                elif isinstance(answer, Err):
                    raise OperationFailed(answer.explanation, items)
        except TimeoutError:
            raise OperationFailed(f"the server at {path} did not answer within {TIMEOUT:g} seconds", items) from None
        except OSError as error:
            reason = error.strerror or str(error)
            if error.errno in NOBODY:
                reason += ": is it running?"
            raise OperationFailed(f"the control socket {path} cannot be reached: {reason}", items) from None
    raise OperationFailed(f"the server at {path} closed without an answer", items)


def _answers(connection: socket.socket) -> Iterator[Answer]:
    reader = LineReader()
    while data := connection.recv(65_536):
        for line in reader.feed(data):
            if isinstance(line, Overlong):
                continue
            try:
                yield parse_answer(line[0].decode("utf-8", "replace"))
            except UnreadableAnswer:
                continue
