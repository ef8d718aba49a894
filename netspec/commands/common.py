"""What several commands share: the spec they take and how it is overridden, progress, and messages."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

from netspec.diagnostics import Problem, SpecError

if TYPE_CHECKING:
    from netspec.graph import Graph
    from netspec.source import Source

SPEC_HELP = "a YAML file, or the name of a spec that ships, such as resnet50"


def add_spec(parser: argparse.ArgumentParser) -> None:
    """Take one spec, and what overrides its parameters and input."""
    parser.add_argument("spec", metavar="SPEC", help=SPEC_HELP)
    add_overrides(parser)


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Take what overrides the parameters and the input of a spec."""
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a parameter, such as num_classes=10 or layers=[2,2,2,2]; may be repeated",
    )
    parser.add_argument(
        "--input", metavar="SHAPE", help="override the input shape, such as [3,64,64]; with several, {image: [3,64,64]}"
    )


def depth(text: str) -> int:
    """The number of levels of an option such as `--depth 2` or `--depth all`."""
    if text == "all":
        return sys.maxsize
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("must be at least 0, or `all`")
    return number


def load_spec(spec: str, options: argparse.Namespace) -> Graph:
    """The graph of a spec under the overrides of the command line. Raises `SpecError`."""
    from netspec.compiler import load

    parameters: dict[str, Source] = {}
    for override in options.overrides:
        key, equals, value = override.partition("=")
        if not equals or not key:
            problem = Problem(
                "invalid-override", f"`--set {override}` is not KEY=VALUE", help=("--set num_classes=10",)
            )
            raise SpecError([problem.at(None)])
        parameters[key.strip()] = _value(value, f"--set {key}")
    shape = _plain(_value(options.input, "--input")) if options.input is not None else None
    return load(spec, input=shape, **parameters)


def complain(error: SpecError) -> int:
    """Write every diagnostic to stderr; returns the exit status."""
    color = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    print("\n\n".join(diagnostic.render(color) for diagnostic in error.diagnostics), file=sys.stderr)
    print(file=sys.stderr)
    return 1


def progress(text: str) -> None:
    """Show a line of progress on a terminal, in place of the last one; an empty text clears it."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _value(text: str, name: str) -> Any:
    from netspec.source import Scalar, read_text

    if not text.strip():
        raise SpecError([Problem("invalid-override", f"`{name}` has no value").at(None)])
    source = read_text(text, name)
    return Scalar(source.text, source.span, True) if isinstance(source, Scalar) else source


def _plain(source: Any) -> Any:
    """A source tree of numbers as plain data; what is no number is left for the compiler to refuse."""
    from netspec.source import Mapping, Sequence

    if isinstance(source, Sequence):
        return [_plain(item) for item in source.items]
    if isinstance(source, Mapping):
        return {key.text: _plain(value) for key, value in source.entries}
    return int(source.text) if source.text.isdigit() else source.text
