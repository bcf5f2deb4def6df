"""
What a server may do at its broker, with a real nats-server that looks at permissions.
"""

from unittest import mock

from twisted.internet.defer import gatherResults
from twisted.logger import capturedLogs, eventAsText
from twisted.trial.unittest import TestCase

from echochat.history import Retention
from echochat.history.jetstream.settings import Settings
from tests.broker.nats import Nats
from tests.history.doubles import draft, read_everything
from tests.history.jetstream.sharing import Server, documented_permissions, user_with

MUCH = 200
"""
Events of 30,000 bytes: several times what the broker sends before it wants to hear that it was taken.
"""


class PermissionsTests(TestCase):
    """
    A user with the permissions that are documented, and with fewer.
    """

    timeout = 120

    async def server(self, permissions: str) -> Server:
        nats = await Nats(self, user_with(permissions)).start()
        return await Server(self, nats, Settings(retention=Retention())).open("a")

    async def publish_much(self, server: Server) -> None:
        text = "x" * 30_000
        await gatherResults([server.history.append([draft(text, "a", label=str(n))]) for n in range(MUCH)])
        await server.until(MUCH)
        self.assertEqual((server.receiver.told, len(server.receiver.events)), ([], MUCH))

    async def test_documented(self) -> None:
        """
        With these everything works, and nothing is refused.
        """
        with capturedLogs() as events:
            server = await self.server(documented_permissions())
            await self.publish_much(server)
            await server.history.look()
            await server.history._stream.reached()
            self.assertEqual([state.topic for state in await server.history.topics()], ["a"])
            self.assertEqual(sum([len(page.events) for page in await read_everything(server.history, "a")]), MUCH)
            server.history.unfollow("a")
            await server.history.follow("b")
            await server.history.close()
        self.assertNotIn("violation", "\n".join(map(eventAsText, events)))

    async def test_without_flow_control(self) -> None:
        """
        Who may not tell the broker to go on gets everything all the same, from one consumer after another.
        """
        permissions = documented_permissions().replace(', "$JS.FC.>"', "")
        with mock.patch("echochat.history.jetstream.reception.STALLED", 0.2):
            await self.publish_much(await self.server(permissions))
