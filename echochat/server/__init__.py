"""
The line protocol and its service.
"""
