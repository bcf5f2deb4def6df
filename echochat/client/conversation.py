"""
What a person types in a chat, and what comes of it.

Without a topic, a line is a message and is echoed. With one, a line is published there. A line that begins with ``/``
is a command: some are about this client's own state and are done here, all others go to the server as they are.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from echochat.chat.policy import canonical_topic
from echochat.client.credentials import Credentials
from echochat.client.outcomes import Disconnected, Refused, Reply
from echochat.client.reconnecting import Closed, ReconnectingClient
from echochat.client.rendering import Fragment, colour_of, render
from echochat.client.subscription import Subscription
from echochat.wire.answers import Event
from echochat.wire.commands import Command, CommandError, parse_command, split_options, split_text

LAST: Final = 10
"""
How much of a topic's past is shown on joining it.
"""

HELP: Final = (
    "/join TOPIC         follow a topic; what you type is published there from then on",
    "/part [TOPIC]       follow it no more; what you type goes to the topic joined before, if any",
    "/say TOPIC TEXT     publish elsewhere; /msg NAME TEXT: to somebody's inbox",
    "//TEXT              a text that begins with a slash",
    "/quit               leave; so does Ctrl-D",
    "The server's commands:",
)


class View(Protocol):
    """
    What the conversation needs of the screen.
    """

    def show(self, *fragments: Fragment) -> None:
        """
        Print a line.
        """

    def leave(self) -> None:
        """
        The user wants to go.
        """

    def retitle(self, topic: str | None) -> None:
        """
        What is typed now goes to this topic.
        """


class Conversation:
    """
    One person's.

    :ivar topics: what is followed, in the order in which it was joined; lines go to the last.
    :ivar leaving: whether the user has said something after which the connection ends.
    """

    def __init__(self, client: ReconnectingClient, view: View) -> None:
        self._client = client
        self._view = view
        self.topics: dict[str, Subscription] = {}
        self.leaving = False
        self._commands: dict[str, Callable[[Command], Coroutine[Any, Any, None]]] = {
            "help": self._help,
            "sub": self._join,
            "unsub": self._part,
            "pub": self._say,
            "msg": self._message,
            "nick": self._nick,
            "login": self._sign_in,
            "token": self._sign_in,
            "quit": self._quit,
        }

    @property
    def topic(self) -> str | None:
        """
        Where lines are published.
        """
        return next(reversed(self.topics), None)

    def typed(self, line: str) -> None:
        """
        The user has entered a line.
        """
        Deferred.fromCoroutine(self._do(line)).addErrback(self._show_failure)

    async def _do(self, line: str) -> None:
        if line.startswith("/") and not line.startswith("//"):
            command = parse_command(line)
            await self._commands.get(command.verb, self._ask)(command)
            return
        text = line[1:] if line.startswith("/") else line
        if self.topic is not None:
            self._say_later(text)
            # It is shown when it comes back as an event, in its place among the others.
            await self._client.publish(self.topic, text)
            return
        self._say_later(text)
        self.leaving = self.leaving or "CLOSE SOCKET" in text
        self._view.show(("", await self._client.echo(text)))

    def _say_later(self, text: str) -> None:
        if not self._client.is_connected:
            self._view.show(("class:quiet", f"-- to be said when the server is back: {text}"))

    async def _ask(self, command: Command) -> None:
        self._show_reply(await self._client.command(command.verb, *([command.rest] if command.rest else [])))

    async def _help(self, command: Command) -> None:
        if not command.rest:
            for line in HELP:
                self._view.show(("", line))
        await self._ask(command)

    async def _join(self, command: Command) -> None:
        arguments, options = split_options(command.rest)
        if len(arguments) != 1 or not options.keys() <= {"after", "epoch", "last", "presence"}:
            raise CommandError(
                "bad-arguments", f"type /{command.typed} TOPIC [last=N] [after=POS] [epoch=E] [presence=off]"
            )
        after, last, epoch = _whole(options.get("after")), _whole(options.get("last")), options.get("epoch")
        if (after is not None and last is not None) or (after is None and epoch is not None):
            raise CommandError("bad-arguments", "after= and last= exclude each other, and epoch= goes with after=")
        topic = canonical_topic(arguments[0])
        following = self.topics.pop(topic, None)
        if following is not None and options:
            # The same topic with other wishes: it begins anew, as with the server.
            following.close()
            following = None
        if following is None:
            following = self._client.subscribe(
                topic,
                after=after,
                epoch=epoch,
                last=LAST if last is None and after is None else last,
                presence=options.get("presence") != "off",
            )
            Deferred.fromCoroutine(self._follow(following)).addErrback(self._left, topic, following)
        self.topics[topic] = following
        self._view.retitle(topic)

    async def _follow(self, following: Subscription) -> None:
        async for delivery in following:
            fragments = render(delivery)
            if isinstance(delivery, Event) and delivery.topic != self.topic:
                fragments.insert(1, ("class:quiet", f"[{delivery.topic}] "))
            self._view.show(*fragments)

    def _left(self, failure: Failure, topic: str, following: Subscription) -> None:
        if self.topics.get(topic) is following:
            del self.topics[topic]
            self._view.retitle(self.topic)
        self._view.show(("class:error", f"{topic}: {failure.getErrorMessage()}"))

    async def _part(self, command: Command) -> None:
        topic = canonical_topic(command.rest.strip()) or self.topic
        following = self.topics.pop(topic, None) if topic is not None else None
        if following is None:
            raise CommandError("bad-arguments", f"you have not joined {topic}" if topic else "you have joined nothing")
        following.close()
        self._view.show(("class:quiet", f"-- you have left {topic}"))
        self._view.retitle(self.topic)

    async def _say(self, command: Command) -> None:
        topic, text = split_text(command.rest)
        if text is None:
            raise CommandError("bad-arguments", f"type /{command.typed} TOPIC TEXT")
        await self._client.publish(topic, text, label=command.label)
        if canonical_topic(topic) not in self.topics:
            self._view.show(("class:quiet", f"-- said in {topic}"))

    async def _message(self, command: Command) -> None:
        name, text = split_text(command.rest)
        if text is None:
            raise CommandError("bad-arguments", "type /msg NAME TEXT")
        await self._client.publish(f"@{name}", text, label=command.label)
        self._view.show(("class:quiet", "-- sent to "), (colour_of(name), name))

    async def _nick(self, command: Command) -> None:
        await self._client.rename(command.rest.strip())
        self._tell_name()

    async def _sign_in(self, command: Command) -> None:
        await self._client.sign_in(Credentials(command.verb, (command.rest,)))
        self._tell_name()

    def _tell_name(self) -> None:
        name = self._client.name or ""
        self._view.show(("class:quiet", "-- you are "), (colour_of(name), name))

    async def _quit(self, command: Command) -> None:
        self.leaving = True
        self._view.leave()

    def _show_reply(self, reply: Reply) -> None:
        for item in reply.items:
            self._view.show(*render(item))
        self._view.show(("class:quiet", f"{reply.verb} {reply.rest}".rstrip()))

    def _show_failure(self, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, Disconnected | Closed | CancelledError) and self.leaving:
            return
        if isinstance(error, CommandError):
            self._view.show(("class:error", error.explanation))
        elif isinstance(error, Refused | ValueError):
            self._view.show(("class:error", str(error)))
        else:
            self._view.show(("class:error", f"not done: {failure.getErrorMessage()}"))


def _whole(written: str | None) -> int | None:
    if written is None:
        return None
    if not (written.isascii() and written.isdigit() and len(written) <= 19):
        raise CommandError("bad-arguments", f"that is no whole number: {written}")
    return int(written)
