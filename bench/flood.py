"""
A flood of logins, as a process of its own: ``python -m bench.flood PORT NUMBER``, the line that logs in on
standard input. So many connections send it at once; when all have been answered, the numbers of both answers are told,
and they stay until standard input ends.
"""

import socket
import sys


def flood(port: int, number: int) -> None:
    """
    Connect so often, and log in on all connections at once.
    """
    connections = [socket.create_connection(("127.0.0.1", port), 30) for _ in range(number)]
    print("connected", flush=True)
    # The whole line is read: a secret is on no command line.
    login = sys.stdin.buffer.readline()
    for connection in connections:
        connection.sendall(login)
    # One after the other, and asleep until each has come.
    answers = [connection.recv(4096) for connection in connections]
    admitted = sum(answer.startswith(b"/ok login ") for answer in answers)
    slowed = sum(answer.startswith(b"/err slow-down ") for answer in answers)
    print(f"admitted {admitted}, told to slow down {slowed}", flush=True)
    sys.stdin.buffer.read()


if __name__ == "__main__":
    flood(int(sys.argv[1]), int(sys.argv[2]))
