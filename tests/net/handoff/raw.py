"""
A balancer of a few blocking calls, with which a test can also say what no balancer says.
"""

import array
import os
import socket
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from echochat.net.handoff.frames import FROM_WORKER, MOST_RECORD, TOKEN, VERSION, Hand, Hello, decode, encode
from tests.net.peers import DEADLINE


class RawBalancer:
    """
    A connection to a worker's socket.

    :ivar heard: the frames that were received.
    """

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(DEADLINE)
        self.socket.connect(path)
        self.heard: list[Any] = []

    def say(self, *frames: Any) -> None:
        """
        Send frames in one record.
        """
        self.send(b"".join(map(encode, frames)))

    def greet(self, token: bytes = bytes(TOKEN)) -> None:
        """
        Say which balancer this is.
        """
        self.say(Hello(VERSION, token))

    def hand(self, number: int, descriptor: int) -> None:
        """
        Hand a connection over.
        """
        self.send(encode(Hand(number)), [descriptor])

    def send(self, record: bytes, descriptors: Sequence[int] = ()) -> None:
        """
        Send any bytes with any descriptors.
        """
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        self.socket.sendmsg([record], rights)

    def hear(self, count: int) -> "Deferred[list[Any]]":
        """
        Wait for so many frames in all, or fewer when the worker closes first.
        """
        return deferToThread(self._hear, count)

    def hear_the_end(self) -> "Deferred[list[Any]]":
        """
        Wait until the worker closes.
        """
        return self.hear(1 << 30)

    def close(self) -> None:
        """
        Vanish.
        """
        self.socket.close()

    def _hear(self, count: int) -> list[Any]:
        while len(self.heard) < count:
            try:
                record = self.socket.recv(MOST_RECORD)
            except ConnectionResetError:
                # The worker closed without reading everything; what it said comes first.
                continue
            if not record:
                break
            self.heard.extend(decode(record, FROM_WORKER))
        return self.heard


class Clients:
    """
    Connections to hand over: a client's end, and the end that a balancer has accepted.
    """

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._open: list[socket.socket] = [self._listening]

    def pair(self) -> tuple[socket.socket, socket.socket]:
        """
        A client, and its connection as it was accepted.
        """
        client = socket.create_connection(self._listening.getsockname())
        client.settimeout(DEADLINE)
        accepted, _ = self._listening.accept()
        self._open += [client, accepted]
        return client, accepted

    def unix_pair(self) -> tuple[socket.socket, socket.socket]:
        """
        The same on UNIX sockets.
        """
        pair = socket.socketpair()
        pair[0].settimeout(DEADLINE)
        self._open += pair
        return pair

    def close(self) -> None:
        """
        Close what a test has not closed.
        """
        for each in self._open:
            each.close()


def descriptors() -> int:
    """
    How many this process has.
    """
    return len(os.listdir("/proc/self/fd"))
