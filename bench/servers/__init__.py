"""
Echo servers to measure against, each a program of its own: ``python -m bench.servers.NAME PORT``.
"""
