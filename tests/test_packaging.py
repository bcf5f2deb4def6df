"""
What an installation and a checkout promise: the commands are there, and nothing that must not be.
"""

import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points, version
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

import echochat

ROOT = Path(__file__).resolve().parent.parent


def asked(*command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """
    A command that ends by itself, with what it printed.
    """
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def tool(name: str) -> str:
    """
    The path of a program that the test needs.

    :raises SkipTest: it is not installed here.
    """
    path = shutil.which(name)
    if path is None:
        raise SkipTest(f"{name} is not installed")
    return path


class InstallationTests(SynchronousTestCase):
    """
    Whoever installed the project has its commands, wherever they are called from.
    """

    def test_twistd_knows_the_command(self) -> None:
        """
        ``twistd`` lists ``echochat`` from any folder: the plugin is found where it was installed, not beside us.
        """
        folder = Path(self.mktemp())
        folder.mkdir()
        listed = asked(sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "--help", cwd=folder)
        self.assertRegex(listed.stdout, r"(?m)^ +echochat +\S")

    def test_plugin_is_only_a_pointer(self) -> None:
        """
        Reading the plugin imports nothing of the project: any ``twistd`` command in the environment reads it.
        """
        program = "import sys, twisted.plugins.echochat_plugins; print([m for m in sys.modules if 'echochat' in m])"
        self.assertEqual(asked(sys.executable, "-c", program).stdout.strip(), "['twisted.plugins.echochat_plugins']")

    def test_alone_without_nats(self) -> None:
        """
        A server that shares its log with no others does not load what it takes to do so.
        """
        loaded = "import sys, echochat.tap.server; print('nats' in sys.modules, 'echochat.broker' in sys.modules)"
        self.assertEqual(asked(sys.executable, "-c", loaded).stdout.split(), ["False", "False"])

    def test_command_line(self) -> None:
        """
        ``echochat`` is a command, and leads to what it says.
        """
        (command,) = entry_points(group="console_scripts", name="echochat")
        self.assertTrue(callable(command.load()))

    def test_version(self) -> None:
        """
        The version is written in one place: the distribution has the package's.
        """
        self.assertEqual(version("echochat"), echochat.__version__)


class CheckoutTests(SynchronousTestCase):
    """
    What holds for the source tree.
    """

    def test_every_floor_has_a_reason(self) -> None:
        """
        Each requirement has a lowest version, and beside it a comment that begins with that version and says why.
        """
        text = (ROOT / "pyproject.toml").read_text()
        project = tomllib.loads(text)["project"]
        requirements = project["dependencies"] + [r for rs in project["optional-dependencies"].values() for r in rs]
        for requirement in requirements:
            floor = requirement.partition(">=")[2]
            line = next(line for line in text.splitlines() if f'"{requirement}"' in line)
            self.assertRegex(line, rf"# {re.escape(floor)}: \w")

    def test_twisted_is_not_ours(self) -> None:
        """
        ``twisted/`` adds plugins to a package that belongs to others: an ``__init__.py`` would replace theirs.
        """
        self.assertEqual(list((ROOT / "twisted").rglob("__init__.py")), [])

    def test_certificates_are_ignored(self) -> None:
        """
        What is made in ``certs/`` can not be committed by accident, its explanation can.
        """
        git = tool("git")
        if not (ROOT / ".git").exists():
            raise SkipTest("not a git checkout")
        for name, ignored in {"server.key": True, "ca/root.pem": True, "README.rst": False}.items():
            self.assertEqual(asked(git, "check-ignore", "--quiet", f"certs/{name}").returncode, 0 if ignored else 1)

    def test_make_explains_every_target(self) -> None:
        """
        ``make help`` lists every target that there is to call.
        """
        listed = re.findall(r"(?m)^  make (\w+) +\S", asked(tool("make"), "--no-print-directory", "help").stdout)
        phony = re.search(r"(?m)^\.PHONY: (help .*)$", (ROOT / "Makefile").read_text())
        assert phony is not None
        self.assertEqual(sorted(listed), sorted(phony.group(1).split()))
