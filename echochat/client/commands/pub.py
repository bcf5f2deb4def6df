"""
``echochat pub``: publish one text, or each line of the standard input.
"""

import sys
from typing import Any

import click

from echochat.client.address import ServerAddress
from echochat.client.commands.connection import keep_connected
from echochat.client.commands.server_option import server_option, to_topics
from echochat.client.commands.sign_in import SignIn, sign_in_options
from echochat.client.credentials import Credentials
from echochat.client.harmless import harmless
from echochat.client.line_input import LineInput
from echochat.client.outcomes import Refused
from echochat.client.progress import LineProgress
from echochat.client.reasons import why_refused
from echochat.client.reconnecting import ReconnectingClient
from echochat.client.running import CommandFailed, run_command
from echochat.wire.lines import MAX_LINE, Overlong
from echochat.wire.names import MAX_LABEL, is_label

ONLY_THIS_LINE = frozenset({"bad-text", "bad-encoding", "line-too-long"})
"""
Refusals that say nothing about the lines behind.
"""

ROOM = 1_000
"""
Publishes that may be unacknowledged at once.
"""


def _to_label(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    # Room for a dot and the number of a line.
    if value is not None and (not is_label(value) or len(value) > MAX_LABEL - 12):
        raise click.BadParameter(f"{value!r} is not a label: 1 to {MAX_LABEL - 12} of A-Z a-z 0-9 . _ -")
    return value


@click.command()
@click.argument("topic", callback=to_topics)
@click.argument("text", required=False)
@click.option("--label", callback=_to_label, help="Names what is published: repeated under one NAME, it is done once.")
@click.option("--positions", is_flag=True, help="Print the position of each text that was published.")
@server_option
@sign_in_options
def command(
    topic: str, text: str | None, label: str | None, positions: bool, server: ServerAddress, sign_in: SignIn
) -> None:
    """
    Publish TEXT in TOPIC, or without a TEXT each line of the standard input.

    A text is published when the server has stored it; the exit code is 0 when all were. A line that cannot be published
    is told on standard error, and those behind it are published all the same. When the server goes in the middle, this
    waits until it is back.
    """
    credentials = sign_in.credentials_in_files() if text is None else sign_in.credentials()
    run_command(lambda reactor: _publish(reactor, server, sign_in.name, credentials, topic, text, label, positions))


async def _publish(
    reactor: Any,
    server: ServerAddress,
    name: str | None,
    credentials: Credentials | None,
    topic: str,
    text: str | None,
    label: str | None,
    positions: bool,
) -> None:
    client = await keep_connected(reactor, server, name, credentials)
    run = _Run(client, topic, label, positions)
    if text is not None:
        run.publish(text, label)
        await client.room(1)
    else:
        lines = LineInput(reactor)
        progress = LineProgress(reactor, lambda: (lines.bytes_read, run.published))
        try:
            await run.publish_lines(lines)
        finally:
            progress.stop()
    await client.close()
    run.judge()


class _Run:
    """
    What one call publishes.
    """

    def __init__(self, client: ReconnectingClient, topic: str, label: str | None, positions: bool) -> None:
        self._client = client
        self._topic = topic
        self._label = label
        self._positions = positions
        self._failed = 0
        self._fatal: Exception | None = None
        self.published = 0

    async def publish_lines(self, lines: LineInput) -> None:
        """
        Publish each line, and return when all are acknowledged, or one shows that no other will be.
        """
        number = 0
        async for line in lines:
            number += 1
            label = None if self._label is None else f"{self._label}.{number}"
            await self._client.room(ROOM)
            if self._fatal is not None:
                break
            if isinstance(line, Overlong):
                self._refuse(f"line {number}", f"it is longer than {MAX_LINE} bytes")
                continue
            try:
                text = line.decode()
            except UnicodeDecodeError:
                self._refuse(f"line {number}", "it is not UTF-8")
                continue
            self.publish(text, label, f"line {number}")
        await self._client.room(1)

    def publish(self, text: str, label: str | None, what: str = "the text") -> None:
        """
        Publish one text, soon.
        """
        try:
            published = self._client.publish(self._topic, text, label=label)
        except ValueError as error:
            self._refuse(what, str(error))
            return
        published.addCallbacks(self._done, self._not_done, errbackArgs=(what,))

    def judge(self) -> None:
        """
        :raises CommandFailed: not everything was published.
        """
        if self._fatal is not None:
            raise CommandFailed(f"{self._topic}: {why_refused(self._fatal)}")
        if self._failed:
            raise SystemExit(1)

    def _done(self, position: int) -> None:
        self.published += 1
        if self._positions:
            print(position, flush=True)

    def _not_done(self, failure: Any, what: str) -> None:
        error = failure.value
        if isinstance(error, Refused) and error.code in ONLY_THIS_LINE:
            self._refuse(what, str(error))
        elif self._fatal is None:
            self._fatal = error

    def _refuse(self, what: str, why: str) -> None:
        self._failed += 1
        print(f"echochat: {what} was not published: {harmless(why)}", file=sys.stderr)
