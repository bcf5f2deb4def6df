"""
What ``deploy/`` has for those who run echochat under systemd.
"""

import re
import shutil
import subprocess
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from echochat.balancer.settings import make_settings as make_balancer_settings
from echochat.daemon.settings import read_config
from echochat.server.settings import make_settings as make_server_settings

_DEPLOY = Path(__file__).parents[1] / "deploy"
_UNITS = ("echochat@.service", "echochat-lb.service")
_MOST_EXPOSED = 1.5


class UnitTests(SynchronousTestCase):
    """
    The units are sound, and give the services no more than they need.
    """

    def ask(self, *question: str) -> str:
        """
        What ``systemd-analyze`` says.
        """
        if shutil.which("systemd-analyze") is None:
            raise SkipTest("systemd-analyze is not installed")
        asked = subprocess.run(["systemd-analyze", *question], capture_output=True, text=True, check=False)
        return asked.stdout + asked.stderr

    def test_exposure(self) -> None:
        """
        Their exposure is at most 1.5 of 10.
        """
        for unit in _UNITS:
            said = self.ask("security", "--offline=true", str(_DEPLOY / unit))
            level = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
            assert level is not None, said
            self.assertLessEqual(float(level[1]), _MOST_EXPOSED, said)

    def test_sound(self) -> None:
        """
        systemd understands every line of them. (That the program is not installed here is not the unit's fault.)
        """
        for unit in _UNITS:
            said = self.ask("verify", "--man=false", "--recursive-errors=no", str(_DEPLOY / unit))
            ours = [line for line in said.splitlines() if unit.partition(".")[0] in line]
            self.assertEqual([line for line in ours if "is not executable" not in line], [])


class ExampleTests(SynchronousTestCase):
    """
    The example of three servers and a balancer.
    """

    def test_servers(self) -> None:
        """
        The servers' files are ones that a server takes, and the balancer's knows where they are.
        """
        path = _DEPLOY / "example" / "lb.toml"
        balancer = make_balancer_settings({}, read_config(str(path)), str(path))
        self.assertEqual([backend.name for backend in balancer.backends], ["a", "b", "c"])
        for backend in balancer.backends:
            path = _DEPLOY / "example" / f"{backend.name}.toml"
            server = make_server_settings({}, read_config(str(path)), str(path))
            port = backend.endpoint.rpartition(":")[2]
            self.assertEqual(server.listen, (f"proxied:from=127.0.0.1:tcp:{port}:interface=127.0.0.1",))
            self.assertEqual(server.control, backend.control)
