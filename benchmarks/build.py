"""Building with initial weights: netspec beside torchvision's constructor, on a device and on the meta device.

By default netspec draws each weight once; with `init="pytorch"` as often as torchvision does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import torch
import torchvision
from torch import nn

import netspec
import netspec.backends.module  # so that no contestant pays for an import
from benchmarks import peers
from benchmarks.contest import Contest
from benchmarks.fresh import RESET_PEAK

NETWORKS = (
    *("alexnet", "vgg16", "googlenet", "resnet50", "resnet152"),
    *("densenet201", "efficientnet_b7", "convnext_base", "vit_b_16"),
)
WITH_SWITCH = {"googlenet": {"init_weights": True}}  # without it torchvision warns, and initializes all the same
SIZE = "weights size"
TOLERANCE = 0.05  # of the standard deviation of a large tensor


def contests(folder: Path, *, device: str = "cpu") -> Iterator[Contest]:
    """For each network the time that building takes, and peak memory; then the time on the meta device."""
    for name in NETWORKS:
        graph = netspec.load(name)
        check(name, graph.build(), by_torchvision(name))
        place = None if device == "cpu" else device
        ways = {
            "netspec": partial(by_netspec, name, place),
            "netspec, spec compiled before": partial(graph.build, device=place),
            "netspec, init=pytorch": partial(graph.build, init="pytorch", device=place),
            "torchvision": partial(by_torchvision, name, place),
        }
        yield Contest(f"{name}, new weights", ways, settle=peers.settled(device), group="new weights")
        if device == "cpu" and RESET_PEAK.exists():
            jobs = {way: ways[way] for way in ("netspec", "torchvision")}
            size = sum(state.bytes for state in graph.state().values())
            facts = {way: {SIZE: float(size)} for way in jobs}
            yield Contest(f"{name}, new weights", jobs, memory=True, facts=facts, group="new weights, memory")
    for name in NETWORKS:
        ways = {
            "netspec": partial(by_netspec, name, "meta"),
            "netspec, spec compiled before": partial(netspec.load(name).build, device="meta"),
            "torchvision": partial(by_torchvision, name, "meta"),
        }
        yield Contest(f"{name}, meta device", ways, group="meta device")


def by_netspec(name: str, device: str | None = None) -> nn.Module:
    return netspec.load(name).build(device=device)


def by_torchvision(name: str, device: str | None = None) -> nn.Module:
    with nullcontext() if device is None else torch.device(device):
        module: nn.Module = torchvision.models.get_model(name, **WITH_SWITCH.get(name, {}))
    return module


def check(name: str, ours: nn.Module, theirs: nn.Module) -> None:
    """Stop where the contestants do not hold the same weights, drawn from distributions of one width."""
    mine, others = ours.state_dict(), theirs.state_dict()
    if mine.keys() != others.keys():
        raise ValueError(f"{name}: the contestants do not hold the same weights")
    for key, drawn in mine.items():
        if drawn.numel() > 10_000 and abs(drawn.std() - others[key].std()) > TOLERANCE * drawn.std():
            raise ValueError(f"{name}: the contestants draw `{key}` from other distributions")
