"""
``twistd echochat-lb`` and ``twist echochat-lb``: options in, a service out.
"""

import random
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from twisted.application.service import IService
from twisted.internet.interfaces import IProtocolFactory

from echochat.balancer.backends import Backend
from echochat.balancer.checks import Check, Checks
from echochat.balancer.condition import Rules
from echochat.balancer.control import commands
from echochat.balancer.dispatch import Dispatch
from echochat.balancer.fleet import Fleet
from echochat.balancer.handoff import HandoffRoute, is_handoff, look_at_listening
from echochat.balancer.health import Health
from echochat.balancer.moving import Mover
from echochat.balancer.operations import Operations
from echochat.balancer.pool import Pool
from echochat.balancer.proxy import ProxyFactory
from echochat.balancer.rebalancing import Rebalancing
from echochat.balancer.relaying import RelayRoute
from echochat.balancer.routes import ChecksItself, Route
from echochat.balancer.service import BalancerService, Part
from echochat.balancer.settings import SETTINGS, BalancerSettings, make_settings
from echochat.balancer.status import Status
from echochat.balancer.trends import Trends
from echochat.balancer.watch import HealthWatch
from echochat.daemon.control import ControlFactory
from echochat.daemon.settings import SettingError
from echochat.net.gate import Gate
from echochat.net.lean import lean
from echochat.net.limits import connections_for, raise_descriptor_limit
from echochat.tap.capacity import most_connections
from echochat.tap.ending import give_up, how_to_log, tell_refusals_in_one_line
from echochat.tap.options import ProcessOptions, collect, fail, flags, parameters
from echochat.tap.signals import take_signals
from echochat.tap.starter import speak_to_starter
from echochat.tap.tuning import tune_python

DESCRIPTORS = 2
"""
What a relayed connection has: one to the client, and one to the backend.
"""

_FIXED: Final = ("listen", "control", "status", "send_proxy", "max_connections")
"""
What is made of settings once, at the start.
"""


class Options(ProcessOptions):
    """
    The options of the balancer. What is wrong ends in one line and exit code 1.
    """

    longdesc = (
        "A balancer for TCP connections: each goes to the backend that has the fewest for its weight. "
        "Documentation: docs/balancer.rst."
    )
    table = SETTINGS
    optParameters = parameters(SETTINGS)
    optFlags = flags(SETTINGS)
    opt_listen = collect(SETTINGS[0])
    opt_backend = collect(SETTINGS[1])

    def __init__(self) -> None:
        super().__init__()
        self.settings = BalancerSettings()

    def look(self) -> None:
        self.settings = self.read_settings()
        if not self.settings.backends and self.settings.control is None:
            raise SettingError("there is no backend: --backend NAME=ENDPOINT, as in --backend a=tcp:127.0.0.1:7007")

    def read_settings(self) -> BalancerSettings:
        """
        What the command line and the configuration file say now.

        :raises SettingError: something is wrong.
        """
        return make_settings(self.written(), self.configured(), self["config"] or "")


def makeService(options: Options) -> IService:
    """
    Make the balancer's service on the global reactor.
    """
    from twisted.internet import reactor as installed

    reactor: Any = installed
    settings = options.settings
    possible = connections_for(raise_descriptor_limit()) // DESCRIPTORS
    lean_reactor = lean(reactor)
    gate = Gate(most_connections(settings.max_connections, possible))
    pool = Pool(settings.slow_start, panic=settings.panic)
    health = Health(lean_reactor, pool)
    checks = Checks(lean_reactor, settings.send_proxy)

    def make_route(backend: Backend) -> Route:
        try:
            if is_handoff(backend.endpoint):
                look_at_listening(settings.listen)
                # A cheap one will do: it is for the times between attempts.
                chance = random.Random()  # noqa: S311
                return HandoffRoute(lean_reactor, backend, chance, lambda: pool.count(backend, lean_reactor.seconds()))
            return RelayRoute(lean_reactor, backend, settings.send_proxy)
        except ValueError as error:
            raise ValueError(f"backend {backend.name}: {error}") from None

    def check_of(backend: Backend) -> Check | None:
        kind = backend.check or factory.settings.check
        if kind == "none":
            return None
        route = fleet.routes[backend]
        if isinstance(route, ChecksItself):
            return route.check
        assert isinstance(route, RelayRoute)
        return (checks.ping if kind == "ping" else checks.tcp)(route.endpoint)

    watch = HealthWatch(lean_reactor, health, check_of, random.uniform)
    fleet = Fleet(lean_reactor, pool, make_route, watch)
    dispatch = Dispatch(lean_reactor, pool, fleet.routes.__getitem__, health)
    pool.freed = dispatch.freed
    factory = ProxyFactory(lean_reactor, settings, dispatch.place, health, gate)
    trends = Trends(lean_reactor, fleet, factory.connections.values)
    mover = Mover(reactor, lean_reactor, fleet.routes)
    fleet.vacate = lambda backend: mover.move(backend, None, factory.settings.drain)
    status = Status(lean_reactor, fleet, trends, lambda: dispatch.waiting)
    rebalancing = Rebalancing(
        pool,
        mover.move,
        lambda backend: status.state(backend) == "up",
        lambda: factory.settings.rebalance,
        # As gently as its slow start was.
        lambda: max(factory.settings.drain, factory.settings.slow_start),
        mover.stay,
    )
    trends.looked = rebalancing.look
    operations = Operations(status, mover, factory.connections.values, lambda: factory.settings.drain)
    try:
        fleet.take(each.make() for each in settings.backends)
    except ValueError as error:
        fail(str(error))

    def apply(settings: BalancerSettings) -> None:
        factory.apply(settings)
        pool.slow_start, pool.panic = settings.slow_start, settings.panic
        health.rules = Rules(settings.fall, settings.rise, settings.interval)
        watch.timeout = settings.timeout
        dispatch.retries = settings.retries
        dispatch.connect_timeout = settings.connect_timeout
        dispatch.queue = settings.queue
        dispatch.queue_timeout = settings.queue_timeout

    apply(settings)

    def reload() -> None:
        changed = options.read_settings()
        # First, as this can be wrong: nothing has changed then.
        operations.follow(each.make() for each in changed.backends)
        before = factory.settings.check
        apply(changed)
        if changed.check != before:
            for backend in pool:
                watch.begin(backend)
        fixed = [name for name in _FIXED if getattr(changed, name) != getattr(settings, name)]
        if fixed:
            names = ", ".join(name.replace("_", "-") for name in fixed)
            raise SettingError(f"{names} can only change with a restart; everything else is in use")

    tune_python()
    log = how_to_log(options)
    tell_refusals_in_one_line(log)
    speak_to_starter(options, reactor)
    control = (settings.control, ControlFactory(commands(operations))) if settings.control is not None else None
    parts: list[Part] = [AtTheEnd(watch.stop, checks.stop), fleet, trends, AtTheEnd(dispatch.stop)]
    pages: list[tuple[str, IProtocolFactory]] = []
    if settings.status is not None:
        # Here, as twisted.web takes memory and time that a balancer without a page can do without.
        from echochat.balancer.page.site import StatusSite

        site = StatusSite(lean_reactor, status)
        parts.append(site)
        pages.append((settings.status, site))
    service = BalancerService(
        lean_reactor, factory, gate, settings.listen, partial(give_up, reactor, log=log), parts, control, pages
    )
    operations.reloads.add("the configuration", reload)
    operations.reloads.add("the certificates", service.ports.reload_certificates)
    take_signals(reactor, service.hurry, operations.reloads)
    return service


class AtTheEnd:
    """
    A part of the service that only has to be stopped.

    :param stops: what stops it.
    """

    def __init__(self, *stops: Callable[[], None]) -> None:
        self._stops = stops

    def begin(self) -> None:
        """
        It runs already.
        """

    def end(self) -> None:
        """
        Nobody needs it any more.
        """
        for stop in self._stops:
            stop()
