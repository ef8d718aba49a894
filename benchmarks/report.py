"""Samples in, text out: for each contestant the median and the quartiles, and the ratio to the first one."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.contest import FACTS, FILE_SIZE, MAPPED, TIMES, Samples, Spread, ratios

NAME, VALUE, RATIO = 42, 24, 20  # widths of columns

SECONDS = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6))
BYTES = (("GiB", 2.0**30), ("MiB", 2.0**20), ("KiB", 2.0**10))


def table(title: str, samples: Samples) -> Iterator[str]:
    """The lines of a contest's table."""
    reference = next(iter(samples.values()))
    head = "".join(f"{what:<{VALUE}}" + (f"{'ratio':<{RATIO}}" if compared(what) else "") for what in reference)
    yield f"{title:<{NAME}}{head}".rstrip()
    for name, measured in samples.items():
        cells = ""
        for what, values in measured.items():
            cells += f"{cell(what, Spread.of(values)):<{VALUE}}"
            if compared(what):
                ratio = "1" if measured is reference else quantity(ratios(values, reference[what]))
                cells += f"{ratio:<{RATIO}}"
        yield f"  {name:<{NAME - 2}}{cells}".rstrip()


def cell(what: str, spread: Spread) -> str:
    """The text of a measure, or of a fact, which has no quartiles."""
    if what == FILE_SIZE:
        return quantity(spread, BYTES).partition(" (")[0]
    return f"{spread.median:,.0f}" if what in FACTS else quantity(spread, SECONDS if what in TIMES else BYTES)


def compared(what: str) -> bool:
    """Whether less of it is better."""
    return what != MAPPED and what not in FACTS


def quantity(spread: Spread, units: tuple[tuple[str, float], ...] = (("", 1.0),)) -> str:
    """The median in the largest unit that it reaches, and the quartiles in parentheses: `86.1 ms (84.0–88.2)`."""
    unit, scale = next((entry for entry in units if abs(spread.median) >= entry[1]), units[-1])
    low, median, high = (digits(value / scale) for value in spread)
    return " ".join(filter(None, (median, unit, f"({low}–{high})")))


def digits(number: float) -> str:
    """Three digits of a number: 0.012, 0.12, 1.23, 12.3, 123, 1,234."""
    size = abs(number)
    return f"{number:,.{0 if size >= 99.95 else 1 if size >= 9.995 else 2 if size >= 0.0995 else 3}f}"
