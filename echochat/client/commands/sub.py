"""
``echochat sub``: follow topics.
"""

import os
import sys
from typing import Any

import click
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from echochat.client.address import ServerAddress
from echochat.client.commands.connection import keep_connected
from echochat.client.commands.server_option import server_option, to_topics
from echochat.client.commands.sign_in import SignIn, sign_in_options
from echochat.client.cursor import Delivery
from echochat.client.keeper import Stopped
from echochat.client.outcomes import Refused
from echochat.client.reasons import why_refused
from echochat.client.reconnecting import ReconnectingClient
from echochat.client.records import Writer
from echochat.client.running import CommandFailed, OutputClosed, run_command
from echochat.client.standard import OutputStream
from echochat.client.subscription import Subscription
from echochat.wire.answers import Event


@click.command()
@click.argument("topics", nargs=-1, required=True, metavar="TOPIC...", callback=to_topics)
@click.option("--after", type=click.IntRange(min=0), metavar="POS", help="Continue behind this position.")
@click.option(
    "--epoch", metavar="E", help="The log in which POS is, as --json prints it: if it was replaced, a gap is told."
)
@click.option("--last", type=click.IntRange(min=1), metavar="N", help="Begin N events back.")
@click.option("--presence", is_flag=True, help="Tell who comes and goes, too.")
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after N events.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, an object a line.")
@server_option
@sign_in_options
def command(
    topics: tuple[str, ...],
    after: int | None,
    epoch: str | None,
    last: int | None,
    presence: bool,
    count: int | None,
    as_json: bool,
    server: ServerAddress,
    sign_in: SignIn,
) -> None:
    """
    Follow each TOPIC, and print what is published.

    In a pipe each event is a line of its topic, position, time, publisher and text, separated by one space. When the
    server goes, this waits until it is back, and continues where it was; what can no longer be had is told on standard
    error. It ends when interrupted.
    """
    if after is not None and last is not None:
        raise click.UsageError("--after and --last exclude each other")
    if epoch is not None and after is None:
        raise click.UsageError("--epoch goes with --after")
    credentials = sign_in.credentials()
    shown = os.isatty(sys.stdout.fileno())
    writer = Writer(as_json=as_json, shown=shown, with_topic=len(topics) > 1)

    async def follow(reactor: Any) -> None:
        client = await keep_connected(reactor, server, sign_in.name, credentials)
        subscriptions = [
            client.subscribe(topic, after=after, epoch=epoch, last=last, presence=presence)
            for topic in dict.fromkeys(topics)
        ]
        await _Following(reactor, client, writer, count).run(subscriptions)

    run_command(follow)


class _Following:
    """
    Prints what several subscriptions bring, until enough has come or one fails.
    """

    def __init__(self, reactor: Any, client: ReconnectingClient, writer: Writer, count: int | None) -> None:
        self._client = client
        self._writer = writer
        self._left = count
        self._output = OutputStream(reactor, sys.stdout.fileno(), lambda: self._end(Failure(OutputClosed())))
        self._ended: Deferred[object] = Deferred()

    async def run(self, subscriptions: list[Subscription]) -> None:
        """
        :raises CommandFailed: the server refuses one.
        """
        for subscription in subscriptions:
            printing = Deferred.fromCoroutine(self._print(subscription))
            printing.addErrback(lambda failure: self._end(failure))
        try:
            await self._ended
        finally:
            await self._client.close()
        await self._output.flushed()

    async def _print(self, subscription: Subscription) -> None:
        try:
            async for delivery in subscription:
                self._output.write(self._writer.line(delivery, subscription.epoch))
                if self._counts(delivery):
                    self._end(None)
                    return
                await self._output.room()
        except (Refused, Stopped) as error:
            raise CommandFailed(f"{subscription.topic}: {why_refused(error)}") from error

    def _end(self, why: object) -> None:
        if not self._ended.called:
            self._ended.callback(why)

    def _counts(self, delivery: Delivery) -> bool:
        """
        Whether this was the last that was wanted.
        """
        if self._left is None or not isinstance(delivery, Event):
            return False
        self._left -= 1
        return self._left == 0
