"""A module in, the same module sharded out, by PyTorch's `fully_shard`; and initial weights for what has no memory yet.

A module that was built on the device `meta` is sharded first and filled then, so no process ever holds all of it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate

from netspec.backends.initial import FilledOnce
from netspec.backends.module import assembled, seeded
from netspec.graph import Graph, Node
from netspec.ops.base import ModuleCall, State, StateCall
from netspec.parallel import shard_units


def shard(graph: Graph, module: nn.Module, mesh: DeviceMesh | None, **options: Any) -> nn.Module:
    """Shard the units that the spec names, the inner ones first, and then the module around them."""
    for path in reversed(shard_units(graph)):
        fully_shard(module.get_submodule(path), mesh=mesh, **options)
    fully_shard(module, mesh=mesh, **options)
    return module


def materialize(graph: Graph, module: nn.Module, *, device: str, seed: int) -> nn.Module:
    """Give a module without memory its part of the initial weights of the network.

    It is the whole network, perhaps in shards, or a stage of it.
    """
    place = torch.device(device)
    module.to_empty(device=place)
    with seeded(seed, place), torch.no_grad():
        assembled(graph, _Dealt(graph, place, module))
    return module


class _Dealt(FilledOnce):
    """Draws each tensor whole, in the order of the network, gives `module` its part, and keeps none of it."""

    def __init__(self, graph: Graph, place: torch.device, module: nn.Module) -> None:
        super().__init__(graph, place, {})
        self.held = {**dict(module.named_parameters()), **dict(module.named_buffers())}

    def module(self, cls: type[nn.Module], call: ModuleCall, node: Node, path: str) -> nn.Module:
        module = super().module(cls, call, node, path)
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            self.deal(f"{path}.{name}", tensor)
        return module.to("meta")

    def parameter(self, state: State, path: str) -> nn.Parameter:
        return nn.Parameter(self.deal(path, super().parameter(state, path)))

    def constant(self, call: StateCall, path: str) -> torch.Tensor:
        return self.deal(path, super().constant(call, path))

    def deal(self, key: str, whole: torch.Tensor) -> torch.Tensor:
        """Copy what a process holds of a tensor; gives one without memory."""
        held = self.held.get(key)
        if isinstance(held, DTensor):
            everywhere = [Replicate()] * held.device_mesh.ndim
            spread = DTensor.from_local(whole.detach(), held.device_mesh, everywhere, run_check=False)
            held.copy_(spread.redistribute(placements=held.placements))
        elif held is not None:
            held.copy_(whole)
        return whole.detach().to("meta")
