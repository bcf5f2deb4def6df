"""
TLS to the broker, with a real nats-server.
"""

from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from echochat.broker import Broker, parse_address
from tests.broker.nats import Connections, Nats, connected, reactor
from tests.net.certificates import identity


class TlsTests(TestCase):
    """
    Whom we talk to, and who may listen.
    """

    timeout = 60

    async def setUp(self) -> None:  # type: ignore[override]  # trial awaits it
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        self.certificate, self.key = folder / "cert.pem", folder / "key.pem"
        self.certificate.write_bytes(identity().certificate)
        self.key.write_bytes(identity().key)
        self.key.chmod(0o600)

    def settings(self, more: str = "") -> str:
        return f'tls {{ cert_file: "{self.certificate}", key_file: "{self.key}"{more} }}'

    def refusal(self, address: str, beginning: str) -> Deferred[None]:
        broker, connections = Broker(reactor, parse_address(address)), Connections()
        broker.watch(connections)
        self.addCleanup(broker.stop)
        refused = connections.when(f"disconnected: {beginning}")
        broker.start()
        return refused

    async def test_encrypted(self) -> None:
        """
        With an authority that we trust it works, and without it does not, whatever scheme is written.
        """
        nats = await Nats(self, self.settings()).start()
        where = f"127.0.0.1:{nats.port}"
        await connected(self, f"tls://{where}?ca={self.certificate}")
        await connected(self, f"nats://{where}?ca={self.certificate}")
        await self.refusal(f"tls://{where}", "its certificate is not accepted")
        await self.refusal(f"nats://{where}", "its certificate is not accepted")

    async def test_client_certificate(self) -> None:
        """
        A broker may want a certificate from us.
        """
        nats = await Nats(self, self.settings(f', ca_file: "{self.certificate}", verify: true')).start()
        where = f"tls://127.0.0.1:{nats.port}?ca={self.certificate}"
        await connected(self, f"{where}&cert={self.certificate}&key={self.key}")
        await self.refusal(where, "TLS failed")

    async def test_a_key_that_others_can_read(self) -> None:
        """
        It is not used, and the reason names it.
        """
        nats = await Nats(self, self.settings(f', ca_file: "{self.certificate}", verify: true')).start()
        self.key.chmod(0o640)
        where = f"tls://127.0.0.1:{nats.port}?ca={self.certificate}&cert={self.certificate}&key={self.key}"
        await self.refusal(where, f"{self.key} can be read or changed by others")

    async def test_a_broker_without_tls(self) -> None:
        """
        Who asks for TLS sends no password to a broker, or to whoever stands in its place, that does not offer it.
        """
        nats = await Nats(self).start()
        await self.refusal(f"tls://me:secret@127.0.0.1:{nats.port}", "the broker does not offer tls")
