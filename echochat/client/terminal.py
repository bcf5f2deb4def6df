"""
``echochat chat`` in a terminal.

prompt_toolkit runs on asyncio, the client on Twisted. They share one loop: Twisted's reactor is the one that runs on
asyncio, installed before anything else. The alternative, prompt_toolkit in a thread, was rejected: it cannot take the
window's size and interrupts from there, each reply would have to cross threads to be printed above the line being
typed, and a server that goes would have to wake a thread that waits for a key. The asyncio reactor is slower than
epoll, which nobody notices who types; in a pipe it is not used.
"""

import asyncio
from typing import Any

from prompt_toolkit import PromptSession
from twisted.internet import asyncioreactor
from twisted.internet.defer import Deferred

from echochat.client.address import ServerAddress
from echochat.client.conversation import Conversation
from echochat.client.credentials import Credentials
from echochat.client.keeper import Connected, Status, Stopped
from echochat.client.keys import bind_keys
from echochat.client.reasons import tell_loss, why_not_reached, why_refused
from echochat.client.reconnecting import ReconnectingClient
from echochat.client.rendering import Fragment
from echochat.client.running import CommandFailed
from echochat.client.screen import Screen
from echochat.client.typed_history import open_typed_history

FAREWELL = 2.0
"""
Seconds that the server has to answer what is on its way when the user leaves.
"""


def install_reactor() -> None:
    """
    Make the reactor the one that shares prompt_toolkit's loop. Nothing may have imported the reactor before.
    """
    asyncioreactor.install(asyncio.new_event_loop())


async def chat_in_terminal(
    reactor: Any, server: ServerAddress, name: str | None, credentials: Credentials | None
) -> None:
    """
    Talk to a server until the user or the server has had enough.

    :raises CommandFailed: the server cannot be reached at first, or will not have this user any more.
    """
    terminal = _Terminal(reactor, server, name, credentials)
    talking = asyncio.ensure_future(terminal.run())

    def stop() -> Deferred[None]:
        # A signal: give the terminal back as it was before the process ends.
        talking.cancel()
        return Deferred.fromFuture(asyncio.ensure_future(_settled(talking)))

    trigger = reactor.addSystemEventTrigger("before", "shutdown", stop)
    await Deferred.fromFuture(talking)
    reactor.removeSystemEventTrigger(trigger)


async def _settled(task: "asyncio.Task[None]") -> None:
    await asyncio.wait({task})


class _Terminal:
    """
    One client, one terminal.
    """

    def __init__(self, reactor: Any, server: ServerAddress, name: str | None, credentials: Credentials | None) -> None:
        self._server = server
        try:
            endpoint = server.endpoint(reactor)
        except ValueError as error:
            raise CommandFailed(why_not_reached(error, server)) from error
        self._client = ReconnectingClient(endpoint, reactor, name=name, credentials=credentials, on_status=self._told)
        self._conversation = Conversation(self._client, self)
        self._topic: str | None = None
        self._session: PromptSession[str] = PromptSession(
            lambda: f"{self._topic or ''}> ",
            history=open_typed_history(),
            key_bindings=bind_keys(self._entered),
            enable_suspend=True,
        )
        self._screen = Screen(self._session.app)
        self._was_connected = False
        self._is_lost = False
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """
        Connect, and let the user type until either side has had enough.
        """
        loop = asyncio.get_running_loop()
        try:
            await self._client.start().asFuture(loop)
        except Exception as error:
            await self._close(0.0)
            if isinstance(error, Stopped):
                raise CommandFailed(f"{self._server.name}: {why_refused(error)}") from error
            raise CommandFailed(why_not_reached(error, self._server)) from error
        self.show(("class:quiet", f"Connected to {self._server.name}. /help lists the commands, Ctrl-D leaves."))
        try:
            await self._prompt()
        finally:
            self._screen.flush()
        self._conversation.leaving = True
        await self._close(FAREWELL)
        self._screen.flush()
        if self._over.done():
            self._over.result()

    # Called by the conversation

    def show(self, *fragments: Fragment) -> None:
        """
        Print a line.
        """
        self._screen.show(*fragments)

    def leave(self) -> None:
        """
        The user wants to go.
        """
        if not self._over.done():
            self._over.set_result(None)

    def retitle(self, topic: str | None) -> None:
        """
        What is typed now goes to this topic.
        """
        self._topic = topic
        self._session.app.invalidate()

    # Ours

    async def _prompt(self) -> None:
        prompting = asyncio.ensure_future(self._session.prompt_async())
        either: set[asyncio.Future[Any]] = {prompting, self._over}
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
            if self._topic is None or line.startswith("/"):
                self.show(("", f"{self._topic or ''}> {line}"))
            self._conversation.typed(line)

    def _told(self, status: Status) -> None:
        if isinstance(status, Connected):
            if self._is_lost:
                self.show(("class:quiet", f"-- connected to {self._server.name} again"))
            self._was_connected, self._is_lost = True, False
            return
        if self._conversation.leaving:
            self.leave()
        elif isinstance(status.why, Stopped):
            self._fail(f"{self._server.name} is gone: {why_refused(status.why)}")
        elif self._was_connected and not self._is_lost:
            self._is_lost = True
            self.show(("class:quiet", f"-- {tell_loss(status.why, self._server)}"))

    def _fail(self, why: str) -> None:
        if self._was_connected and not self._over.done():
            self._over.set_exception(CommandFailed(why))

    async def _close(self, grace: float) -> None:
        closing = Deferred.fromCoroutine(self._client.close(grace=grace))
        await closing.asFuture(asyncio.get_running_loop())
