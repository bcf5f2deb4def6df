"""
Tests for :mod:`echochat.server.settings`.
"""

import re
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from echochat.daemon.settings import SettingError, read_config
from echochat.server.settings import SETTINGS, ServerSettings, make_settings

LISTEN = ["tcp:7007", "unix:/run/echochat"]


class MakeSettingsTests(SynchronousTestCase):
    """
    The command line and the file say the same things in the same words.
    """

    def refusal(self, written: dict[str, Any], config: dict[str, Any] | None = None) -> str:
        error = self.assertRaises(SettingError, make_settings, written, config or {}, "a.toml")
        self.assertNotIn("\n", str(error))
        return str(error)

    def test_defaults(self) -> None:
        """
        Nothing written: what the help says.
        """
        made = make_settings({}, {}, "")
        self.assertEqual(made, ServerSettings())
        for setting in SETTINGS:
            told = re.search(r"\[default: ([^],;]+)", setting.help)
            default = getattr(made, setting.attribute)
            if told is None or default is None:
                continue
            self.assertEqual(setting.read(told[1]), default[0] if setting.repeatable else default, setting.name)

    def test_command_line(self) -> None:
        """
        Texts become numbers; what may be given several times is kept in order.
        """
        written = {"listen": LISTEN, "max-line": "100", "idle": "2.5", "drain": "0"}
        made = make_settings(written, {}, "")
        self.assertEqual((made.listen, made.max_line, made.idle, made.drain), (tuple(LISTEN), 100, 2.5, 0.0))

    def test_file(self) -> None:
        """
        A file may write numbers as numbers or texts, and one endpoint or a list of them.
        """
        made = make_settings({}, {"listen": "tcp:1", "max-line": 100, "idle": 2, "stall": 0.5, "drain": "7"}, "a.toml")
        self.assertEqual((made.listen, made.max_line, made.idle), (("tcp:1",), 100, 2.0))
        self.assertEqual((made.stall, made.drain), (0.5, 7.0))
        self.assertEqual(make_settings({}, {"listen": LISTEN}, "a.toml").listen, tuple(LISTEN))

    def test_command_line_wins(self) -> None:
        """
        Each name by itself: the rest of the file holds.
        """
        made = make_settings(
            {"max-line": "100", "listen": ["tcp:1"]}, {"max-line": 200, "idle": 3, "listen": LISTEN}, ""
        )
        self.assertEqual((made.max_line, made.idle, made.listen), (100, 3.0, ("tcp:1",)))

    def test_unknown(self) -> None:
        """
        A name that is no setting's is told, with the file's, and those that there are.
        """
        for name in ("max_line", "config", "server", ""):
            refusal = self.refusal({}, {name: 1})
            self.assertTrue(refusal.startswith(f"a.toml: {name} is not a setting; there are listen, "), refusal)
            self.assertIn("max-line", refusal)

    def test_wrong_values(self) -> None:
        """
        A value that cannot be is told with its name, and what it may be.
        """
        for name, value, told in (
            ("max-line", "abc", "--max-line is a whole number from 64 to 16777216"),
            ("max-line", "63", "--max-line is a whole number from 64 to 16777216"),
            ("max-line", "16777217", "--max-line is a whole number from 64 to 16777216"),
            ("max-line", "1e3", "--max-line is a whole number from 64 to 16777216"),
            ("max-line", "", "--max-line is a whole number from 64 to 16777216"),
            ("max-connections", "-1", "--max-connections is a whole number from 0 to 10000000"),
            ("idle", "-1", "--idle is seconds from 0 to 1e+07"),
            ("idle", "nan", "--idle is seconds from 0 to 1e+07"),
            ("idle", "inf", "--idle is seconds from 0 to 1e+07"),
            ("drain", "soon", "--drain is seconds from 0 to 86400"),
            ("listen", [""], "--listen is not empty"),
            ("listen", ["tcp:1", ""], "--listen is not empty"),
            ("control", "tcp:1", "--control is of the form unix:PATH"),
            ("control", "unix:/" + "x" * 107, "--control is of the form unix:PATH, with a path of at most 107 bytes"),
            ("guests", "maybe", "--guests is one of yes, echo, no"),
        ):
            self.assertEqual(self.refusal({name: value}), told, value)

    def test_wrong_values_in_a_file(self) -> None:
        """
        ... and with the file's, also when TOML has other kinds of values.
        """
        wrong: Any
        for wrong in (True, {"a": 1}, [1, 2], [], [True]):
            told = "a.toml: idle is one value: a number or a text"
            self.assertEqual(self.refusal({}, {"idle": wrong}), told, wrong)
        for wrong in (True, {"a": 1}, [["tcp:1"]]):
            told = "a.toml: listen is one value: a number or a text, or a list of them"
            self.assertEqual(self.refusal({}, {"listen": wrong}), told, wrong)
        self.assertEqual(self.refusal({}, {"listen": []}), "a.toml: listen is one value or several, not none")
        self.assertEqual(self.refusal({}, {"max-line": 1.5}), "a.toml: max-line is a whole number from 64 to 16777216")

    def test_every_setting(self) -> None:
        """
        Each has help in one line, and takes its own default.
        """
        self.assertEqual(len({setting.name for setting in SETTINGS}), len(SETTINGS))
        for setting in SETTINGS:
            self.assertTrue(setting.help, setting.name)
            self.assertNotIn("\n", setting.help)
            default = getattr(ServerSettings(), setting.attribute)
            if default is not None:
                written = list(default) if setting.repeatable else str(default)
                made = make_settings({setting.name: written}, {}, "")
                self.assertEqual(getattr(made, setting.attribute), default)

    def test_all_settings(self) -> None:
        """
        What was written comes out, every setting of it.
        """
        lines = ['listen = ["tcp:0", "tcp:1"]', 'guests = "echo"', 'control = "unix:/run/c"', 'history = "memory:"']
        numbers = ["max-line", "max-connections", "per-address", "idle", "first-line", "stall", "drain"]
        lines += [f"{name} = {number}" for number, name in enumerate(numbers, 64)]
        path: str = self.mktemp()
        Path(path).write_text("\n".join(["# a comment", *lines]))
        made = make_settings({}, read_config(path), path)
        self.assertEqual((made.listen, made.guests, made.history), (("tcp:0", "tcp:1"), "echo", "memory:"))
        self.assertEqual((made.max_line, made.per_address, made.idle, made.drain), (64, 66, 67.0, 70.0))
