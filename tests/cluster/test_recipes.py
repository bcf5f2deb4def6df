"""
Tests for :mod:`echochat.cluster.recipes` and :mod:`echochat.cluster.folder`.
"""

import os
import shutil
import stat
import tempfile
import tomllib
from pathlib import Path

from twisted.internet.endpoints import serverFromString
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from echochat.broker.credentials import UserCredentials
from echochat.cluster.folder import Folder, FolderRefused
from echochat.cluster.recipes import balancer_command, broker_command, cluster_control, worker_command
from echochat.cluster.settings import ClusterSettings

ODD = "déjà:vu = \U0001f600 'a' \"b\" \\c"
"""
Each of these characters means something in an endpoint, in TOML, or in the broker's configuration.
"""


class FolderCase(SynchronousTestCase):
    """
    A folder whose path sockets fit into.
    """

    def setUp(self) -> None:
        self.path = tempfile.mkdtemp(prefix="echochat-")
        self.addCleanup(shutil.rmtree, self.path)

    def folder(self, name: str = "data") -> Folder:
        """
        Take a folder, until the test ends.
        """
        folder = Folder(os.path.join(self.path, name))
        self.addCleanup(folder.release)
        return folder


class RecipesTests(FolderCase):
    """
    What is written into files is what is read from them, whatever it is.
    """

    def test_a_worker(self) -> None:
        """
        Texts, numbers, truths and lists are TOML; characters beyond U+FFFF are whole.
        """
        folder = self.folder(ODD)
        passed = (("rules", f"{ODD}\x7f\x01\n"), ("max-line", 7), ("guests", True), ("origin", ["a", "\U0001f600"]))
        worker_command(folder, ClusterSettings(servers=passed), "nats://x", "w1")
        written = tomllib.loads(folder.run("w1.toml").read_text(encoding="utf-8"))
        self.assertEqual({name: written[name] for name, _ in passed}, dict(passed))
        self.assertEqual(written["drain"], 5.0)

    def test_sockets(self) -> None:
        """
        The paths of sockets arrive where they are listened on.
        """
        folder = self.folder(ODD)
        settings = ClusterSettings()
        worker_command(folder, settings, "nats://x", "w1")
        balancer_command(folder, settings, ["w1"])
        worker = tomllib.loads(folder.run("w1.toml").read_text(encoding="utf-8"))
        balancer = tomllib.loads(folder.run("balancer.toml").read_text(encoding="utf-8"))
        self.assertEqual(balancer["backends"]["w1"], {"endpoint": worker["listen"][0], "control": worker["control"]})
        for endpoint, name in (
            (worker["control"], "w1.control"),
            (balancer["control"], "balancer.control"),
            (cluster_control(folder), "control"),
        ):
            listening = serverFromString(MemoryReactorClock(), f"{endpoint}:mode=600")
            self.assertEqual(listening._address, str(folder.run(name)))

    def test_the_broker(self) -> None:
        """
        It knows the public half of a key only: who reads its configuration is let in nowhere.
        """
        folder = self.folder(ODD)
        broker_command(folder, "nats-server", 4222, 0)
        written = folder.run("broker.conf").read_text(encoding="utf-8")
        self.assertIn(f"nkey: {UserCredentials(str(folder.key)).public}", written)
        self.assertNotIn("password", written)
        self.assertIn("déjà:vu", written)


class KeyTests(FolderCase):
    """
    The key with which the broker lets the servers in.
    """

    def test_kept(self) -> None:
        """
        It is made once, and nobody else may read it.
        """
        folder = Folder(os.path.join(self.path, "data"))
        key = folder.key.read_text()
        self.assertEqual(stat.S_IMODE(folder.key.stat().st_mode), 0o600)
        folder.release()
        again = self.folder()
        self.assertEqual((again.key.read_text(), again.public_key), (key, folder.public_key))

    def test_spoilt(self) -> None:
        """
        One that a power cut left empty, or half of it, does not keep the cluster from starting: there is another one.
        """
        folder = Folder(os.path.join(self.path, "data"))
        key = folder.key.read_text()
        for left in ("", key[: len(key) // 2]):
            folder.key.write_text(left)
            folder.release()
            folder = Folder(os.path.join(self.path, "data"))
            self.assertEqual(UserCredentials(str(folder.key)).public, folder.public_key)
        folder.release()

    def test_on_disk(self) -> None:
        """
        What is written is on disk before it has its name: no power cut leaves a name with nothing behind it.
        """
        happened: list[str] = []
        sync, rename = os.fsync, Path.rename

        def note_sync(descriptor: int) -> None:
            happened.append(f"synced {os.fstat(descriptor).st_size}")
            sync(descriptor)

        def note_rename(path: Path, target: Path) -> Path:
            happened.append(f"renamed {path.name}")
            return rename(path, target)

        folder = self.folder()
        self.patch(os, "fsync", note_sync)
        self.patch(Path, "rename", note_rename)
        folder.write("file", "four")
        self.assertEqual(happened, ["synced 4", "renamed file.new"])

    def test_no_text(self) -> None:
        """
        A path that can be written into no configuration is refused.
        """
        for name in ("a\nb", os.fsdecode(b"\xff")):
            self.assertRaises(FolderRefused, Folder, os.path.join(self.path, name))
