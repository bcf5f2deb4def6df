"""
What each process of a cluster is started with.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from twisted.internet.endpoints import quoteStringArgument

from echochat.cluster.folder import Folder
from echochat.cluster.leash import command
from echochat.cluster.settings import ClusterSettings

# It starts a tenth quicker when importing, which leaves no garbage, does not have it looked for.
_START: Final = "import gc; gc.set_threshold(50_000); from twisted.scripts.twistd import run; run()"
_TWISTD: Final = (sys.executable, "-c", _START, "-n", "--pidfile=")

_PAYLOAD: Final = 1 << 20
"""
The broker's own limit of a message: raised where lines may be longer.
"""


def broker_address(folder: Folder, port: int) -> str:
    """
    The broker that is run here, as a server's ``--history``.
    """
    return f"nats://127.0.0.1:{port}?creds={quote(str(folder.key))}&sync=always"


def broker_command(folder: Folder, program: str, port: int, longest_line: int) -> list[str]:
    """
    Write the broker's configuration.

    It is told the public half of a key, and has nobody say a secret: while it is away anybody on this machine may
    have its port.

    :return: what starts it.
    """
    contents = f"""\
server_name: echochat
listen: "127.0.0.1:{port}"
logtime: false
max_payload: {max(_PAYLOAD, longest_line + 65_536)}
authorization {{ users: [ {{ nkey: {folder.public_key} }} ] }}
jetstream {{ store_dir: {_quoted(str(folder.path / "broker"))}, sync_interval: always }}
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
    return f"handoff:{_argument(folder.run(f'{name}.sock'))}"


def worker_control(folder: Folder, name: str) -> str:
    """
    Where a worker is operated.
    """
    return f"unix:{_argument(folder.run(f'{name}.control'))}"


def balancer_control(folder: Folder) -> str:
    """
    Where the balancer is operated.
    """
    return f"unix:{_argument(folder.run('balancer.control'))}"


def cluster_control(folder: Folder) -> str:
    """
    Where the cluster is operated.
    """
    return f"unix:{_argument(folder.run('control'))}"


def _argument(path: Path) -> str:
    # What comes before a = would be the name of an argument.
    quoted: str = quoteStringArgument(str(path))
    return quoted.replace("=", "\\=")


def _toml(values: Mapping[str, Any]) -> str:
    return "".join(f"{name} = {_value(value)}\n" for name, value in values.items())


def _value(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(_value, value))}]"
    # Numbers and truths are written alike in JSON and TOML.
    return _quoted(value) if isinstance(value, str) else json.dumps(value)


def _quoted(text: str) -> str:
    # As TOML and the broker read it. With JSON's own escapes TOML would be given halves of characters, and the broker
    # what it does not know.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
