"""`netspec list`: the specs that ship, a line each."""

from __future__ import annotations

import argparse
from textwrap import shorten

from netspec.diagnostics import Reporter

_ABOUT_WIDTH = 100  # characters of a line


def declare(parser: argparse.ArgumentParser) -> None:
    del parser  # no options


def run(options: argparse.Namespace) -> int:
    from netspec.catalog import Lookups, Origin, shipped_specs
    from netspec.inherit import inherit
    from netspec.source import Scalar, read

    del options
    width = max(map(len, shipped_specs()))
    for name, path in shipped_specs().items():
        document = inherit(read(path), Origin.of(path), Reporter(), Lookups())
        about = document.mapping.get("about") if document is not None else None
        text = " ".join(about.text.split()).partition(". ")[0].rstrip(".") if isinstance(about, Scalar) else ""
        print(f"{name:<{width}}  {shorten(text, _ABOUT_WIDTH, placeholder=' …')}".rstrip())
    return 0
