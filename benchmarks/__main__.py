"""The command line of the benchmarks: runs them, prints tables to stdout and writes the samples as JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import contest
from benchmarks.report import table
from netspec.diagnostics import SpecError
from netspec.files import whole

BENCHMARKS = {
    "check": "from spec to shapes and costs, beside torchinfo and PyTorch's flop counter: time and peak memory",
    "drawing": "from spec to picture and summary, beside torchview and torchinfo: time and size",
    "weights": "building with trained weights, beside torchvision: time and peak memory",
}
"""What each module measures. Its `contests(folder)` yields them, and may keep files in the folder while it is used."""

DEFAULT_REPEAT = 5

PACKAGES = ("netspec", "torch", "torchvision", "safetensors", "torchinfo", "torchview")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run benchmarks."""
    options = parse(arguments)
    if options.list:
        print("\n".join(f"{name:<12}{about}" for name, about in BENCHMARKS.items()))
        return
    try:
        results = {name: run(name, options.repeat) for name in options.names or BENCHMARKS}
    except SpecError as error:  # such as a package that is not installed
        raise SystemExit(str(error)) from None
    if options.output:
        record = {"machine": machine(), "repeat": options.repeat, "benchmarks": results}
        with whole(options.output) as file:
            file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure netspec beside other ways to do the same job.",
        epilog="Contestants run in turns. A table shows medians, with quartiles in parentheses; a ratio is that to the "
        "first contestant within a round. CPU time is what to read on a machine that does other things, too.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks to run (default: all)")
    parser.add_argument("--list", action="store_true", help="list the benchmarks")
    parser.add_argument(
        "--repeat", type=int, default=DEFAULT_REPEAT, metavar="N", help=f"rounds (default: {DEFAULT_REPEAT})"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write every sample as JSON")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.names if name not in BENCHMARKS]:
        parser.error(f"no benchmark is called {unknown[0]!r}: there is {', '.join(BENCHMARKS)}")
    if options.repeat < 1:
        parser.error("--repeat must be at least 1")
    return options


def run(name: str, repeat: int) -> list[dict[str, Any]]:
    """The samples of each contest of a benchmark, whose tables are printed as they come."""
    results = []
    with TemporaryDirectory(prefix="netspec-benchmark-") as folder:
        for entry in import_module(f"benchmarks.{name}").contests(Path(folder)):
            samples = contest.run(entry, repeat, progress)
            progress("")
            print("\n".join(table(entry.title, samples)), end="\n\n", flush=True)
            results.append({"title": entry.title, "samples": samples})
    return results


def progress(text: str) -> None:
    """Show on a terminal what is going on, in place of what was shown before."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def machine() -> dict[str, Any]:
    """What the numbers depend on."""
    return {
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", "default"),
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES if find_spec(package)},
    }


if __name__ == "__main__":
    main()
