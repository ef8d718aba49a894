"""`netspec watch`: the page of a spec in the browser, drawn anew on every save, with the messages beside it."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from netspec.commands.common import add_spec, load_spec
from netspec.diagnostics import Problem, SpecError

if TYPE_CHECKING:
    from netspec.watch import Board, Watcher

_WORKER = "import sys; sys.path[:] = sys.argv[1:]; from netspec.commands.watch import work; work()"


def declare(parser: argparse.ArgumentParser) -> None:
    add_spec(parser)
    parser.add_argument(
        "--port", type=_port, metavar="N", help="serve at this port of 127.0.0.1 (default: 8421, if free)"
    )
    parser.add_argument("--no-open", action="store_true", help="open no browser, which is done on a terminal alone")


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 2**16:
        raise argparse.ArgumentTypeError("is a number from 1 to 65535")
    return int(text)


def run(options: argparse.Namespace) -> int:
    import webbrowser
    from threading import Event

    from netspec.watch import Board, open_server, serve

    board = Board()
    spec = watcher(options, board)
    server = open_server(options.port, board)
    print(server.url, flush=True)
    print(f"watching {spec.path}; Ctrl-C ends it", file=sys.stderr)
    if sys.stdout.isatty() and not options.no_open:
        webbrowser.open(server.url)
    serve(server, spec, Event())
    return 0


def watcher(options: argparse.Namespace, board: Board) -> Watcher:
    """What brings a board up to date with the spec of the command line. Raises `SpecError` where there is none."""
    from netspec.catalog import find
    from netspec.watch import Watcher

    try:
        path, _ = find(options.spec)
    except Problem as problem:
        raise SpecError([problem.at(None)]) from None
    names = ("spec", "overrides", "input", "limits")
    request = json.dumps({name: getattr(options, name) for name in names} | {"path": str(path)})
    return Watcher(path, [sys.executable, "-c", _WORKER, *sys.path], request, board)


def work() -> None:
    """Compile once, in a process of its own: the options come from stdin, and the `Reply` goes to stdout."""
    from pathlib import Path

    from netspec.backends.pictures.page import to_page
    from netspec.limits import Limits, in_force
    from netspec.watch import Reply, painted, stamps_of_spec

    options = argparse.Namespace(**json.load(sys.stdin))
    with in_force(Limits(**dict(options.limits))):
        stamps = stamps_of_spec(Path(options.path))  # before the files are read, so that no save is missed
    try:
        graph = load_spec(options.spec, options)
        reply = Reply(True, to_page(graph), painted(graph.warnings), stamps)
    except SpecError as error:
        sketch = to_page(error.sketch) if error.sketch else ""
        reply = Reply(False, sketch, painted(error.diagnostics), stamps)
    print(json.dumps(reply))
