"""
Which stream it is, and whether it still is that one.

A stream may be deleted, be put back from an older copy, or lose its last events, and then gives their positions to
others. So it carries an epoch, which is compared; and one that has fewer events than were seen is another one, too. But
a broker that led and was stopped, or cut off from the others, says for some seconds what was true when it did: what has
fewer events is believed only when something that was written shows it.
"""

from collections.abc import Callable

from echochat.broker import BrokerUnavailable
from echochat.history.jetstream.stream import Found, Stream, StreamChanged
from echochat.history.records import Status


class Standing:
    """
    What is known of the stream.

    :param status: to be told how many events were removed.
    :param known: tells a position that the stream has reached.
    :ivar found: the stream as it was last seen; to be used only when there is an epoch.
    :ivar epoch: the stream's; empty: none was seen yet.
    """

    found: Found

    def __init__(self, stream: Stream, status: Status, known: Callable[[], int]) -> None:
        self.epoch = ""
        self._stream = stream
        self._status = status
        self._known = known
        self._missing = 0

    async def prepare(self) -> Found:
        """
        Have the stream, under another epoch if it has lost something.

        :return: the stream, to be learned.
        :raises StreamRefused, BrokerUnavailable, JetStreamError: that is not possible now.
        """
        found = await self._stream.prepare()
        if found.epoch != self.epoch or found.last >= self._known():
            return found
        if await self._stream.reached() > self._known():
            raise BrokerUnavailable("the broker is behind the others")
        return await self._stream.rename()

    def learn(self, found: Found) -> None:
        """
        This is the stream from now on.
        """
        self.found = found
        self.epoch = found.epoch
        self._missing = found.last - found.messages

    async def look(self) -> Found:
        """
        See what has become of it.

        :raises StreamChanged: it is another one.
        :raises BrokerUnavailable, JetStreamError: it cannot be seen.
        """
        known = self._known()
        found = await self._stream.look()
        if found.epoch == self.epoch and found.last < known < await self._stream.reached():
            return self.found
        if found.epoch != self.epoch or found.last < known:
            raise StreamChanged("the stream is another one")
        missing = found.last - found.messages
        self._status.removed += max(0, missing - self._missing)
        self._missing = missing
        self.found = found
        return found

    async def verify(self, position: int) -> Found:
        """
        See whether events can be received from a position on.

        :raises StreamChanged: they cannot. Others as for :meth:`look`.
        """
        found = await self.look()
        if not found.has_all_behind(position):
            raise StreamChanged("events were removed before they had arrived here")
        return found
