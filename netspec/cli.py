"""The commands. Results go to stdout, messages to stderr; a command imports only what it needs.

Exit status: 0 when all is well, 1 when a spec or a file is wrong, 2 when the command line is.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netspec.diagnostics import Problem, SpecError

if TYPE_CHECKING:
    from netspec.graph import Graph

_ABOUT_WIDTH = 100  # characters of a line of `netspec list`

_SPEC_HELP = "a YAML file, or the name of a spec that ships, such as resnet50"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its status."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    try:
        status = options.command(options)
        sys.stdout.flush()
    except SpecError as error:
        status = _complain(error)
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 141
    raise SystemExit(status)


def make_parser() -> argparse.ArgumentParser:
    """The command line; shell completion is generated from it."""
    parser = argparse.ArgumentParser(
        prog="netspec",
        description="Check, build and draw neural networks that are written as YAML specs.",
        epilog="Start with `netspec list`, `netspec summary resnet50` and `netspec draw resnet50`.",
    )
    parser.add_argument("--version", action="version", version=f"netspec {_version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, run: Callable[[Any], int], summary: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        added.set_defaults(command=run)
        return added

    check = command("check", _check, "validate specs and infer every shape, without PyTorch")
    check.add_argument("specs", nargs="+", metavar="SPEC", help=_SPEC_HELP)
    _add_overrides(check)

    build = command("build", _build, "build the PyTorch module, run one batch and report")
    _add_spec(build)
    build.add_argument(
        "--weights", metavar="WEIGHTS", help="a .safetensors, .pth or .pt file, or a name such as DEFAULT"
    )
    build.add_argument("--seed", type=int, metavar="N", help="draw the initial weights from this seed")
    build.add_argument("--batch", type=_positive, default=1, metavar="N", help="samples in the batch (default: 1)")
    build.add_argument("-o", "--output", metavar="FILE", help="save the weights: .safetensors or .pth")

    summary = command("summary", _summary, "print a table of shapes, parameters, MACs and memory")
    _add_spec(summary)
    summary.add_argument("--depth", type=_depth, default=2, metavar="N", help="levels to show, or `all` (default: 2)")
    formats = ("text", "json", "markdown")
    summary.add_argument("--format", choices=formats, default="text", help="form of the table (default: text)")

    draw = command("draw", _draw, "draw the network")
    _add_spec(draw)
    draw.add_argument("-o", "--output", metavar="FILE", help=".svg, .png or .dot (default: NAME.svg)")
    draw.add_argument("--depth", type=_depth, metavar="N", help="levels of blocks to open, or `all`")

    show = command("show", _show, "print a spec with everything it extends merged in")
    show.add_argument("spec", metavar="SPEC", help=_SPEC_HELP)

    listing = command("list", _list, "list the specs that ship")
    listing.set_defaults(command=_list)

    completion = command("completion", _completion, "print a completion script for a shell")
    completion.add_argument("shell", choices=("bash", "zsh", "tcsh"))
    return parser


def _add_spec(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("spec", metavar="SPEC", help=_SPEC_HELP)
    _add_overrides(parser)


def _add_overrides(parser: argparse.ArgumentParser) -> None:
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


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _depth(text: str) -> int:
    if text == "all":
        return sys.maxsize
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("must be at least 0, or `all`")
    return number


def _version() -> str:
    from netspec import __version__

    return __version__


# Commands ------------------------------------------------------------------------------------------------------------


def _check(options: argparse.Namespace) -> int:
    status = 0
    for spec in options.specs:
        try:
            graph = _load(spec, options)
        except SpecError as error:
            status = _complain(error)
            continue
        print(f"{spec}: ok, {_costs(graph)}, {_signature(graph)}")
    return status


def _build(options: argparse.Namespace) -> int:
    from netspec.files import extra

    graph = _load(options.spec, options)
    extra("torch", "torch", "building a module")
    _status(f"building {graph.name} ...")
    from netspec.backends.report import build_and_report

    chosen = {"weights": options.weights, "seed": options.seed}
    report = build_and_report(graph, **chosen, batch=options.batch, output=options.output)
    _status("")
    print(report)
    return 0


def _summary(options: argparse.Namespace) -> int:
    from netspec.backends.summary import to_summary

    summary = to_summary(_load(options.spec, options))
    print(getattr(summary, options.format)(options.depth))
    return 0


def _draw(options: argparse.Namespace) -> int:
    from netspec.backends.picture import draw

    graph = _load(options.spec, options)
    path = Path(options.output or f"{graph.name}.svg")
    draw(graph, path, depth=options.depth)
    print(path)
    return 0


def _show(options: argparse.Namespace) -> int:
    from netspec.catalog import Origin, find
    from netspec.diagnostics import Reporter
    from netspec.inherit import inherit
    from netspec.source import read, write

    try:
        path, name = find(options.spec)
    except Problem as problem:
        raise SpecError([problem.at(None)]) from None
    reporter = Reporter()
    document = inherit(read(path, name), Origin.of(path), reporter)
    reporter.raise_if_failed()
    assert document is not None
    print(write(document.merged), end="")
    return 0


def _list(options: argparse.Namespace) -> int:
    from textwrap import shorten

    from netspec.catalog import Origin, shipped_specs
    from netspec.diagnostics import Reporter
    from netspec.inherit import inherit
    from netspec.source import Scalar, read

    del options
    width = max(map(len, shipped_specs()))
    for name, path in shipped_specs().items():
        document = inherit(read(path), Origin.of(path), Reporter())
        about = document.mapping.get("about") if document is not None else None
        text = " ".join(about.text.split()).partition(". ")[0].rstrip(".") if isinstance(about, Scalar) else ""
        print(f"{name:<{width}}  {shorten(text, _ABOUT_WIDTH, placeholder=' …')}".rstrip())
    return 0


def _completion(options: argparse.Namespace) -> int:
    from netspec.files import extra

    shtab = extra("shtab", "completion", "shell completion")
    print(shtab.complete(make_parser(), options.shell))
    return 0


# Pieces --------------------------------------------------------------------------------------------------------------


def _load(spec: str, options: argparse.Namespace) -> Graph:
    from netspec.compiler import load
    from netspec.source import Source

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


def _costs(graph: Graph) -> str:
    from netspec.quantities import short

    return f"{short(graph.parameters)} parameters, {short(graph.macs)}MACs"


def _signature(graph: Graph) -> str:
    return f"{', '.join(map(str, graph.inputs.values()))} → {', '.join(map(str, graph.outputs.values()))}"


def _complain(error: SpecError) -> int:
    color = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    print("\n\n".join(diagnostic.render(color) for diagnostic in error.diagnostics), file=sys.stderr)
    print(file=sys.stderr)
    return 1


def _status(text: str) -> None:
    """Show a line of progress on a terminal, in place of the last one; an empty text clears it."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
