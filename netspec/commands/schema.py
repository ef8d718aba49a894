"""`netspec schema`: the JSON Schema of specs, with which editors complete and check while one types."""

from __future__ import annotations

import argparse


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", metavar="FILE", help="write it to a file instead of printing it")


def run(options: argparse.Namespace) -> int:
    from netspec.files import whole
    from netspec.schema import schema_text

    if options.output is None:
        print(schema_text(), end="")
        return 0
    with whole(options.output) as file:
        file.write_text(schema_text(), encoding="utf-8")
    print(options.output)
    return 0
