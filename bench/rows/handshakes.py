"""
Row 11: TLS handshakes.

A client's part of a handshake costs more than the server's: on a machine with two processors the clients would be what
is measured. So the server's own processor time is what counts.
"""

import re
import shutil
import subprocess

from bench.echoes import echochat_tls
from bench.loadgen import NoFigure
from bench.peers import HAPROXY_TLS
from bench.row import Entry, Goal, Row
from bench.running import Running

_CLIENTS = 16
_AT_REST = 30.0
_COUNT = re.compile(r"(\d+) connections in .* real seconds")


def _handshakes(server: Running, seconds: float) -> float:
    """
    Full handshakes of TLS 1.3 for a second of the server's processor time, with the connections that they are for: each
    is accepted, and closed by the client.
    """
    openssl = shutil.which("openssl")
    if openssl is None:
        raise NoFigure("openssl is not installed")
    before = server.at_rest(_AT_REST)
    command = (openssl, "s_time", "-new", "-tls1_3", "-connect", f"127.0.0.1:{server.port}")
    loads = [
        subprocess.Popen(
            [*command, "-time", str(max(1, round(seconds)))], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        for _ in range(_CLIENTS)
    ]
    said = [load.communicate()[0].decode() for load in loads]
    counts = [_COUNT.search(each) for each in said]
    if not all(counts):
        raise NoFigure("openssl s_time made no connections")
    return sum(int(found[1]) for found in counts if found) / (server.at_rest(_AT_REST) - before)


_ECHOCHAT = echochat_tls()

ROWS = (
    Row(
        11,
        "TLS 1.3 handshakes for a second of the server's processor time, ECDSA P-256",
        "handshakes/s",
        tuple(Entry(server.name, server, _handshakes) for server in (_ECHOCHAT, HAPROXY_TLS)),
        (Goal(_ECHOCHAT.name, 0.85, HAPROXY_TLS.name),),
    ),
)
