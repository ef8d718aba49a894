"""`netspec check`: is each spec valid, and what comes out of it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from netspec.commands.common import SPEC_HELP, Result, add_overrides, complain, load_spec, spec_files
from netspec.diagnostics import SpecError

if TYPE_CHECKING:
    from netspec.graph import Graph


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("specs", nargs="+", metavar="SPEC", help=f"{SPEC_HELP}, or a folder")
    parser.add_argument(
        "--format",
        choices=("text", "json", "github", "sarif"),
        default="text",
        help="text for people, or a report on stdout: json, github for annotations, sarif for code scanning",
    )
    parser.add_argument("--strict", action="store_true", help="fail on warnings, too")
    add_overrides(parser)


def run(options: argparse.Namespace) -> int:
    results: list[Result] = []
    for spec in spec_files(options.specs, networks=True):
        results.append(_checked(spec, options))
        if options.format == "text":
            _show(results[-1])
    if options.format != "text":
        from netspec.commands.reports import REPORTS

        print(REPORTS[options.format](results), end="")
    elif len(results) > 1 and any(result.diagnostics for result in results):
        print(_tally(results), file=sys.stderr)
    failed = any(result.diagnostics if options.strict else result.graph is None for result in results)
    return 1 if failed else 0


def _checked(spec: str, options: argparse.Namespace) -> Result:
    try:
        graph = load_spec(spec, options)
    except SpecError as error:
        return Result(spec, None, error.diagnostics)
    return Result(spec, graph, graph.warnings)


def _show(result: Result) -> None:
    complain(result.diagnostics)
    if result.graph is not None:
        print(f"{result.spec}: ok, {_costs(result.graph)}, {_signature(result.graph)}")


def _costs(graph: Graph) -> str:
    from netspec.quantities import short

    return f"{short(graph.parameters)} parameters, {short(graph.macs)}MACs"


def _signature(graph: Graph) -> str:
    return f"{', '.join(map(str, graph.inputs.values()))} → {', '.join(map(str, graph.outputs.values()))}"


def _tally(results: Sequence[Result]) -> str:
    """How much is wrong in how many specs, such as `2 errors and 1 warning in 3 of 14 specs`."""
    from netspec.scope import count_of

    levels = [diagnostic.level for result in results for diagnostic in result.diagnostics]
    counts = " and ".join(count_of(levels.count(level), level) for level in ("error", "warning") if level in levels)
    return f"{counts} in {sum(bool(result.diagnostics) for result in results)} of {count_of(len(results), 'spec')}"
