"""
Tokens: that somebody is who they say, signed by whoever has the key, until a time (JSON Web Tokens, RFC 7519).

The claims:

``sub``
    the name.
``exp``
    until when, in seconds since the epoch; required.
``nbf``
    from when on.
``aud``
    when there is one, ``echochat`` must be in it: the same key may sign for other services, too.
``topics``
    narrows what access rules allow: ``{"read": ["news.*"], "publish": ["lobby"], "administer": []}``. What is left out
    of it is not granted. Without the claim nothing is narrowed.

Other claims are ignored. PyJWT decides on the signature and nothing else: it would compare times with a clock of its
own.
"""

import json
from dataclasses import dataclass
from typing import Any, Final, Self

import jwt

from echochat.identity.accounts import is_account_name
from echochat.identity.keys import Key, read_checking_key
from echochat.identity.topic_sets import NO_TOPIC, TopicSet

MAX_TOKEN: Final = 8192
"""
The most characters of a token, so that what strangers send is not decoded at length.
"""

AUDIENCE: Final = "echochat"

_LATEST: Final = 253_402_300_799  # the last second of the year 9999
_ACTIONS: Final = ("read", "publish", "administer")


class TokenRefused(Exception):
    """
    A token cannot be used. The message says why, in words for its owner, and has nothing of it.
    """


@dataclass(frozen=True, slots=True)
class Grants:
    """
    What a token says that its owner may do, if access rules allow it.
    """

    read: TopicSet = NO_TOPIC
    publish: TopicSet = NO_TOPIC
    administer: TopicSet = NO_TOPIC

    @classmethod
    def parse(cls, claim: Any) -> Self:
        """
        Read the claim ``topics``.

        :raises ValueError: says what is wrong.
        """
        if not isinstance(claim, dict) or not claim.keys() <= set(_ACTIONS):
            raise ValueError("topics has lists for read, publish and administer, and nothing else")
        return cls(**{action: TopicSet.parse(patterns) for action, patterns in claim.items()})


@dataclass(frozen=True, slots=True)
class Token:
    """
    What a token says that was signed by us.

    :ivar expires: in seconds since the epoch.
    :ivar grants: None: nothing is narrowed.
    """

    name: str
    expires: float
    grants: Grants | None = None


class Tokens:
    """
    Tells who has a token of ours.

    :param path: the file of the key; it is read again only when :meth:`reload` is called.
    :raises FileRefused: it cannot be used.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._key = read_checking_key(path)

    def reload(self) -> None:
        """
        Read the key again. Tokens of the one before are refused from then on.

        :raises FileRefused: it cannot be used, and the key is what it was.
        """
        self._key = read_checking_key(self.path)

    def check(self, token: str, now: float) -> Token:
        """
        Check a token.

        :param now: the time of day, in seconds since the epoch.
        :raises TokenRefused: it cannot be used.
        """
        return check_token(token, self._key, now)


def check_token(token: str, key: Key, now: float) -> Token:
    """
    Check a token with a key.

    :param now: the time of day, in seconds since the epoch.
    :raises TokenRefused: it cannot be used.
    """
    claims = _signed_claims(token, key)
    expires = _time(claims, "exp")
    not_before = _time(claims, "nbf") if "nbf" in claims else 0.0
    if now >= expires:
        raise TokenRefused("the token has expired")
    if now < not_before:
        raise TokenRefused("the token is not valid yet")
    audience = claims.get("aud", AUDIENCE)
    if AUDIENCE not in (audience if isinstance(audience, list) else [audience]):
        raise TokenRefused("the token is meant for another service")
    name = claims.get("sub")
    if not isinstance(name, str) or not is_account_name(name):
        raise TokenRefused("the token has no name that one may have here")
    try:
        grants = Grants.parse(claims["topics"]) if "topics" in claims else None
    except ValueError:
        raise TokenRefused("the token grants topics in a way that is not understood") from None
    return Token(name, expires, grants)


def make_token(key: Key, token: Token, now: float) -> str:
    """
    Sign a token. Of its end whole seconds are kept.

    :param key: a private or shared one.
    :param now: the time of day, in seconds since the epoch.
    """
    claims: dict[str, Any] = {"sub": token.name, "iat": int(now), "exp": int(token.expires)}
    if token.grants is not None:
        claims["topics"] = {action: getattr(token.grants, action).patterns for action in _ACTIONS}
    content = json.dumps(claims, separators=(",", ":")).encode()
    return jwt.PyJWS([key.algorithm]).encode(content, key.material, key.algorithm)


def _signed_claims(token: str, key: Key) -> dict[str, Any]:
    """
    :raises TokenRefused: in the same words whatever is wrong: who made it up need not know how close they were.
    """
    refused = TokenRefused("the token is not one of this server's")
    if len(token) > MAX_TOKEN or not token.isascii():
        raise refused
    try:
        signed = jwt.PyJWS([key.algorithm]).decode_complete(token, key.material, [key.algorithm])
        claims = json.loads(signed["payload"])
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise refused from None
    # Extensions that must be understood (RFC 7515, section 4.1.11): there are none that we do.
    if "crit" in signed["header"] or not isinstance(claims, dict):
        raise refused
    return claims


def _time(claims: dict[str, Any], claim: str) -> float:
    """
    :raises TokenRefused: it is missing, or not a time.
    """
    value = claims.get(claim)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST:
        raise TokenRefused("the token does not say when it is valid")
    return float(value)
