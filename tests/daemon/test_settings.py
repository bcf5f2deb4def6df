"""
Tests for :mod:`echochat.daemon.settings`.
"""

import os
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from echochat.daemon.settings import Setting, SettingError, read_config, read_settings


class FlagTests(SynchronousTestCase):
    """
    A setting that stands alone on the command line.
    """

    TABLE = (Setting("panic", str, "Try all.", is_flag=True),)

    def test_flag(self) -> None:
        """
        It is there or not; the file says true or false, and the command line wins.
        """
        for written, config, values in (
            ({}, {}, {}),
            ({"panic": True}, {}, {"panic": True}),
            ({}, {"panic": False}, {"panic": False}),
            ({"panic": True}, {"panic": False}, {"panic": True}),
        ):
            self.assertEqual(read_settings(written, config, "a.toml", self.TABLE), values)

    def test_wrong(self) -> None:
        """
        Anything else in the file is refused, and named.
        """
        wrong: Any
        for wrong in (1, 0, "yes", [True], {}):
            error = self.assertRaises(SettingError, read_settings, {}, {"panic": wrong}, "a.toml", self.TABLE)
            self.assertEqual(str(error), "a.toml: panic is true or false", wrong)


class ReadConfigTests(SynchronousTestCase):
    """
    A configuration file is TOML.
    """

    def write(self, content: bytes) -> str:
        path: str = self.mktemp()
        with open(path, "wb") as file:
            file.write(content)
        return path

    def test_empty(self) -> None:
        """
        An empty file says nothing.
        """
        self.assertEqual(read_config(self.write(b"")), {})

    def test_unreadable(self) -> None:
        """
        A file that is not there, or is none, is named with the reason.
        """
        folder = self.mktemp()
        os.mkdir(folder)
        for path, reason in (("nowhere.toml", "No such file or directory"), (folder, "Is a directory")):
            error = self.assertRaises(SettingError, read_config, path)
            self.assertEqual(str(error), f"the configuration file {path} cannot be read: {reason}")

    def test_not_toml(self) -> None:
        """
        ... and one that cannot be understood, with the place where that shows.
        """
        for content in (b"idle = ", b"idle: 3\n", b"[server\n", b"\xff\xfe", b"idle = 1\nidle = 2\n"):
            path = self.write(content)
            error = self.assertRaises(SettingError, read_config, path)
            self.assertTrue(str(error).startswith(f"the configuration file {path} is not TOML: "), str(error))
            self.assertNotIn("\n", str(error))
