"""From a spec to every shape, the parameters and the MACs: netspec beside tools that build the module and run it.

First as a user meets it, a whole process with its start; then in one process that has all imports done; then many
variants of one network, as a search over candidates asks for them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

import netspec
from benchmarks import peers
from benchmarks.contest import ROOT, Contest, Job
from benchmarks.fresh import RESET_PEAK
from netspec import catalog

NETWORK, SHAPE = "resnet50", (3, 224, 224)
VARIANTS = 20  # that a contestant checks in one go
NETWORKS = ("lenet5", "resnet50", "densenet201", "efficientnet_b7", "nasnetalarge")

IMPORTS = "import yaml, pydantic"
CHECK = f"import sys; from netspec.cli import main; sys.argv = ['netspec', 'check', '{NETWORK}']; main()"
TORCHINFO = f"from benchmarks import peers; peers.torchinfo_summary(peers.torchvision_on_meta('{NETWORK}'), {SHAPE})"

Costs = tuple[int, int]
"""Parameters and MACs."""


def contests(folder: Path) -> Iterator[Contest]:
    """Whole processes; several networks by netspec; one network by all."""
    peers.torchinfo()
    processes = {IMPORTS: IMPORTS, f"netspec check {NETWORK}": CHECK, "import torch": "import torch"}
    processes["torchinfo, meta device"] = TORCHINFO
    yield Contest(f"{NETWORK}, whole process", {name: partial(process, code) for name, code in processes.items()})
    yield from both("netspec, in process", {name: partial(by_netspec, name) for name in NETWORKS})
    ways = {
        "netspec": partial(by_netspec, NETWORK),
        "torchinfo, meta device": partial(by_torchinfo, NETWORK),
        "flop counter, meta device": partial(by_flop_counter, NETWORK),
    }
    counted = {way: count() for way, count in ways.items()}
    assert len({parameters for parameters, _ in counted.values()}) == 1, f"the parameters differ: {counted}"
    assert counted["netspec"] == counted["flop counter, meta device"], f"the MACs differ: {counted}"
    yield from both(f"{NETWORK}, in process", ways)
    file = folder / "own.yaml"
    shutil.copy(catalog.find(NETWORK)[0], file)
    sweeps: dict[str, Job] = {
        "netspec, width_per_group": partial(sweep, NETWORK, "width_per_group"),
        "netspec, width_per_group, a file": partial(sweep, str(file), "width_per_group"),
        "netspec, num_classes": partial(sweep, NETWORK, "num_classes"),
        "torchinfo, meta device, width_per_group": sweep_by_torchinfo,
    }
    assert sweeps["netspec, width_per_group"]() == sweep_by_torchinfo(), "the parameters of the variants differ"
    yield from both(f"{NETWORK}, {VARIANTS} variants", sweeps)


def both(title: str, ways: Mapping[str, Job]) -> Iterator[Contest]:
    """The contest of time and that of memory."""
    yield Contest(title, ways)
    if RESET_PEAK.exists():
        yield Contest(title, ways, memory=True)


def process(code: str) -> None:
    """Run Python code in a process of its own, which may use and write compiled files whatever this one may."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, check=True)


def by_netspec(name: str) -> Costs:
    graph = netspec.load(name)
    return graph.parameters, graph.macs


def sizes() -> range:
    """A value of the parameter for each variant, none of which is its default."""
    return range(16, 16 + 2 * VARIANTS, 2)


def sweep(spec: str, parameter: str) -> list[int]:
    """The parameters of all variants; every one of them is another network."""
    given: list[dict[str, Any]] = [{parameter: size} for size in sizes()]
    graphs = [netspec.load(spec, **parameters) for parameters in given]
    return [graph.parameters for graph in graphs if graph.macs]


def sweep_by_torchinfo() -> list[int]:
    modules = (peers.torchvision_on_meta(NETWORK, width_per_group=size) for size in sizes())
    return [peers.torchinfo_summary(module, SHAPE).trainable_params for module in modules]


def by_torchinfo(name: str) -> Costs:
    """torchinfo's own count, which has a multiply-add for each element of a batch norm besides."""
    summary = peers.torchinfo_summary(peers.torchvision_on_meta(name), SHAPE)
    return summary.trainable_params, summary.total_mult_adds


def by_flop_counter(name: str) -> Costs:
    module = peers.torchvision_on_meta(name).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.empty(1, *SHAPE, device="meta"))
    return sum(parameter.numel() for parameter in module.parameters()), counter.get_total_flops() // 2
