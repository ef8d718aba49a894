"""Writes the tables of `docs/benchmarks.md`, and the short one of `README.md`, from the record `docs/benchmarks.json`.

`python -m benchmarks -o docs/benchmarks.json --plot docs/images/benchmarks.svg` measures anew. Run
`python docs/make_benchmarks.py` then; with `--check` nothing is written, and the exit status is 1 when a page is stale.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

from pages import ROOT, Pages, main

sys.path.insert(0, str(ROOT))  # for `benchmarks`, which no wheel has

from benchmarks.contest import CPU_TIME, Samples, Spread, mean_ratios
from benchmarks.report import SECONDS, digits, means, quantity, table

RECORD = ROOT / "docs" / "benchmarks.json"
PAGE = ROOT / "docs" / "benchmarks.md"
README = ROOT / "README.md"


class Row(NamedTuple):
    """A row of README: what is done, where the record has it, and with what netspec is compared there."""

    about: str
    benchmark: str
    contests: str  # the title of a contest, or the name of a group
    ours: str
    theirs: str
    by: str = ""  # how README calls the other, where not by its name


ROWS = (
    Row("check ResNet-50, whole process", "check", "resnet50, whole process", "netspec check resnet50", "import torch"),
    Row(
        "shapes, parameters and MACs of ResNet-50", "check", "resnet50, in process", "netspec", "torchinfo, meta device"
    ),
    Row("draw ResNet-50", "drawing", "resnet50, picture", "netspec", "torchview"),
    Row("build with new weights", "build", "new weights", "netspec", "torchvision"),
    Row("build ResNet-50 with trained weights", "weights", "resnet50.safetensors", "netspec", "torchvision"),
    Row("forward pass", "run", "forward", "netspec", "torchvision"),
    Row("training step", "run", "training step", "netspec", "torchvision"),
    Row("forward pass, optimized", "optimize", "optimized, float32, 1 of 224", "netspec.optimize", "torchvision"),
    Row(
        "the same in bfloat16",
        "optimize",
        "optimized, bfloat16, 1 of 224",
        "netspec.optimize",
        "torchvision",
        "torchvision, float32",
    ),
)


def pages() -> Pages:
    """Both pages, with new blocks in them."""
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    blocks = {name: f"```text\n{tables(entries)}\n```" for name, entries in record["benchmarks"].items()}
    blocks |= {"machine": machine(record), "short": short_table(record["benchmarks"])}
    return {path: filled(path, blocks) for path in (PAGE, README)}


def filled(path: Path, blocks: dict[str, str]) -> str:
    """The text of a page, in which what stands between `<!-- begin NAME -->` and `<!-- end NAME -->` is replaced."""

    def block(found: re.Match[str]) -> str:
        if found[1] not in blocks:
            raise SystemExit(f"{RECORD.name} has no benchmark `{found[1]}`, which {path.name} shows: measure it, too")
        return f"<!-- begin {found[1]} -->\n{blocks[found[1]]}\n<!-- end {found[1]} -->"

    text = path.read_text(encoding="utf-8")
    return re.sub(r"<!-- begin ([\w-]+) -->\n.*?<!-- end \1 -->", block, text, flags=re.DOTALL)


def tables(entries: list[dict[str, Any]]) -> str:
    """The tables of a benchmark as it printed them."""
    parts = ["\n".join(table(entry["title"], entry["samples"])) for entry in entries]
    groups = dict.fromkeys(entry["group"] for entry in entries if entry["group"])
    parts += ["\n".join(means(group, found(entries, group))) for group in groups]
    return "\n\n".join(parts)


def found(entries: list[dict[str, Any]], contests: str) -> list[Samples]:
    """The samples of the contests with this title that measured time, or of all those of a group."""
    samples = [entry["samples"] for entry in entries if contests == entry["group"]]
    return samples or [
        entry["samples"]
        for entry in entries
        if contests == entry["title"] and CPU_TIME in next(iter(entry["samples"].values()))
    ]


def machine(record: dict[str, Any]) -> str:
    """What the numbers depend on, as a sentence."""
    facts = record["machine"]
    return (
        f"{facts['processor']}, {facts['cores']} cores, OMP_NUM_THREADS {facts['threads']}; Python {facts['python']}, "
        f"PyTorch {facts['torch']}, torchvision {facts['torchvision']}; at most {record['repeat']} rounds."
    )


def short_table(benchmarks: dict[str, list[dict[str, Any]]]) -> str:
    """The table of README."""
    lines = ["| job | netspec | compared with | takes |", "|:----|--------:|:--------------|------:|"]
    for row in ROWS:
        contests = found(benchmarks.get(row.benchmark, []), row.contests)
        if not contests:
            raise SystemExit(f"{RECORD.name} has no contest `{row.contests}` of `{row.benchmark}`, which README shows")
        ratio = mean_ratios(contests, row.theirs, row.ours, CPU_TIME)
        if len(contests) == 1:
            about, took = row.about, quantity(Spread.of(contests[0][row.ours][CPU_TIME]), SECONDS).partition(" (")[0]
            times = digits(ratio.median)
        else:
            about, took = f"{row.about}, mean of {len(contests)}", ""
            times = f"{digits(ratio.median)} ({digits(ratio.low)} to {digits(ratio.high)})"
        lines.append(f"| {about} | {took} | {row.by or row.theirs} | {times} × |")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main(pages, "make_benchmarks.py"))
