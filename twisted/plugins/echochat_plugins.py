"""
Pointers for ``twistd`` and ``twist``: nothing of the project is imported until a command is chosen.
"""

from twisted.application.service import ServiceMaker
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.strcred import ICheckerFactory
from twisted.plugin import IPlugin
from zope.interface import implementer


@implementer(IPlugin, ICheckerFactory)
class _Argon2:
    """
    ``--auth argon2:FILE``, in any program that takes ``--auth``.
    """

    authType = "argon2"
    authHelp = "Accounts in a text file that `echochat passwd` writes, with passwords hashed by Argon2id."
    argStringFormat = "FILE"
    credentialInterfaces = (IUsernamePassword,)

    def generateChecker(self, argstring: str) -> ICredentialsChecker:
        from echochat.identity.checker import make_checker

        return make_checker(argstring)


server = ServiceMaker(
    "echochat",
    "echochat.tap.server",
    "Echo, chat and real-time topics over lines that one can type.",
    "echochat",
)

argon2 = _Argon2()
