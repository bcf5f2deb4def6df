"""
``twistd echochat`` and ``twist echochat``: options in, a service out.
"""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

from twisted.application.service import IService
from twisted.cred import strcred
from twisted.cred.credentials import IUsernamePassword

from echochat.daemon.control import ControlFactory
from echochat.history.errors import HistoryRefused
from echochat.history.parse import UnknownHistory, from_string, look
from echochat.history.records import Retention
from echochat.identity.files import FileRefused
from echochat.identity.rule_file import AccessRules
from echochat.identity.tokens import Tokens
from echochat.net.gate import Gate
from echochat.net.lean import lean
from echochat.net.limits import connections_for, raise_descriptor_limit
from echochat.server.admission import Admission
from echochat.server.control import commands
from echochat.server.exchange import Exchange
from echochat.server.factory import EchoChatFactory
from echochat.server.operations import Operations
from echochat.server.service import EchoChatService
from echochat.server.settings import SETTINGS, ServerSettings, make_settings
from echochat.tap.capacity import most_connections
from echochat.tap.ending import give_up, how_to_log, stop, tell_refusals_in_one_line
from echochat.tap.options import ProcessOptions, collect, fail, parameters
from echochat.tap.signals import take_signals
from echochat.tap.starter import speak_to_starter
from echochat.tap.tuning import tune_python

if TYPE_CHECKING:
    from echochat.history.jetstream.history import JetStreamHistory

FIRST_LINE_OF_A_LOGIN: Final = 10.0
"""
Seconds until the first line, unless told, where that can only be to log in.
"""


class Options(ProcessOptions, strcred.AuthOptionMixin):
    """
    The options of the server. What is wrong ends in one line and exit code 1.
    """

    supportedInterfaces = (IUsernamePassword,)
    longdesc = "An echo and chat server over lines that one can type. Documentation: the README and docs/."
    table = SETTINGS
    optParameters = parameters(SETTINGS)
    opt_listen = collect(SETTINGS[0])

    def __init__(self) -> None:
        super().__init__()
        self.settings = ServerSettings()

    def look(self) -> None:
        self.settings = self.read_settings()

    def read_settings(self) -> ServerSettings:
        """
        What the command line and the configuration file say now.

        :raises SettingError: something is wrong.
        """
        written, configured = self.written(), self.configured()
        settings = make_settings(written, configured, self["config"] or "")
        if settings.guests is None:
            # Those of the start, too: they are in use even when the file has lost them.
            asks = bool(self.checkers or settings.tokens or self.settings.tokens)
            settings = replace(settings, guests="no" if asks else "yes")
        if settings.guests == "no" and not any("first-line" in each for each in (written, configured)):
            settings = replace(settings, first_line=FIRST_LINE_OF_A_LOGIN)
        return settings

    @property
    def checkers(self) -> list[Any]:
        """
        What ``--auth`` asked for.
        """
        return list(self.get("credCheckers", []))


def makeService(options: Options) -> IService:
    """
    Make the server's service on the global reactor.
    """
    from twisted.internet import reactor as installed

    reactor: Any = installed
    settings = options.settings
    descriptors = raise_descriptor_limit()
    lean_reactor = lean(reactor)
    gate = Gate(most_connections(settings.max_connections, connections_for(descriptors)))
    try:
        retention = Retention(settings.retain_age, settings.retain_size, settings.retain_events)
        history = from_string(settings.history, reactor, retention, replicas=int(settings.history_replicas))
        look(settings.history)
    except (UnknownHistory, HistoryRefused) as error:
        fail(str(error))
    try:
        tokens = Tokens(settings.tokens) if settings.tokens is not None else None
        rules = AccessRules(settings.rules)
    except FileRefused as error:
        fail(str(error))
    admission = Admission(lean_reactor.seconds, options.checkers, tokens, rules)
    factory = EchoChatFactory(lean_reactor, settings, Exchange(lean_reactor, history), gate, admission)
    tune_python()
    log = how_to_log(options)
    tell_refusals_in_one_line(log)
    speak_to_starter(options, reactor)
    operations = Operations(factory, lambda: reactor.callFromThread(stop, reactor))
    operations.reloads.add("the configuration", lambda: factory.apply(options.read_settings()))
    for checker in options.checkers:
        if hasattr(checker, "reload"):
            operations.reloads.add(f"the accounts of {checker.path}", checker.reload)
    if tokens is not None:
        operations.reloads.add("the key of the tokens", tokens.reload)
    if rules.path is not None:
        operations.reloads.add("the access rules", rules.reload)
    operations.reloads.afterwards(factory.look_again)
    company = None
    if hasattr(history, "broker"):
        # What is imported needs NATS, which a server that is alone does not.
        from echochat.server.fellows.joining import join

        company = join(lean_reactor, cast("JetStreamHistory", history), factory, operations, settings.lease)
    control = (settings.control, ControlFactory(commands(operations))) if settings.control is not None else None
    service = EchoChatService(
        lean_reactor, factory, gate, settings.listen, partial(give_up, reactor, log=log), control, company
    )
    operations.reloads.add("the certificates", service.ports.reload_certificates)
    take_signals(reactor, service.hurry, operations.reloads)
    return service
