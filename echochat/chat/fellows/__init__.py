"""
The other servers of a cluster: what this one tells them, and what it knows of them. Standard library only, no I/O.
"""
