"""`netspec summary`: a table of every node."""

from __future__ import annotations

import argparse

from netspec.commands.common import add_spec, depth, load_spec


def declare(parser: argparse.ArgumentParser) -> None:
    add_spec(parser)
    parser.add_argument("--depth", type=depth, default=2, metavar="N", help="levels to show, or `all` (default: 2)")
    formats = ("text", "json", "markdown")
    parser.add_argument("--format", choices=formats, default="text", help="form of the table (default: text)")


def run(options: argparse.Namespace) -> int:
    from netspec.backends.summary import to_summary

    summary = to_summary(load_spec(options.spec, options))
    print(getattr(summary, options.format)(options.depth))
    return 0
