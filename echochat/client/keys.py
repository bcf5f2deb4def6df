"""
The keys that mean something of their own in a chat.

The prompt is one application from the beginning to the end: Enter takes the line away and leaves the prompt where it
is. Were the prompt ended by each line and started again, as in a shell, the terminal would be in its cooked mode in
between, and swallow or echo what is typed then.
"""

from collections.abc import Callable

from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import has_focus
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent


def bind_keys(entered: Callable[[str], None]) -> KeyBindings:
    """
    Enter gives the line to ``entered``. Ctrl-C takes back what was typed, as in a shell; with nothing typed, it leaves,
    as Ctrl-D does.
    """
    bindings = KeyBindings()
    typing = has_focus(DEFAULT_BUFFER)  # not while searching in the history, where Enter and Ctrl-C end the search

    @bindings.add("enter", filter=typing)
    def _(event: KeyPressEvent) -> None:
        typed = event.current_buffer.text
        event.current_buffer.reset(append_to_history=True)
        entered(typed)

    @bindings.add("c-c", filter=typing)
    @bindings.add("<sigint>")
    def _(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            event.app.exit(exception=EOFError)

    return bindings
