"""
A backend's connections over the last minutes, as a small picture.
"""

from collections.abc import Sequence
from html import escape
from typing import Final

from echochat.balancer.trends import KEPT, STEP

_HEIGHT: Final = 40

_FINE: Final = 2
_COARSE: Final = 10
"""
Of so many looks a picture has one: it is not wider than that, and a thousand of them have to be drawn in a moment.
"""

_FEW: Final = 100
"""
So many pictures may be fine ones.
"""


def draw(active: Sequence[int], most: int, pictures: int = 1) -> str:
    """
    An SVG picture; the latest is at its right edge.

    :param active: how many connections there were, the oldest first.
    :param most: how many are at its upper edge: the same for all backends, so that they can be compared.
    :param pictures: how many there are on the page.
    """
    step = _FINE if pictures <= _FEW else _COARSE
    shown = active[::-1][::step][::-1]
    left = KEPT - step * (len(shown) - 1)
    scale = (_HEIGHT - 2) / max(1, most)
    points = [f"{left + step * number},{_HEIGHT - 1 - value * scale:.1f}" for number, value in enumerate(shown)]
    minutes = KEPT * STEP / 60
    title = f"connections in the last {minutes:g} minutes: {max(active, default=0)} at most"
    if len(points) < 2:
        points = []
    area = f"{left},{_HEIGHT} {' '.join(points)} {KEPT},{_HEIGHT}" if points else ""
    return (
        f'<svg viewBox="0 0 {KEPT} {_HEIGHT}" preserveAspectRatio="none" role="img"><title>{escape(title)}</title>'
        f'<line class="axis" x1="0" y1="{_HEIGHT - 0.5}" x2="{KEPT}" y2="{_HEIGHT - 0.5}"/>'
        f'<polygon class="area" points="{area}"/><polyline class="curve" points="{" ".join(points)}"/></svg>'
    )
