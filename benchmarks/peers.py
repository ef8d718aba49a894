"""The packages that netspec is compared with, networks of torchvision, and the devices that these are on."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torchvision
from torch import nn

from netspec.files import extra


def torchinfo() -> Any:
    """The package of that name. Raises `SpecError` where it is not installed."""
    return extra("torchinfo", "benchmarks", "this benchmark")


def torchview() -> Any:
    """The package of that name. Raises `SpecError` where it is not installed."""
    return extra("torchview", "benchmarks", "this benchmark")


def torchvision_on_meta(name: str, **arguments: Any) -> nn.Module:
    """A network of torchvision with arguments of its constructor, built on the meta device."""
    own_weights = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}  # else a warning
    with torch.device("meta"):
        module: nn.Module = torchvision.models.get_model(name, **own_weights, **arguments)
    return module


def torchvision_module(name: str) -> nn.Module:
    """A network of torchvision whose weights are still to be loaded."""
    return torchvision_on_meta(name).to_empty(device="cpu")


def torchinfo_summary(module: nn.Module, shape: tuple[int, ...]) -> Any:
    """What torchinfo finds by running a module on one sample of `shape`, every level of it."""
    return torchinfo().summary(module, input_size=(1, *shape), device="meta", verbose=0, depth=100)


def missing_device(device: str) -> str:
    """Why a device cannot be used, or nothing."""
    if device.partition(":")[0] not in ("cpu", "cuda"):
        return f"unknown device {device!r}: there is cpu, cuda"
    return "" if torch.cuda.is_available() else f"there is no device {device!r}: PyTorch finds no GPU"


def settled(device: str) -> Callable[[], object]:
    """What waits until a device has done all that it was given."""
    return int if device == "cpu" else partial(torch.cuda.synchronize, device)
