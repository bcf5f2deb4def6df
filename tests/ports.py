"""
Ports that are chosen before their servers start.

Other tests run at the same time, and each port that one of them takes is any that is free: one that was free a moment
ago may be theirs now. So a port is kept by a connection that was on it and that its end closed first. For a minute
(``TIME_WAIT``) the kernel gives it to nobody who asks for any port, to listen or to connect, and to whoever asks
for this one with ``SO_REUSEADDR``, as servers do.
"""

import socket


def free_port(host: str = "127.0.0.1") -> int:
    """
    A port where nobody listens, and which nobody gets for a minute who does not ask for it.
    """
    with socket.create_server((host, 0)) as listening:
        host, port = listening.getsockname()
        with socket.create_connection((host, port)) as calling:
            listening.accept()[0].close()
            calling.recv(1)  # the other end has closed before this one does
    return int(port)
