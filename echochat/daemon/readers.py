"""
Reading what was written for a setting: each reader makes a value of it, or says in a ``ValueError`` what it may be.
"""

import os
from collections.abc import Callable
from typing import Final

_LONGEST_PATH: Final = 107


def whole(lowest: int, highest: int) -> Callable[[str], int]:
    """
    Read a whole number within bounds.
    """

    def read(written: str) -> int:
        try:
            number = int(written)
        except ValueError:
            number = lowest - 1
        if not lowest <= number <= highest:
            raise ValueError(f"a whole number from {lowest} to {highest}")
        return number

    return read


def amount(highest: float) -> Callable[[str], float]:
    """
    Read a number from 0 to ``highest``, fractions allowed.
    """
    return _up_to(highest, "a number")


def seconds(highest: float) -> Callable[[str], float]:
    """
    Read a time in seconds: 0 to ``highest``, fractions allowed.
    """
    return _up_to(highest, "seconds")


def _up_to(highest: float, what: str) -> Callable[[str], float]:
    def read(written: str) -> float:
        number = _number(written)
        if not 0 <= number <= highest:
            raise ValueError(f"{what} from 0 to {highest:g}")
        return number

    return read


def text(written: str) -> str:
    """
    Read a text that is not empty.
    """
    if not written:
        raise ValueError("not empty")
    return written


def one_of(*choices: str) -> Callable[[str], str]:
    """
    Read one of a few words.
    """

    def read(written: str) -> str:
        if written not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return written

    return read


def unix_endpoint(written: str) -> str:
    """
    Read where a UNIX socket is: ``unix:PATH``.
    """
    if not written.startswith("unix:") or written == "unix:":
        raise ValueError("of the form unix:PATH")
    # The system's limit, which Twisted meets with a traceback and no connection.
    if len(os.fsencode(written.removeprefix("unix:").partition(":")[0])) > _LONGEST_PATH:
        raise ValueError(f"of the form unix:PATH, with a path of at most {_LONGEST_PATH} bytes")
    return written


def _number(written: str) -> float:
    try:
        return float(written)
    except ValueError:
        return -1.0
