"""
Letting people in: names and passwords, tokens, certificates; and what they may do then.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Any, Final

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from txaio.tx import make_logger

from echochat.chat import person as chat
from echochat.chat.policy import Permissions
from echochat.identity.hasher import HasherGone
from echochat.identity.hashing import HashingBusy
from echochat.identity.rule_file import AccessRules
from echochat.identity.rules import Person
from echochat.identity.throttle import LoginThrottle
from echochat.identity.tokens import Grants, TokenRefused, Tokens
from echochat.wire.commands import CommandError

ATTEMPTS: Final = 3
"""
Logins that may fail on one connection.
"""

CROWDED: Final = "many people log in just now: try again in a few seconds"


class LoginFailed(CommandError):
    """
    Somebody is not who they say. It is counted against the connection.
    """


@dataclass(frozen=True, slots=True)
class Admitted:
    """
    Somebody has shown who they are.

    :ivar name: theirs.
    :ivar kind: ``password``, ``token`` or ``certificate``.
    :ivar ask_permissions: tells what they may do with topics by the rules of the moment; None: whatever the protocol
        allows.
    :ivar expires_in: seconds until this has to be shown again; None: never.
    :ivar is_still_good: tells whether it would be taken again, now that keys have been read again.
    """

    name: str
    kind: str
    ask_permissions: Callable[[], Permissions | None]
    expires_in: float | None = None
    is_still_good: Callable[[], bool] = lambda: True


class Admission:
    """
    Who may come in, for a whole server.

    :param checkers: of names and passwords; each is tried until one knows them.
    :param tokens: None: there are none.
    :param rules: access rules.
    :param now: seconds of a clock that never jumps.
    :param is_banned: tells of a name whether an operator keeps it out.
    :ivar attempts: how many logins may fail on one connection.
    """

    log = make_logger()

    def __init__(
        self,
        now: Callable[[], float],
        checkers: Sequence[ICredentialsChecker] = (),
        tokens: Tokens | None = None,
        rules: AccessRules | None = None,
        is_banned: Callable[[str], bool] = lambda name: False,
    ) -> None:
        self._now = now
        self._checkers = checkers
        self._tokens = tokens
        self._rules = rules if rules is not None else AccessRules()
        self._throttle = LoginThrottle()
        self.is_banned = is_banned
        self.attempts = ATTEMPTS

    @property
    def has_rules(self) -> bool:
        """
        Whether somebody may be denied something.
        """
        return self._rules.path is not None

    @property
    def is_full(self) -> bool:
        """
        Whether so many passwords are being checked that no more are taken.
        """
        return bool(self._checkers) and all(getattr(checker, "is_full", False) for checker in self._checkers)

    def is_account(self, name: str) -> bool:
        """
        Tell whether an account has this name, in any letter case.
        """
        return any(checker.has(name) for checker in self._checkers if hasattr(checker, "has"))

    def still_knows(self, person: chat.Person) -> bool:
        """
        Tell whether somebody who logged in with a password still has an account, as far as their checker can tell.
        """
        knowing = [checker for checker in self._checkers if hasattr(checker, "has")]
        if person.kind != "password" or len(knowing) < len(self._checkers):
            return True
        return self.is_account(person.name)

    def permissions_of(self, person: chat.Person) -> Permissions | None:
        """
        What a guest may do with topics by the rules; who has shown who they are has other means to ask.
        """
        return self._permissions(person.name, person.kind == chat.GUEST, None)

    async def log_in(self, source: str, name: str, secret: str) -> Admitted:
        """
        Check a name and a password.

        :param source: where from: what failures are counted by.
        :raises LoginFailed: there is no such account, or the password is another.
        :raises CommandError: ``slow-down`` or ``unavailable``, nothing was checked.
        """
        wait = self._throttle.take_turn(source, name, self._now())
        if wait > 0:
            raise CommandError("slow-down", f"a login failed a moment ago: try again in {ceil(wait)} seconds")
        for checker in self._checkers:
            try:
                credentials: Any = UsernamePassword(name.encode(), secret.encode())
                found = await checker.requestAvatarId(credentials)
            except HashingBusy:
                raise CommandError("slow-down", CROWDED) from None
            except HasherGone:
                explanation = "passwords cannot be checked now: the server's log says why"
                raise CommandError("unavailable", explanation) from None
            except UnauthorizedLogin:
                continue
            known = found.decode() if isinstance(found, bytes) else str(found)
            self._throttle.succeeded(source, name, self._now())
            self._refuse_banned(known)
            return Admitted(known, "password", partial(self._permissions, known, False, None))
        self._throttle.failed(source, name, self._now())
        raise LoginFailed("login-failed", "wrong name or password")

    def use_token(self, token: str) -> Admitted:
        """
        Check a token.

        :raises LoginFailed: it cannot be used.
        """
        tokens = self._tokens
        if tokens is None:
            raise LoginFailed("login-failed", "this server takes no tokens")
        now = time.time()
        try:
            known = tokens.check(token, now)
        except TokenRefused as error:
            raise LoginFailed("login-failed", str(error)) from None
        self._refuse_banned(known.name)
        # With the rules of the moment, and always with the token's own grants: a reload must not widen it.
        permissions = partial(self._permissions, known.name, False, known.grants)

        def is_still_good() -> bool:
            try:
                tokens.check(token, time.time())
            except TokenRefused:
                return False
            return True

        return Admitted(known.name, "token", permissions, known.expires - now, is_still_good)

    def certify(self, name: str) -> Admitted:
        """
        Let in whoever has a certificate that was verified, under the name that is in it.
        """
        return Admitted(name, "certificate", partial(self._permissions, name, False, None))

    def _refuse_banned(self, name: str) -> None:
        if self.is_banned(name):
            raise LoginFailed("denied", "you are banned from this server")

    def _permissions(self, name: str, is_guest: bool, grants: Grants | None) -> Permissions | None:
        if grants is None and not self.has_rules:
            return None
        return self._rules.permissions(Person(name, self._groups_of(name), is_guest, grants))

    def _groups_of(self, name: str) -> frozenset[str]:
        groups = (checker.groups_of(name) for checker in self._checkers if hasattr(checker, "groups_of"))
        return frozenset().union(*groups)
