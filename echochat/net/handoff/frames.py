"""
What a balancer and a worker say to each other about the sockets that one passes to the other.

They speak in records over a UNIX socket of type ``SOCK_SEQPACKET``: the kernel keeps a record together, and a
descriptor with the record that it came with. A record is one or more frames, a frame is a byte that tells its kind and
fields of fixed size in network order. A record with a :class:`Hand` has nothing else but more of them, and as many
descriptors, in their order; no other record has any.

| from the balancer | |
| --- | --- |
| ``Hello`` | first: which version it speaks, and which balancer it is |
| ``Hand`` | this socket is connection NUMBER |
| ``Move`` | ask so many sessions to move within so many seconds |
| ``Kick`` | close connection NUMBER |
| ``Ping`` | are you there? |

| from the worker | |
| --- | --- |
| ``Welcome`` | first: its version, which worker it is, and whether it takes connections |
| ``Alive`` | connection NUMBER, handed over on an earlier channel of the same balancer, is still open |
| ``Complete`` | all of those have been told; and how many strangers there are |
| ``Strangers`` | the number of connections here of balancers that are gone has changed |
| ``Taken`` | connection NUMBER is the worker's from now on |
| ``Refused`` | it is not |
| ``Ended`` | it is over, with what was received and sent on it |
| ``Situation`` | whether the worker takes connections has changed |
| ``Moved`` | the answer to ``Move``: how many will be asked |
| ``Pong`` | the answer to ``Ping`` |
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from enum import IntEnum
from functools import partial
from struct import Struct
from typing import Any, Final, NamedTuple, TypeAlias

VERSION: Final = 2
"""
It grows with each change of the frames: a balancer and a worker of two versions do not understand each other.
"""

MOST_RECORD: Final = 8_192
"""
Bytes that a record has at most: what is read at once.
"""

MOST_TOGETHER: Final = 64
"""
Connections that are handed over in one record at most; the kernel passes 253.
"""

TOKEN: Final = 16
"""
Bytes of what tells one balancer, or one worker, from all others.
"""

EVERYBODY: Final = 2**32 - 1


class FrameError(Exception):
    """
    The other side sent what is no record of ours. The message says what is wrong; the channel has to be closed.
    """


class Willing(IntEnum):
    """
    Whether a worker takes connections.
    """

    OPEN = 0
    # It has as many as it may have, or is not ready yet.
    FULL = 1
    # It is stopping: it takes none any more.
    DRAINING = 2


class End(IntEnum):
    """
    How a connection ended.
    """

    CLIENT = 0
    WORKER = 1
    LOST = 2
    ABORTED = 3


class Hello(NamedTuple):
    """
    :ivar token: which balancer this is.
    """

    version: int
    token: bytes


class Hand(NamedTuple):
    """
    :ivar number: of the connection; a balancer never uses one twice.
    """

    number: int


class Move(NamedTuple):
    """
    :ivar sessions: how many; :data:`EVERYBODY`: all.
    :ivar milliseconds: in which they are asked, one after the other.
    """

    sessions: int
    milliseconds: int


class Kick(NamedTuple):
    """
    :ivar number: of the connection.
    """

    number: int


class Ping(NamedTuple):
    """
    :ivar number: of the question.
    """

    number: int


class Welcome(NamedTuple):
    """
    :ivar token: which worker this is.
    """

    version: int
    token: bytes
    willing: Willing


class Alive(NamedTuple):
    """
    :ivar number: of the connection.
    """

    number: int


class Complete(NamedTuple):
    """
    :ivar alive: how many those are.
    :ivar strangers: how many more connections are open that were handed over by balancers which are not connected now,
        such as the one before this that was killed.
    """

    alive: int
    strangers: int


class Strangers(NamedTuple):
    """
    :ivar number: how many such connections there are from now on.
    """

    number: int


class Taken(NamedTuple):
    """
    :ivar number: of the connection.
    """

    number: int


class Refused(NamedTuple):
    """
    :ivar number: of the connection.
    """

    number: int
    willing: Willing


class Ended(NamedTuple):
    """
    :ivar number: of the connection.
    :ivar received: bytes from the client; -1: not known.
    :ivar sent: bytes to the client, likewise.
    """

    number: int
    received: int
    sent: int
    end: End


class Situation(NamedTuple):
    """
    :ivar willing: what holds from now on.
    """

    willing: Willing


class Moved(NamedTuple):
    """
    :ivar sessions: how many will be asked.
    """

    sessions: int


class Pong(NamedTuple):
    """
    :ivar number: of the question.
    """

    number: int


_OfBalancer: TypeAlias = Hello | Hand | Move | Kick | Ping
_OfWorker: TypeAlias = Welcome | Alive | Complete | Strangers | Taken | Refused | Ended | Situation | Moved | Pong
Frame: TypeAlias = _OfBalancer | _OfWorker

FROM_BALANCER: Final[Mapping[int, tuple[Struct, type[Any]]]] = {
    ord("h"): (Struct("!B16s"), Hello),
    ord("s"): (Struct("!Q"), Hand),
    ord("m"): (Struct("!LL"), Move),
    ord("k"): (Struct("!Q"), Kick),
    ord("p"): (Struct("!Q"), Ping),
}

FROM_WORKER: Final[Mapping[int, tuple[Struct, type[Any]]]] = {
    ord("W"): (Struct("!B16sB"), Welcome),
    ord("A"): (Struct("!Q"), Alive),
    ord("C"): (Struct("!QQ"), Complete),
    ord("N"): (Struct("!Q"), Strangers),
    ord("T"): (Struct("!Q"), Taken),
    ord("R"): (Struct("!QB"), Refused),
    ord("E"): (Struct("!QqqB"), Ended),
    ord("S"): (Struct("!B"), Situation),
    ord("M"): (Struct("!L"), Moved),
    ord("P"): (Struct("!Q"), Pong),
}

_PACKED: Final[Mapping[type[Any], Callable[..., bytes]]] = {
    kind: partial(Struct("!c" + layout.format[1:]).pack, bytes([letter]))
    for table in (FROM_BALANCER, FROM_WORKER)
    for letter, (layout, kind) in table.items()
}

_WORDS: Final[Mapping[type[Any], Mapping[int, IntEnum]]] = {
    **{kind: {int(each): each for each in Willing} for kind in (Welcome, Refused, Situation)},
    Ended: {int(each): each for each in End},
}
"""
What the last field of some frames stands for.
"""


def encode(frame: Frame) -> bytes:
    """
    What is sent for a frame: a record, or a part of one.
    """
    return _PACKED[type(frame)](*frame)


def decode(record: bytes, table: Mapping[int, tuple[Struct, type[Any]]]) -> Iterator[Frame]:
    """
    Read the frames of a record, one after the other.

    :param table: :data:`FROM_BALANCER` or :data:`FROM_WORKER`: what may come from there.
    :raises FrameError: it has none, or something else comes.
    """
    if not record:
        raise FrameError("a record is empty")
    at = 0
    while at < len(record):
        known = table.get(record[at])
        if known is None:
            raise FrameError(f"a frame of an unknown kind, {record[at]}")
        layout, kind = known
        try:
            frame = kind._make(layout.unpack_from(record, at + 1))
        except struct.error:
            raise FrameError(f"a frame is cut off: {kind.__name__}") from None
        words = _WORDS.get(kind)
        if words is not None:
            word = words.get(frame[-1])
            if word is None:
                raise FrameError(f"{kind.__name__} ends in {frame[-1]}, which means nothing")
            frame = kind(*frame[:-1], word)
        yield frame
        at += 1 + layout.size
