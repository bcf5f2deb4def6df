"""
Pointers for ``twistd`` and ``twist``, and for endpoint descriptions: nothing of the project is imported until one of
them is used.
"""

from importlib import import_module

from twisted.application.service import ServiceMaker
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.strcred import ICheckerFactory
from twisted.internet.interfaces import IStreamClientEndpointStringParserWithReactor, IStreamServerEndpointStringParser
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


@implementer(IPlugin, IStreamServerEndpointStringParser)
class _Listening:
    """
    A kind of endpoint to listen on.
    """

    def __init__(self, prefix, module):
        self.prefix = prefix
        self._module = module

    def parseStreamServer(self, reactor, *arguments, **options):
        return import_module(self._module).parse_server(reactor, *arguments, **options)


@implementer(IPlugin, IStreamClientEndpointStringParserWithReactor)
class _Connecting:
    """
    A kind of endpoint to connect to.
    """

    def __init__(self, prefix, module):
        self.prefix = prefix
        self._module = module

    def parseStreamClient(self, reactor, *arguments, **options):
        return import_module(self._module).parse_client(reactor, *arguments, **options)


server = ServiceMaker(
    "echochat",
    "echochat.tap.server",
    "Echo, chat and real-time topics over lines that one can type.",
    "echochat",
)

balancer = ServiceMaker(
    "echochat-lb",
    "echochat.tap.balancer",
    "A least-connections balancer for TCP connections.",
    "echochat-lb",
)

cluster = ServiceMaker(
    "echochat-cluster",
    "echochat.tap.cluster",
    "Several servers that share one log, and a balancer in front, on one machine.",
    "echochat-cluster",
)

argon2 = _Argon2()

# Twisted has a "tls" of its own, which ours shall neither hide nor be hidden by: see echochat.net.endpoints.
tls_server = _Listening("echochat-tls", "echochat.net.tls.ports")
tls_client = _Connecting("echochat-tls", "echochat.net.tls.connecting")
proxied = _Listening("proxied", "echochat.net.proxied")
handoff = _Listening("handoff", "echochat.net.handoff.endpoint")
