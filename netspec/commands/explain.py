"""`netspec explain`: what a diagnostic code means, with an example and its repair."""

from __future__ import annotations

import argparse
import re

from netspec.codes import codes, explanation, headline
from netspec.diagnostics import Problem, SpecError


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="?", metavar="CODE", help="a code such as unknown-op; without it, all are listed")


def run(options: argparse.Namespace) -> int:
    print(_listing() if options.what is None else _page(options.what))
    return 0


def _listing() -> str:
    """Every code with the first sentence of its page."""
    width = max(map(len, codes()))
    return "\n".join(f"{code:<{width}}  {headline(code)}" for code in codes())


def _page(code: str) -> str:
    """The page of a code for a terminal: examples are indented where Markdown fences them."""
    try:
        page = explanation(code)
    except Problem as problem:
        raise SpecError([problem.at(None)]) from None
    lines: list[str] = []
    fenced = False
    for line in page.removeprefix(f"# {code}").strip().splitlines():
        if re.match("`{3,}", line):
            fenced = not fenced
        else:
            lines.append(f"    {line}".rstrip() if fenced else line)
    return f"{code}\n\n" + "\n".join(lines)
