"""
The connection of a subcommand that goes on over any number of them, with word on standard error of what happens to it.
"""

import sys
from typing import Any

from echochat.client.address import ServerAddress
from echochat.client.credentials import Credentials
from echochat.client.harmless import harmless
from echochat.client.keeper import Connected, Status, Stopped
from echochat.client.reasons import tell_loss, why_not_reached, why_refused
from echochat.client.reconnecting import ReconnectingClient
from echochat.client.running import CommandFailed


class _Narrator:
    """
    Tells of an outage once, and of its end, once there has been a connection.
    """

    def __init__(self, server: ServerAddress) -> None:
        self._server = server
        self._connected: bool | None = None

    def told(self, status: Status) -> None:
        """
        Something happened to the connection.
        """
        if isinstance(status, Connected):
            if self._connected is False:
                self._say(f"connected to {self._server.name} again")
            self._connected = True
        elif self._connected and not isinstance(status.why, Stopped):
            # That it is the last is told by whoever waits for something.
            self._connected = False
            self._say(tell_loss(status.why, self._server))

    def hush(self) -> None:
        """
        The program ends: that its connection ends too is nothing to tell.
        """
        self._connected = None

    def _say(self, text: str) -> None:
        print(f"echochat: {harmless(text)}", file=sys.stderr, flush=True)


async def keep_connected(
    reactor: Any, server: ServerAddress, name: str | None, credentials: Credentials | None
) -> ReconnectingClient:
    """
    Connect, and from then on whenever it is necessary.

    :raises CommandFailed: the server is not there now, or will not have us.
    """
    narrator = _Narrator(server)
    reactor.addSystemEventTrigger("before", "shutdown", narrator.hush)
    try:
        client = ReconnectingClient(
            server.endpoint(reactor), reactor, name=name, credentials=credentials, on_status=narrator.told
        )
    except ValueError as error:
        raise CommandFailed(why_not_reached(error, server)) from error
    try:
        await client.start()
    except Exception as error:
        await client.close(grace=0)
        if isinstance(error, Stopped):
            # It was reached, and said no.
            raise CommandFailed(f"{server.name}: {why_refused(error)}") from error
        raise CommandFailed(why_not_reached(error, server)) from error
    return client
