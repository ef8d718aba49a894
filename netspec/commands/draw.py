"""`netspec draw`: a picture of the network in a file."""

from __future__ import annotations

import argparse
from pathlib import Path

from netspec.commands.common import add_spec, depth, load_spec


def declare(parser: argparse.ArgumentParser) -> None:
    add_spec(parser)
    parser.add_argument("-o", "--output", metavar="FILE", help=".svg, .png or .dot (default: NAME.svg)")
    parser.add_argument("--depth", type=depth, metavar="N", help="levels of blocks to open, or `all`")


def run(options: argparse.Namespace) -> int:
    from netspec.backends.picture import draw

    graph = load_spec(options.spec, options)
    path = Path(options.output or f"{graph.name}.svg")
    draw(graph, path, depth=options.depth)
    print(path)
    return 0
