"""
Tests for :mod:`echochat.client.commands.cluster`, with control sockets of clusters that are none: real ones are in
:mod:`tests.cluster`.
"""

import json
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Sequence
from contextlib import closing

from click.testing import Result
from twisted.trial.unittest import SynchronousTestCase

from echochat.client.cli import main
from echochat.client.commands import cluster
from tests.client.click_runner import make_runner


def status(roll: str, *processes: dict[str, object], rolling: bool = False) -> bytes:
    """
    What a cluster says of itself.
    """
    described = {"listen": ["tcp:7000"], "data": "/d", "broker": None, "roll": roll, "rolling": rolling}
    lines = [f"cluster {json.dumps(described)}", *(f"process {json.dumps(each)}" for each in processes)]
    return "".join(f"/info {line}\r\n" for line in lines).encode() + b"/ok status %d\r\n" % len(processes)


WORKER: dict[str, object] = {
    "name": "w1",
    "state": "waiting",
    "uptime": 90.0,
    "pid": None,
    "connections": None,
    "history": None,
    "restarts": 3,
    "why": "no \x1b[2J room",
}


class ClusterCommandsTests(SynchronousTestCase):
    """
    ``echochat cluster``
    """

    def setUp(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="echochat-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.asked: list[bytes] = []
        self.patch(cluster, "LOOK", 0)

    def operate(self, *command: str) -> Result:
        """
        Run an operator's command.
        """
        return make_runner().invoke(main, ["cluster", *command, "--data", self.folder], prog_name="echochat")

    def answering(self, answers: Sequence[bytes]) -> None:
        """
        Be a cluster that gives these answers, one after the other.
        """
        os.makedirs(os.path.join(self.folder, "run"), exist_ok=True)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(os.path.join(self.folder, "run", "control"))
        listening.listen()

        def serve() -> None:
            with closing(listening):
                for answer in answers:
                    with closing(listening.accept()[0]) as connection:
                        self.asked.append(connection.recv(4096))
                        connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        self.addCleanup(thread.join)

    def test_no_cluster(self) -> None:
        """
        Where none runs, or none any more, one line says so and how one is started.
        """
        for _ in range(2):
            for command in ("status", "roll", "reload"):
                result = self.operate(command)
                self.assertEqual((result.exit_code, result.stdout), (1, ""))
                self.assertRegex(
                    result.stderr, rf"\Aechochat: no cluster runs on the folder {self.folder}: .*make cluster[^\n]*\n\Z"
                )
            # One that was killed leaves its socket.
            os.makedirs(os.path.join(self.folder, "run"), exist_ok=True)
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
                if not os.path.exists(os.path.join(self.folder, "run", "control")):
                    left.bind(os.path.join(self.folder, "run", "control"))

    def test_status(self) -> None:
        """
        A table for people, in which nothing acts on the terminal, or one JSON object.
        """
        self.answering([status("2 of 2 workers replaced", WORKER)] * 2)
        shown = self.operate("status")
        self.assertEqual(shown.exit_code, 0)
        self.assertRegex(shown.stdout, r"w1 +waiting +1.*3 +no \^\[\[2J room")
        self.assertIn("roll: 2 of 2 workers replaced", shown.stdout)
        read = json.loads(self.operate("status", "--json").stdout)
        self.assertEqual((read["cluster"]["listen"], read["processes"]), (["tcp:7000"], [WORKER]))

    def test_something_else(self) -> None:
        """
        The control socket of a server is no cluster's.
        """
        self.answering([b"/info connections: 1\r\n/ok status 1\r\n"])
        result = self.operate("status")
        self.assertEqual((result.exit_code, result.stdout), (1, ""))
        self.assertIn("something else than a cluster", result.stderr)

    def test_roll(self) -> None:
        """
        It is waited for, and each step is told once.
        """
        going_on = [status(f"{done} of 2 workers replaced so far", rolling=True) for done in (0, 0, 1)]
        self.answering([b"/ok roll 2\r\n", *going_on, status("2 of 2 workers replaced")])
        result = self.operate("roll")
        self.assertEqual((result.exit_code, result.stdout), (0, "2 of 2 workers replaced\n"))
        self.assertEqual(result.stderr.count("so far"), 2)
        self.assertEqual(self.asked, [b"/roll\r\n", *[b"/status\r\n"] * 4])

    def test_roll_that_is_given_up(self) -> None:
        """
        Why it was is told, and the exit code is that of a failure.
        """
        self.answering([b"/ok roll 2\r\n", status("given up after 0 of 2: w1.2: no \x1b rules")])
        result = self.operate("roll")
        self.assertEqual((result.exit_code, result.stdout), (1, "given up after 0 of 2: w1.2: no ^[ rules\n"))

    def test_roll_without_waiting(self) -> None:
        """
        It is begun.
        """
        self.answering([b"/ok roll 2\r\n"])
        result = self.operate("roll", "--no-wait")
        self.assertEqual((result.exit_code, result.stdout), (0, "2 workers are replaced one after the other\n"))

    def test_refused(self) -> None:
        """
        What the cluster says instead of an answer is told.
        """
        self.answering([b"/err unavailable the cluster is starting: try again when it is ready\r\n"])
        result = self.operate("roll")
        self.assertEqual((result.exit_code, result.stdout), (1, ""))
        self.assertEqual(result.stderr, "echochat: the cluster is starting: try again when it is ready\n")

    def test_reload(self) -> None:
        """
        What was read again is told, and what was kept as it was, and is a failure then.
        """
        kept = b"/info the workers: kept as it was: no \x1b such file\r\n/err unavailable 1 of 1 kept as they were\r\n"
        self.answering([b"/info the workers: reloaded\r\n/ok reload 1\r\n", kept])
        result = self.operate("reload")
        self.assertEqual((result.exit_code, result.stdout), (0, "the workers: reloaded\n"))
        result = self.operate("reload")
        self.assertEqual(result.exit_code, 1)
        self.assertNotIn("\x1b", result.output)
        self.assertIn("1 of 1 kept as they were", result.stderr)
