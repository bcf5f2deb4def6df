"""
``echochat history copy``: bring what one history has into another.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import click
from twisted.internet.defer import Deferred, TimeoutError

from echochat.client.harmless import harmless
from echochat.client.progress import CopyProgress
from echochat.client.running import CommandFailed, run_command
from echochat.history import Draft, HistoryRefused, HistoryUnavailable, IHistory, Retention
from echochat.history.copying import Copy, Copying, NotStored, OtherEvents, Spoilt
from echochat.history.parse import UnknownHistory, from_string, shown
from echochat.history.records import EVERYTHING

PATIENCE = 10.0
"""
Seconds in which a history has to become available.
"""

_FILES: Final = ("sqlite", "sqlite-unsafe")
_BROKERS: Final = ("nats", "tls")


@click.command("copy")
@click.argument("source")
@click.argument("target")
@click.option("--retain-age", type=click.FloatRange(1, 1e10), default=Retention().age, help="Seconds, of the target.")
@click.option("--retain-size", type=click.IntRange(1 << 20, 1 << 50), default=Retention().size, help="Bytes.")
@click.option("--retain-events", type=click.IntRange(1, 1_000_000_000), default=Retention().events, help="Of a topic.")
@click.option("--history-replicas", "replicas", type=click.IntRange(1, 5), default=1, help="Brokers that keep it.")
def command(source: str, target: str, retain_age: float, retain_size: int, retain_events: int, replicas: int) -> None:
    """
    Copy the history SOURCE into the history TARGET, each written as for a server's --history.

    Topics, order, times, names and texts are kept; positions, too, where an SQLite file is the target and has none
    beyond. The target has an epoch of its own: clients that come back are told of a gap, and given all of a topic.
    Servers must not use either meanwhile, unless it is one that they share; the source is not changed. Interrupted,
    it can be run again, and goes on where it was. The options are those with which a server will run on the target.

    The exit code is 0 when everything was copied.
    """
    for name in (source, target):
        if name.partition(":")[0] == "memory":
            raise click.UsageError("a history in memory ends with this command: name a file or a broker")
    if is_same(source, target):
        raise click.UsageError(
            f"{shown(source)} and {shown(target)} are the same: a history cannot be copied into itself"
        )
    kind, _, path = source.partition(":")
    if kind in _FILES and not os.path.isfile(path):
        # It would be made, and be empty.
        raise click.ClickException(f"{path} does not exist, or is not a file")
    retention = Retention(retain_age, retain_size, retain_events)
    run_command(lambda reactor: _copy(reactor, source, target, retention, replicas))


def is_same(source: str, target: str) -> bool:
    """
    Whether two histories are one, as far as what was written tells, and the file system.
    """
    first, second = source.partition(":"), target.partition(":")
    if first[0] in _FILES and second[0] in _FILES:
        with suppress(OSError):
            return os.path.samefile(first[2], second[2])
        return os.path.realpath(first[2]) == os.path.realpath(second[2])
    if first[0] in _BROKERS and second[0] in _BROKERS:
        # Here: who copies files needs no NATS.
        from echochat.broker import WrongAddress, parse_address
        from echochat.history.jetstream.settings import DEFAULT_NAME

        try:
            one, other = parse_address(source), parse_address(target)
        except WrongAddress:
            return False
        has_shared = not set(one.servers).isdisjoint(other.servers)
        return has_shared and (one.name or DEFAULT_NAME) == (other.name or DEFAULT_NAME)
    return source == target


class _Available:
    """
    A receiver that waits for its history to take events.
    """

    def __init__(self) -> None:
        self._waiting: list[Deferred[None]] = []

    # Called by the history

    def arrived(self, drafts: Sequence[Draft], positions: Sequence[int]) -> None:
        """
        What is copied has nobody who listens.
        """

    def became_unavailable(self, why: str) -> None:
        """
        The copy is told so by the next answer.
        """

    def interrupted(self, why: str) -> None:
        """
        Nobody listens.
        """

    def became_available(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)

    # Ours

    async def wait(self, reactor: Any, history: IHistory, name: str) -> None:
        """
        Wait until it is available.
        """
        if history.status.unavailable is not None:
            available: Deferred[None] = Deferred()
            self._waiting.append(available)
            try:
                await available.addTimeout(PATIENCE, reactor)
            except TimeoutError as error:
                raise CommandFailed(f"{name}: {history.status.unavailable}") from error


async def _copy(reactor: Any, source: str, target: str, retention: Retention, replicas: int) -> None:
    histories: list[IHistory] = []
    try:
        for name, kept in ((source, EVERYTHING), (target, retention)):
            history = from_string(name, reactor, kept, replicas=replicas)
            receiver = _Available()
            histories.append(history)
            await history.open(receiver)
            await receiver.wait(reactor, history, shown(name))
        copying = Copying(histories[0], histories[1])
        progress = CopyProgress(
            reactor,
            lambda: copying.state.total or None,
            lambda: (copying.state.reached, copying.state.copied),
        )
        try:
            copy = await copying.run()
        finally:
            progress.stop()
    except (UnknownHistory, HistoryRefused) as error:
        raise CommandFailed(str(error)) from error
    except OtherEvents as error:
        raise CommandFailed(
            f"{shown(target)} has other events of {error} than {shown(source)}: copy into an empty history"
        ) from error
    except Spoilt as error:
        raise CommandFailed(f"{shown(target)} lacks an event now: copy into an empty history: {error}") from error
    except (HistoryUnavailable, NotStored) as error:
        raise CommandFailed(f"not everything was copied, run it again to go on: {error}") from error
    finally:
        for history in histories:
            await history.close()
    _tell(copy, source, target)


def _tell(copy: Copy, source: str, target: str) -> None:
    before = f", {copy.found:,} were there already" if copy.found else ""
    positions = "with their positions" if copy.keeps_positions else "with new positions"
    click.echo(
        f"copied {copy.copied:,} events of {copy.topics:,} topics from {shown(source)} to {shown(target)}, "
        f"{positions}{before}"
    )
    for problem in copy.damaged:
        click.echo(f"echochat: not copied, because it is damaged: {harmless(problem)}", err=True)
    if copy.damaged:
        raise SystemExit(1)
