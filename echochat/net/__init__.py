"""
The edge to Twisted: transports, closing, limits.
"""
