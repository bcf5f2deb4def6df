"""
A flood of logins, as a process of its own: ``python -m bench.flood PORT NUMBER``, the line that logs in on
standard input. So many connections send it at once; when all have been answered, the numbers of both answers are told,
and they stay until standard input ends.
"""

import selectors
import socket
import sys


def flood(port: int, number: int) -> None:
    """
    Connect so often, and log in on all connections at once.
    """
    waiting = selectors.DefaultSelector()
    connections = [socket.create_connection(("127.0.0.1", port), 30) for _ in range(number)]
    print("connected", flush=True)
    # The whole line is read: a secret is on no command line.
    login = sys.stdin.buffer.readline()
    for connection in connections:
        connection.sendall(login)
        waiting.register(connection, selectors.EVENT_READ, connection)
    admitted = slowed = 0
    while waiting.get_map():
        for key, _ in waiting.select(30):
            answer = key.data.recv(4096)
            waiting.unregister(key.fileobj)
            admitted += answer.startswith(b"/ok login ")
            slowed += answer.startswith(b"/err slow-down ")
    print(f"admitted {admitted}, told to slow down {slowed}", flush=True)
    sys.stdin.buffer.read()


if __name__ == "__main__":
    flood(int(sys.argv[1]), int(sys.argv[2]))
