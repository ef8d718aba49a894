"""`netspec import`: write a spec of a PyTorch module, or of an ONNX file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from netspec.commands.common import depth, plain_data, progress
from netspec.diagnostics import Problem, SpecError

FORMATS = (".yaml", ".yml")


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="torchvision:NAME, timm:NAME, an ONNX file, or package.module:CALLABLE with --allow-code",
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="write the spec to FILE (default: print it)")
    parser.add_argument(
        "--input", metavar="SHAPE", help="shape of the input, such as [3,64,64]; with several, {image: [3,64,64]}"
    )
    parser.add_argument(
        "--max-depth", type=depth, metavar="N", help="write modules below N levels in line, under names with dots"
    )
    parser.add_argument("--no-verify", action="store_true", help="do not compare the spec with the module")
    parser.add_argument("--allow-code", action="store_true", help="call CALLABLE, which may do anything you may do")


def run(options: argparse.Namespace) -> int:
    from netspec.files import unknown_format, whole

    if options.output is not None and not options.output.endswith(FORMATS):
        raise unknown_format(options.output, list(FORMATS))
    text = _from_file(options) if options.source.endswith(".onnx") else _from_module(options)
    progress("")
    if options.output is None:
        print(text, end="")
        return 0
    with whole(options.output) as path:
        path.write_text(text, encoding="utf-8")
    print(f"saved       {options.output}")
    return 0


def _from_file(options: argparse.Namespace) -> str:
    """The spec of an ONNX file."""
    from netspec.importing.fold.fold import fold
    from netspec.importing.onnx.file import from_onnx

    progress(f"importing {options.source} ...")
    graph, weights = from_onnx(options.source)
    text = fold(graph)
    if not options.no_verify:
        from netspec.importing.onnx.check import check_onnx

        check_onnx(text, options.source, weights)
    return text


def _from_module(options: argparse.Namespace) -> str:
    """The spec of a PyTorch module."""
    from netspec.files import extra
    from netspec.importing.sources import find_module

    torch = extra("torch", "torch", "importing a module")
    progress(f"making {options.source} ...")
    found = find_module(options.source, options.allow_code)
    shapes = _shapes(options.input) if options.input is not None else [found.input] if found.input else []
    if not shapes:
        help = (f"netspec import {options.source} --allow-code --input '[3, 224, 224]'",)
        raise SpecError([Problem("missing-example", "the shape of the input is not known", help=help).at(None)])
    from netspec.importing.importer import from_module

    progress(f"importing {found.name} ...")
    examples = [torch.zeros(1, *shape) for shape in shapes]
    verify = not options.no_verify
    return from_module(found.module, *examples, name=found.name, max_depth=options.max_depth, verify=verify)


def _shapes(text: str) -> list[Sequence[int]]:
    """The shapes of an option such as `--input [3,64,64]`. Raises `SpecError`."""
    given = plain_data(text, "--input")
    shapes = list(given.values()) if isinstance(given, dict) else [given]
    for shape in shapes:
        if not isinstance(shape, list) or not all(isinstance(length, int) and length > 0 for length in shape):
            help = ("--input '[3, 64, 64]'",)
            problem = Problem("invalid-override", f"`--input {text}` is not a list of positive integers", help=help)
            raise SpecError([problem.at(None)])
    return shapes
