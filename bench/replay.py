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
    by_number: dict[int, socket.socket] = {}
    for connection in [socket.create_connection(("127.0.0.1", port), 30) for _ in range(number)]:
        connection.sendall(b"/sub bench after=0\n")
        reply = b""
        while not reply.endswith(b"\n"):
            # Byte by byte: what comes behind the reply is to be counted.
            byte = connection.recv(1)
            if not byte:
                break
            reply += byte
        if not reply.startswith(b"/ok sub "):
            sys.exit(f"the server says {reply!r}")
        connection.setblocking(False)
        poll.register(connection, select.EPOLLIN)
        by_number[connection.fileno()] = connection
    left = dict.fromkeys(by_number, events)
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
