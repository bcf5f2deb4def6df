"""
Faster sockets under any reactor: :func:`lean` gives a reactor whose connections are dispatched in a tight loop of
their own and write at once. The rest of the project knows it only as the reactor that it was given.
"""

from echochat.net.lean.reactor import LeanReactor, lean

__all__ = ["LeanReactor", "lean"]
