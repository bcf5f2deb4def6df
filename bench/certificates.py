"""
A certificate for a server that is measured with TLS, made anew for each trial: no key is kept.
"""

from pathlib import Path

from echochat.client.authority import Authority


def make_certificate(folder: Path) -> Path:
    """
    Make a file with a certificate for 127.0.0.1 (ECDSA P-256), as ``echochat certs`` makes them, and its key.
    """
    issued = Authority.new("bench").issue_server(["127.0.0.1"])
    path = folder / "server.pem"
    path.touch(0o600)
    path.write_bytes(issued.certificate_pem() + issued.key_pem())
    return path
