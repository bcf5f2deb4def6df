"""
Who is here: the names in use.
"""

import secrets
from collections.abc import Callable, Iterable
from typing import Final

from echochat.chat.elsewhere import ALONE, Elsewhere
from echochat.wire.names import fold_name

MOST_RESERVED: Final = 100_000
"""
Names of people who have shown that they are theirs: the one that was shown longest ago is forgotten first.
"""


class NameTaken(Exception):
    """
    Somebody else has this name, in one letter case or another.
    """


def _random_suffix() -> str:
    return secrets.token_hex(4)


class People:
    """
    The names of all who are connected. A guest's name is one connection's; two names that differ in letter case only
    are one.

    :param suffix: makes what stands behind ``guest-`` in a name that nobody chose.
    :param is_account: tells of a name whether an account has it, so that no guest can take it.
    :ivar elsewhere: the people of other servers.
    """

    def __init__(
        self,
        suffix: Callable[[], str] = _random_suffix,
        is_account: Callable[[str], bool] = lambda name: False,
    ) -> None:
        self._suffix = suffix
        self._is_account = is_account
        self.elsewhere: Elsewhere = ALONE
        self._taken: set[str] = set()
        self._reserved: dict[str, None] = {}

    def admit_guest(self) -> str:
        """
        Give a newcomer a name that nobody has.
        """
        while True:
            name = f"guest-{self._suffix()}"
            try:
                self.claim(name)
            except NameTaken:
                continue
            return name

    def claim(self, name: str) -> None:
        """
        Take a name.

        :raises NameTaken: ask for another.
        """
        folded = fold_name(name)
        taken = folded in self._taken or folded in self._reserved or self._is_account(folded)
        if taken or self.elsewhere.has(folded):
            raise NameTaken(name)
        self._taken.add(folded)
        self.elsewhere.took(folded)

    def reserve(self, name: str) -> None:
        """
        Somebody has shown that this is their name, by a certificate, say, without there being an account: as long as
        this is remembered, no guest can take it.
        """
        folded = fold_name(name)
        self.reserve_too(folded)
        self.elsewhere.showed(folded)

    def reserve_too(self, name: str) -> None:
        """
        As :meth:`reserve`; the other servers know it already.
        """
        folded = fold_name(name)
        self._reserved.pop(folded, None)
        self._reserved[folded] = None
        if len(self._reserved) > MOST_RESERVED:
            del self._reserved[next(iter(self._reserved))]

    def is_guests(self, name: str) -> bool:
        """
        Tell whether a guest has this name now, who took it before it was shown to be somebody else's.
        """
        return fold_name(name) in self._taken

    def rename(self, old: str, new: str) -> None:
        """
        Take a name in exchange for another; one's own name in another letter case is free to take.

        :raises NameTaken: the old one is kept; ask for another.
        """
        if fold_name(old) == fold_name(new):
            return
        self.claim(new)
        self.release(old)

    def release(self, name: str) -> None:
        """
        Somebody has gone, and the name is free.
        """
        folded = fold_name(name)
        if folded in self._taken:
            self._taken.discard(folded)
            self.elsewhere.gave_up(folded)

    @property
    def guests(self) -> Iterable[str]:
        """
        The names that guests have, in one letter case.
        """
        return self._taken

    @property
    def reserved(self) -> Iterable[str]:
        """
        The names of which it is remembered that somebody has shown them to be theirs, in one letter case.
        """
        return self._reserved
