"""
What was typed before, kept between sessions for the arrow keys.
"""

import os
import re
from pathlib import Path
from typing import Final

from prompt_toolkit.history import FileHistory, History, InMemoryHistory

_SECRET: Final = re.compile(r"\s*/(login|token)\b", re.IGNORECASE)


class _PrivateHistory(FileHistory):
    """
    A history that does not keep what holds a secret.
    """

    def store_string(self, string: str) -> None:
        if _SECRET.match(string) is None:
            super().store_string(string)


def open_typed_history() -> History:
    """
    The user's history, in a file that only the user can read; where there can be no file, one of this session only.
    """
    state = os.environ.get("XDG_STATE_HOME", "")
    # The specification has relative paths ignored.
    folder = (Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state") / "echochat"
    path = folder / "chat-history"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # prompt_toolkit would create it with whatever the umask allows.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)
    except OSError:
        return InMemoryHistory()
    return _PrivateHistory(str(path))
