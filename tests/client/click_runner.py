"""
Commands of click in this process, with standard error apart from the output, whichever click there is.
"""

import inspect
from typing import Any, Final

from click.testing import CliRunner

# click 8.1 mixes the two unless told; from 8.2 on they are apart, and it cannot be told.
_APART: Final[dict[str, Any]] = {"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {}


def make_runner() -> CliRunner:
    """
    A runner whose results have ``stdout`` and ``stderr``. Their ``output`` has both or the first, as click will.
    """
    return CliRunner(**_APART)
