"""What several commands share: the spec they take and how it is overridden, progress, and messages."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from netspec.diagnostics import Diagnostic, Problem, SpecError

if TYPE_CHECKING:
    from netspec.backends.pictures.drawing import Depth
    from netspec.graph import Graph

SPEC_HELP = "a YAML file, or the name of a spec that ships, such as resnet50"


def add_spec(parser: argparse.ArgumentParser) -> None:
    """Take one spec, and what overrides its parameters and input."""
    parser.add_argument("spec", metavar="SPEC", help=SPEC_HELP)
    add_overrides(parser)


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Take what overrides the parameters and the input of a spec, and what it may ask for."""
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
    parser.add_argument(
        "--limit",
        dest="limits",
        action="append",
        default=[],
        type=_limit,
        metavar="NAME=COUNT",
        help="change a limit of what a spec may ask for, such as nodes=200000; may be repeated",
    )


def _limit(text: str) -> tuple[str, int]:
    """The name and the number of an option such as `--limit nodes=200000`."""
    from netspec.limits import Limits

    name, _, count = text.partition("=")
    if name not in Limits._fields or not count.isdecimal() or len(count) > 18:
        raise argparse.ArgumentTypeError(f"is one of {', '.join(Limits._fields)}, an equals sign and a number")
    return name, int(count)


def positive(text: str) -> int:
    """The number of an option such as `--batch 8`."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def depth(text: str) -> int:
    """The number of levels of an option such as `--depth 2` or `--depth all`."""
    if text == "all":
        return sys.maxsize
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("must be at least 0, or `all`")
    return number


def level(text: str) -> Depth:
    """How much a picture shows: a number of levels, or `stage`, `block` and `op`, of which `all` is another name."""
    if text in ("stage", "block", "op"):
        return cast("Depth", text)
    if text != "all" and not text.isdecimal():
        raise argparse.ArgumentTypeError("is stage, block, op or a number of levels")
    return "op" if text == "all" else depth(text)


def load_spec(spec: str, options: argparse.Namespace) -> Graph:
    """The graph of a spec under the overrides of the command line. Raises `SpecError`."""
    from netspec.compiler import load
    from netspec.limits import Limits

    parameters: dict[str, Any] = {}
    for override in options.overrides:
        key, equals, value = override.partition("=")
        if not equals or not key:
            problem = Problem(
                "invalid-override", f"`--set {override}` is not KEY=VALUE", help=("--set num_classes=10",)
            )
            raise SpecError([problem.at(None)])
        if key.strip() in ("input", "limits"):
            problem = Problem("invalid-override", f"`{key}` is no parameter", help=("see `--input` and `--limit`",))
            raise SpecError([problem.at(None)])
        parameters[key.strip()] = _value(value, f"--set {key}")
    shape = plain_data(options.input, "--input") if options.input is not None else None
    return load(spec, input=shape, limits=Limits(**dict(options.limits)), **parameters)


def spec_files(references: Iterable[str], networks: bool = False) -> Iterator[str]:
    """Every spec that is named on the command line, once, a folder standing for all specs in it and below, sorted.

    Hidden folders and other YAML files are passed over; with `networks`, so are files that hold nothing but blocks for
    others to import. A folder without any stands for itself, so whoever reads it says what is wrong.
    """
    from netspec.catalog import shipped_specs

    seen: set[Path] = set()
    for reference in references:
        folder = os.path.isdir(reference) and reference not in shipped_specs()
        for found in (_below(reference, networks) if folder else []) or [reference]:
            path = Path(found).resolve()
            if path not in seen:
                seen.add(path)
                yield found


def _below(folder: str, networks: bool) -> list[str]:
    """The specs in a folder and below it."""
    found: list[Path] = []
    for path, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(path, name) for name in files if name.endswith((".yaml", ".yml"))]
    return [str(path) for path in sorted(found) if _is_spec(path, networks)]


def _is_spec(path: Path, network: bool) -> bool:
    """Whether a file has the keys of a spec, which it may have though it is no valid YAML."""
    import re

    from netspec.limits import limits

    try:
        with path.open("rb") as file:
            text = file.read(limits().file_bytes)
    except OSError:
        return True  # for the reader to report

    def has(keys: bytes) -> bool:
        start = rb"^(?:\xef\xbb\xbf)?(?:\{(?:.*[\s,])?)?"  # of a line, or inside a flow mapping that begins there
        return re.search(start + rb"""["']?(?:""" + keys + rb""")["']?\s*:""", text, re.MULTILINE) is not None

    return has(b"netspec") and (not network or has(b"inputs?|extends"))


class Result(NamedTuple):
    """What came of one spec, named as on the command line: its graph where it is valid, and what there is to say."""

    spec: str
    graph: Graph | None
    diagnostics: tuple[Diagnostic, ...] = ()


def complain(diagnostics: Iterable[Diagnostic]) -> int:
    """Write diagnostics to stderr; returns the exit status."""
    color = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    for diagnostic in diagnostics:
        print(diagnostic.render(color), end="\n\n", file=sys.stderr)
    return 1


def progress(text: str) -> None:
    """Show a line of progress on a terminal, in place of the last one; an empty text clears it."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def plain_data(text: str, name: str) -> Any:
    """The numbers, lists and mappings of an option; what is no number is left as a text. Raises `SpecError`."""
    return _plain(_value(text, name))


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
    return int(source.text) if source.text.isdecimal() and len(source.text) < 19 else source.text
