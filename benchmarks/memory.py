"""Peak memory of activations: what netspec states before a run, beside what PyTorch allocates; and with checkpoints.

Bytes are counted, so they are the same in every round, and everything here is a fact.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
import torchvision
from torch import nn

import netspec
from benchmarks import allocations
from benchmarks.contest import CPU_TIME, Contest, time_of

NETWORKS = ("resnet50", "googlenet", "densenet121", "efficientnet_b0", "mobilenet_v3_small", "vit_b_16")
PIXELS = 224
LARGE, LARGE_BATCH = "densenet201", 8
TENSORS = "tensor memory"
LAYERS = ["features.denseblock*.*"]


def contests(folder: Path) -> Iterator[Contest]:
    """For each network the peak in eval mode and in training; then one that is trained with and without checkpoints."""
    for name in NETWORKS:
        graph, picture = netspec.load(name), torch.randn(1, 3, PIXELS, PIXELS)
        module = graph.build()
        facts = {}
        for training, measure in ((False, allocations.inference), (True, allocations.training)):
            stated = graph.activation_memory(training=training)
            facts["training" if training else "inference"] = compared(measure(module, picture), stated)
        yield Contest(f"{name}, batch 1", {}, facts=facts)
    yield Contest(f"{LARGE}, training, batch {LARGE_BATCH}", {}, facts=with_checkpoints())


def with_checkpoints() -> dict[str, dict[str, float]]:
    """A step of a large network with checkpoints and without, netspec's and torchvision's."""
    graph = netspec.load(LARGE)
    ways: dict[str, nn.Module] = {
        "eager": graph.build(),
        "netspec, layers checkpointed": graph.build(checkpoint=LAYERS),
        "torchvision, memory_efficient": torchvision.models.get_model(LARGE, memory_efficient=True),
    }
    pictures = torch.randn(LARGE_BATCH, 3, PIXELS, PIXELS)
    facts: dict[str, dict[str, float]] = {}
    for way, module in ways.items():
        peak = allocations.training(module, pictures)
        stated = graph.activation_memory(
            batch=LARGE_BATCH, training=True, checkpoint=LAYERS if "netspec" in way else ()
        )
        facts[way] = compared(peak, stated) if "torchvision" not in way else measured(peak)
        facts[way]["of eager"] = peak.tensors / facts["eager"][TENSORS]
        facts[way]["step time"] = time_of(partial(step, module, pictures))[CPU_TIME]
    return facts


def measured(peak: allocations.Peak) -> dict[str, float]:
    return {TENSORS: float(peak.tensors), "with kernels memory": float(peak.kernels)}


def compared(peak: allocations.Peak, stated: int) -> dict[str, float]:
    """What was measured, what was stated, and how many times the one the other is."""
    return measured(peak) | {"stated memory": float(stated), "stated / measured": stated / peak.tensors}


def step(module: nn.Module, pictures: torch.Tensor) -> None:
    """A forward and a backward pass."""
    module(pictures).sum().backward()
