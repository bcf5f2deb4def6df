"""
What may be a name, a topic, a label and a text (protocol, section 3).
"""

import re
from typing import Final

MAX_NAME: Final = 32
MAX_TOPIC: Final = 128
MAX_LABEL: Final = 64

NAME_RULE: Final = f"a name is 1 to {MAX_NAME} of A-Z a-z 0-9 . _ - and begins with a letter or digit"
TOPIC_RULE: Final = f"a topic is 1 to {MAX_TOPIC} of A-Z a-z 0-9 . _ - and begins with a letter or digit, or is @NAME"

_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_NAME - 1}}}")
_TOPIC = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_TOPIC - 1}}}|@{_NAME.pattern}")
_LABEL = re.compile(rf"[A-Za-z0-9._-]{{1,{MAX_LABEL}}}")

# C0 other than tab, DEL, C1, and the two separators that browsers and editors take for a line's end: what one
# person sends is shown on another's terminal, where these would act.
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")


def is_name(name: str) -> bool:
    """
    Tell whether this may be somebody's name: 1 to 32 of ``A-Z a-z 0-9 . _ -``, a letter or digit first.
    """
    return _NAME.fullmatch(name) is not None


def is_topic(topic: str) -> bool:
    """
    Tell whether this may be a topic: 1 to 128 of ``A-Z a-z 0-9 . _ -``, a letter or digit first, or ``@NAME``.
    """
    return _TOPIC.fullmatch(topic) is not None


def is_label(label: str) -> bool:
    """
    Tell whether this may label a command: 1 to 64 of ``A-Z a-z 0-9 . _ -``.
    """
    return _LABEL.fullmatch(label) is not None


def is_text(text: str) -> bool:
    """
    Tell whether this may be published: no control characters but tab, no line or paragraph separators.
    """
    # What is printable has no control characters; the opposite (of a no-break space, say) has to be looked at.
    return text.isprintable() or _CONTROL.search(text) is None


def fold_name(name: str) -> str:
    """
    The form in which names are compared: two that differ in letter case only are one.
    """
    folded = name.lower()
    # The very same object where it can be: a guest's name is kept in several tables, at 63 bytes for each copy.
    return name if folded == name else folded
