"""
Removing telnet negotiation (RFC 854) from what a plain connection sends.

People type into ``telnet``, which may negotiate before and between their lines. 0xFF occurs in no UTF-8 text, so
whatever begins with it and continues as a telnet command can be taken out without touching any message.
"""

from typing import Final

_IAC: Final = 0xFF
_SE: Final = 240
_SB: Final = 250
_WILL: Final = 251
_DONT: Final = 254
# The lowest of the commands that clients send: EOF, SUSP, ABORT and EOR (RFC 1184, RFC 885), then RFC 854's own.
_FIRST: Final = 236


class TelnetFilter:
    """
    Take commands out of a stream, however it is cut; holds two bytes at most.
    """

    __slots__ = ("_in_subnegotiation", "_pending")

    def __init__(self) -> None:
        self._pending = b""
        self._in_subnegotiation = False

    @property
    def between_commands(self) -> bool:
        """
        Whether no command has begun without having ended.
        """
        return not self._pending and not self._in_subnegotiation

    def feed(self, data: bytes) -> bytes:
        """
        Take the next bytes, and give those that are text. A doubled 0xFF stands for one, as RFC 854 has it.
        """
        if self.between_commands and _IAC not in data:
            return data
        data = self._pending + data
        self._pending = b""
        kept: list[bytes] = []
        start = 0
        while (iac := data.find(_IAC, start)) >= 0:
            if not self._in_subnegotiation:
                kept.append(data[start:iac])
            length = _command_length(data, iac, self._in_subnegotiation)
            if iac + length > len(data):
                self._pending = data[iac:]
                return b"".join(kept)
            start = iac + length
            command = data[iac + 1] if length > 1 else None
            if self._in_subnegotiation:
                self._in_subnegotiation = command != _SE
            elif command == _SB:
                self._in_subnegotiation = True
            elif command is None or command == _IAC:
                kept.append(b"\xff")
        if not self._in_subnegotiation:
            kept.append(data[start:])
        return b"".join(kept)


def _command_length(data: bytes, iac: int, in_subnegotiation: bool) -> int:
    """
    How many bytes the command that begins here has; 1 for a 0xFF that begins none, which is then (bad) text.
    """
    if iac + 1 == len(data):
        return 2
    command = data[iac + 1]
    if in_subnegotiation:
        return 2
    if command < _FIRST:
        return 1
    return 3 if _WILL <= command <= _DONT else 2
