"""
``echochat cluster``: the operator's commands of a cluster on one machine, over its control socket.
"""

import json
import os
import time
from typing import Any

import click

from echochat.client.cluster_table import print_cluster
from echochat.client.commands.operate import refuse, say
from echochat.client.harmless import harmless
from echochat.client.operator import OperationFailed, ask

LOOK = 0.5
"""
Seconds between two looks at how far a roll is.
"""

_folder = click.option(
    "--data",
    envvar="ECHOCHAT_DATA",
    default="echochat-data",
    show_default=True,
    metavar="DIR",
    help="The cluster's folder: what it was given as --data. [env: ECHOCHAT_DATA]",
)


@click.group()
def command() -> None:
    """
    Operate a cluster that runs on this machine.
    """


@command.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
@_folder
def status(data: str, as_json: bool) -> None:
    """
    Show the broker, the workers and the balancer, and how each is.
    """
    cluster, processes = _status(data)
    if as_json:
        click.echo(json.dumps({"cluster": cluster, "processes": processes}))
    else:
        print_cluster(cluster, processes)


@command.command()
@click.option("--no-wait", is_flag=True, help="Only begin.")
@_folder
def roll(data: str, no_wait: bool) -> None:
    """
    Replace the workers by new ones, one after the other.

    The clients of each are asked to reconnect, and go to the others; nothing that was acknowledged is lost. What was
    upgraded or configured in the meantime is in use then.
    """
    _, count = _ask(data, "roll")
    if no_wait:
        click.echo(f"{count} workers are replaced one after the other")
        return
    cluster, _ = _status(data)
    told = ""
    while cluster["rolling"]:
        if cluster["roll"] != told:
            told = cluster["roll"]
            click.echo(harmless(told), err=True)
        time.sleep(LOOK)
        cluster, _ = _status(data)
    click.echo(harmless(cluster["roll"]))
    if cluster["roll"].startswith("given up"):
        raise SystemExit(1)


@command.command()
@_folder
def reload(data: str) -> None:
    """
    Read the configuration file again, and replace the workers as "roll" does, without waiting.
    """
    items, _ = _ask(data, "reload")
    say(items)


def _ask(data: str, verb: str) -> tuple[list[str], str]:
    control = os.path.join(data, "run", "control")
    try:
        return ask(f"unix:{control}", f"/{verb}")
    except OperationFailed as error:
        if isinstance(error.__context__, FileNotFoundError | ConnectionRefusedError):
            refuse(
                OperationFailed(
                    f"no cluster runs on the folder {data}: --data names another one; "
                    "make cluster, or twistd -n echochat-cluster, starts one",
                    [],
                )
            )
        refuse(error)


def _status(data: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    items, _ = _ask(data, "status")
    try:
        described = [(what, json.loads(values)) for what, _, values in (item.partition(" ") for item in items)]
        cluster: dict[str, Any] = next(values for what, values in described if what == "cluster")
    except (ValueError, StopIteration):
        refuse(OperationFailed("this is the control socket of something else than a cluster", []))
    return cluster, [values for what, values in described if what == "process"]
