"""
Figures as people read them.
"""


def size(number: float) -> str:
    """
    Bytes, in three digits or so.
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1_000:
            return f"{number:.0f} {unit}" if unit == "B" or number >= 100 else f"{number:.1f} {unit}"
        number /= 1_024
    return f"{number:.1f} TiB"


def duration(seconds: float) -> str:
    """
    A time in its two largest units.
    """
    whole = int(seconds)
    days, hours, minutes = whole // 86_400, whole // 3_600 % 24, whole // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"
