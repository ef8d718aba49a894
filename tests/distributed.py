"""What `tests/test_parallel.py` runs in several processes, by the launcher of torchrun: small networks in training.

Each check trains for five steps. The losses and weights must be those of one process with the whole batch. What passed
is printed by the first process; whoever fails ends them all.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleGPipe
from torch.distributed.tensor import DTensor
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

import netspec
from netspec.backends.parallel.plan import Job, to_plan

BLOCKS = """
netspec: 1
name: blocks
input: [4, 16]
parallel:
  shard: [block]
  pipeline: [layers.1]
  tensor: {"layers.*.up": colwise, "layers.*.down": rowwise, head: colwise}
blocks:
  block:
    graph:
      norm: layer_norm
      up: {linear: 32}
      act: relu
      down: {linear: 16}
      add: {add: [down, x]}
init: {stem: {weight: {normal: {std: 0.2}}}}
graph:
  stem: {linear: 16}
  layers: {repeat: 2, block: }
  pool: {mean: 1}
  head: {linear: 8}
"""

STAGES = """
netspec: 1
name: stages
input: [3, 8, 8]
parallel: {pipeline: [layers.0.conv2, layers.1.norm, pool]}
blocks:
  block:
    graph:
      conv: {conv: [8, 3], padding: same}
      norm: batch_norm
      conv2: {conv: [8, 3], padding: same}
      add: {add: [conv2, x]}
graph:
  stem: {conv: [8, 3], padding: same}
  layers: {repeat: 2, block: }
  again: {add: [layers, stem]}
  pool: global_avg_pool
  head: {linear: 8}
"""

Batches = list[tuple[Tensor, Tensor]]
Losses = list[float]


def batches(graph: netspec.Graph, count: int = 5, size: int = 8) -> Batches:
    """The same numbers in every process."""
    generator = torch.Generator().manual_seed(1)
    shape = graph.inputs["x"].shape
    draw = ((torch.randn(size, *shape, generator=generator), torch.arange(size)) for _ in range(count))
    return list(draw)


def adamw(module: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(module.parameters(), lr=1e-2)


def train(module: nn.Module, data: Batches, optimizer: torch.optim.Optimizer, parts: int = 1) -> Losses:
    """The loss of each step; gradients are those of as many `parts` of a batch, one after the other."""
    losses: Losses = []
    for x, y in data:
        pairs = zip(x.chunk(parts), y.chunk(parts), strict=True)
        found = []
        for part, target in pairs:
            loss = cross_entropy(module(part), target) / parts
            loss.backward()
            found.append(loss.item())
        losses.append(sum(found))
        optimizer.step()
        optimizer.zero_grad()
    return losses


def own(data: Batches, part: int, parts: int) -> Batches:
    """The part of each batch that a process trains on."""
    return [(x.chunk(parts)[part], y.chunk(parts)[part]) for x, y in data]


def mean(losses: Losses, group: dist.ProcessGroup | None = None) -> Losses:
    """The mean over the processes of a group."""
    total = torch.tensor(losses)
    dist.all_reduce(total, group=group)
    return (total / dist.get_world_size(group)).tolist()


def whole(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.full_tensor() if isinstance(value, DTensor) else value for key, value in state.items()}


class Alone:
    """What one process computes: the state before and behind five steps, and the losses."""

    def __init__(self, text: str, parts: int = 1) -> None:
        self.graph = netspec.loads(text)
        self.data = batches(self.graph)
        module = self.graph.build(seed=0)
        self.before = {key: value.clone() for key, value in module.state_dict().items()}
        self.losses = train(module, self.data, adamw(module), parts)
        self.after = module.state_dict()

    def same(self, losses: Losses, state: dict[str, Tensor]) -> None:
        """Raise unless another training had these losses and came to this state, or to this part of it."""
        torch.testing.assert_close(losses, self.losses, rtol=1e-4, atol=1e-5)
        self.same_state(state)

    def same_state(self, state: dict[str, Tensor]) -> None:
        torch.testing.assert_close(state, {key: self.after[key] for key in state}, rtol=1e-4, atol=1e-5)


# Checks --------------------------------------------------------------------------------------------------------------


def replicated(folder: Path) -> None:
    alone = Alone(BLOCKS)
    module = DistributedDataParallel(alone.graph.build(seed=0))
    losses = train(module, own(alone.data, dist.get_rank(), dist.get_world_size()), adamw(module))
    alone.same(mean(losses), module.module.state_dict())


def sharded(folder: Path) -> None:
    """Sharded from `meta` on, trained, saved in shards, and loaded whole."""
    alone = Alone(BLOCKS)
    graph, world = alone.graph, dist.get_world_size()
    module: Any = graph.shard(graph.build(device="meta"), init_device_mesh("cpu", (world,)))
    assert [isinstance(part, FSDPModule) for part in (module, module.layers[0], module.head)] == [True, True, False]
    graph.materialize(module, device="cpu", seed=0)
    assert all(torch.equal(value, alone.before[key]) for key, value in whole(module.state_dict()).items())

    optimizer = adamw(module)
    losses = train(module, own(alone.data, dist.get_rank(), world), optimizer)
    alone.same(mean(losses), whole(module.state_dict()))

    planned = to_plan(graph, Job(world, batch=8, microbatches=1, optimizer="adamw")).ways["sharded"]
    held = sum(bytes_of(parameter) for parameter in module.parameters())
    moments = (value for state in optimizer.state.values() for value in state.values() if value.ndim)
    assert (held, sum(map(bytes_of, moments))) == (planned.weights, planned.optimizer)

    save(module.state_dict(), checkpoint_id=folder)
    plain = graph.build(seed=5).state_dict()
    load(plain, checkpoint_id=folder, no_dist=True)
    alone.same_state(plain)


def sharded_with_the_rest(folder: Path) -> None:
    """With what is computed again, frozen, or called twice."""
    text = BLOCKS.replace("init:", "checkpoint: [layers.*]\nfreeze: [layers.0, stem.bias]\ninit:")
    text = text.replace("pipeline: [layers.1]", "pipeline: []")
    alone = Alone(text.replace("  pool:", "  again: {call: layers}\n  pool:"))
    module = alone.graph.shard(alone.graph.build(device="meta"), init_device_mesh("cpu", (2,)))
    alone.graph.materialize(module, device="cpu", seed=0)
    losses = train(module, own(alone.data, dist.get_rank(), 2), adamw(module))
    alone.same(mean(losses), whole(module.state_dict()))


def bytes_of(tensor: Tensor) -> int:
    """The memory that this process has of a tensor."""
    return (tensor.to_local() if isinstance(tensor, DTensor) else tensor).nbytes


def split(folder: Path) -> None:
    """Layers split by columns and rows, and features that stay split in between."""
    alone = Alone(BLOCKS)
    graph, world = alone.graph, dist.get_world_size()
    module: Any = graph.parallelize(graph.build(device="meta"), init_device_mesh("cpu", (world,)))
    graph.materialize(module, device="cpu", seed=0)
    widths: list[int] = []
    module.layers[0].act.register_forward_hook(lambda module, inputs, output: widths.append(output.shape[-1]))
    losses = train(module, alone.data, adamw(module))
    alone.same(losses, whole(module.state_dict()))
    assert set(widths) == {32 // world}
    assert module.layers[0].up.weight.to_local().shape == (32 // world, 16)
    assert module.layers[0].down.weight.to_local().shape == (16, 32 // world)
    uneven = netspec.loads(BLOCKS.replace("head: {linear: 8}", "head: {linear: 7}"))
    with pytest.raises(netspec.SpecError, match=f"`head` cannot be split: {world} devices do not divide 7"):
        uneven.parallelize(uneven.build(device="meta"), init_device_mesh("cpu", (world,)))


def split_and_sharded(folder: Path) -> None:
    """Two processes split each layer, and two such pairs share the batch."""
    alone = Alone(BLOCKS)
    graph = alone.graph
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("data", "tensor"))
    module = graph.parallelize(graph.build(device="meta"), mesh["tensor"])
    graph.shard(module, mesh["data"])
    graph.materialize(module, device="cpu", seed=0)
    assert all(torch.equal(value, alone.before[key]) for key, value in whole(module.state_dict()).items())
    losses = train(module, own(alone.data, mesh["data"].get_local_rank(), 2), adamw(module))
    alone.same(mean(losses, mesh["data"].get_group()), whole(module.state_dict()))


def piped(stage: Any, data: Batches, schedule: type[ScheduleGPipe | Schedule1F1B]) -> Losses:
    """The loss of each step on the last stage, and zeros on the others; each batch is four microbatches."""
    optimizer = adamw(stage.submod)
    run = schedule(stage, n_microbatches=4, loss_fn=cross_entropy)
    losses: Losses = []
    for x, y in data:
        found: list[Tensor] = []
        given = (x,) if stage.is_first else ()
        run.step(*given, target=y if stage.is_last else None, losses=found if stage.is_last else None)
        losses.append(sum(loss.item() for loss in found) / 4)
        optimizer.step()
        optimizer.zero_grad()
    return losses


def two_stages(folder: Path) -> None:
    alone, rank = Alone(BLOCKS, parts=4), dist.get_rank()
    for schedule in (ScheduleGPipe, Schedule1F1B):
        stage: Any = alone.graph.pipeline_stage(rank, device="cpu", seed=0)
        assert stage.submod.state_dict().keys() == alone.graph.stages()[rank].state().keys()
        losses = piped(stage, alone.data, schedule)
        alone.same(losses if rank else alone.losses, stage.submod.state_dict())


def four_stages(folder: Path) -> None:
    """Cut through blocks, with several values across a cut, and batch norms."""
    alone, rank = Alone(STAGES, parts=4), dist.get_rank()
    stage: Any = alone.graph.pipeline_stage(rank, device="cpu", seed=0)
    losses = piped(stage, alone.data, Schedule1F1B)
    alone.same(losses if rank == 3 else alone.losses, stage.submod.state_dict())


def staged_and_sharded(folder: Path) -> None:
    """Two stages, each in shards on two processes, which share the batch."""
    alone = Alone(BLOCKS, parts=4)
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("stage", "data"))
    index, part = mesh["stage"].get_local_rank(), mesh["data"].get_local_rank()
    graph = alone.graph.stages()[index]
    module = graph.shard(graph.build(device="meta"), mesh["data"])
    alone.graph.materialize(module, device="cpu", seed=0)
    stage = PipelineStage(module, index, 2, torch.device("cpu"), group=mesh["stage"].get_group())
    losses = mean(piped(stage, own(alone.data, part, 2), Schedule1F1B), mesh["data"].get_group())
    alone.same(losses if index else alone.losses, whole(module.state_dict()))


Check = Callable[[Path], None]
CHECKS: dict[int, tuple[Check, ...]] = {
    2: (replicated, sharded, sharded_with_the_rest, split, two_stages),
    4: (replicated, sharded, split, split_and_sharded, four_stages, staged_and_sharded),
}
"""By the number of processes."""


def run(folder: Path) -> None:
    """All checks for as many processes as there are, in one of them."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", timeout=timedelta(seconds=60))
    world = dist.get_world_size()
    for check in CHECKS[world]:
        check(folder / f"{check.__name__}_{world}")
        dist.barrier()
        if dist.get_rank() == 0:
            print(check.__name__, world, flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    for count in CHECKS:
        # as torchrun does, but with processes that are forked: each would import PyTorch for seconds otherwise
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=count,
            run_id="checks",
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            start_method="fork",
            max_restarts=0,
        )
        elastic_launch(config, run)(Path(sys.argv[1]))
