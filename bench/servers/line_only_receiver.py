"""
The echo as Twisted's own documentation would write it: a ``LineOnlyReceiver``, with nothing added.
"""

import sys

from twisted.internet import reactor
from twisted.internet.interfaces import IReactorCore, IReactorTCP
from twisted.internet.protocol import ServerFactory
from twisted.protocols.basic import LineOnlyReceiver

from bench.servers.asyncio_echo import answer


class Shouting(LineOnlyReceiver):
    """
    One connection: every line in upper case, until one contains ``CLOSE SOCKET``.
    """

    delimiter = b"\n"  # a CR stays in the line, and so in the answer
    MAX_LENGTH = 65536
    closing = False

    def lineReceived(self, line: bytes) -> None:
        if self.closing:
            return
        if b"CLOSE SOCKET" in line:
            self.closing = True
            assert self.transport is not None
            self.transport.loseConnection()
        else:
            self.sendLine(answer(line))


if __name__ == "__main__":
    factory = ServerFactory.forProtocol(Shouting)
    # Twisted's annotations want a protocol that declares its factory, and LineOnlyReceiver does not.
    IReactorTCP(reactor).listenTCP(int(sys.argv[1]), factory, backlog=4096, interface="127.0.0.1")  # type: ignore[arg-type]
    IReactorCore(reactor).run()
