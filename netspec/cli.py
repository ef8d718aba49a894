"""The command line: one module of `netspec.commands` a command, imported when it is asked for.

Results go to stdout, messages to stderr. Exit status: 0 when all is well, 1 when a spec or a file is wrong, 2 when the
command line is.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from keyword import iskeyword

from netspec.diagnostics import SpecError
from netspec.recursion import deep_recursion

COMMANDS = {
    "check": "validate specs and infer every shape, without PyTorch",
    "build": "build the PyTorch module, run one batch and report",
    "summary": "print a table of shapes, parameters, MACs and memory",
    "plan": "say what training takes on several devices, and where to cut a pipeline",
    "diff": "say what differs between two networks",
    "draw": "draw the network",
    "watch": "draw the network in the browser, anew on every save",
    "explain": "explain a diagnostic code, or a node of a spec",
    "fmt": "rewrite specs in the canonical layout",
    "import": "write a spec of a PyTorch module or an ONNX file",
    "show": "print a spec with everything it extends merged in",
    "list": "list the specs that ship",
    "schema": "print the JSON Schema of specs, for editors",
    "completion": "print a completion script for a shell",
}
"""What each command does, in the order of the help. `netspec.commands.NAME` has its `declare` and its `run`.

A name that is a word of Python has an underscore behind it there.
"""


YOUNG_OBJECTS = 50_000  # that are made before garbage is looked for; with Python's 700 a command keeps looking in vain


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    chosen = given[0] if given and given[0] in COMMANDS else None
    gc.set_threshold(YOUNG_OBJECTS)
    options = make_parser(chosen).parse_args(given)
    try:
        with deep_recursion:
            status = options.run(options)
        sys.stdout.flush()
    except SpecError as error:
        from netspec.commands.common import complain

        status = complain(error.diagnostics)
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 141
    raise SystemExit(status)


def make_parser(chosen: str | None = None) -> argparse.ArgumentParser:
    """The command line, of which shell completion is generated; only `chosen` where one is named."""
    parser = argparse.ArgumentParser(
        prog="netspec",
        description="Check, build and draw neural networks that are written as YAML specs.",
        epilog="Start with `netspec list`, `netspec summary resnet50` and `netspec draw resnet50`.",
        formatter_class=_formatter,
    )
    parser.add_argument("--version", action="version", version=f"netspec {_version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS if chosen is None else (chosen,):
        summary = COMMANDS[name]
        added = commands.add_parser(
            name, help=summary, description=summary[0].upper() + summary[1:] + ".", formatter_class=_formatter
        )
        command = import_module(f"netspec.commands.{name}_" if iskeyword(name) else f"netspec.commands.{name}")
        command.declare(added)
        added.set_defaults(run=command.run)
    return parser


def _formatter(prog: str) -> argparse.HelpFormatter:
    """The usual layout of help. argparse makes one for every option, and imports `shutil` to ask for the width."""
    return argparse.HelpFormatter(prog, width=_width() - 2)


def _width() -> int:
    """Columns of the terminal, as `shutil.get_terminal_size` finds them."""
    try:
        return int(os.environ["COLUMNS"])
    except (KeyError, ValueError):
        pass
    try:
        return os.get_terminal_size(sys.__stdout__.fileno()).columns if sys.__stdout__ else 80
    except (ValueError, OSError):
        return 80


def _version() -> str:
    from netspec import __version__

    return __version__
