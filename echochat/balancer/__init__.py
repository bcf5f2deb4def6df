"""
Least connections.
"""
