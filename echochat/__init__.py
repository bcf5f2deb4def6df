"""
Echo, chat and real-time topics over lines that one can type.
"""

__version__ = "0.1.0"
