"""Optimized inference: `netspec.optimize` beside torchvision eager and PyTorch's `optimize_for_inference`.

All have the same weights and get the same pictures. What the preparation takes is a fact beside the time of a run, and
so is how far the outputs are from those of torchvision in float32, relative to the largest.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from functools import partial
from itertools import product
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor, nn

import netspec
import netspec.backends.optimize.optimize  # so that no contestant pays for an import
from benchmarks import peers
from benchmarks.contest import Contest

NETWORKS = ("resnet18", "resnet50", "googlenet", "densenet121", "efficientnet_b0", "mobilenet_v3_small")
MORE_NETWORKS = (*NETWORKS, "vgg16", "vit_b_16")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
SIZE = 224  # pixels

PREPARATION, ERROR = "preparation time", "error"
LEAST = 0.2  # seconds
WARM_UPS = 3  # of a scripted module, which is compiled for the shapes of its first runs
TOLERANCES = {"float32": 1e-4, "bfloat16": 0.1}  # of the largest output

Run = Callable[[Tensor], Tensor]


def contests(folder: Path, *, full: bool = False, device: str = "cpu") -> Iterator[Contest]:
    """For each network, batch and dtype: one forward pass in eval mode."""
    networks, batches = (MORE_NETWORKS, (1, 8)) if full else (NETWORKS, (1,))
    for batch, name, dtype in product(batches, networks, DTYPES):
        picture = torch.randn(batch, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)).to(device)
        original = netspec.load(name).build(seed=0)
        theirs = peers.torchvision_module(name)
        theirs.load_state_dict(original.state_dict())
        original, theirs = original.to(device).eval(), theirs.to(device).eval()
        settle = peers.settled(device)
        with torch.no_grad():
            expected = theirs(picture)
            jobs: dict[str, Callable[[], object]] = {}
            facts: dict[str, Mapping[str, float]] = {}
            for way, prepare in ways(original, theirs, picture, dtype).items():
                start = perf_counter()
                run = prepare()
                settle()
                seconds = perf_counter() - start
                jobs[way] = partial(forward, run, picture)
                facts[way] = {PREPARATION: seconds, ERROR: error(way, run(picture), expected, dtype)}
        title = f"{name}, {batch} of {SIZE}, {dtype}"
        yield Contest(
            title, jobs, facts=facts, least=LEAST, settle=settle, group=f"optimized, {dtype}, {batch} of {SIZE}"
        )


def ways(original: nn.Module, theirs: nn.Module, picture: Tensor, dtype: str) -> dict[str, Callable[[], Run]]:
    """What prepares each contestant, by its name. In bfloat16 there is torchvision in bfloat16 besides."""
    found: dict[str, Callable[[], Run]] = {
        "netspec.optimize": partial(netspec.optimize, original, picture, dtype=dtype),
        "torchvision": lambda: theirs,
    }
    if dtype == "bfloat16":
        found["torchvision, bfloat16"] = partial(in_bfloat16, theirs)
    elif picture.device.type == "cpu":
        found["optimize_for_inference"] = partial(scripted, theirs, picture)
    return found


def in_bfloat16(module: nn.Module) -> Run:
    """A module with weights and pictures in bfloat16 and in channels-last order, as PyTorch's documentation advises."""
    half = deepcopy(module).to(torch.bfloat16).to(memory_format=torch.channels_last)
    return lambda x: half(x.to(torch.bfloat16, memory_format=torch.channels_last)).float()


def scripted(module: nn.Module, picture: Tensor) -> Run:
    """A module after PyTorch's own passes for inference."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, and still what PyTorch has without a compiler
        made = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(module, picture)))
    for _ in range(WARM_UPS):
        made(picture)
    return made


def forward(run: Run, picture: Tensor) -> Tensor:
    """One run without gradients."""
    with torch.no_grad():
        return run(picture)


def error(way: str, result: Tensor, expected: Tensor, dtype: str) -> float:
    """The largest difference to the expected output, relative to the largest of that. Raises `ValueError`."""
    difference = float((result - expected).abs().max() / expected.abs().max())
    if difference > TOLERANCES[dtype]:
        raise ValueError(f"{way}: the outputs differ by {difference:.2g}")
    return difference
