"""A record in, a chart out: how many times of what the first contestant took the others took, on a logarithmic axis.

A row is a contestant in a group of contests, with the geometric mean of its ratios between the least and the greatest;
or in one contest that has no group.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.contest import COMPARED, CPU_TIME, WALL_TIME, Samples, Spread, mean_ratios
from benchmarks.report import digits
from netspec.files import extra, unknown_format, whole

FORMATS = [".svg", ".png", ".pdf"]
ROW = 0.24  # inches
WIDTH = 11.0
MARGIN = 0.5
LEAST_SPAN = (0.5, 2.0)  # of the axis, so that noise looks like noise
ROOM = 1.5  # beyond the extremes, for numbers


class Row(NamedTuple):
    """A line of the chart."""

    label: str
    spread: Spread


def check(path: Path) -> None:
    """Raise `SpecError` where the chart could not be drawn."""
    if path.suffix not in FORMATS:
        raise unknown_format(path, FORMATS)
    extra("matplotlib", "benchmarks", "a plot")


def draw(record: Mapping[str, Any], path: Path) -> None:
    """Write the chart of a record, in the format of the suffix. Raises `SpecError`."""
    check(path)
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    charts = [
        (name, list(rows(entries, record["machine"]["device"]))) for name, entries in record["benchmarks"].items()
    ]
    charts = [(name, found) for name, found in charts if found]
    heights = [len(found) + 3 for _, found in charts]
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "netspec"}), whole(path) as file:
        figure = Figure(figsize=(WIDTH, ROW * sum(heights) + MARGIN), layout="constrained")
        axes = figure.subplots(len(charts), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axis, (name, found) in zip(axes, charts, strict=True):
            chart(axis, name, found)
        figure.supxlabel("how many times as much as the other took")
        figure.savefig(file, metadata={"Date": None} if path.suffix == ".svg" else {})


def rows(entries: Sequence[Mapping[str, Any]], device: str) -> Iterator[Row]:
    """The rows of a benchmark: its groups, then its other contests."""
    groups: dict[str, list[Samples]] = {}
    for entry in entries:
        groups.setdefault(entry["group"] or entry["title"], []).append(entry["samples"])
    for title, contests in groups.items():
        reference, *others = contests[0]
        what = compared(contests[0][reference], device)
        alike = [contest for contest in contests if what in contest[reference]]  # memory is a contest of its own
        for name in others if what else ():
            if all(what in contest.get(name, ()) for contest in alike):
                spread = mean_ratios(alike, name, reference, what)
                yield Row(
                    f"{title}{'' if what in (CPU_TIME, WALL_TIME) else f', {what}'}: {name} to {reference}", spread
                )


def compared(measured: Mapping[str, list[float]], device: str) -> str:
    """What a row compares: CPU time, on a GPU wall time, or else memory; nothing where there are facts alone."""
    usual = CPU_TIME if device == "cpu" else WALL_TIME
    return usual if usual in measured else next((what for what in COMPARED if what in measured), "")


def chart(axis: Any, title: str, found: Sequence[Row]) -> None:
    """Fill one chart."""
    from matplotlib.ticker import LogLocator

    places = range(len(found))
    axis.axvline(1, color="0.6", linewidth=1)
    axis.hlines(places, [row.spread.low for row in found], [row.spread.high for row in found], color="tab:blue")
    axis.plot([row.spread.median for row in found], places, "o", color="tab:blue", markersize=4)
    for place, row in zip(places, found, strict=True):
        axis.annotate(
            digits(row.spread.median), (row.spread.high, place), (6, 0), textcoords="offset points", va="center"
        )
    axis.set_yticks(places, [row.label for row in found])
    axis.set_ylim(len(found) - 0.5, -0.5)
    axis.set_xscale("log")
    extremes = [bound for row in found for bound in (row.spread.low, row.spread.high)]
    axis.set_xlim(min(LEAST_SPAN[0], min(extremes) / ROOM), max(LEAST_SPAN[1], max(extremes) * ROOM))
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter("")
    axis.set_title(title, loc="left", fontweight="bold")
    axis.spines[["top", "right", "left"]].set_visible(False)
