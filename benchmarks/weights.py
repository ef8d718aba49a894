"""Building with trained weights: netspec beside torchvision's constructor and PyTorch's `load_state_dict`.

A file's pages that are mapped, but not read yet, cost nothing; so each job is measured again with every weight read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import safetensors.torch
import torch
import torchvision
from torch import nn

import netspec
import netspec.backends.weights  # so that no contestant pays for an import
from benchmarks.contest import Contest
from benchmarks.fresh import RESET_PEAK

NETWORKS = ("resnet50", "vgg16")
MORE_NETWORKS = (*NETWORKS, "densenet201", "efficientnet_b7")
SUFFIXES = (".pth", ".safetensors")
SHORT = ("netspec", "torchvision", "torchvision, meta device, assigned")  # who takes part in the longer contests
PAGE = 4096  # bytes

Build = Callable[[], nn.Module]


def contests(folder: Path, *, full: bool = False) -> Iterator[Contest]:
    """For each network and format: the time that building takes, that with every weight read, and peak memory."""
    for name in MORE_NETWORKS if full else NETWORKS:
        state = torchvision.models.get_model(name).state_dict()
        for suffix in SUFFIXES:
            file = folder / f"{name}{suffix}"
            save(state, file)
            ways = ways_to_build(name, file)
            for way in ways.values():
                check(way(), state)
            yield Contest(file.name, ways)
            yield Contest(f"{file.name}, every weight read", {way: partial(read, ways[way]) for way in SHORT})
            if RESET_PEAK.exists():
                yield Contest(file.name, {way: ways[way] for way in SHORT}, memory=True)
            file.unlink()


def ways_to_build(name: str, file: Path) -> dict[str, Build]:
    """Ways to the same network with the same weights, by the name of the contestant."""
    graph = netspec.load(name)
    ways: dict[str, Build] = {
        "netspec": partial(by_netspec, name, file),
        "netspec, spec compiled before": lambda: graph.build(weights=file),
        "torchvision": partial(by_torchvision, name, file),
    }
    if file.suffix == ".pth":
        ways["torchvision, file mapped"] = partial(by_torchvision, name, file, mmap=True)
    return ways | {"torchvision, meta device, assigned": partial(by_torchvision_on_meta, name, file)}


def by_netspec(name: str, file: Path) -> nn.Module:
    return netspec.load(name).build(weights=file)


def by_torchvision(name: str, file: Path, *, mmap: bool = False) -> nn.Module:
    """As torchvision's own builders do it."""
    module: nn.Module = torchvision.models.get_model(name)
    module.load_state_dict(tensors(file, mmap=mmap))
    return module


def by_torchvision_on_meta(name: str, file: Path) -> nn.Module:
    """As PyTorch's documentation advises for large networks: no initial weights, and none copied."""
    with torch.device("meta"):
        module: nn.Module = torchvision.models.get_model(name)
    module.load_state_dict(tensors(file, mmap=True), assign=True)
    return module


def tensors(file: Path, *, mmap: bool) -> dict[str, torch.Tensor]:
    """What a file of weights holds; safetensors always maps it."""
    if file.suffix == ".safetensors":
        return safetensors.torch.load_file(file)
    loaded: dict[str, torch.Tensor] = torch.load(file, weights_only=True, mmap=mmap)
    return loaded


def read(build: Build) -> nn.Module:
    """Build, and read a byte of every page of memory that holds weights, as a first run would do."""
    module = build()
    for tensor in module.state_dict().values():
        tensor.reshape(-1).view(torch.uint8)[::PAGE].sum()
    return module


def save(state: dict[str, torch.Tensor], file: Path) -> None:
    """Write a file of weights in the format of its suffix."""
    if file.suffix == ".safetensors":
        safetensors.torch.save_file(state, file)
    else:
        torch.save(state, file)


def check(module: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Stop where a contestant does not hold the weights of the file: it did another job."""
    held = module.state_dict()
    if held.keys() != state.keys() or not all(torch.equal(held[key], state[key]) for key in state):
        raise ValueError("a contestant did not load the weights of the file")
