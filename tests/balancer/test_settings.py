"""
Tests for :mod:`echochat.balancer.settings`.
"""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from echochat.balancer.backends import Mode
from echochat.balancer.settings import BACKEND_SETTINGS, SETTINGS, BackendSettings, BalancerSettings, make_settings
from echochat.daemon.settings import SettingError


class MakeSettingsTests(SynchronousTestCase):
    """
    The command line and the file together say what a balancer does.
    """

    def refusal(self, written: dict[str, Any], config: dict[str, Any]) -> str:
        error = self.assertRaises(SettingError, make_settings, written, config, "lb.toml")
        self.assertNotIn("\n", str(error))
        return str(error)

    def test_nothing(self) -> None:
        """
        Without anything the defaults hold, and no backend is there.
        """
        self.assertEqual(make_settings({}, {}, ""), BalancerSettings())

    def test_table(self) -> None:
        """
        Each setting of the tables is an attribute, and its help tells the default that it has.
        """
        for setting in SETTINGS:
            if setting.name != "backend":
                self.assertIn(setting.attribute, BalancerSettings.__slots__)
        for setting in BACKEND_SETTINGS:
            self.assertIn(setting.attribute, BackendSettings.__slots__)
        defaults = BalancerSettings()
        for setting in SETTINGS:
            if "[default: " not in setting.help or setting.name == "listen":
                continue
            told = setting.help.partition("[default: ")[2].rstrip("]").partition(",")[0]
            value = getattr(defaults, setting.attribute)
            self.assertIn(
                told, ("none", "nowhere") if value is None else (f"{value:g}" if value != str(value) else value)
            )

    def test_command_line(self) -> None:
        """
        ``--backend NAME=ENDPOINT`` may be given several times; the endpoint may have equals signs of its own.
        """
        settings = make_settings({"backend": ["a=tcp:h:1", "b-2.x=tls:h:2:ca=f"], "panic": True}, {}, "")
        self.assertEqual(settings.backends, (BackendSettings("a", "tcp:h:1"), BackendSettings("b-2.x", "tls:h:2:ca=f")))
        self.assertTrue(settings.panic)

    def test_file(self) -> None:
        """
        The file has a table for each backend, and everything that the command line has.
        """
        table = {"endpoint": "tcp:h:1", "weight": 3, "max": 9, "backup": True, "check": "ping", "control": "unix:c"}
        config = {"send-proxy": "v2", "idle": 7, "backend": ["b=tcp:h:2"], "backends": {"a": table}}
        settings = make_settings({}, config, "lb.toml")
        self.assertEqual((settings.send_proxy, settings.idle), ("v2", 7.0))
        a, b = settings.backends
        self.assertEqual(a, BackendSettings("a", "tcp:h:1", 3, 9, True, "ping", "unix:c"))
        self.assertEqual(b, BackendSettings("b", "tcp:h:2"))
        made = a.make()
        self.assertEqual((made.name, made.endpoint, made.weight, made.most), ("a", "tcp:h:1", 3, 9))
        self.assertEqual((made.backup, made.check, made.control, made.mode), (True, "ping", "unix:c", Mode.READY))

    def test_both(self) -> None:
        """
        A backend of the command line is added to those of the file; where the file has its name the endpoint is the
        command line's, and all else the file's. A table without an endpoint is only for that.
        """
        config = {"backends": {"a": {"endpoint": "tcp:h:1", "weight": 3}, "b": {"max": 5}}}
        settings = make_settings({"backend": ["a=tcp:h:9", "b=tcp:h:2", "c=tcp:h:3"]}, config, "lb.toml")
        self.assertEqual(
            settings.backends,
            (
                BackendSettings("a", "tcp:h:9", weight=3),
                BackendSettings("b", "tcp:h:2", max=5),
                BackendSettings("c", "tcp:h:3"),
            ),
        )

    def test_wrong(self) -> None:
        """
        What is wrong is named in one sentence.
        """
        wrong: list[tuple[dict[str, Any], dict[str, Any], str]] = [
            ({"backend": ["a"]}, {}, "--backend is of the form NAME=ENDPOINT"),
            ({"backend": ["=tcp:h:1"]}, {}, "--backend is of the form NAME=ENDPOINT"),
            ({"backend": ["a b=tcp:h:1"]}, {}, "--backend is of the form NAME=ENDPOINT"),
            ({"backend": ["a="]}, {}, "--backend is of the form NAME=ENDPOINT"),
            ({"backend": ["a=tcp:h:1", "a=tcp:h:2"]}, {}, "--backend: there are two backends with the name a"),
            ({}, {"backend": ["a=tcp:h:1", "a=x"]}, "lb.toml: backend: there are two backends with the name a"),
            ({}, {"backends": []}, "lb.toml: backends are tables: [backends.NAME]"),
            ({}, {"backends": {"a": 3}}, "lb.toml: backends are tables: [backends.NAME]"),
            ({}, {"backends": {"a": {}}}, "lb.toml: [backends.a] has no endpoint"),
            ({}, {"backends": {"ä": {"endpoint": "x"}}}, "lb.toml: [backends.ä] has no name that is a backend's name"),
            (
                {},
                {"backends": {"a": {"endpoint": "x", "colour": 1}}},
                "lb.toml: [backends.a]: colour is not a setting; there are endpoint, weight, max, backup",
            ),
            (
                {},
                {"backends": {"a": {"endpoint": "x", "weight": 0}}},
                "lb.toml: [backends.a]: weight is a whole number from 1 to 1000000",
            ),
            ({}, {"colour": 1}, "lb.toml: colour is not a setting; there are listen, backend, "),
            ({"check": "http"}, {}, "--check is one of tcp, ping, none"),
            ({"send-proxy": "v3"}, {}, "--send-proxy is one of v1, v2"),
            ({"retries": "0"}, {}, "--retries is a whole number from 1 to 100"),
            ({"control": "tcp:1"}, {}, "--control is of the form unix:PATH"),
        ]
        for written, config, told in wrong:
            refusal = self.refusal(written, config)
            self.assertTrue(refusal.startswith(told), refusal)
