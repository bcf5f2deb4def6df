"""
echochat-lb.
"""

import importlib.util
import json
import sys
from collections.abc import Sequence
from typing import Any, Final

from echochat.client.cli import main
from tests.balancer.scenarios.proxies import Member, Proxy
from tests.client.click_runner import make_runner
from tests.processes import TWISTD

ECHOCHAT: Final = (sys.executable, "-c", "from echochat.client.cli import main; main(prog_name='echochat')")


class EchochatLb(Proxy):
    """
    ``twistd -n echochat-lb`` with a configuration file, and ``echochat lb`` to operate it.
    """

    title = "echochat-lb"
    waited_in_vain = rb"every backend has as many connections as it may have"

    @staticmethod
    def absent() -> str | None:
        return None if importlib.util.find_spec("echochat.tap.balancer") else "there is no echochat-lb yet"

    def configure(self) -> Sequence[str]:
        setup = self.setup
        inner = f"tcp:{self.port}:interface=127.0.0.1"
        settings: dict[str, Any] = {
            "listen": [f"proxied:from={setup.trusted}:{inner}" if setup.trusted else inner],
            "control": f"unix:{self.folder}/control",
            "check": "tcp" if setup.checks else "none",
            "interval": setup.interval,
            "connect-timeout": setup.connect_timeout,
            "queue-timeout": setup.queue_timeout,
            "slow-start": setup.slow_start,
            "drain": setup.drain,
        }
        if setup.send_proxy is not None:
            settings["send-proxy"] = setup.send_proxy
        if setup.rebalance:
            settings["rebalance"] = True
        lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        for member in setup.members:
            lines += ["", f"[backends.{member.name}]", *_table(member)]
        (self.folder / "lb.toml").write_text("\n".join(lines) + "\n")
        return [*TWISTD, "-n", "--pidfile=", "echochat-lb", "--config", str(self.folder / "lb.toml")]

    async def status(self) -> Any:
        """
        What ``echochat lb status --json`` says.
        """
        return json.loads(await self.lb("status", "--json"))

    async def counts(self) -> dict[str, int]:
        return {each["name"]: each["active"] for each in (await self.status())["backends"]}

    async def down(self) -> set[str]:
        return {each["name"] for each in (await self.status())["backends"] if not each["is_up"]}

    async def drain(self, name: str, seconds: float) -> None:
        await self.lb("drain", name, f"{seconds:g}")

    async def ready(self, name: str) -> None:
        await self.lb("ready", name)

    async def add(self, member: Member) -> None:
        control = ["--backend-control", member.control] if member.control is not None else []
        await self.lb("add", f"{member.name}={member.endpoint}", *control)

    async def lb(self, *words: str) -> str:
        """
        Run ``echochat lb`` with these words, and return what it writes. It runs in this process, since it is asked
        again and again; the balancer answers without what this process would have to do meanwhile.
        """
        environment = {"ECHOCHAT_LB_CONTROL": f"unix:{self.folder}/control"}
        result = make_runner().invoke(main, ["lb", *words], env=environment)
        if result.exit_code:
            raise AssertionError(f"echochat lb {' '.join(words)} ended with {result.exit_code}: {result.output}")
        return result.stdout


def _table(member: Member) -> list[str]:
    settings: dict[str, Any] = {"endpoint": member.endpoint, "weight": member.weight}
    if member.most:
        settings["max"] = member.most
    if member.backup:
        settings["backup"] = True
    if member.control is not None:
        settings["control"] = member.control
    return [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
