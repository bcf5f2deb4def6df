"""
Why TLS failed, in words: OpenSSL says ``[('SSL routines', '', 'tlsv1 alert unknown ca')]``.
"""

import re
from typing import Final

from OpenSSL.SSL import Error, SysCallError
from OpenSSL.SSL import X509VerificationCodes as Code
from twisted.internet.error import ConnectionAborted
from twisted.python.failure import Failure


class TlsFailed(Exception):
    """
    A connection could not be made, or did not go on, because of TLS. The message is a sentence in words.
    """


_UNTRUSTED: Final = (
    Code.ERR_SELF_SIGNED_CERT_IN_CHAIN,
    Code.ERR_UNABLE_TO_GET_ISSUER_CERT,
    Code.ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
    Code.ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE,
)

NOT_TRUSTED: Final = "is from an authority that is not trusted here"
NO_CERTIFICATE: Final = "asks for a certificate"
"""
How two sentences end with which a client's user can do something.
"""

_VERDICTS: Final = {
    Code.ERR_CERT_HAS_EXPIRED: "has expired",
    Code.ERR_CERT_NOT_YET_VALID: "is not valid yet (or a clock is wrong)",
    Code.ERR_CERT_REVOKED: "was revoked",
    Code.ERR_INVALID_PURPOSE: "is for another purpose",
    Code.ERR_DEPTH_ZERO_SELF_SIGNED_CERT: "is signed by nobody but itself",
    **dict.fromkeys(_UNTRUSTED, NOT_TRUSTED),
    Code.ERR_CERT_SIGNATURE_FAILURE: "is not signed by the authority that it names",
    Code.ERR_UNABLE_TO_GET_CRL: "is from an authority whose revocation list is missing here",
    Code.ERR_CRL_HAS_EXPIRED: "cannot be checked: the revocation list here is out of date",
    Code.ERR_CRL_NOT_YET_VALID: "cannot be checked: the revocation list here is not valid yet",
}

_CAUSES: Final = {
    "peer did not return a certificate": "{other} has shown no certificate",
    "http request": "{other} speaks HTTP and not TLS",
    "https proxy request": "{other} speaks HTTP and not TLS",
    "wrong version number": "{other} does not speak TLS",
    "packet length too long": "{other} does not speak TLS",
    "unsupported protocol": "{other} speaks no TLS that is newer than 1.1",
    "no shared cipher": "{other} has no cipher suite that is accepted here",
    "no suitable key share": "{other} has no key exchange that is accepted here",
    "no suitable groups": "{other} has no key exchange that is accepted here",
    "no shared groups": "{other} has no key exchange that is accepted here",
}

# By the names of RFC 8446, section 6, as OpenSSL writes them.
_ALERTS: Final = {
    "unknown ca": "{other} does not trust the authority of our certificate",
    "bad certificate": "{other} refused our certificate as not valid",
    "certificate unknown": "{other} refused our certificate",
    "unsupported certificate": "{other} refused our certificate, which is for another purpose",
    "certificate expired": "{other} refused our certificate, which has expired",
    "certificate revoked": "{other} refused our certificate, which was revoked",
    "certificate required": f"{{other}} {NO_CERTIFICATE}",
    "access denied": "{other} accepted our certificate, but denied access",
    "protocol version": "{other} speaks no version of TLS that is accepted here",
    "internal error": "{other} broke off for a reason of its own (it may not accept the name in our certificate)",
    "handshake failure": "{other} refused the handshake (it may want a certificate, or other cipher suites)",
}

_ALERT: Final = re.compile(r"alert (.+)$")


def verdict_in_words(error: int, depth: int, other: str) -> str:
    """
    Why a certificate of the other end was refused.

    :param error: OpenSSL's number for it.
    :param depth: 0 for the other end's own certificate, more for those of authorities.
    :param other: what the other end is.
    """
    # Whether it has shown its authority's certificate, or only its own, is all the same: nobody here trusts it.
    is_its_own = depth == 0 or error in _UNTRUSTED
    whose = f"{other}'s certificate" if is_its_own else f"an authority's certificate behind {other}'s"
    return f"{whose} {_VERDICTS.get(error, f'is not acceptable (error {error} of openssl-verify(1))')}"


def cause_in_words(reason: Failure, refusal: str, other: str) -> str:
    """
    Why a connection has ended before it was accepted, or because of TLS.

    :param reason: as from Twisted.
    :param refusal: what was noted while the other end's certificate was looked at; empty: nothing.
    :param other: what the other end is.
    """
    if refusal:
        return refusal
    error = reason.value
    if isinstance(error, Error) and not isinstance(error, SysCallError) and error.args and error.args[0]:
        # The first of a stack of errors is the one that the others follow from.
        said = str(error.args[0][0][-1])
        alert = _ALERT.search(said)
        if alert is not None:
            return _ALERTS.get(alert[1], f"{{other}} broke off: {alert[1]}").format(other=other)
        return _CAUSES.get(said, f"{{other}} sent something that is not as it should be: {said}").format(other=other)
    if reason.check(ConnectionAborted):
        return "it was broken off"
    return f"{other} went away"
