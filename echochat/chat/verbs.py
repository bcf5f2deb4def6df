"""
The commands: for each its verb, how it is typed, what it does, and the function that does it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from echochat.chat import topic_verbs
from echochat.chat.effects import Close, Effect, LogIn, UseToken
from echochat.chat.people import NameTaken
from echochat.chat.person import GUEST, Need
from echochat.wire.answers import Info, Ok
from echochat.wire.commands import ALIASES, Command, CommandError, split_text
from echochat.wire.names import NAME_RULE, fold_name, is_name, is_text

if TYPE_CHECKING:
    from echochat.chat.session import Session


@dataclass(frozen=True, slots=True)
class Verb:
    """
    A command.

    :ivar usage: how it is typed, as in the protocol's table.
    :ivar summary: what it does, in one line.
    :ivar in_turn: whether it waits until everything before it has been answered, and what is behind it waits for it:
        whoever types ``/pub`` and then ``/history`` finds in the one what the other did. Only what neither sees nor
        changes anything that others do goes without waiting, and publishes, which are acknowledged together.
    :ivar need: what it needs of whoever types it.
    :ivar run: does it: adds replies to the session and effects to the list.
    :raises CommandError: by ``run``, when it cannot be done: the session answers ``/err``.
    """

    usage: str
    summary: str
    run: Callable[[Session, Command, list[Effect]], None]
    in_turn: bool = False
    need: Need = Need.ALL


def _no_arguments(command: Command) -> None:
    if command.rest.strip(" "):
        raise CommandError("bad-arguments", f"/{command.verb} takes no arguments")


def _help(session: Session, command: Command, effects: list[Effect]) -> None:
    asked = command.rest.strip(" ").removeprefix("/").lower()
    asked = ALIASES.get(asked, asked)
    if asked and asked not in VERBS:
        raise CommandError("bad-arguments", "there is no such command: /help lists them")
    chosen = [VERBS[asked]] if asked else list(VERBS.values())
    width = max(len(verb.usage) for verb in chosen)
    lines = [f"{verb.usage:<{width}}  {verb.summary}" for verb in chosen]
    if not asked:
        lines.append("Any other line is answered in capitals; one with CLOSE SOCKET in it ends the chat.")
    for line in lines:
        session.replies.add(Info(line, command.label).encode())
    session.replies.add(Ok("help", label=command.label).encode())


def _ping(session: Session, command: Command, effects: list[Effect]) -> None:
    if not is_text(command.rest):
        raise CommandError("bad-text", "a text has no control characters but tab")
    session.replies.add(Ok("ping", command.rest, command.label).encode())


def _whoami(session: Session, command: Command, effects: list[Effect]) -> None:
    _no_arguments(command)
    session.replies.add(Ok("whoami", f"{session.name} {session.person.kind}", command.label).encode())


def _nick(session: Session, command: Command, effects: list[Effect]) -> None:
    name = command.rest.strip(" ")
    if not name:
        raise CommandError("bad-arguments", "type /nick NAME")
    if not is_name(name):
        raise CommandError("bad-name", NAME_RULE)
    if session.person.kind != GUEST:
        raise CommandError("denied", "you are logged in, and have that account's name")
    if session.person.follows_inbox and fold_name(name) != fold_name(session.name):
        raise CommandError("denied", f"you follow your inbox: /unsub @{fold_name(session.name)} first")
    try:
        effects.append(session.person.rename(name))
    except NameTaken:
        raise CommandError("name-taken", "somebody has that name: choose another") from None
    session.replies.add(Ok("nick", name, command.label).encode())


def _login(session: Session, command: Command, effects: list[Effect]) -> None:
    name, secret = split_text(command.rest)
    _check_may_log_in(session)
    if not secret:
        raise CommandError("bad-arguments", "type /login NAME SECRET")
    if not is_name(name):
        raise CommandError("bad-name", NAME_RULE)
    effects.append(LogIn(session.replies.reserve(), command.label, name, secret))


def _token(session: Session, command: Command, effects: list[Effect]) -> None:
    token = command.rest.strip(" ")
    _check_may_log_in(session)
    if not token:
        raise CommandError("bad-arguments", "type /token TOKEN")
    effects.append(UseToken(session.replies.reserve(), command.label, token))


def _check_may_log_in(session: Session) -> None:
    if not session.person.is_private:
        raise CommandError("tls-required", "others could read your secret on this connection: connect with TLS")
    if session.person.kind != GUEST:
        raise CommandError("bad-arguments", "you are logged in already")


def _quit(session: Session, command: Command, effects: list[Effect]) -> None:
    _no_arguments(command)
    session.replies.add(Ok("quit", label=command.label).encode())
    session.close(Close("quit"), effects)


VERBS: dict[str, Verb] = {
    "help": Verb("/help [VERB]", "this list, or one command of it", _help, need=Need.NOTHING),
    "ping": Verb("/ping [TEXT]", "is the server there?", _ping, need=Need.NOTHING),
    "whoami": Verb("/whoami", "your name, and how it was given", _whoami, need=Need.NOTHING),
    "nick": Verb("/nick NAME", "take another name", _nick, in_turn=True, need=Need.ECHO),
    "login": Verb("/login NAME SECRET", "log in with a password", _login, in_turn=True, need=Need.NOTHING),
    "token": Verb("/token TOKEN", "log in with a signed token", _token, in_turn=True, need=Need.NOTHING),
    "sub": Verb(
        "/sub TOPIC [after=POS] [epoch=E] [last=N] [presence=on]",
        "follow a topic (also /join)",
        topic_verbs.subscribe,
        in_turn=True,
    ),
    "unsub": Verb("/unsub TOPIC", "follow it no more (also /part)", topic_verbs.unsubscribe, in_turn=True),
    "pub": Verb("/pub TOPIC TEXT", "publish (also /say)", topic_verbs.publish),
    "msg": Verb("/msg NAME TEXT", "write to somebody's inbox, the topic @NAME", topic_verbs.message),
    "history": Verb("/history TOPIC [last=N] [before=POS]", "what was published", topic_verbs.history, in_turn=True),
    "who": Verb("/who TOPIC", "who follows a topic", topic_verbs.who, in_turn=True),
    "topics": Verb("/topics", "all topics that you may read", topic_verbs.topics, in_turn=True),
    "quit": Verb("/quit", "leave", _quit, need=Need.NOTHING),
}
