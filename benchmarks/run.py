"""Running a built network: netspec beside torchvision, with the same weights on the same pictures.

A forward pass in eval mode, a training step without its optimizer, and what `torch.compile` has to do for each network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

import netspec
from benchmarks import peers
from benchmarks.contest import Contest

NETWORKS = ("resnet18", "resnet50", "googlenet", "densenet121", "efficientnet_b0", "mobilenet_v3_small")
SIZES = (64, 224)
BATCHES = (1, 8, 32)
LARGE = (("resnet18", 224, 8), ("efficientnet_b0", 224, 8))  # by default, besides one picture of 64 pixels for each
COMPILED = ("resnet18", "mobilenet_v3_small")
BACKENDS = ("eager", "inductor")

GUARDS = "guards"
LEAST = 0.2  # seconds
TOLERANCE = 0.05  # of the largest output: kernels of a GPU differ in bfloat16


class Layout(NamedTuple):
    """How a network and its pictures lie in memory."""

    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    format: torch.memory_format = torch.contiguous_format

    def __str__(self) -> str:
        names = (str(part).removeprefix("torch.") for part in (self.dtype, self.format))
        return "" if self == Layout() else f", {', '.join(names)}"

    def pictures(self, batch: int, size: int) -> Tensor:
        """Pictures of noise."""
        noise = torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0))
        return noise.to(self.device, self.dtype, memory_format=self.format)

    def modules(self, name: str) -> dict[str, nn.Module]:
        """The network by each contestant, with equal weights."""
        ours, theirs = netspec.load(name).build(seed=0), peers.torchvision_module(name)
        theirs.load_state_dict(ours.state_dict())
        for module in (ours, theirs):
            module.to(self.device, self.dtype).to(memory_format=self.format)
        return {"netspec": ours, "torchvision": theirs}


def contests(folder: Path, *, full: bool = False, device: str = "cpu") -> Iterator[Contest]:
    """For each network, size and batch a forward pass and a training step; then what it takes to compile some."""
    if device != "cpu":
        formats = (torch.contiguous_format, torch.channels_last)
        for name, dtype, format, batch in product(NETWORKS, (torch.float32, torch.bfloat16), formats, (1, 32)):
            yield from eager(name, 224, batch, Layout(device, dtype, format))
        return
    for name, size, batch in (
        product(NETWORKS, SIZES, BATCHES) if full else [*((name, 64, 1) for name in NETWORKS), *LARGE]
    ):
        yield from eager(name, size, batch, Layout())
    for name, backend in product(NETWORKS, BACKENDS) if full else product(COMPILED, BACKENDS[:1]):
        yield compiling(name, backend)


def eager(name: str, size: int, batch: int, layout: Layout) -> Iterator[Contest]:
    """The contests of a forward pass and of a training step."""
    x, modules = layout.pictures(batch, size), layout.modules(name)
    with torch.inference_mode():
        ours, theirs = (module.eval()(x) for module in modules.values())
    if (ours - theirs).abs().max() > TOLERANCE * theirs.abs().max():
        raise ValueError(f"{name}: the contestants do not calculate the same")
    settle = peers.settled(layout.device)
    for what, job in (("forward", forward), ("training step", training_step)):
        jobs = {way: partial(job, module, x) for way, module in modules.items()}
        yield Contest(
            f"{name}, {what}, {batch} of {size}{layout}", jobs, least=LEAST, settle=settle, group=f"{what}{layout}"
        )


def forward(module: nn.Module, x: Tensor) -> None:
    """A forward pass in eval mode."""
    module.eval()
    with torch.inference_mode():
        module(x)


def training_step(module: nn.Module, x: Tensor) -> None:
    """The gradients of every parameter, for the cross entropy of all outputs."""
    module.train()
    outputs = module(x)
    targets = torch.zeros(len(x), dtype=torch.long, device=x.device)
    logits = outputs if isinstance(outputs, tuple) else (outputs,)
    torch.stack([functional.cross_entropy(part, targets) for part in logits]).sum().backward()
    module.zero_grad(set_to_none=True)


def compiling(name: str, backend: str) -> Contest:
    """The contest of `torch.compile`, which has to take the network as one graph."""
    x, modules = Layout().pictures(1, 64), Layout().modules(name)
    jobs = {way: partial(compile, module.eval(), x, backend) for way, module in modules.items()}
    facts: Mapping[str, Mapping[str, float]] = {way: {GUARDS: guards(module, x)} for way, module in modules.items()}
    return Contest(f"{name}, torch.compile, {backend}", jobs, facts=facts, group=f"torch.compile, {backend}")


def compile(module: nn.Module, x: Tensor, backend: str = "eager") -> None:
    """Compile a module anew, and run it. A break in its graph is an error."""
    torch.compiler.reset()
    torch.compile(module, backend=backend, fullgraph=True)(x)


def guards(module: nn.Module, x: Tensor) -> int:
    """How many conditions a compiled module checks before each run."""
    from torch._dynamo.utils import clear_compilation_metrics, get_compilation_metrics

    clear_compilation_metrics()
    compile(module, x)
    (compilation,) = get_compilation_metrics()
    assert compilation.guard_count is not None
    return compilation.guard_count
