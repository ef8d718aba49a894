"""A graph in, one stage of its pipeline out, as `torch.distributed.pipelining` runs it.

Of the network nothing but the modules of this stage is built. They have the keys of the whole, so that each process
loads its part of a checkpoint.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.distributed import ProcessGroup
from torch.distributed.pipelining import PipelineStage

from netspec.backends.parallel.sharding import materialize
from netspec.backends.weights import Weights
from netspec.diagnostics import Problem, SpecError
from netspec.graph import Graph


def pipeline_stage(
    graph: Graph,
    index: int,
    *,
    device: str,
    weights: Weights | None,
    seed: int,
    group: ProcessGroup | None,
) -> PipelineStage:
    """The stage of a number, built on its device."""
    stages = graph.stages()
    if not 0 <= index < len(stages):
        help = ("`parallel: {pipeline: [...]}` in its spec names the nodes at which stages begin",)
        count = f"{len(stages)} stages" if len(stages) > 1 else "one stage"
        message = f"`{graph.name}` has {count}, and none of number {index}"
        raise SpecError([Problem("invalid-cut", message, help=help).at(None)])
    if weights is None:
        module = materialize(graph, stages[index].build(device="meta"), device=device, seed=seed)
    else:
        module = stages[index].build(weights=weights, seed=seed, device=device)
    module.register_forward_hook(_plain)
    return PipelineStage(module, index, len(stages), torch.device(device), group=group)


def _plain(module: nn.Module, inputs: Any, output: Any) -> Any:
    """What a stage gives as the bare tuple that PyTorch asks for, not a named one or a dict."""
    if isinstance(output, dict):
        return tuple(output.values())
    return tuple(output) if isinstance(output, tuple) else output
