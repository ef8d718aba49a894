"""The packages that netspec is compared with, on networks of the meta device, which takes no memory for weights."""

from __future__ import annotations

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


def torchvision_on_meta(name: str) -> nn.Module:
    """A network of torchvision, built on the meta device."""
    with torch.device("meta"):
        module: nn.Module = torchvision.models.get_model(name)
    return module


def torchinfo_summary(module: nn.Module, shape: tuple[int, ...]) -> Any:
    """What torchinfo finds by running a module on one sample of `shape`, every level of it."""
    return torchinfo().summary(module, input_size=(1, *shape), device="meta", verbose=0, depth=100)
