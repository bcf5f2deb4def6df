"""
Showing on a terminal what someone else wrote.

A terminal obeys what it is shown: control characters move the cursor, rewrite lines, set the title or answer as if
the user had typed. And the overriding direction marks make a line read as something else than it says. What reaches a
terminal therefore goes through here; what reaches a pipe does not, it is data there.
"""

import re
from typing import Final

# C0 other than tab, DEL, C1, line and paragraph separators; direction overrides and isolates; lone surrogates.
_ACTING: Final = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def harmless(text: str) -> str:
    """
    Write what would act on a terminal in a visible way: ``^[`` for an escape, ``<U+202E>`` for an override.
    """
    return _ACTING.sub(_visible, text)


def _visible(matched: re.Match[str]) -> str:
    code = ord(matched.group())
    if code < 0x20 or code == 0x7F:
        return f"^{chr(code ^ 0x40)}"
    return f"<U+{code:04X}>"
