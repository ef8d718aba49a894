"""`netspec explain`: what a diagnostic code means, with an example and its repair; or where a node comes from."""

from __future__ import annotations

import argparse
import re

from netspec.codes import codes, explanation, headline
from netspec.commands.common import add_overrides, load_spec
from netspec.diagnostics import Problem, SpecError


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what",
        nargs="?",
        metavar="CODE | SPEC",
        help="a code such as unknown-op, or the spec of a node; without it, all codes are listed",
    )
    parser.add_argument("path", nargs="?", metavar="PATH", help="a node of the spec, such as layer1.0.conv1")
    add_overrides(parser)
    parser.add_argument("--format", choices=("text", "json"), default="text", help="form for a node (default: text)")


def run(options: argparse.Namespace) -> int:
    if options.path is not None:
        print(_node(options))
    else:
        print(_listing() if options.what is None else _page(options.what))
    return 0


def _node(options: argparse.Namespace) -> str:
    from netspec.backends.explain import explain

    found = explain(load_spec(options.what, options), options.path)
    return found.json() if options.format == "json" else found.text()


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
