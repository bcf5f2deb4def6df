"""
The file of access rules, in TOML::

    [[rule]]
    who = "*"                       # everybody; or a list of words
    may = ["read", "publish"]
    topics = ["lobby", "news.*"]    # exact, or all that begin with what is before the *

    [[rule]]
    who = ["guest", "user", "alice", "@staff"]
    may = "read"
    topics = "help"

``guest`` is whoever has not logged in, ``user`` whoever has, ``@staff`` whoever is in the group, and any other word is
the name of somebody who has logged in. Where a list has one element, the brackets can be left out.
"""

import re
import tomllib
from collections.abc import Sequence
from typing import Any, Final

from echochat.identity.files import FileRefused, read_trusted
from echochat.identity.rules import ACTIONS, Permissions, Person, Rule
from echochat.identity.topic_sets import TopicSet
from echochat.wire.names import fold_name, is_name

# tomllib tells no lines. The tables of an array can only come from headers like this, so the n-th is the n-th table.
_HEADER = re.compile(r"^[ \t]*\[\[[ \t]*(?:rule|\"rule\"|'rule')[ \t]*\]\][ \t]*(?:#.*)?$")
_KEYS: Final = ("who", "may", "topics")


class AccessRules:
    """
    The rules of a server.

    :param path: their file; it is read again only when :meth:`reload` is called. None: there are no rules.
    :raises FileRefused: it cannot be used.
    """

    def __init__(self, path: str | None = None) -> None:
        self.path = path
        self.rules: Sequence[Rule] | None = None
        self.reload()

    def reload(self) -> None:
        """
        Read the file again. Permissions that were given out before are not changed: ask for them again.

        :raises FileRefused: it cannot be used, and the rules are what they were.
        """
        if self.path is not None:
            self.rules = read_rules(self.path)

    def permissions(self, person: Person) -> Permissions:
        """
        What somebody may do by these rules.
        """
        return Permissions(self.rules, person)


def read_rules(path: str) -> tuple[Rule, ...]:
    """
    Read a file of rules.

    :raises FileRefused: everybody may change it, or something in it is wrong.
    """
    return parse_rules(read_trusted(path), path)


def parse_rules(content: bytes, where: str) -> tuple[Rule, ...]:
    """
    Read the text of a file of rules.

    :param where: its name, for what is said about it.
    :raises FileRefused: names the line where the wrong rule begins.
    """
    try:
        text = content.decode()
        document = tomllib.loads(text)
    except UnicodeDecodeError:
        raise FileRefused(f"{where} is not UTF-8 text") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise FileRefused(f"{where} is not TOML: {error}") from None
    for key in document:
        if key != "rule":
            raise FileRefused(f"{where}: {key!r} is not understood: each rule begins with [[rule]]")
    tables = document.get("rule", [])
    lines = [number for number, line in enumerate(text.split("\n"), 1) if _HEADER.match(line.removesuffix("\r"))]
    if not isinstance(tables, list) or len(lines) != len(tables):
        raise FileRefused(f"{where}: each rule begins with a line [[rule]]")
    return tuple(_rule(table, line, where) for table, line in zip(tables, lines, strict=True))


def _rule(table: dict[str, Any], line: int, where: str) -> Rule:
    try:
        for key in table:
            if key not in _KEYS:
                raise ValueError(f"{key!r} is not understood: a rule has who, may and topics")
        who, may, topics = (_texts(table, key) for key in _KEYS)
        for word in who:
            if word != "*" and not is_name(word.removeprefix("@")):
                raise ValueError(f"who: {word!r} is none of *, guest, user, a name, and @ with a group")
        for action in may:
            if action not in ACTIONS:
                raise ValueError(f"may: {action!r} is none of {', '.join(ACTIONS)}")
        return Rule(
            frozenset(map(fold_name, who)),
            frozenset(action for action in ACTIONS if action in may),
            TopicSet.parse(topics),
            line,
        )
    except ValueError as error:
        raise FileRefused(f"{where}:{line}: in the rule that begins here, {error}") from None


def _texts(table: dict[str, Any], key: str) -> list[str]:
    if key not in table:
        raise ValueError(f"{key} is missing")
    value = table[key]
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{key} is a text or a list of texts, and not empty")
    return texts
