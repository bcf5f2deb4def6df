"""
``echochat chat`` in a terminal.

prompt_toolkit runs on asyncio, the client on Twisted. They share one loop: Twisted's reactor is the one that runs on
asyncio, installed before anything else. The alternative, prompt_toolkit in a thread, was rejected: it cannot take the
window's size and interrupts from there, each reply would have to cross threads to be printed above the line being
typed, and a server that goes would have to wake a thread that waits for a key. The asyncio reactor is slower than
epoll, which nobody notices who types; in a pipe it is not used.
"""

import asyncio
from typing import Any, Final

from prompt_toolkit import PromptSession
from twisted.internet import asyncioreactor
from twisted.internet.defer import Deferred

from echochat.client.address import ServerAddress
from echochat.client.core import News
from echochat.client.keys import bind_keys
from echochat.client.outcomes import Disconnected, Refused, Reply
from echochat.client.protocol import Client, connect
from echochat.client.rendering import render
from echochat.client.running import CommandFailed
from echochat.client.screen import Screen
from echochat.client.typed_history import open_typed_history
from echochat.wire.commands import CommandError, parse_command

PROMPT: Final = "> "


def install_reactor() -> None:
    """
    Make the reactor the one that shares prompt_toolkit's loop. Nothing may have imported the reactor before.
    """
    asyncioreactor.install(asyncio.new_event_loop())


async def chat_in_terminal(reactor: Any, address: ServerAddress) -> None:
    """
    Talk to a server until the user or the server has had enough.

    :raises CommandFailed: the server cannot be reached, or went away unasked.
    """
    try:
        client = await connect(address.endpoint(reactor), reactor, on_news=lambda said: talk.show(said))
    except Exception as error:
        raise CommandFailed(f"cannot reach {address.name}: {error}") from error
    talk = Conversation(client, address)
    talking = asyncio.ensure_future(talk.run())

    def stop() -> Deferred[None]:
        # A signal: give the terminal back as it was before the process ends.
        talking.cancel()
        return Deferred.fromFuture(asyncio.ensure_future(_settled(talking)))

    trigger = reactor.addSystemEventTrigger("before", "shutdown", stop)
    await Deferred.fromFuture(talking)
    reactor.removeSystemEventTrigger(trigger)


async def _settled(task: "asyncio.Task[None]") -> None:
    await asyncio.wait({task})


class Conversation:
    """
    One connection, one terminal.
    """

    def __init__(self, client: Client, address: ServerAddress) -> None:
        self._client = client
        self._address = address
        self._session: PromptSession[str] = PromptSession(
            PROMPT, history=open_typed_history(), key_bindings=bind_keys(self._entered), enable_suspend=True
        )
        self._screen = Screen(self._session.app)
        self._leaving = False

    async def run(self) -> None:
        """
        Prompt and send until the end of either side.
        """
        gone = asyncio.ensure_future(self._client.closed().asFuture(asyncio.get_running_loop()))
        self._screen.show(
            ("class:quiet", f"Connected to {self._address.name}. /help lists the commands, Ctrl-D leaves.")
        )
        await self._prompt(gone)
        if not gone.done():
            self._leaving = True
            self._client.close()
        end = await gone
        self._screen.flush()
        if not self._leaving:
            raise CommandFailed(f"{self._address.name} is gone: {end}")

    def show(self, said: News) -> None:
        """
        Print what the server said unasked.
        """
        self._screen.show(*render(said))

    async def _prompt(self, gone: "asyncio.Future[Disconnected]") -> None:
        """
        Let the user type until either side has had enough.
        """
        prompting = asyncio.ensure_future(self._session.prompt_async())
        either: set[asyncio.Future[Any]] = {prompting, gone}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not prompting.done():
                prompting.cancel()
                await asyncio.wait({prompting})
        if not prompting.cancelled() and not isinstance(prompting.exception(), EOFError):
            prompting.result()

    def _entered(self, typed: str) -> None:
        # What was pasted can have several lines; each is one to the server.
        for line in typed.splitlines() or [""]:
            self._screen.show(("", PROMPT + line))
            self._send(line)

    def _send(self, line: str) -> None:
        if not line.startswith("/") or line.startswith("//"):
            text = line.removeprefix("/")
            self._leaving = self._leaving or "CLOSE SOCKET" in text
            self._client.echo(text).addCallbacks(self._show_echo, self._show_failure)
            return
        try:
            command = parse_command(line)
            asked = self._client.command(command.verb, *filter(None, [command.rest]), label=command.label)
        except (CommandError, ValueError) as error:
            self._screen.show(("class:error", str(error.args[-1])))
            return
        self._leaving = self._leaving or command.verb == "quit"
        asked.addCallbacks(self._show_reply, self._show_failure)

    def _show_echo(self, text: str) -> None:
        self._screen.show(("", text))

    def _show_reply(self, reply: Reply) -> None:
        for item in reply.items:
            self._screen.show(*render(item))
        self._screen.show(("class:quiet", f"{reply.verb} {reply.rest}".rstrip()))

    def _show_failure(self, failure: Any) -> None:
        if failure.check(Refused) is not None:
            self._screen.show(("class:error", str(failure.value)))
        elif failure.check(Disconnected) is None:
            failure.printTraceback()
