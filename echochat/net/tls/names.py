"""
Whose certificate it is.

A certificate has many places for names. The first of these that is there decides, and nothing else is looked at then,
so that whoever may choose one of the names cannot choose among them:

1. a subject alternative name that is a URI of the form ``echochat:NAME``: NAME, as ``echochat certs`` makes them;
2. one that is an e-mail address: what is before the ``@``. The authority has to see to it that this is one person's:
   an authority that signs addresses of several domains should use another place;
3. one that is a DNS name: all of it;
4. the subject's common name, of a certificate with none of these.

Two different names in one place are nobody's, and so is one that cannot be a name on the wire.
"""

from collections.abc import Callable
from typing import Any, Final

from cryptography.x509 import (
    Certificate,
    DNSName,
    DuplicateExtension,
    ExtensionNotFound,
    GeneralName,
    RFC822Name,
    SubjectAlternativeName,
    UniformResourceIdentifier,
    UnsupportedGeneralNameType,
)
from cryptography.x509.oid import NameOID

from echochat.wire.names import is_name

SCHEME: Final = "echochat:"


def certificate_name(certificate: Certificate) -> str | None:
    """
    The name that a certificate gives its owner; None when it gives none that may be one here.

    :param certificate: one that has been verified: anyone can make one that says anything.
    """
    try:
        return _find(certificate)
    except (ValueError, DuplicateExtension, UnsupportedGeneralNameType):
        # Something in it cannot be read, which OpenSSL did not look at.
        return None


def _find(certificate: Certificate) -> str | None:
    try:
        alternatives = list(certificate.extensions.get_extension_for_class(SubjectAlternativeName).value)
    except ExtensionNotFound:
        alternatives = []
    for place in _PLACES:
        found = {name for each in alternatives if (name := place(each)) is not None}
        if found:
            return _only(found)
    return _only({str(each.value) for each in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)})


def peer_name(transport: Any) -> str | None:
    """
    Who is at the other end of a connection, by a certificate that was verified in its handshake; None for a connection
    without one, and for one that is not TLS.

    :param transport: a protocol's transport, with any wrappers around it.
    """
    name: str | None = getattr(transport, "verified_name", None)
    return name


def _only(names: set[str]) -> str | None:
    if len(names) != 1:
        return None
    name = names.pop()
    return name if is_name(name) else None


def _in_uri(name: GeneralName) -> str | None:
    if isinstance(name, UniformResourceIdentifier) and name.value.lower().startswith(SCHEME):
        return name.value[len(SCHEME) :]
    return None


def _in_email(name: GeneralName) -> str | None:
    return name.value.partition("@")[0] if isinstance(name, RFC822Name) else None


def _in_dns(name: GeneralName) -> str | None:
    return name.value if isinstance(name, DNSName) else None


_PLACES: Final[tuple[Callable[[GeneralName], str | None], ...]] = (_in_uri, _in_email, _in_dns)
