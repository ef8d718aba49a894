"""`netspec build`: make the PyTorch module, run it once, save its weights where asked."""

from __future__ import annotations

import argparse

from netspec.commands.common import add_spec, load_spec, progress


def declare(parser: argparse.ArgumentParser) -> None:
    add_spec(parser)
    parser.add_argument(
        "--weights", metavar="WEIGHTS", help="a .safetensors, .pth or .pt file, or a name such as DEFAULT"
    )
    parser.add_argument(
        "--freeze", action="append", default=[], metavar="PATH", help="do not train what is at PATH; may be repeated"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="draw the initial weights from this seed")
    parser.add_argument("--batch", type=_positive, default=1, metavar="N", help="samples in the batch (default: 1)")
    parser.add_argument("-o", "--output", metavar="FILE", help="save the weights: .safetensors or .pth")


def run(options: argparse.Namespace) -> int:
    from netspec.files import extra

    graph = load_spec(options.spec, options)
    extra("torch", "torch", "building a module")
    progress(f"building {graph.name} ...")
    from netspec.backends.report import build_and_report

    report = build_and_report(
        graph,
        weights=options.weights,
        seed=options.seed,
        freeze=options.freeze,
        batch=options.batch,
        output=options.output,
    )
    progress("")
    print(report)
    return 0


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number
