"""
What an operator may tell a cluster, over its control socket (:mod:`echochat.daemon.control`).

| command | item lines | closing line |
| --- | --- | --- |
| ``/status`` | ``/info cluster JSON``, and ``/info process JSON`` for each | ``/ok status N`` processes |
| ``/roll`` | | ``/ok roll N`` workers that are replaced one after the other |
| ``/reload`` | ``/info WHAT: RESULT`` | ``/ok reload N``, or ``/err unavailable`` when something was kept as it was |
"""

import json
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from echochat import __version__
from echochat.broker import parse_address
from echochat.cluster.crew import Child, State
from echochat.cluster.rolling import RollFailed
from echochat.cluster.service import BALANCER, BROKER, ClusterService
from echochat.daemon.asking import NotAnswered
from echochat.daemon.control import Perform, no_arguments, reload
from echochat.daemon.reloads import Reloads
from echochat.wire.answers import Info, Ok
from echochat.wire.commands import Command, CommandError


def commands(service: ClusterService, reloads: Reloads) -> Mapping[str, Perform]:
    """
    By verb, what carries it out.
    """

    async def status(command: Command) -> bytes:
        no_arguments(command)
        # All at once: one that hangs costs the time that it is given, and five cost no more.
        described = [Deferred.fromCoroutine(_describe(service, child)) for child in service.crew.children]
        children = await gatherResults(described)
        roll = service.current_roll
        broker = service.settings.broker
        cluster: dict[str, Any] = {
            "version": __version__,
            "listen": list(service.settings.listen),
            "data": str(service.folder.path),
            # As it is printed, it has no password in it.
            "broker": None if broker is None else str(parse_address(broker)),
            "roll": service.last_roll if roll is None else f"{roll.done} of {roll.total} workers replaced so far",
            "rolling": roll is not None,
        }
        lines = [f"cluster {json.dumps(cluster)}", *(f"process {json.dumps(child)}" for child in children)]
        items = b"".join(Info(line, command.label).encode() for line in lines)
        return items + Ok("status", str(len(children)), command.label).encode()

    async def roll(command: Command) -> bytes:
        no_arguments(command)
        try:
            total = service.roll().total
        except RollFailed as error:
            raise CommandError("unavailable", str(error)) from None
        return Ok("roll", str(total), command.label).encode()

    async def read_again(command: Command) -> bytes:
        return await reload(reloads, command)

    return {"status": status, "roll": roll, "reload": read_again}


async def _describe(service: ClusterService, child: Child) -> dict[str, Any]:
    """
    How a process is: times in seconds.
    """
    described: dict[str, Any] = {
        "name": child.name,
        "state": child.state.value,
        "pid": child.pid,
        "uptime": round(service.uptime(child), 3),
        "restarts": child.restarts,
        "connections": None,
        "history": None,
        "why": "" if child.state is State.UP else child.last_words,
    }
    if child.state is not State.UP or child.name in (BROKER, BALANCER):
        return described
    if child.name not in service.workers:
        described["state"] = "leaving"
    try:
        status = await service.questions.status(child.name)
    except NotAnswered as error:
        described["why"] = str(error)
    else:
        described["connections"] = int(status.get("connections", 0))
        described["history"] = status.get("history", "")
    return described
