"""`netspec check`: is each spec valid, and what comes out of it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from netspec.commands.common import SPEC_HELP, add_overrides, complain, load_spec
from netspec.diagnostics import SpecError

if TYPE_CHECKING:
    from netspec.graph import Graph


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("specs", nargs="+", metavar="SPEC", help=SPEC_HELP)
    add_overrides(parser)


def run(options: argparse.Namespace) -> int:
    status = 0
    for spec in options.specs:
        try:
            graph = load_spec(spec, options)
        except SpecError as error:
            status = complain(error)
            continue
        print(f"{spec}: ok, {_costs(graph)}, {_signature(graph)}")
    return status


def _costs(graph: Graph) -> str:
    from netspec.quantities import short

    return f"{short(graph.parameters)} parameters, {short(graph.macs)}MACs"


def _signature(graph: Graph) -> str:
    return f"{', '.join(map(str, graph.inputs.values()))} → {', '.join(map(str, graph.outputs.values()))}"
