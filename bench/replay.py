"""
Clients that read a topic from its beginning, as a process of its own: ``python -m bench.replay PORT NUMBER EVENTS``.
It tells when all are subscribed, and when each has been given so many events; both are awaited without end.
"""

import select
import socket
import sys

_CHUNK = 1 << 18


def replay(port: int, number: int, events: int) -> None:
    """
    Have so many clients read so many events each of the topic ``bench``.
    """
    poll = select.epoll()
    left: dict[int, int] = {}
    connections = [socket.create_connection(("127.0.0.1", port), 30) for _ in range(number)]
    for connection in connections:
        connection.sendall(b"/sub bench after=0\n")
        connection.setblocking(False)
        poll.register(connection, select.EPOLLIN)
        # The reply is a line, too.
        left[connection.fileno()] = events + 1
    by_number = {connection.fileno(): connection for connection in connections}
    print("subscribed", flush=True)
    buffer = bytearray(_CHUNK)
    while left:
        for which, _ in poll.poll():
            size = by_number[which].recv_into(buffer)
            if not size:
                sys.exit("the server has closed a connection")
            left[which] -= buffer.count(b"\n", 0, size)
            if left[which] <= 0:
                del left[which]
                poll.unregister(which)
    print("given", flush=True)


if __name__ == "__main__":
    replay(*map(int, sys.argv[1:]))
