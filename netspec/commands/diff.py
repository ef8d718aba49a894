"""`netspec diff`: what differs between two networks, or what a parameter changes in one."""

from __future__ import annotations

import argparse

from netspec.commands.common import SPEC_HELP, add_overrides, level, load_spec


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("before", metavar="A", help=SPEC_HELP)
    parser.add_argument("after", metavar="B", nargs="?", help="another one; A itself where it is left out")
    add_overrides(parser)
    parser.epilog = "--set and --input are for B alone: `netspec diff resnet50 --set groups=32` shows what they change."
    parser.add_argument("--format", choices=("text", "json"), default="text", help="form of the report (default: text)")
    parser.add_argument("--all", action="store_true", dest="everything", help="give every node a line of its own")
    parser.add_argument("-o", "--output", metavar="FILE", help="draw both side by side, too: .svg or .png")
    parser.add_argument(
        "--depth", type=level, default="block", metavar="N", help="stage, block, op or levels to open (default: block)"
    )
    parser.add_argument("--exit-code", action="store_true", help="exit with status 1 where they differ")
    parser.set_defaults(refuse=parser.error)


def run(options: argparse.Namespace) -> int:
    from netspec.backends.diff import Difference

    if options.after is None and not options.overrides and options.input is None:
        options.refuse("give B, or what --set or --input changes in A")
    plain = argparse.Namespace(**{**vars(options), "overrides": [], "input": None})
    found = Difference(
        load_spec(options.before, plain),
        load_spec(options.after or options.before, options),
    )
    if options.output:
        from netspec.backends.pictures.picture import draw_difference

        draw_difference(found, options.output, depth=options.depth)
    if options.format == "json":
        print(found.json())
    else:
        from netspec.backends.diff_text import to_text

        print(to_text(found, options.everything))
    return 1 if options.exit_code and not found.equal else 0
