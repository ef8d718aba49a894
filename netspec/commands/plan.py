"""`netspec plan`: what training takes on each of several devices, and where a pipeline would be cut."""

from __future__ import annotations

import argparse
import re

from netspec.commands.common import add_spec, load_spec, positive
from netspec.diagnostics import Problem, SpecError

UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
OPTIMIZERS = ("adamw", "sgd", "momentum")


def declare(parser: argparse.ArgumentParser) -> None:
    add_spec(parser)
    parser.add_argument("--devices", type=positive, default=1, metavar="N", help="devices (default: 1)")
    parser.add_argument("--memory", type=_size, metavar="SIZE", help="memory of a device, such as 80GiB")
    parser.add_argument(
        "--batch", type=positive, metavar="N", help="samples of a step, over all devices (default: one for each)"
    )
    parser.add_argument(
        "--microbatches",
        type=positive,
        metavar="N",
        help="parts of a batch in a pipeline (default: one for each device)",
    )
    parser.add_argument(
        "--optimizer", choices=OPTIMIZERS, default="adamw", help="`momentum` is SGD with momentum (default: adamw)"
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="form of the plan (default: text)")


def run(options: argparse.Namespace) -> int:
    from netspec.backends.parallel.plan import Job, to_plan

    batch = options.batch or options.devices
    microbatches = options.microbatches or min(options.devices, batch)
    if microbatches > batch:
        problem = Problem("wrong-value", f"a batch of {batch} cannot be cut into {microbatches} microbatches")
        raise SpecError([problem.at(None)])
    job = Job(options.devices, batch, microbatches, options.optimizer)
    plan = to_plan(load_spec(options.spec, options), job, options.memory)
    print(getattr(plan, options.format)())
    return 0


def _size(text: str) -> int:
    """The bytes of a size such as `80GiB` or `24 GB`."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?) ?([a-zA-Z]+)", text.strip())
    if match is None or match[2] not in UNITS:
        raise argparse.ArgumentTypeError(f"is a number and one of {', '.join(UNITS)}, such as 80GiB")
    return int(float(match[1]) * UNITS[match[2]])
