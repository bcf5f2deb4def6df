"""
nats-py's client, as one connection: it is made, used and thrown away.

nats-py can reconnect by itself, and is not asked to, because of what it does then: what was published while it was
disconnected is sent afterwards, to a publisher that was told long ago that it failed; after an error that the broker
names (a password that was changed, too many connections) it never tries again; and who was to be told that the
connection had gone may not be, where there was still something to send.
"""

import ssl
from collections.abc import Callable
from typing import Final

from nats.aio.client import Client
from nats.errors import Error, SlowConsumerError

from echochat.broker.address import BrokerAddress

CONNECT_TIMEOUT: Final = 4
"""
Seconds for each step of making a connection.
"""

_PENDING: Final = 8 << 20
"""
Bytes that may wait to be sent before whoever publishes has to wait.
"""

_NEVER: Final = 1 << 30


class OneConnection(Client):
    """
    A connection to one server, which ends when it ends.

    :param lost: is told that it has ended, or is about to; may be told more than once.
    :param complain: is told of what goes wrong while it goes on.
    """

    def __init__(self, lost: Callable[[str], None], complain: Callable[[str], None]) -> None:
        super().__init__()
        self._encrypted = False
        self._lost = lost
        self._complain = complain

    async def open(self, address: BrokerAddress, server: str, name: str) -> None:
        """
        Connect.

        :raises Exception: whatever kept it from that.
        """
        self._encrypted = address.encrypted
        creds = address.read_credentials()
        jwt = creds.jwt if creds is not None else None
        if creds is not None and jwt is None:
            # nats-py would ask for another package to say the same.
            self._public_nkey = creds.public
        await self.connect(
            servers=[address.url(server)],
            name=name,
            error_cb=self._failed,
            closed_cb=self._ended,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=CONNECT_TIMEOUT,
            ping_interval=_NEVER,  # whoever uses this looks whether the broker answers
            tls=address.ssl_context(),
            user=address.user,
            password=address.read_password(),
            user_jwt_cb=(lambda: jwt) if jwt is not None else None,
            signature_cb=creds.sign if creds is not None else None,
            pending_size=_PENDING,
        )

    def abandon(self) -> None:
        """
        Let go of the socket, whatever waits to be sent: a broker that is stopped takes nothing.
        """
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()

    @property
    def info(self) -> dict[str, object]:
        """
        What the broker says of itself.
        """
        return dict(self._server_info)

    # Called by nats-py

    def _connect_command(self) -> bytes:
        # With the password in it. nats-py would send it in the clear to a server that does not offer TLS, whatever the
        # address says.
        if self._encrypted and not self._server_info.get("tls_required"):
            raise Error("nats: the broker does not offer TLS")
        return super()._connect_command()

    async def _failed(self, error: Exception) -> None:
        if isinstance(error, SlowConsumerError):
            self._complain("messages came faster than they were taken, and some were dropped")
        elif isinstance(error, Error) and "permissions violation" in str(error):
            self._complain(str(error))
        else:
            self._lost(explain(error))

    async def _ended(self) -> None:
        self._lost("the broker closed the connection")


def explain(error: BaseException) -> str:
    """
    A piece of a sentence for the log.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error).removeprefix("nats: ").strip("'").lower() or type(error).__name__
