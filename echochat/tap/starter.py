"""
What whoever starts a daemon is told when it does not start.

``twistd`` stays in the terminal until the daemon that it has made has started, or has not. Then it shows the first
hundred bytes of the exception, in the form that they would have in a program: for a sentence with an endpoint in it
that is too little. So the whole sentence goes through a pipe of ours, and is shown instead.

The daemon could keep the terminal's standard error and write to it. But Twisted's words would be shown all the same,
and what reads the output of ``twistd``, as in ``twistd echochat 2>&1 | cat``, would wait for the daemon's end.
"""

import os
import select
import sys
from typing import Any, Final, TextIO

PATIENCE: Final = 5.0
"""
Seconds that the daemon has for its sentence after Twisted knows that it has not started: it ends at once.
"""

_LONGEST: Final = 4_096


def speak_to_starter(options: Any, reactor: Any) -> None:
    """
    Have whoever starts a daemon be shown what that writes to ``sys.__stderr__`` until it has started.

    :param options: those of the service; their parent's are ``twistd``'s or ``twist``'s.
    :param reactor: runs when the daemon has started.
    """
    program = getattr(options, "parent", None) or {}
    # Only twistd has daemons.
    if not program.get("nodaemon", True) and sys.__stderr__ is not None:
        reactor.callWhenRunning(StarterStream(sys.__stderr__).restore)


class StarterStream:
    """
    Takes the place of ``sys.__stderr__``: in the process that stays in the terminal, where Twisted writes to that only
    if there is no daemon, and in the daemon, where it leads nowhere.

    :param terminal: what was there.
    """

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal
        self._starter = os.getpid()
        self._reading, self._writing = os.pipe()
        _replace(self)

    # Called as a stream

    def write(self, text: str) -> None:
        """
        In the daemon: say this to whoever starts it. In the terminal: show what it has said, or else this.
        """
        if os.getpid() != self._starter:
            os.write(self._writing, text.encode("utf-8", "backslashreplace"))
            return
        _replace(self._terminal)
        self._terminal.write(self._hear() or text)
        self._terminal.flush()

    def flush(self) -> None:
        """
        Nothing waits.
        """

    # Called by the reactor

    def restore(self) -> None:
        """
        It has started: nobody is in the terminal any more.
        """
        _replace(self._terminal)
        os.close(self._reading)
        os.close(self._writing)

    # Ours

    def _hear(self) -> str:
        # Else the end would not come when the daemon ends.
        os.close(self._writing)
        said = b""
        while not said.endswith(b"\n") and select.select([self._reading], [], [], PATIENCE)[0]:
            piece = os.read(self._reading, _LONGEST)
            if not piece:
                break
            said += piece
        os.close(self._reading)
        return said.decode("utf-8", "replace")


def _replace(stream: Any) -> None:
    sys.__stderr__ = stream  # type: ignore[misc]  # that is where Twisted writes
