"""
Tests for :mod:`echochat.tap.cluster`: what can be written after ``echochat-cluster``. What comes of it is in
:mod:`tests.cluster`.
"""

import os
import sys

from twisted.trial.unittest import SynchronousTestCase

from echochat.cluster.settings import ClusterSettings
from echochat.server.settings import SETTINGS as SERVER_SETTINGS
from echochat.tap.cluster import PASSED, Options, makeService


class OptionsTests(SynchronousTestCase):
    """
    The command line and the file become settings, or one sentence.
    """

    def parsed(self, *arguments: str) -> ClusterSettings:
        """
        What comes of these.
        """
        options = Options()
        options.parseOptions(list(arguments))
        return options.settings

    def refusal(self, *arguments: str) -> str:
        """
        Why these make no sense.
        """
        error = self.assertRaises(SystemExit, self.parsed, *arguments)
        self.assertNotIn("\n", str(error.code))
        return str(error.code)

    def test_defaults(self) -> None:
        """
        A worker for each processor, on loopback, with a broker of its own.
        """
        settings = self.parsed()
        self.assertEqual(settings.workers, len(os.sched_getaffinity(0)))
        self.assertEqual((settings.listen, settings.broker), (("tcp:7000:interface=127.0.0.1",), None))
        self.assertEqual((settings.servers, settings.auth, settings.rebalance), ((), (), False))

    def test_options(self) -> None:
        """
        Each option is a setting; some may be given several times; what is a server's is passed on as it was written.
        """
        settings = self.parsed(
            *("--listen", "tcp:1", "--listen=unix:l", "--auth=argon2:a", "--auth", "argon2:b", "--workers", "3"),
            *("--broker", "nats://h", "--drain=7", "--rebalance", "--max-line", "100", "--rules", "r"),
        )
        self.assertEqual((settings.listen, settings.auth), (("tcp:1", "unix:l"), ("argon2:a", "argon2:b")))
        self.assertEqual((settings.workers, settings.broker, settings.drain), (3, "nats://h", 7.0))
        self.assertTrue(settings.rebalance)
        self.assertEqual(dict(settings.servers), {"max-line": "100", "rules": "r"})

    def test_file(self) -> None:
        """
        What the command line does not say the file does, of a server's settings too, and it is read again.
        """
        path = self.mktemp()
        with open(path, "w") as file:
            file.write("drain = 8\nworkers = 2\nmax-line = 200\n")
        options = Options()
        options.parseOptions(["--config", path, "--workers", "4"])
        settings = options.settings
        self.assertEqual((settings.drain, settings.workers, dict(settings.servers)), (8.0, 4, {"max-line": 200}))
        with open(path, "w") as file:
            file.write("drain = 9\n")
        again = options.read_settings()
        self.assertEqual((again.drain, again.workers, again.servers), (9.0, 4, ()))

    def test_refused(self) -> None:
        """
        What is wrong is named, and no password.
        """
        for arguments, told in (
            (("--workers", "0"), "--workers is a whole number"),
            (("--workers", "257"), "--workers is a whole number"),
            (("--listen", "tls:7443"), "the workers get the sockets"),
            (("--broker", "nats://me:secret@h/a/b"), "a broker is nats://"),
            (("--broker", "redis://here"), "a broker is nats://"),
            (("--max-line", "x"), "--max-line"),
            (("--history", "memory:"), "history"),
            (("--control", "unix:x"), "control"),
            (("something",), "something is not an option"),
        ):
            why = self.refusal(*arguments)
            self.assertIn(told, why)
            self.assertNotIn("secret", why)

    def test_files(self) -> None:
        """
        A file that no worker would start with is told of when the service is made, and nothing is made then.
        """
        self.patch(sys, "excepthook", sys.excepthook)  # it is the service's from then on
        broken = os.path.abspath(self.mktemp())
        with open(broken, "w") as file:
            file.write("this is no TOML")
        for arguments, told in (
            (("--rules", broken), broken),
            (("--rules", "/nowhere/rules"), "/nowhere/rules cannot be read"),
            (("--tokens", "/nowhere/tokens"), "/nowhere/tokens cannot be read"),
            (("--auth", "argon2:/nowhere/accounts"), "/nowhere/accounts cannot be read"),
            (("--auth", "nonsense:secret"), "--auth nonsense: "),
        ):
            folder = self.mktemp()
            options = Options()
            options.parseOptions(["--data", folder, "--broker", "nats://h", *arguments])
            error = self.assertRaises(SystemExit, makeService, options)
            self.assertIn(told, str(error.code))
            self.assertNotIn("secret", str(error.code))
            self.assertFalse(os.path.exists(folder))

    def test_every_setting_of_a_server(self) -> None:
        """
        All that can be said to a server can be said to those of a cluster, but what is the cluster's to say.
        """
        kept_back = {each.name for each in SERVER_SETTINGS} - {each.name for each in PASSED}
        self.assertEqual(kept_back, {"listen", "history", "control", "drain"})
