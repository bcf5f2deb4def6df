"""
What a chat is: sessions, topics, presence and policy, with no I/O.
"""
