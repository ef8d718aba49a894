"""Samples in, text out: for each contestant the median and the quartiles, and the ratio to the first one.

A group of contests gets the geometric mean of its ratios, with the least and the greatest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.contest import COMPARED, MEASURES, Samples, Spread, mean_ratios, ratios

NAME, VALUE, RATIO = 48, 24, 20  # widths of columns

SECONDS = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6))
BYTES = (("GiB", 2.0**30), ("MiB", 2.0**20), ("KiB", 2.0**10))


def table(title: str, samples: Samples) -> Iterator[str]:
    """The lines of a contest's table."""
    reference = next(iter(samples.values()))
    columns = list(dict.fromkeys(what for measured in samples.values() for what in measured))
    head = "".join(f"{what:<{VALUE}}" + (f"{'ratio':<{RATIO}}" if what in COMPARED else "") for what in columns)
    yield f"{title:<{NAME}}{head}".rstrip()
    for name, measured in samples.items():
        cells = ""
        for what in columns:
            values = measured.get(what)
            cells += f"{cell(what, Spread.of(values)) if values else '':<{VALUE}}"
            if what in COMPARED:
                ratio = "1" if measured is reference else quantity(ratios(values, reference[what])) if values else ""
                cells += f"{ratio:<{RATIO}}"
        yield f"  {name:<{NAME - 2}}{cells}".rstrip()


def means(group: str, contests: Sequence[Samples]) -> Iterator[str]:
    """The lines that say how contestants compare over all contests of a group."""
    reference, *others = contests[0]
    measures = [what for what in contests[0][reference] if what in COMPARED]
    title = f"{group}, mean of {len(contests)}"
    head = "".join(f"{'ratio of ' + what:<{VALUE}}" for what in measures)
    yield f"{title:<{NAME}}{head}".rstrip()
    for name in others:
        cells = (f"{quantity(mean_ratios(contests, name, reference, what)):<{VALUE}}" for what in measures)
        yield f"  {name:<{NAME - 2}}{''.join(cells)}".rstrip()


def cell(what: str, spread: Spread) -> str:
    """The text of a measure, or of a fact, which has no quartiles."""
    if what in MEASURES:
        return quantity(spread, units(what))
    if not units(what) and float(spread.median).is_integer():
        return f"{spread.median:,.0f}"
    return quantity(spread, units(what)).partition(" (")[0]


def units(what: str) -> tuple[tuple[str, float], ...]:
    """The units of a measure or fact, by the last word of its name; none for a plain number."""
    last = what.rpartition(" ")[2]
    return SECONDS if last == "time" else BYTES if last in ("memory", "size", "pages") else ()


def quantity(spread: Spread, units: tuple[tuple[str, float], ...] = ()) -> str:
    """The median in the largest unit that it reaches, and the quartiles in parentheses: `86.1 ms (84.0–88.2)`."""
    known = units or (("", 1.0),)
    unit, scale = next((entry for entry in known if abs(spread.median) >= entry[1]), known[-1])
    low, median, high = (digits(value / scale) for value in spread)
    return " ".join(filter(None, (median, unit, f"({low}–{high})")))


def digits(number: float) -> str:
    """Three digits of a number: 0.012, 0.12, 1.23, 12.3, 123, 1,234."""
    size = abs(number)
    return f"{number:,.{0 if size >= 99.95 else 1 if size >= 9.995 else 2 if size >= 0.0995 else 3}f}"
