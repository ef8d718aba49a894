"""`netspec show`: a spec as one text, with everything it extends merged in."""

from __future__ import annotations

import argparse

from netspec.commands.common import SPEC_HELP
from netspec.diagnostics import Problem, Reporter, SpecError


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("spec", metavar="SPEC", help=SPEC_HELP)


def run(options: argparse.Namespace) -> int:
    from netspec.catalog import Lookups, Origin, find
    from netspec.inherit import inherit
    from netspec.layout import write
    from netspec.parts import DOCUMENT_KEYS
    from netspec.source import read

    try:
        path, name = find(options.spec)
    except Problem as problem:
        raise SpecError([problem.at(None)]) from None
    reporter = Reporter()
    document = inherit(read(path, name), Origin.of(path), reporter, Lookups())
    reporter.raise_if_failed()
    assert document is not None
    print(write(document.merged, DOCUMENT_KEYS), end="")
    return 0
