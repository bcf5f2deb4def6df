"""
What each process of a cluster is started with.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from twisted.internet.endpoints import quoteStringArgument

from echochat.cluster.folder import Folder
from echochat.cluster.leash import command
from echochat.cluster.settings import ClusterSettings

USER: Final = "echochat"

_TWISTD: Final = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n", "--pidfile=")

_PAYLOAD: Final = 1 << 20
"""
The broker's own limit of a message: raised where lines may be longer.
"""


def broker_address(folder: Folder, port: int) -> str:
    """
    The broker that is run here, as a server's ``--history``.
    """
    password = quote(str(folder.path / "password"))
    return f"nats://127.0.0.1:{port}?user={USER}&password-file={password}&sync=always"


def broker_command(folder: Folder, program: str, port: int, longest_line: int) -> list[str]:
    """
    Write the broker's configuration.

    :return: what starts it.
    """
    contents = f"""\
server_name: echochat
listen: "127.0.0.1:{port}"
logtime: false
max_payload: {max(_PAYLOAD, longest_line + 65_536)}
authorization {{ user: {USER}, password: {json.dumps(folder.password)} }}
jetstream {{ store_dir: {json.dumps(str(folder.path / "broker"))}, sync_interval: always }}
"""
    return command([program, "--config", str(folder.write("broker.conf", contents))])


def worker_command(folder: Folder, settings: ClusterSettings, history: str, name: str) -> list[str]:
    """
    Write a server's configuration.

    :return: what starts it.
    """
    values = {
        **dict(settings.servers),
        "listen": [worker_endpoint(folder, name)],
        "control": worker_control(folder, name),
        "history": history,
        "drain": settings.drain,
    }
    path = folder.write(f"{name}.toml", _toml(values))
    auth = [word for each in settings.auth for word in ("--auth", each)]
    return command([*_TWISTD, "echochat", "--config", str(path), *auth])


def balancer_command(folder: Folder, settings: ClusterSettings, workers: Iterable[str]) -> list[str]:
    """
    Write the balancer's configuration, which it reads at its start and when it is told to.

    :param workers: their names.
    :return: what starts it.
    """
    values = {
        "listen": list(settings.listen),
        "control": balancer_control(folder),
        "drain": settings.drain,
        "rebalance": settings.rebalance,
        # A worker of this machine is ready when it is there.
        "slow-start": 0,
        **({} if settings.status is None else {"status": settings.status}),
    }
    contents = _toml(values)
    for name in workers:
        described = {"endpoint": worker_endpoint(folder, name), "control": worker_control(folder, name)}
        contents += f"\n[backends.{json.dumps(name)}]\n{_toml(described)}"
    path = folder.write("balancer.toml", contents)
    return command([*_TWISTD, "echochat-lb", "--config", str(path)])


def worker_endpoint(folder: Folder, name: str) -> str:
    """
    Where a worker is given connections.
    """
    return f"handoff:{quoteStringArgument(str(folder.run(f'{name}.sock')))}"


def worker_control(folder: Folder, name: str) -> str:
    """
    Where a worker is operated.
    """
    return f"unix:{folder.run(f'{name}.control')}"


def balancer_control(folder: Folder) -> str:
    """
    Where the balancer is operated.
    """
    return f"unix:{folder.run('balancer.control')}"


def _toml(values: Mapping[str, Any]) -> str:
    return "".join(f"{name} = {_value(value)}\n" for name, value in values.items())


def _value(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(_value, value))}]"
    # Texts, numbers and truths are written alike in JSON and TOML, but for this one character.
    return json.dumps(value, ensure_ascii=True).replace("\x7f", "\\u007f")
