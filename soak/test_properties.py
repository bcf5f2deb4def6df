"""
The suite's tests of properties with many more examples; about five minutes.
"""

import os
import sys

from twisted.trial.unittest import TestCase

from tests.processes import start_program
from tests.server import test_subscription

MINUTE = 60.0


class AnyOrderTests(test_subscription.PromiseTests):
    """
    Subscriptions, in three thousand orders of what can happen.
    """

    timeout = 1800
    runs = 3_000


class ManyExamplesTests(TestCase):
    """
    What clients send, good and bad.
    """

    timeout = 1800

    async def test_thirty_times_as_many(self) -> None:
        """
        What holds for a hundred examples holds for three thousand.
        """
        folder = os.path.abspath(self.mktemp())
        modules = ("tests.wire", "tests.chat", "tests.identity.test_rules", "tests.server.test_topics_conformance")
        program = (sys.executable, "-m", "twisted.trial", "-j2", "--temp-directory", folder, *modules)
        trial = start_program(self, *program, environment={"ECHOCHAT_EXAMPLES": "3000"})
        self.assertEqual(await trial.end(25 * MINUTE), 0, trial.output.decode(errors="replace"))
