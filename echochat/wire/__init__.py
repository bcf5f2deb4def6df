"""
The language on the wire: lines, commands and answers, with no I/O.
"""
