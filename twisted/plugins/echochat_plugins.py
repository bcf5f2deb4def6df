"""
Pointers for ``twistd`` and ``twist``: nothing of the project is imported until a command is chosen.
"""

from twisted.application.service import ServiceMaker

server = ServiceMaker(
    "echochat",
    "echochat.tap.server",
    "Echo, chat and real-time topics over lines that one can type.",
    "echochat",
)
