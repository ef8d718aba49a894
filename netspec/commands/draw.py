"""`netspec draw`: a picture of the network in a file. Of a wrong spec it shows what is valid, and in red what is not."""

from __future__ import annotations

import argparse
from pathlib import Path

from netspec.commands.common import add_spec, complain, depth, load_spec
from netspec.diagnostics import SpecError


def declare(parser: argparse.ArgumentParser) -> None:
    add_spec(parser)
    parser.add_argument("-o", "--output", metavar="FILE", help=".svg, .png or .dot (default: NAME.svg)")
    parser.add_argument("--depth", type=depth, metavar="N", help="levels of blocks to open, or `all`")


def run(options: argparse.Namespace) -> int:
    from netspec.backends.picture import draw

    status = 0
    try:
        graph = load_spec(options.spec, options)
    except SpecError as error:
        if error.sketch is None:
            raise
        status, graph = complain(error.diagnostics), error.sketch
    path = Path(options.output or f"{graph.name}.svg")
    draw(graph, path, depth=options.depth)
    print(path)
    return status
