"""
The logins of one connection.
"""

from collections.abc import Awaitable
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure
from txaio.tx import make_logger

from echochat.chat.effects import Close, LogIn, Renamed, UseToken
from echochat.chat.session import Session
from echochat.server.admission import CROWDED, Admission, Admitted, LoginFailed
from echochat.wire.answers import Bye, Err, Ok
from echochat.wire.commands import CommandError


class Applicant(Protocol):
    """
    The connection of somebody who logs in.
    """

    def flush(self) -> None:
        """
        Replies may be due: send them.
        """

    def renamed(self, renamed: Renamed) -> None:
        """
        Others knew this person by another name.
        """

    def displace(self, name: str) -> None:
        """
        This person has shown that a name is theirs, which a guest on another connection has.
        """

    def dismiss(self, close: Close) -> None:
        """
        Close, when all that was asked before has been answered.
        """


class Login:
    """
    Made for a connection when somebody logs in on it, or has a certificate.

    :param clock: for the end of a token.
    :param source: where from: what failures are counted by.
    """

    __slots__ = ("_admission", "_admitted", "_applicant", "_checking", "_clock", "_expiry", "_session", "_source")

    log = make_logger()

    def __init__(
        self, clock: IReactorTime, admission: Admission, session: Session, source: str, applicant: Applicant
    ) -> None:
        self._clock = clock
        self._admission = admission
        self._session = session
        self._source = source
        self._applicant = applicant
        self._checking: Deferred[None] | None = None
        self._expiry: IDelayedCall | None = None
        self._admitted: Admitted | None = None

    # Called by the connection

    @property
    def is_still_good(self) -> bool:
        """
        Whether what was shown would be taken again.
        """
        return self._admitted is None or self._admitted.is_still_good()

    def perform(self, wish: LogIn | UseToken) -> None:
        """
        Check who somebody is, and fill the slot with the answer.
        """
        if self._admission.is_full and isinstance(wish, LogIn):
            # Without a coroutine, a Deferred and an error: hundreds may be told so in one turn.
            self._session.replies.fill(wish.slot, Err("slow-down", CROWDED, wish.label).encode())
            return
        self._checking = Deferred.fromCoroutine(self._answer(wish))
        self._checking.addErrback(self._failed, wish)

    def certify(self, name: str) -> None:
        """
        This connection has a verified certificate with a name.
        """
        if self._admission.is_banned(name):
            self._applicant.dismiss(Close("banned", Bye("banned", "you are banned from this server")))
        else:
            self._admit(self._admission.certify(name))

    def end(self) -> None:
        """
        The connection has gone.
        """
        if self._checking is not None:
            self._checking.cancel()
        if self._expiry is not None and self._expiry.active():
            self._expiry.cancel()

    # Ours

    async def _answer(self, wish: LogIn | UseToken) -> None:
        verb = "login" if isinstance(wish, LogIn) else "token"
        try:
            admitted = await self._check(wish)
        except LoginFailed as error:
            self._session.person.failures += 1
            is_over = self._session.person.failures >= self._admission.attempts
            if is_over:
                # Before the reply: with it the next line's turn comes, and that may be one more attempt.
                self._session.take_no_more()
            self._reply(wish, Err(error.code, error.explanation, wish.label).encode())
            if is_over:
                bye = Bye("login-failures", f"{self._session.person.failures} logins failed on this connection")
                self._applicant.dismiss(Close("logins failed", bye))
        except CommandError as error:
            self._reply(wish, Err(error.code, error.explanation, wish.label).encode())
        else:
            self._admit(admitted)
            self._reply(wish, Ok(verb, admitted.name, wish.label).encode())

    async def _check(self, wish: LogIn | UseToken) -> Admitted:
        if isinstance(wish, UseToken):
            return self._admission.use_token(wish.token)
        checking: Awaitable[Admitted] = self._admission.log_in(self._source, wish.name, wish.secret)
        return await checking

    def _reply(self, wish: LogIn | UseToken, answer: bytes) -> None:
        self._session.replies.fill(wish.slot, answer)
        self._applicant.flush()

    def _admit(self, admitted: Admitted) -> None:
        self._admitted = admitted
        renamed = self._session.person.become(admitted.name, admitted.kind, admitted.ask_permissions)
        if renamed is not None:
            self._applicant.renamed(renamed)
        if self._session.commons.people.is_guests(admitted.name):
            self._applicant.displace(admitted.name)
        if admitted.expires_in is not None:
            self._expiry = self._clock.callLater(admitted.expires_in, self._expired)

    def _expired(self) -> None:
        self._applicant.dismiss(Close("the token expired", Bye("login-failures", "your token has expired")))

    def _failed(self, failure: Failure, wish: LogIn | UseToken) -> None:
        if failure.check(CancelledError):
            return
        self.log.failure("a login could not be checked", failure)
        explanation = "the login could not be checked: the server's log says why"
        self._reply(wish, Err("unavailable", explanation, wish.label).encode())
