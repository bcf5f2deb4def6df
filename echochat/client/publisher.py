"""
Sending publishes over whatever connection there is, until each is acknowledged.
"""

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from echochat.client.outbox import Outbox, Publish, Unconfirmed
from echochat.client.outcomes import Disconnected, Refused, Reply
from echochat.client.protocol import Client
from echochat.client.waiters import Waiters
from echochat.wire.backoff import Backoff

FOR_THE_MOMENT = frozenset({"unavailable", "slow-down"})
"""
Refusals that pass, of which nothing was stored.
"""


class Publisher:
    """
    Publishes go out in the order in which they were asked for, and again in that order on the next connection. One
    that the server refuses for the moment is sent again after a while; those behind it may overtake it then.

    :param sent: is called when something has been sent, whose answer is awaited now.
    """

    def __init__(self, outbox: Outbox, clock: IReactorTime, backoff: Backoff, sent: Callable[[], None]) -> None:
        self._outbox = outbox
        self._clock = clock
        self._backoff = backoff
        self._sent = sent
        self._client: Client | None = None
        self._pause: IDelayedCall | None = None
        self._until_room: list[tuple[int, Deferred[None]]] = []
        self._until_certain: Waiters[None] = Waiters()

    def connected(self, client: Client) -> None:
        """
        There is a connection, on which the name is the one under which the outbox was filled.
        """
        self._client = client
        self._backoff.reset()
        for publish in self._outbox.forgotten(self._clock.seconds()):
            _fail(publish, Unconfirmed(f"publish {publish.label} to {publish.topic} was sent, and never confirmed"))
        self._tell_room()
        self._send()

    def disconnected(self) -> None:
        """
        The connection has ended.
        """
        self._client = None
        self._outbox.connection_lost()
        self._end_pause()

    def stop(self, why: Exception) -> None:
        """
        There will be no other connection: everything unacknowledged fails.
        """
        self.disconnected()
        for publish in self._outbox.clear():
            _fail(publish, why)
        self._tell_room()

    def publish(self, topic: str, text: str, label: str | None) -> Deferred[int]:
        """
        See :meth:`echochat.client.reconnecting.ReconnectingClient.publish`.
        """
        publish = self._outbox.add(topic, text, label)
        publish.acknowledged = Deferred(lambda _: self._give_up(publish))
        self._send()
        return publish.acknowledged

    def room(self, most: int) -> Deferred[None]:
        """
        Fire when fewer than so many publishes are unacknowledged.
        """
        waiter: Deferred[None] = Deferred(self._forget)
        self._until_room.append((most, waiter))
        self._tell_room()
        return waiter

    def hold(self) -> Deferred[None]:
        """
        Send nothing new until :meth:`release`; fires when everything that was sent is acknowledged.
        """
        self._outbox.held = True
        waiter = self._until_certain.add()
        self._tell_room()
        return waiter

    def release(self) -> None:
        """
        Go on after :meth:`hold`.
        """
        self._outbox.held = False
        self._send()

    def _send(self) -> None:
        client = self._client
        if client is None or self._pause is not None:
            return
        for publish in self._outbox.take(self._clock.seconds()):
            asked = client.command("pub", publish.topic, publish.text, label=publish.label)
            asked.addCallbacks(
                self._acknowledged, self._refused, callbackArgs=(publish,), errbackArgs=(publish, client)
            )
            self._sent()

    def _acknowledged(self, reply: Reply, publish: Publish) -> None:
        self._backoff.reset()
        self._outbox.done(publish)
        if not publish.acknowledged.called:  # its caller may have given it up meanwhile
            publish.acknowledged.callback(int(reply.rest.rpartition(" ")[2]))
        self._tell_room()
        self._send()

    def _refused(self, failure: Failure, publish: Publish, client: Client) -> None:
        if failure.check(Disconnected) is not None:
            # connection_lost() has put it back, or stop() has failed it.
            return
        refused = failure.value
        if isinstance(refused, Refused) and refused.code in FOR_THE_MOMENT:
            self._outbox.again(publish)
            if self._pause is None and self._client is client:
                self._pause = self._clock.callLater(self._backoff.next_delay(), self._go_on)
            return
        self._outbox.done(publish)
        _fail(publish, failure)
        self._tell_room()
        self._send()

    def _go_on(self) -> None:
        self._pause = None
        self._send()

    def _end_pause(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None

    def _give_up(self, publish: Publish) -> None:
        self._outbox.done(publish)
        self._tell_room()

    def _forget(self, waiter: Deferred[None]) -> None:
        self._until_room = [each for each in self._until_room if each[1] is not waiter]

    def _tell_room(self) -> None:
        unacknowledged = len(self._outbox)
        ready = [each for each in self._until_room if unacknowledged < each[0]]
        self._until_room = [each for each in self._until_room if unacknowledged >= each[0]]
        for _, waiter in ready:
            if not waiter.called:  # whoever was told before may have cancelled it
                waiter.callback(None)
        if self._until_certain and not self._outbox.uncertain:
            self._until_certain.fire(None)


def _fail(publish: Publish, why: Exception | Failure) -> None:
    # Its caller may have given it up meanwhile: when told that another failed, for example.
    if not publish.acknowledged.called:
        publish.acknowledged.errback(why)
