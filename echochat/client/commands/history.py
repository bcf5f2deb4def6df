"""
``echochat history``: what was published in a topic; ``echochat history check``, which reads a history's file; and
``echochat history copy``, which is in a module of its own.
"""

import os
import sys
from typing import Any

import click

from echochat.client.address import ServerAddress
from echochat.client.commands import history_copy
from echochat.client.commands.server_option import server_option
from echochat.client.commands.sign_in import SignIn, sign_in_options
from echochat.client.credentials import Credentials
from echochat.client.harmless import harmless
from echochat.client.outcomes import Refused, Silent
from echochat.client.protocol import Client, connect
from echochat.client.reasons import in_words, why_not_reached, why_refused
from echochat.client.records import Writer
from echochat.client.running import CommandFailed, OutputClosed, run_command
from echochat.client.standard import OutputStream
from echochat.history.errors import HistoryRefused
from echochat.history.sqlite.check import Report, check
from echochat.wire.answers import Past
from echochat.wire.names import is_topic

PAGE = 1_000
"""
What a server gives at most at once.
"""


class _TopicOrCopy(click.Command):
    """
    A command of which one first argument is a command of its own, with its own options.
    """

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args[:1] == ["copy"]:
            return history_copy.command.make_context(f"{info_name} copy", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


@click.command(cls=_TopicOrCopy)
@click.argument("topic")
@click.argument("file", required=False)
@click.option("--last", type=click.IntRange(1, 100_000), default=50, show_default=True, metavar="N", help="How many.")
@click.option("--before", type=click.IntRange(min=1), metavar="POS", help="Only what was published before.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, an object a line.")
@server_option
@sign_in_options
def command(
    topic: str,
    file: str | None,
    last: int,
    before: int | None,
    as_json: bool,
    server: ServerAddress,
    sign_in: SignIn,
) -> None:
    """
    Print what was published in TOPIC, the oldest first.

    In a pipe each event is a line of its topic, position, time, publisher and text, separated by one space.

    "echochat history check FILE" instead reads everything in a server's history (the PATH of its --history
    sqlite:PATH), and tells what is damaged; the server may be running. "echochat history copy SOURCE TARGET" brings all
    of one history into another. (Topics of these names: "echochat history -- copy".)
    """
    if file is not None:
        if topic != "check":
            raise click.UsageError(f"to look into the file {file}, type: echochat history check {file}")
        _check(file.removeprefix("sqlite:"))
    if not is_topic(topic):
        raise click.BadParameter(f"{topic!r} is not a topic")
    writer = Writer(as_json=as_json, shown=os.isatty(sys.stdout.fileno()), with_topic=False)
    credentials = sign_in.credentials()
    run_command(lambda reactor: _print_past(reactor, server, sign_in.name, credentials, topic, last, before, writer))


async def _print_past(
    reactor: Any,
    server: ServerAddress,
    name: str | None,
    credentials: Credentials | None,
    topic: str,
    last: int,
    before: int | None,
    writer: Writer,
) -> None:
    try:
        client = await connect(server.endpoint(reactor), reactor)
    except Exception as error:
        raise CommandFailed(why_not_reached(error, server)) from error
    refuses = server.name
    try:
        if credentials is not None:
            await client.command(credentials.verb, *credentials.arguments)
        if name is not None:
            await client.command("nick", name)
        refuses = topic
        past = await _read_past(client, topic, last, before)
    except Refused as refused:
        raise CommandFailed(f"{refuses}: {why_refused(refused)}") from refused
    except Silent as error:
        raise CommandFailed(why_not_reached(error, server)) from error
    except Exception as error:
        raise CommandFailed(f"lost {server.name}: {in_words(error)}") from error
    await client.close()
    if not past and topic == "check":
        click.echo("echochat: the topic check is empty; to look into a file: echochat history check FILE", err=True)
    output = OutputStream(reactor, sys.stdout.fileno(), lambda: None)
    for item in past:
        output.write(writer.line(item))
    await output.flushed()
    if output.broken:
        raise OutputClosed


async def _read_past(client: Client, topic: str, last: int, before: int | None) -> list[Past]:
    """
    Read backwards, a page at a time.
    """
    past: list[Past] = []
    while len(past) < last:
        asked = min(PAGE, last - len(past))
        options = [f"last={asked}"] if before is None else [f"last={asked}", f"before={before}"]
        reply = await client.command("history", topic, *options)
        page = [item for item in reply.items if isinstance(item, Past)]
        past[:0] = page
        if not page:
            # One that is shorter than asked for says nothing: a page has a bound in bytes, too.
            break
        before = page[0].position
    return past


def _check(path: str) -> None:
    """
    Look into the file of a history, and exit: 0 when all is well.
    """
    try:
        report = check(path)
    except (HistoryRefused, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(_summary(report))
    for problem in report.problems:
        click.echo(f"echochat: {path}: {harmless(problem)}", err=True)
    sys.exit(1 if report.problems else 0)


def _summary(report: Report) -> str:
    found = f"{len(report.problems)} problems" if report.problems else "no problems"
    return (
        f"{report.path}: {report.events} events in {report.topics} topics, up to position {report.head} "
        f"of epoch {report.epoch}, {report.size} bytes: {found}"
    )
