"""
Idle connections with TLS, as a process of its own: ``python -m bench.tls_idle PORT NUMBER [LINE]``. Each sends the
line, if there is one, and waits for its reply; when all are there that is told, and they stay until standard input
ends.
"""

import socket
import sys

from OpenSSL import SSL

_PATIENCE = 60.0


def _connect(context: SSL.Context, port: int, line: bytes) -> SSL.Connection:
    plain = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE)
    # OpenSSL is to wait itself: a socket with a timeout would not block.
    plain.settimeout(None)
    connection = SSL.Connection(context, plain)
    connection.set_connect_state()
    connection.do_handshake()
    if line:
        connection.sendall(line)
        connection.recv(1024)
    return connection


def hold(port: int, number: int, line: bytes) -> None:
    """
    Connect so often, and stay.
    """
    context = SSL.Context(SSL.TLS_METHOD)
    connections = [_connect(context, port, line) for _ in range(number)]
    print(f"open={len(connections)}", flush=True)
    sys.stdin.buffer.read()


if __name__ == "__main__":
    hold(int(sys.argv[1]), int(sys.argv[2]), "".join(f"{line}\r\n" for line in sys.argv[3:]).encode())
