"""
The other end: a client core, a Twisted client, and the terminal.
"""
