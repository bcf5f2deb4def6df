"""
A backend as an operator types it: ``NAME=ENDPOINT``, and words for what else there is to say of it.
"""

from collections.abc import Iterable
from typing import Any

from echochat.balancer.backends import Backend
from echochat.balancer.settings import BACKEND_SETTINGS, BackendSettings, named_endpoint
from echochat.daemon.settings import SettingError, read_settings

_TYPED = tuple(each for each in BACKEND_SETTINGS if each.name != "endpoint")


def read_backend(named: str, words: Iterable[str]) -> Backend:
    """
    Make a backend of what was typed.

    :param words: the settings of a backend as ``NAME=VALUE``, and those that are true or false by name alone.
    :raises ValueError: something is wrong; the text says what.
    """
    try:
        name, endpoint = named_endpoint(named)
    except ValueError as error:
        raise ValueError(f"{named} is not {error}") from None
    flags = {each.name for each in _TYPED if each.is_flag}
    written: dict[str, Any] = {}
    for word in words:
        what, equals, value = word.partition("=")
        if what in written:
            raise ValueError(f"{what} was given twice")
        written[what] = value if equals else what in flags
    try:
        return BackendSettings(name=name, endpoint=endpoint, **read_settings({}, written, name, _TYPED)).make()
    except SettingError as error:
        raise ValueError(str(error)) from None
