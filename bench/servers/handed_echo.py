"""
Lines answered as they are, over connections that a balancer hands over: as little work as C's echo has.
"""

import sys
from typing import Any

from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol

from echochat.net.endpoints import server_endpoint
from echochat.net.lean import lean


class Echoing(Protocol):
    """
    One connection.
    """

    transport: Any

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


if __name__ == "__main__":
    running: Any = reactor
    quick = lean(running)
    factory = Factory.forProtocol(Echoing)
    for endpoint in sys.argv[1:]:
        server_endpoint(quick, endpoint).listen(factory).addErrback(lambda failure: sys.exit(str(failure.value)))
    running.run()
