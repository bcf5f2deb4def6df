"""
The commands about topics: each checks what was typed, reserves the place of its reply, and asks for what it needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from echochat.chat.effects import (
    Effect,
    ListFollowers,
    ListTopics,
    Publish,
    ReadPast,
    Subscribe,
    Unsubscribe,
)
from echochat.chat.events import Draft
from echochat.chat.policy import canonical_topic
from echochat.wire.commands import Command, CommandError, split_options, split_text
from echochat.wire.names import NAME_RULE, TOPIC_RULE, is_name, is_text, is_topic

if TYPE_CHECKING:
    from echochat.chat.session import Session

PAST: Final = 50
MOST_PAST: Final = 1_000
MOST_LAST: Final = 100_000
_HIGHEST: Final = (1 << 63) - 1


def publish(session: Session, command: Command, effects: list[Effect]) -> None:
    """
    ``/pub TOPIC TEXT``
    """
    topic, text = split_text(command.rest)
    if text is None:
        raise CommandError("bad-arguments", f"type /{command.typed} TOPIC TEXT")
    if not is_topic(topic):
        raise CommandError("bad-name", TOPIC_RULE)
    _publish(session, command, canonical_topic(topic), text, effects, f"pub {canonical_topic(topic)}")


def message(session: Session, command: Command, effects: list[Effect]) -> None:
    """
    ``/msg NAME TEXT``
    """
    name, text = split_text(command.rest)
    if text is None:
        raise CommandError("bad-arguments", "type /msg NAME TEXT")
    if not is_name(name):
        raise CommandError("bad-name", NAME_RULE)
    _publish(session, command, canonical_topic(f"@{name}"), text, effects, f"msg {name}")


def _publish(session: Session, command: Command, topic: str, text: str, effects: list[Effect], done: str) -> None:
    if not is_text(text):
        raise CommandError("bad-text", "a text has no control characters but tab")
    session.person.require_publish(topic)
    run = effects[-1] if effects else None
    # A run ends where something else asks for a place: replies come in the order of the lines.
    if not isinstance(run, Publish) or not session.replies.is_last(run.slot):
        run = Publish(session.replies.reserve())
        effects.append(run)
    label = command.label
    run.drafts.append(Draft(topic, session.name, text, label, session.commons.wall()))
    run.acknowledgements.append(f"/ok#{label} {done}" if label else f"/ok {done}")


def publish_all(session: Session, publishes: list[tuple[str, str, str]], effects: list[Effect]) -> None:
    """
    A run of ``/pub``, as :func:`~echochat.wire.commands.parse_publishes` reads it.
    """
    name, now = session.name, session.commons.wall()
    drafts = [Draft(topic, name, text, label or None, now) for label, topic, text in publishes]
    done = [f"/ok#{label} pub {topic}" if label else f"/ok pub {topic}" for label, topic, _ in publishes]
    effects.append(Publish(session.replies.reserve(), drafts, done))


def subscribe(session: Session, command: Command, effects: list[Effect]) -> None:
    """
    ``/sub TOPIC [after=POS] [epoch=E] [last=N] [presence=on]``
    """
    usage = "TOPIC [after=POS] [epoch=E] [last=N] [presence=on]"
    topic, options = _topic_and_options(command, usage, {"after", "epoch", "last", "presence"})
    session.person.require_read(topic)
    after = _whole(options, "after", 0, _HIGHEST)
    last = _whole(options, "last", 0, MOST_LAST)
    epoch = options.get("epoch")
    if after is not None and last is not None:
        raise CommandError("bad-arguments", "after= and last= exclude each other")
    if epoch is not None and after is None:
        raise CommandError("bad-arguments", "epoch= goes with after=")
    presence = options.get("presence", "off").lower()
    if presence not in ("on", "off"):
        raise CommandError("bad-arguments", "presence= is on or off")
    slot = session.replies.reserve()
    effects.append(Subscribe(slot, command.label, topic, after, epoch, last, presence == "on"))


def unsubscribe(session: Session, command: Command, effects: list[Effect]) -> None:
    """
    ``/unsub TOPIC``
    """
    topic, _ = _topic_and_options(command, "TOPIC", set())
    effects.append(Unsubscribe(session.replies.reserve(), command.label, topic))


def history(session: Session, command: Command, effects: list[Effect]) -> None:
    """
    ``/history TOPIC [last=N] [before=POS]``
    """
    topic, options = _topic_and_options(command, "TOPIC [last=N] [before=POS]", {"last", "before"})
    session.person.require_read(topic)
    last = _whole(options, "last", 1, MOST_PAST)
    before = _whole(options, "before", 1, _HIGHEST)
    slot = session.replies.reserve()
    effects.append(ReadPast(slot, command.label, topic, PAST if last is None else last, before))


def who(session: Session, command: Command, effects: list[Effect]) -> None:
    """
    ``/who TOPIC``
    """
    topic, _ = _topic_and_options(command, "TOPIC", set())
    session.person.require_read(topic)
    effects.append(ListFollowers(session.replies.reserve(), command.label, topic))


def topics(session: Session, command: Command, effects: list[Effect]) -> None:
    """
    ``/topics``
    """
    if command.rest.strip(" "):
        raise CommandError("bad-arguments", "/topics takes no arguments")
    effects.append(ListTopics(session.replies.reserve(), command.label))


def _topic_and_options(command: Command, usage: str, known: set[str]) -> tuple[str, dict[str, str]]:
    arguments, options = split_options(command.rest)
    if len(arguments) != 1 or not options.keys() <= known:
        raise CommandError("bad-arguments", f"type /{command.typed} {usage}")
    if not is_topic(arguments[0]):
        raise CommandError("bad-name", TOPIC_RULE)
    return canonical_topic(arguments[0]), options


def _whole(options: dict[str, str], key: str, lowest: int, highest: int) -> int | None:
    written = options.get(key)
    if written is None:
        return None
    # int() takes signs, underscores and other scripts' digits, and any length.
    if not (written.isascii() and written.isdigit() and len(written) <= 19 and lowest <= int(written) <= highest):
        raise CommandError("bad-arguments", f"{key}= is a whole number from {lowest} to {highest}")
    return int(written)
