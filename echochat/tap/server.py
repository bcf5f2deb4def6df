"""
``twistd echochat`` and ``twist echochat``: options in, a service out.
"""

import gc
import signal
import sys
from dataclasses import replace
from functools import partial
from typing import Any, Final, NoReturn

from twisted.application.service import IService
from twisted.cred import strcred
from twisted.cred.credentials import IUsernamePassword
from twisted.internet.defer import Deferred
from twisted.python import usage
from txaio.tx import make_logger

from echochat import __version__
from echochat.history.parse import UnknownHistory, from_string
from echochat.history.records import Retention
from echochat.identity.files import FileRefused
from echochat.identity.rule_file import AccessRules
from echochat.identity.tokens import Tokens
from echochat.net.gate import Gate
from echochat.net.lean import lean
from echochat.net.limits import connections_for, raise_descriptor_limit
from echochat.server.admission import Admission
from echochat.server.control import ControlFactory
from echochat.server.exchange import Exchange
from echochat.server.factory import EchoChatFactory
from echochat.server.operations import Operations
from echochat.server.service import EchoChatService
from echochat.server.settings import SETTINGS, ServerSettings, SettingError, make_settings, read_config
from echochat.tap.ending import give_up, stop, tell_refusals_in_one_line

FIRST_LINE_OF_A_LOGIN: Final = 10.0
"""
Seconds until the first line, unless told, where that can only be to log in.
"""


def fail(reason: str) -> NoReturn:
    """
    End the process with one line and exit code 1, as for any mistake of whoever starts it.
    """
    sys.exit(f"echochat: {reason}")


class Options(usage.Options, strcred.AuthOptionMixin):
    """
    The options of the server. What is wrong ends in one line and exit code 1.
    """

    supportedInterfaces = (IUsernamePassword,)
    longdesc = "An echo and chat server over lines that one can type. Documentation: the README and docs/."
    optParameters = [
        *([setting.name, None, None, setting.help] for setting in SETTINGS if not setting.repeatable),
        ["config", None, None, "A TOML file with the same names as here; the command line wins."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self.settings = ServerSettings()
        self["listen"] = []

    def opt_listen(self, endpoint: str) -> None:
        self["listen"].append(endpoint)

    opt_listen.__doc__ = SETTINGS[0].help

    def opt_version(self) -> NoReturn:
        """
        Print the version and exit.
        """
        print(f"echochat {__version__}")
        sys.exit(0)

    def parseOptions(self, options: Any = None) -> None:
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            fail(f"{error} (--help lists the options)")

    def parseArgs(self, *arguments: str) -> None:
        if arguments:
            raise usage.UsageError(f"{arguments[0]} is not an option")

    def postOptions(self) -> None:
        try:
            self.settings = self.read_settings()
        except SettingError as error:
            raise usage.UsageError(str(error)) from None

    def read_settings(self) -> ServerSettings:
        """
        What the command line and the configuration file say now.

        :raises SettingError: something is wrong.
        """
        known = {setting.name for setting in SETTINGS}
        written = {name: value for name, value in self.items() if name in known and value not in (None, [])}
        config = self["config"]
        configured = read_config(config) if config else {}
        settings = make_settings(written, configured, config or "")
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
    gate = Gate(_most_connections(settings.max_connections, connections_for(descriptors)))
    try:
        retention = Retention(settings.retain_age, settings.retain_size, settings.retain_events)
        history = from_string(settings.history, reactor, retention)
    except UnknownHistory as error:
        fail(str(error))
    try:
        tokens = Tokens(settings.tokens) if settings.tokens is not None else None
        rules = AccessRules(settings.rules)
    except FileRefused as error:
        fail(str(error))
    admission = Admission(lean_reactor.seconds, options.checkers, tokens, rules)
    factory = EchoChatFactory(lean_reactor, settings, Exchange(lean_reactor, history), gate, admission)
    tune_python()
    tell_refusals_in_one_line()
    operations = Operations(factory, lambda: reactor.callFromThread(stop, reactor))
    operations.reloads("the configuration", lambda: factory.apply(options.read_settings()))
    for checker in options.checkers:
        if hasattr(checker, "reload"):
            operations.reloads(f"the accounts of {checker.path}", checker.reload)
    if tokens is not None:
        operations.reloads("the key of the tokens", tokens.reload)
    if rules.path is not None:
        operations.reloads("the access rules", rules.reload)
    operations.afterwards(factory.look_again)
    control = (settings.control, ControlFactory(operations)) if settings.control is not None else None
    service = EchoChatService(lean_reactor, factory, gate, settings.listen, partial(give_up, reactor), control)
    operations.reloads("the certificates", service.reload_certificates)
    _take_signals(reactor, service, operations)
    return service


def _most_connections(wanted: int, possible: int) -> int:
    """
    As many as are wanted, if there are descriptors for them.

    :param wanted: 0: as many as possible.
    """
    if wanted > possible:
        warning = "there are descriptors for {possible} connections, which is less than the {wanted} of max-connections"
        make_logger().warn(warning, possible=possible, wanted=wanted)
    return min(wanted or possible, possible)


def tune_python() -> None:
    """
    Have Python look for cyclic garbage less often, and let the writer's thread in sooner.

    What is made for each line is freed by its reference count: with Python's own threshold of 700 objects the collector
    took a quarter of the time of a busy publisher. What was imported up to now stays for good, and need not be looked
    at again. And a thread that wants to run waits for 5 ms when another one computes: with 1 ms a commit beside a busy
    reactor took 8.5 ms instead of 27.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    sys.setswitchinterval(0.001)


def _take_signals(reactor: Any, service: EchoChatService, operations: Operations) -> None:
    """
    SIGTERM and SIGINT drain, and exit with 0 then; a second one does not wait for clients any more. SIGHUP reloads.

    Twisted's own handlers end the process by the signal after an orderly stop, which supervisors take for a failure.
    """

    def step(number: int, frame: object) -> None:
        reactor.callFromThread(next_step)

    def next_step() -> None:
        if not stop(reactor):
            service.hurry()

    def reload(number: int, frame: object) -> None:
        reactor.callFromThread(lambda: Deferred.fromCoroutine(operations.reload()))

    def install() -> None:
        signal.signal(signal.SIGHUP, reload)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, step)

    install()
    # Twisted puts its own in their place when it begins to run.
    reactor.callWhenRunning(install)
