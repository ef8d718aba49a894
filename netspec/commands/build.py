"""`netspec build`: make the PyTorch module, run it once, save its weights where asked."""

from __future__ import annotations

import argparse
from dataclasses import replace

from netspec.commands.common import add_spec, load_spec, positive, progress


def declare(parser: argparse.ArgumentParser) -> None:
    add_spec(parser)
    parser.add_argument(
        "--weights", metavar="WEIGHTS", help="a .safetensors, .pth or .pt file, or a name such as DEFAULT"
    )
    parser.add_argument(
        "--freeze", action="append", default=[], metavar="PATH", help="do not train what is at PATH; may be repeated"
    )
    parser.add_argument(
        "--checkpoint",
        action="append",
        default=[],
        metavar="PATH",
        help="in training, compute what is at PATH again in the backward pass, to save memory; may be repeated",
    )
    parser.add_argument(
        "--init",
        choices=("once", "pytorch"),
        default="once",
        help="draw each initial weight once (default), or exactly as PyTorch's constructors would under the same seed",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="draw the initial weights from this seed")
    parser.add_argument("--batch", type=positive, default=1, metavar="N", help="samples in the batch (default: 1)")
    parser.add_argument("--optimize", action="store_true", help="make it faster for evaluation, and say by how much")
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16"),
        default="float32",
        help="what the optimized network computes with (default: float32)",
    )
    parser.add_argument(
        "-o",
        "--output",
        action="append",
        default=[],
        metavar="FILE",
        help="write weights (.safetensors, .pth), a program (.pt2, .onnx), Python source (.py) or the graph (.json); "
        "may be repeated",
    )


def run(options: argparse.Namespace) -> int:
    from netspec.backends.export import check_formats, export, needs_module
    from netspec.files import extra

    check_formats(options.output)
    graph = load_spec(options.spec, options)
    if options.output and not any(map(needs_module, options.output)):
        graph = replace(
            graph,
            freeze=(*graph.freeze, *options.freeze),
            checkpoint=(*graph.checkpoint, *options.checkpoint),
        )
        graph.frozen()
        graph.checkpointed()
        for output in options.output:
            print(f"saved       {export(graph, output)}")
        return 0
    extra("torch", "torch", "building a module")
    progress(f"building {graph.name} ...")
    from netspec.backends.report import build_and_report

    report = build_and_report(
        graph,
        weights=options.weights,
        init=options.init,
        seed=options.seed,
        freeze=options.freeze,
        checkpoint=options.checkpoint,
        batch=options.batch,
        optimized=options.dtype if options.optimize else None,
        outputs=options.output,
    )
    progress("")
    print(report)
    return 0
