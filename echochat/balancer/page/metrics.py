"""
The balancer's figures for Prometheus, read where they are kept whenever they are asked for.
"""

from collections.abc import Iterable
from typing import Any, Final

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from echochat.balancer.status import Status

_GAUGES: Final = (
    ("active", "active_connections", "Connections that the backend has."),
    ("weight", "weight", "Its share of the connections."),
    ("max", "max_connections", "How many connections it may have at once; 0: no limit."),
)

_COUNTERS: Final = (
    ("connections", "connections", "Connections that the backend was given."),
    ("failures", "failures", "Attempts that failed, and connections that it closed at once."),
    ("checks_failed", "failed_checks", "Checks that failed."),
    ("bytes_in", "received_bytes", "Bytes from clients to the backend."),
    ("bytes_out", "sent_bytes", "Bytes from the backend to clients."),
)


class BackendCollector(Collector):
    """
    What there is to tell of a balancer.

    A backend that was removed and one that has its name now are one here: a name may be there only once.
    """

    def __init__(self, status: Status) -> None:
        self._status = status

    # Called by the registry

    def collect(self) -> Iterable[Metric]:
        balancer, backends = self._status.balancer(), self._status.backends()
        yield InfoMetricFamily("echochat_lb", "The balancer.", {"version": balancer["version"]})
        yield GaugeMetricFamily("echochat_lb_uptime_seconds", "Seconds since the start.", balancer["uptime"])
        yield GaugeMetricFamily("echochat_lb_waiting", "Clients that wait for a place.", balancer["waiting"])
        serving = GaugeMetricFamily(
            "echochat_lb_backend_serving", "Whether the backend gets connections.", labels=("backend",)
        )
        for name, of_name in _by_name(backends).items():
            serving.add_metric((name,), float(any(each["state"] in ("up", "starting") for each in of_name)))
        yield serving
        for figure, name, text in _GAUGES:
            yield _fill(GaugeMetricFamily(f"echochat_lb_backend_{name}", text, labels=("backend",)), figure, backends)
        for figure, name, text in _COUNTERS:
            yield _fill(CounterMetricFamily(f"echochat_lb_backend_{name}", text, labels=("backend",)), figure, backends)


def make_registry(status: Status) -> CollectorRegistry:
    """
    A registry of the balancer's own, with what the process costs, too.
    """
    registry = CollectorRegistry()
    registry.register(BackendCollector(status))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def _by_name(backends: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    by_name: dict[str, list[dict[str, Any]]] = {}
    for each in backends:
        by_name.setdefault(each["name"], []).append(each)
    return by_name


def _fill(family: Any, figure: str, backends: Iterable[dict[str, Any]]) -> Metric:
    for name, of_name in _by_name(backends).items():
        # Weights and limits are of the one that is there; connections are of all that have the name.
        value = of_name[0][figure] if figure in ("weight", "max") else sum(each[figure] for each in of_name)
        family.add_metric((name,), value)
    metric: Metric = family
    return metric
