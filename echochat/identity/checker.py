"""
Checking names and passwords against a file of accounts, as Twisted's cred wants it: ``--auth argon2:FILE``.

Nobody can find out which accounts there are: for a name that has none a hash is verified as well, with the same
error when it is done. Which one? A made-up hash would be told from the others by its time in a file where other
programs chose other parameters. So it is one of the file's own, always the same for the same name, and its result is
not looked at.
"""

import hashlib
import secrets
from typing import Any, Final

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.strcred import InvalidAuthArgumentString
from twisted.internet.defer import Deferred
from zope.interface import implementer

from echochat.identity.accounts import Account, read_accounts
from echochat.identity.files import FileRefused
from echochat.identity.hashing import HashingPool
from echochat.identity.passwords import is_possible
from echochat.wire.names import fold_name

# What a file without accounts is checked against; no password is known for it.
_NOBODY: Final = Account(
    "nobody",
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGF0IGFsbC4$bm8gcGFzc3dvcmQgaXMga25vd24gZm9yIHRoaXMgaGE",
)


@implementer(ICredentialsChecker)
class AccountsChecker:
    """
    Who has an account, and who knows its password.

    :param path: the file of accounts; it is read again only when :meth:`reload` is called.
    :raises FileRefused: it cannot be used.
    """

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, path: str, hashing: HashingPool) -> None:
        self.path = path
        self._hashing = hashing
        self._accounts = read_accounts(path)
        self._salt = secrets.token_bytes(16)

    # Called by Twisted's cred

    def requestAvatarId(self, credentials: Any) -> Deferred[bytes | tuple[()]]:
        """
        Check a name and a password.

        The Deferred fires with the account's name, in the letter case of the file. It fails with
        :exc:`~twisted.cred.error.UnauthorizedLogin` when there is no such account or the password is another, and
        with :exc:`~echochat.identity.hashing.HashingBusy` when there are too many logins at once.
        """
        return Deferred.fromCoroutine(self._check(_text(credentials.username), _bytes(credentials.password)))

    # Ours

    def reload(self) -> None:
        """
        Read the file again. Checks that are under way are decided by what the new one says.

        :raises FileRefused: it cannot be used, and the accounts are what they were.
        """
        self._accounts = read_accounts(self.path)

    @property
    def is_full(self) -> bool:
        """
        Whether so many logins are being checked that no more are taken.
        """
        return self._hashing.is_full

    def has(self, name: str) -> bool:
        """
        Tell whether there is an account of this name, in any letter case.
        """
        return self._accounts.find(name) is not None

    def groups_of(self, name: str) -> frozenset[str]:
        """
        The groups of whoever has this name, folded; none when there is no account.
        """
        account = self._accounts.find(name)
        return frozenset() if account is None else account.groups

    async def _check(self, name: str, password: bytes) -> bytes | tuple[()]:
        if not is_possible(password):
            raise UnauthorizedLogin("wrong name or password")
        account = self._accounts.find(name)
        matches = await self._hashing.verify((account or self._stand_in(name)).phc, password)
        now = self._accounts.find(name)
        # The account may have been removed or changed in the meantime.
        if not matches or account is None or now is None or now.phc != account.phc:
            raise UnauthorizedLogin("wrong name or password")
        return now.name.encode()

    def _stand_in(self, name: str) -> Account:
        everybody = self._accounts.everybody
        if not everybody:
            return _NOBODY
        number = hashlib.blake2b(fold_name(name).encode(), key=self._salt, digest_size=8).digest()
        return everybody[int.from_bytes(number) % len(everybody)]


def make_checker(argument: str) -> AccountsChecker:
    """
    Make the checker that ``--auth argon2:FILE`` asks for.

    :param argument: the file.
    :raises InvalidAuthArgumentString: the file cannot be used; the message is one line that says why.
    """
    if not argument:
        raise InvalidAuthArgumentString("argon2 needs a file of accounts: --auth argon2:FILE")
    try:
        return AccountsChecker(argument, HashingPool(_running_reactor))
    except FileRefused as error:
        raise InvalidAuthArgumentString(str(error)) from None


def _running_reactor() -> Any:
    """
    The global reactor, once there is one: strcred has none to give, because options are read before it is chosen.
    """
    from twisted.internet import reactor

    return reactor


def _text(name: str | bytes) -> str:
    return name if isinstance(name, str) else name.decode("utf-8", "replace")


def _bytes(password: str | bytes) -> bytes:
    return password.encode("utf-8", "surrogateescape") if isinstance(password, str) else password
