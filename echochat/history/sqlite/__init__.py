"""
The log in an SQLite database: one writer thread with group commit, some that read, nothing that blocks the reactor.
"""
