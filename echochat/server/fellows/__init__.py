"""
The other servers of a cluster: carries what :mod:`echochat.chat.fellows` says to them, over their common broker.
"""

from echochat.server.fellows.company import Company
from echochat.server.fellows.orders import Expelled

__all__ = ["Company", "Expelled"]
