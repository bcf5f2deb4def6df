"""
What a session asks of whoever carries its connection.
"""

from dataclasses import dataclass

from echochat.wire.answers import Bye


@dataclass(frozen=True, slots=True)
class Close:
    """
    Send the replies that are due and then ``bye``, if there is one, and close.

    :ivar cause: for the log, in words.
    """

    cause: str
    bye: Bye | None = None


Effect = Close
