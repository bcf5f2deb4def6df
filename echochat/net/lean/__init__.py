"""
Faster sockets under any reactor: :func:`lean` gives a reactor whose connections are dispatched in a tight loop of
their own and write at once. The rest of the project knows it only as the reactor that it was given, but for those who
send to many connections at once: :func:`lend` and :func:`send_to_all`, and an :class:`Interlude` while they do.
"""

from echochat.net.lean.interlude import Interlude, interlude_of
from echochat.net.lean.reactor import LeanReactor, lean
from echochat.net.lean.volley import lend, send_to_all

__all__ = ["Interlude", "LeanReactor", "interlude_of", "lean", "lend", "send_to_all"]
