"""`netspec draw`: a picture of the network. Of a wrong spec it shows what is valid, and in red what is not."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING

from netspec.commands.common import add_spec, complain, level, load_spec
from netspec.diagnostics import SpecError

if TYPE_CHECKING:
    from netspec.graph import Graph


def declare(parser: argparse.ArgumentParser) -> None:
    add_spec(parser)
    target = parser.add_mutually_exclusive_group()
    target.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help=".svg, .png, .pdf, .html, .dot, .mmd (Mermaid) or .txt (default: NAME.svg)",
    )
    target.add_argument(
        "--format",
        choices=("svg", "png", "pdf", "html", "dot", "mmd", "text"),
        default="svg",
        help="write NAME.FORMAT; text is printed",
    )
    parser.add_argument(
        "--style",
        choices=("boxes", "volumes"),
        default="boxes",
        help="boxes and arrows, or the volumes of figures in papers (default: boxes)",
    )
    parser.add_argument(
        "--depth",
        type=level,
        default="block",
        metavar="DEPTH",
        help="stage, block, op, or a number of levels to open (default: block)",
    )
    for name, what in (("open", "open these blocks and all around them"), ("close", "close these blocks")):
        parser.add_argument(
            f"--{name}",
            action="append",
            default=[],
            metavar="PATH",
            help=f"{what}, such as layer1.0 or layer*; may be repeated",
        )
    parser.add_argument(
        "--theme", choices=("light", "dark", "print"), default="light", help="colors; print is black and white"
    )
    parser.add_argument(
        "--direction", choices=("down", "right"), default="down", help="where boxes run to (default: down)"
    )


def run(options: argparse.Namespace) -> int:
    from netspec.backends.pictures.picture import draw

    status = 0
    try:
        graph = load_spec(options.spec, options)
    except SpecError as error:
        if error.sketch is None:
            raise
        status, graph = complain(error.diagnostics), error.sketch
    if options.format == "text":
        _print_tree(graph, options)
        return status
    path = Path(options.output or f"{graph.name}.{options.format}")
    draw(
        graph,
        path,
        depth=options.depth,
        open=options.open,
        close=options.close,
        theme=options.theme,
        direction=options.direction,
        style=options.style,
    )
    print(path)
    return status


def _print_tree(graph: Graph, options: argparse.Namespace) -> None:
    """Print the drawing as wide as the terminal is, in characters that it knows."""
    from netspec.backends.pictures.drawing import to_drawing
    from netspec.backends.pictures.picture import FORMATS_OF_VOLUMES
    from netspec.backends.pictures.tree import LINE_WIDTH, as_ascii, to_tree
    from netspec.files import unknown_format

    if options.style == "volumes":
        raise unknown_format(f"{graph.name}.txt", list(FORMATS_OF_VOLUMES))
    drawing = to_drawing(graph, options.depth, options.open, options.close)
    text = to_tree(drawing, get_terminal_size((LINE_WIDTH, 0)).columns)
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        text = as_ascii(text)
    print(text)
