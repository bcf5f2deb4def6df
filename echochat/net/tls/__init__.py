"""
Encrypted connections, and who is at their other end.

``tls:`` endpoints for servers and clients, on pyOpenSSL through Twisted: TLS 1.2 and 1.3, a handshake that has to be
finished and accepted before the protocol hears of the connection, and files that can be read again without a restart.
"""

from echochat.net.tls.files import TlsFileError
from echochat.net.tls.names import certificate_name, peer_name
from echochat.net.tls.ports import TlsPort, reload_ports
from echochat.net.tls.reasons import TlsFailed

__all__ = ["TlsFailed", "TlsFileError", "TlsPort", "certificate_name", "peer_name", "reload_ports"]
