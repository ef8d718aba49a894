"""Numbers as people read them: counts, sizes, and the costs that a picture or a summary shows."""

from __future__ import annotations


def short(number: float) -> str:
    """A count with three digits and a suffix: 9,408 as `9.41 k`, 4,089,184,256 as `4.09 G`."""
    for suffix, scale in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= scale * 0.9995:
            scaled = number / scale
            digits = 2 if scaled < 9.995 else 1 if scaled < 99.95 else 0
            return f"{scaled:.{digits}f} {suffix}"
    return f"{number:,.0f}"


def byte_size(number: float) -> str:
    """A size in memory: 3,211,264 bytes as `3.06 MiB`."""
    for power, suffix in zip(range(6, 0, -1), ("EiB", "PiB", "TiB", "GiB", "MiB", "KiB"), strict=True):
        if number >= (scale := 1024**power):
            scaled = number / scale
            return f"{scaled:.{2 if scaled < 10 else 1}f} {suffix}"
    return f"{number:,.0f} B"
