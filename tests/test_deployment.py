"""
What ``deploy/`` has for those who run echochat under systemd.
"""

import re
import shutil
import subprocess
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from echochat.balancer.settings import make_settings as make_balancer_settings
from echochat.cluster.service import PATIENCE
from echochat.cluster.settings import make_settings as make_cluster_settings
from echochat.daemon.settings import read_config
from echochat.server.settings import make_settings as make_server_settings
from echochat.tap.cluster import PASSED

_DEPLOY = Path(__file__).parents[1] / "deploy"
_UNITS = ("echochat@.service", "echochat-lb.service", "echochat-cluster.service")
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


class ClusterTests(SynchronousTestCase):
    """
    The unit of a cluster, and the file that it reads.
    """

    def setUp(self) -> None:
        path = _DEPLOY / "cluster.toml"
        self.settings = make_cluster_settings({}, read_config(str(path)), str(path), PASSED)
        self.unit = (_DEPLOY / "echochat-cluster.service").read_text()

    def test_folder(self) -> None:
        """
        The cluster's folder is the one that systemd makes for it and keeps.
        """
        state = re.search(r"^StateDirectory=(.+)$", self.unit, re.MULTILINE)
        assert state is not None
        self.assertEqual(self.settings.data, f"/var/lib/{state[1]}")

    def test_time_to_stop(self) -> None:
        """
        systemd waits until the balancer, the workers and the broker have had their time, one after the other, and more
        than a minute longer than clients have to leave.
        """
        stop = re.search(r"^TimeoutStopSec=(\d+)$", self.unit, re.MULTILINE)
        assert stop is not None
        self.assertGreater(int(stop[1]), 3 * (self.settings.drain + PATIENCE))
        self.assertGreater(int(stop[1]), self.settings.drain + 60)
