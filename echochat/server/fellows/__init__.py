"""
The other servers of a cluster: carries what :mod:`echochat.chat.fellows` says to them, over their common broker.
"""
