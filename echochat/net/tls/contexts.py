"""
How TLS is spoken here: versions, cipher suites, curves, and what else OpenSSL leaves to choose.

The choice is within Mozilla's *intermediate* configuration (https://wiki.mozilla.org/Security/Server_Side_TLS), and
narrower: forward secrecy and authenticated encryption only. Twisted's defaults have CBC and plain RSA suites, and all
of OpenSSL's curves.

No session is resumed. Resumption with tickets would have to check the client's certificate again, against lists that
may have changed since, and OpenSSL does not; and the key of the tickets would be the one key that opens all of a day's
connections. What it would save is half a millisecond for connections that last for hours.
"""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from OpenSSL import SSL
from OpenSSL._util import ffi, lib
from OpenSSL.crypto import X509, X509StoreFlags
from twisted.internet.ssl import AcceptableCiphers, CertificateOptions, TLSVersion

from echochat.net.tls.files import Credentials, Trust

Verify: TypeAlias = Callable[[SSL.Connection, X509, int, int, int], bool]
"""
Called for each certificate of the peer's chain, from the authority down, with OpenSSL's error number (0: none), the
depth (0: the peer's own) and OpenSSL's verdict; returns ours.
"""

_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
# Mozilla's order. SHA-384, of OpenSSL's first choice, takes a twentieth of a handshake, and saves nobody.
_CIPHERS_1_3: Final = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
_CURVES: Final = b"X25519:P-256"


def server_context(credentials: Credentials, clients: Trust | None, verify: Verify, *, required: bool) -> SSL.Context:
    """
    A context for the server's ends of connections.

    :param clients: what clients' certificates are held against; None: they are not asked for one.
    :param required: a client that shows none is refused.
    """
    context = _make_context(credentials)
    # pyOpenSSL has no method for more than one curve.
    if lib.SSL_CTX_set1_curves_list(context._context, ffi.from_buffer(_CURVES + b"\0")) != 1:
        raise ValueError("this OpenSSL has neither X25519 nor P-256")
    if clients is not None:
        _add_trust(context, clients)
        for authority in clients.authorities:
            # Who is asked for a certificate is told of which authorities, and can choose among several.
            context.add_client_ca(authority)
        context.set_verify(SSL.VERIFY_PEER | (SSL.VERIFY_FAIL_IF_NO_PEER_CERT if required else 0), verify)
    return context


def client_context(credentials: Credentials | None, servers: Trust | None, verify: Verify) -> SSL.Context:
    """
    A context for the client's ends of connections.

    :param credentials: what to show when the server asks; None: nothing.
    :param servers: what the server's certificate is held against; None: what this machine trusts.
    """
    context = _make_context(credentials)
    if servers is None:
        context.set_default_verify_paths()
    else:
        _add_trust(context, servers)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, verify)
    return context


def _make_context(credentials: Credentials | None) -> SSL.Context:
    own: dict[str, Any] = {}
    if credentials is not None:
        own = {
            "certificate": credentials.certificate,
            "privateKey": credentials.key,
            "extraCertChain": list(credentials.chain),
        }
    options = CertificateOptions(
        raiseMinimumTo=TLSVersion.TLSv1_2,
        acceptableCiphers=AcceptableCiphers.fromOpenSSLCipherString(_CIPHERS),
        enableSessions=False,
        enableSessionTickets=False,
        **own,
    )
    context = options.getContext()
    context.set_tls13_ciphersuites(_CIPHERS_1_3)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    return context


def _add_trust(context: SSL.Context, trust: Trust) -> None:
    store = context.get_cert_store()
    assert store is not None
    for authority in trust.authorities:
        store.add_cert(X509.from_cryptography(authority))
    for revoked in trust.revoked:
        store.add_crl(revoked)
    if trust.revoked:
        store.set_flags(X509StoreFlags.CRL_CHECK | X509StoreFlags.CRL_CHECK_ALL)
