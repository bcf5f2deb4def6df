"""
What a consumer pushes: messages that say where they are, and from time to time what the broker says itself
(https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-15.md).
"""

from dataclasses import dataclass

from echochat.broker import Message


@dataclass(slots=True)
class Request:
    """
    The broker wants to hear that all before this has been taken, and sends only so much more until it does.

    :param reply: where it wants to hear it.
    """

    reply: str


@dataclass(slots=True)
class Heartbeat:
    """
    Nothing was sent for a while.

    :param number: of the last message that was, as it is written.
    :param position: the stream's, up to which there was nothing else for this consumer.
    :param stalled: where the broker waits to hear that it may go on; empty: it has sent all that there is, also where
        retention removed what it had announced.
    """

    number: str
    position: int
    stalled: str


@dataclass(slots=True)
class Trouble:
    """
    The consumer is of no use any more.

    :param what: a piece of a sentence for the log.
    """

    what: str


def told(message: Message) -> Request | Heartbeat | Trouble:
    """
    What the broker says in a message with a status.
    """
    if message.status != "100":
        return Trouble(f"the broker says {message.status} {message.header('Description')}")
    if message.reply:
        return Request(message.reply)
    last = message.header("Nats-Last-Stream")
    return Heartbeat(
        message.header("Nats-Last-Consumer"),
        int(last) if last.isdigit() else 0,
        message.header("Nats-Consumer-Stalled"),
    )


def numbers(reply: str) -> tuple[int, int, int]:
    """
    What the broker says of any other message in the subject for an acknowledgement, which it does not want here.

    :return: the position in the stream, the number of the message, and how many are left.
    """
    parts = reply.split(".")
    # $JS.ACK.STREAM.CONSUMER.DELIVERED.POSITION.NUMBER.TIME.LEFT, or $JS.ACK.DOMAIN.ACCOUNT and the same, and one more.
    at = 5 if len(parts) < 11 else 7
    return int(parts[at]), int(parts[at + 1]), int(parts[at + 3])
