"""
How long clients are without events.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise


class Silences:
    """
    For each subscriber and fault, the longest time without an event that began between this fault and the next.

    :param arrivals: for each subscriber, when something came: nothing for one that never got anything.
    :param began: when each fault began, and of which kind it was.
    :param ended: when the last one's time was over; what comes later does not count.
    """

    def __init__(
        self, arrivals: Mapping[str, Sequence[float]], began: Sequence[tuple[str, float]], ended: float
    ) -> None:
        self._of_kind: dict[str, list[float]] = {}
        starts = [start for _, start in began]
        for times in arrivals.values():
            counted = [each for each in times if each <= ended]
            if not counted:
                if times or not starts:
                    continue
                # It was there from the beginning, and never got an event.
                counted = [starts[0]]
            longest = [0.0] * len(began)
            for before, after in pairwise([*counted, ended]):
                # One that was under way when the next fault came is that one's, too, as far as it lasted then.
                for fault in range(max(0, bisect_right(starts, before) - 1), bisect_right(starts, after)):
                    longest[fault] = max(longest[fault], after - max(before, starts[fault]))
            for (kind, _), silence in zip(began, longest, strict=True):
                self._of_kind.setdefault(kind, []).append(silence)

    @property
    def longest(self) -> float:
        """
        The longest of all.
        """
        return max((silence for silences in self._of_kind.values() for silence in silences), default=0.0)

    def __str__(self) -> str:
        everything = [silence for silences in self._of_kind.values() for silence in silences]
        rows = [f"{kind} {_figures(silences)}" for kind, silences in sorted(self._of_kind.items())]
        return "; ".join([f"all {_figures(everything)}", *rows])


def _figures(silences: Sequence[float]) -> str:
    if not silences:
        return "none"
    ordered = sorted(silences)
    half, most = (ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.99))
    return f"p50 {half:.2f}, p99 {most:.2f}, max {ordered[-1]:.2f}"
