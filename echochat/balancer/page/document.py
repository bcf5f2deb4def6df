"""
The status page's HTML, made of the figures that the control socket gives.

It is drawn here, whole, and the script in it only exchanges one drawing for the next: so there is one place that draws,
one that escapes, and a page that says everything without its script, too.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import Any, Final

from echochat.balancer.page.graph import draw
from echochat.wire.figures import duration, size

STYLE: Final = files(__package__).joinpath("style.css").read_text("utf-8")
SCRIPT: Final = files(__package__).joinpath("script.js").read_text("utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


POLICY: Final = (
    f"default-src 'none'; style-src {_hash(STYLE)}; script-src {_hash(SCRIPT)}; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""
The page's Content-Security-Policy: its own style and script by what is in them, and nothing else from anywhere.
"""

_HEAD: Final = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>echochat-lb</title>
<link rel="icon" href="data:,">
<noscript><meta http-equiv="refresh" content="5"></noscript>
<style>{STYLE}</style>
</head>
<body>
<header><h1>echochat-lb</h1><p id="state">live</p></header>
"""

_TAIL: Final = f"""
<script>{SCRIPT}</script>
</body>
</html>
"""

_COLUMNS: Final = (
    ("backend", ""),
    ("state", ""),
    ("active", "number"),
    ("weight", "number"),
    ("new/s", "number"),
    ("in/s", "number"),
    ("out/s", "number"),
    ("total", "number"),
    ("failed", "number"),
    ("last minutes", ""),
    ("last check", ""),
)


def render(balancer: Mapping[str, Any], backends: Sequence[Mapping[str, Any]]) -> str:
    """
    The page.

    :param backends: each with its ``trend``.
    """
    most = max((value for each in backends for value in each["trend"]), default=0)
    rows = "\n".join(_row(each, most, len(backends)) for each in backends)
    if not rows:
        rows = f'<tr><td class="none" colspan="{len(_COLUMNS)}">There is no backend.</td></tr>'
    heads = "".join(f'<th class="{kind}" scope="col">{escape(name)}</th>' for name, kind in _COLUMNS)
    return (
        f"{_HEAD}<main>\n{_tiles(balancer, backends)}\n{_alarm(balancer)}"
        f"<table><thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody></table>\n"
        f"<footer>version {escape(balancer['version'])}, up for {duration(balancer['uptime'])}</footer>\n</main>{_TAIL}"
    )


def _tiles(balancer: Mapping[str, Any], backends: Sequence[Mapping[str, Any]]) -> str:
    def total(name: str) -> float:
        return float(sum(each[name] for each in backends))

    tiles = (
        ("backends that serve", f"{balancer['serving']} of {balancer['backends']}"),
        ("connections", str(balancer["active"])),
        ("waiting for a place", str(balancer["waiting"])),
        ("new/s", f"{total('connections_per_second'):.4g}"),
        ("in/s", size(total("bytes_in_per_second"))),
        ("out/s", size(total("bytes_out_per_second"))),
    )
    return f"<dl>{''.join(f'<div><dt>{escape(what)}</dt><dd>{escape(value)}</dd></div>' for what, value in tiles)}</dl>"


def _alarm(balancer: Mapping[str, Any]) -> str:
    shortage = balancer["shortage"]
    return "" if shortage is None else f'<p class="alarm">Clients are refused: {escape(shortage)}.</p>\n'


def _row(backend: Mapping[str, Any], most: int, rows: int) -> str:
    limit = f" / {backend['max']}" if backend["max"] else ""
    backup = " (backup)" if backend["backup"] else ""
    ago = "" if backend["checked"] is None else f"{duration(backend['checked'])} ago"
    name = f"<b>{escape(backend['name'])}{backup}</b><small>{escape(backend['endpoint'])}</small>"
    state = escape(backend["state"])
    numbers = (
        ("active", f"{backend['active']}{limit}"),
        ("weight", str(backend["weight"])),
        ("new/s", f"{backend['connections_per_second']:.4g}"),
        ("in/s", size(backend["bytes_in_per_second"])),
        ("out/s", size(backend["bytes_out_per_second"])),
        ("total", str(backend["connections"])),
        ("failed", str(backend["failures"])),
    )
    cells = "".join(f'<td class="number" data-label="{what}">{escape(value)}</td>' for what, value in numbers)
    return (
        f'<tr><td class="name">{name}</td><td class="state"><span class="pill {state}">{state}</span></td>{cells}'
        f'<td class="graph">{draw(backend["trend"], most, rows)}</td>'
        f'<td class="why" data-label="last check">{escape(backend["why"])} <small>{escape(ago)}</small></td></tr>'
    )
