"""The command line of the benchmarks: runs them, prints tables to stdout, and writes the samples as JSON and a plot."""

from __future__ import annotations

import argparse
import inspect
import json
import os
import platform
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import contest, plot
from benchmarks.contest import Contest, Samples
from benchmarks.report import means, table
from netspec.diagnostics import SpecError
from netspec.files import whole

BENCHMARKS = {
    "check": "from spec to shapes and costs, beside torchinfo and PyTorch's flop counter: time and peak memory",
    "drawing": "from spec to picture and summary, beside torchview and torchinfo: time and size",
    "build": "building with initial weights, beside torchvision: time and peak memory",
    "weights": "building with trained weights, beside torchvision: time and peak memory",
    "run": "forward pass, training step and torch.compile, beside torchvision: time and guards",
    "optimize": "optimized inference, beside torchvision and PyTorch's `optimize_for_inference`: time and error",
    "scale": "large and deep networks: how time and memory grow with nodes and with levels",
    "memory": "peak memory of activations, stated beside allocated, and with checkpoints beside torchvision's",
}
"""What each module measures. Its `contests(folder)` yields them, and may keep files in the folder while it is used.

One that has more than a default run should take has the parameter `full`; one that can run on a GPU has `device`.
"""

DEFAULT_REPEAT = 5
DEFAULT_SECONDS = 5.0

PACKAGES = ("netspec", "torch", "torchvision", "safetensors", "torchinfo", "torchview")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run benchmarks."""
    options = parse(arguments)
    if options.list:
        print("\n".join(f"{name:<12}{about}" for name, about in BENCHMARKS.items()))
        return
    try:
        if options.plot:
            plot.check(options.plot)  # before minutes of measuring, not behind them
        results = {name: run(name, options) for name in options.names}
        record = {"machine": machine(options.device), "repeat": options.repeat, "benchmarks": results}
        if options.output:
            with whole(options.output) as file:
                file.write_text(to_json(record), encoding="utf-8")
        if options.plot:
            plot.draw(record, options.plot)
    except SpecError as error:  # such as a package that is not installed
        raise SystemExit(str(error)) from None


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
    parser.add_argument("--full", action="store_true", help="measure every network, size and batch: this takes hours")
    parser.add_argument(
        "--device",
        default="cpu",
        help="where to build and run: `cpu` or `cuda` (default: cpu); on a GPU, times are wall time",
    )
    parser.add_argument(
        "--repeat", type=int, default=DEFAULT_REPEAT, metavar="N", help=f"rounds (default: {DEFAULT_REPEAT})"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=DEFAULT_SECONDS,
        metavar="S",
        help=f"after so long a contest ends, if it has {contest.FEWEST_ROUNDS} rounds (default: {DEFAULT_SECONDS:g})",
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write every sample as JSON")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the ratios: .svg, .png or .pdf")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.names if name not in BENCHMARKS]:
        parser.error(f"no benchmark is called {unknown[0]!r}: there is {', '.join(BENCHMARKS)}")
    if options.repeat < 1:
        parser.error("--repeat must be at least 1")
    if options.device != "cpu":
        from benchmarks import peers  # PyTorch is imported by what needs it

        if problem := peers.missing_device(options.device):
            parser.error(problem)
        able = [name for name in BENCHMARKS if "device" in parameters(name)]
        if unable := [name for name in options.names if name not in able]:
            parser.error(f"{unable[0]!r} does not run on a device: {', '.join(able)} do")
        options.names = options.names or able
    options.names = options.names or list(BENCHMARKS)
    return options


def parameters(name: str) -> list[str]:
    """What the contests of a benchmark can be told."""
    return list(inspect.signature(import_module(f"benchmarks.{name}").contests).parameters)


def run(name: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The samples of each contest of a benchmark, whose tables are printed as they come."""
    results = []
    groups: dict[str, list[Samples]] = {}
    with TemporaryDirectory(prefix="netspec-benchmark-") as folder:
        known = {word: getattr(options, word) for word in ("full", "device") if word in parameters(name)}
        contests: Callable[..., Iterator[Contest]] = import_module(f"benchmarks.{name}").contests
        for entry in contests(Path(folder), **known):
            samples = contest.run(entry, options.repeat, progress, options.seconds)
            progress("")
            print("\n".join(table(entry.title, samples)), end="\n\n", flush=True)
            results.append({"title": entry.title, "group": entry.group, "samples": samples})
            if entry.group:
                groups.setdefault(entry.group, []).append(samples)
    for group, measured in groups.items():
        print("\n".join(means(group, measured)), end="\n\n", flush=True)
    return results


def progress(text: str) -> None:
    """Show on a terminal what is going on, in place of what was shown before."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def machine(device: str) -> dict[str, Any]:
    """What the numbers depend on."""
    return {
        "platform": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", "default"),
        "device": device_name(device),
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES if find_spec(package)},
    }


def device_name(device: str) -> str:
    """What a device is, in words."""
    if device == "cpu":
        return device
    from torch import cuda

    return cuda.get_device_name(device)


def processor() -> str:
    """The name of the processor, where Linux tells it."""
    facts = Path("/proc/cpuinfo")
    names = (
        re.findall(r"^model name\s*: (.+)$", facts.read_text(encoding="utf-8"), re.MULTILINE) if facts.exists() else []
    )
    return names[0] if names else platform.processor() or platform.machine()


def to_json(record: dict[str, Any]) -> str:
    """A record as text: six digits of each number, and the samples of a contestant in one line."""
    text = json.dumps(rounded(record), indent=1, ensure_ascii=False)
    return re.sub(r"\[\s+([^][{}\"]+?)\s+\]", lambda found: f"[{' '.join(found[1].split())}]", text) + "\n"


def rounded(value: Any) -> Any:
    """The value with six digits for each number in it."""
    if isinstance(value, dict):
        return {name: rounded(part) for name, part in value.items()}
    if isinstance(value, list):
        return [rounded(part) for part in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
