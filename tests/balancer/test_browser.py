"""
The status page in a real browser.
"""

import os
import secrets
import tempfile
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.trial.unittest import TestCase

from echochat.balancer.page import site as site_module
from echochat.balancer.page.site import StatusSite
from tests.balancer.browser import WITHOUT, show
from tests.balancer.operated import OperatedBalancer
from tests.client.processes import start_client, stop_program
from tests.processes import start_server
from tests.server.talking import Talker, talk_to

reactor: Any = _reactor


class RunningTests(TestCase):
    """
    The page of a balancer that runs.
    """

    skip = WITHOUT
    timeout = 240

    async def test_drain(self) -> None:
        """
        Somebody who watches sees the backends, their states and counts, and how a drain changes them.
        """
        path = os.path.join(tempfile.gettempdir(), f"echochat-{secrets.token_hex(8)}")
        servers = [start_server(self, "--history", "memory:", "--control", f"unix:{path}-{name}") for name in "ab"]
        ports = [await server.port() for server in servers]
        config = self.mktemp()
        with open(config, "w") as file:
            for name, port in zip("ab", ports, strict=True):
                file.write(f'[backends.{name}]\nendpoint = "tcp:127.0.0.1:{port}"\ncontrol = "unix:{path}-{name}"\n')
        options = ("--config", os.path.abspath(config), "--control", f"unix:{path}", "--check", "none")
        balancer = start_server(self, *options, "--status", "tcp:0:interface=127.0.0.1", service="echochat-lb")
        found = await balancer.until(rb"port (\d+): status page")
        url = f"http://127.0.0.1:{int(found[1])}/"
        port = int((await balancer.until(rb"port (\d+): balancer"))[1])
        talkers: list[Talker] = [await talk_to(port) for _ in range(5)]
        for talker in talkers:
            self.assertEqual(await talker.ask(b"/ping"), b"/ok ping")

        page = await show(self, url)
        self.assertEqual([*page.rows], ["a", "b"])
        self.assertEqual([each["state"] for each in page.rows.values()], ["up", "up"])
        self.assertEqual([each["active"] for each in page.rows.values()], ["3", "2"])
        self.assertEqual(page.rows["a"]["small"], f"tcp:127.0.0.1:{ports[0]}")
        self.assertEqual((page.tiles["connections"], page.tiles["backends that serve"]), ("5", "2 of 2"))

        client = start_client("lb", "drain", "a", "0", "--control", f"unix:{path}")
        self.addCleanup(stop_program, client)
        self.assertEqual(await client.ends(), 0, client.errors)
        for talker in talkers[::2]:
            self.assertEqual(await talker.hear(), b"/drain 0")
        page = await show(self, url)
        self.assertEqual((page.rows["a"]["state"], page.rows["a"]["active"]), ("draining", "3"))
        for talker in talkers[::2]:
            talker.end()
        talkers.append(await talk_to(port))
        self.assertEqual(await talkers[-1].ask(b"/ping"), b"/ok ping")
        page = await show(self, url)
        self.assertEqual([each["state"] for each in page.rows.values()], ["drained", "up"])
        self.assertEqual([each["active"] for each in page.rows.values()], ["0", "3"])
        self.assertEqual((page.tiles["connections"], page.tiles["backends that serve"]), ("3", "1 of 2"))
        self.assertEqual((page.state, page.console), ("live", []))
        for talker in (*talkers[1::2], talkers[-1]):
            talker.end()
        self.assertEqual(await balancer.stop(), 0)
        self.assertNotIn(b"Traceback", balancer.output)


class DrawnTests(TestCase):
    """
    What the page's script does.
    """

    skip = WITHOUT
    timeout = 240

    def setUp(self) -> None:
        self.balancer = OperatedBalancer("a", "b")
        # The browser asks again at once, since its own time passes as it likes.
        self.patch(site_module, "FRESH", 0.0)
        self.asked = 0

    def serve(self) -> str:
        """
        :return: the address of a page of this balancer.
        """
        site = StatusSite(reactor, self.balancer.status)
        port = reactor.listenTCP(0, site, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.addCleanup(site.end)
        return f"http://127.0.0.1:{port.getHost().port}/"

    async def test_refreshes_itself(self) -> None:
        """
        The figures change while it is open, without anybody's doing.
        """
        balancer_of = self.balancer.status.balancer

        def another_comes() -> dict[str, Any]:
            self.asked += 1
            self.balancer.connect()
            return balancer_of()

        self.patch(self.balancer.status, "balancer", another_comes)
        page = await show(self, self.serve(), 9)
        self.assertGreater(self.asked, 2)
        self.assertEqual(page.tiles["connections"], str(self.asked))
        self.assertEqual(sum(int(each["active"]) for each in page.rows.values()), self.asked)
        self.assertEqual((page.state, page.console), ("live", []))

    async def test_no_answer(self) -> None:
        """
        A page whose balancer does not answer any more says so, and keeps what it had.
        """
        balancer_of = self.balancer.status.balancer

        def only_once() -> dict[str, Any]:
            self.asked += 1
            if self.asked > 1:
                raise RuntimeError("gone")
            return balancer_of()

        self.balancer.connect()
        self.patch(self.balancer.status, "balancer", only_once)
        page = await show(self, self.serve(), 5)
        self.assertIn("does not answer", page.state)
        self.assertEqual((page.tiles["connections"], [*page.rows]), ("1", ["a", "b"]))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), self.asked - 1)

    async def test_text_is_text(self) -> None:
        """
        Whatever a backend's check says, it is shown and never obeyed, drawn by the server or by the script.
        """
        trick = "</td><script>document.body.innerHTML='x'</script><img src=x onerror=alert(1)>&lt;"
        self.balancer.fleet.backend("a").why = trick
        page = await show(self, self.serve(), 5)
        self.assertEqual(page.rows["a"]["last check"].strip(), trick)
        self.assertEqual((page.tags.count("script"), page.tags.count("img")), (1, 0))
        self.assertEqual((page.state, page.console), ("live", []))
