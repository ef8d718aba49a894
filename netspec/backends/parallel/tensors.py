"""A module in, the same module with split layers out, by PyTorch's `parallelize_module`.

The graph knows what lies between two layers. So features stay on their device from a layer that is split by columns to
one that is split by rows where that is right, and are brought together everywhere else.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import Replicate, Shard
from torch.distributed.tensor.parallel import ColwiseParallel, ParallelStyle, RowwiseParallel, parallelize_module

from netspec.diagnostics import Problem, SpecError
from netspec.graph import Graph
from netspec.parallel import Split, split_layers


def parallelize(graph: Graph, module: nn.Module, mesh: DeviceMesh) -> nn.Module:
    """Split the layers that the spec names over a mesh of one dimension."""
    layers = split_layers(graph)
    uneven = [path for path, split in layers.items() if split.divided % mesh.size()]
    if uneven:
        size = layers[uneven[0]].divided
        problem = Problem(
            "does-not-divide", f"`{uneven[0]}` cannot be split: {mesh.size()} devices do not divide {size}"
        )
        raise SpecError([problem.at(None)])
    parallelize_module(module, mesh, {path: _style(split) for path, split in layers.items()})
    for path in layers:
        module.get_submodule(path).register_forward_hook(_copied)
    return module


def _style(split: Split) -> ParallelStyle:
    takes = Shard(-1) if split.takes_part else Replicate()
    gives = Shard(-1) if split.gives_part else Replicate()
    if split.style == "colwise":
        return ColwiseParallel(output_layouts=gives)
    return RowwiseParallel(input_layouts=takes)


def _copied(module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
    """A result that `forward` may write over: PyTorch refuses that for what a distributed tensor holds."""
    return output.clone()
