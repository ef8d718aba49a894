"""Graph in, plan out: what training it takes on each of several devices, with copies of it, with shards, in stages.

Everything is calculated, nothing is run: weights, gradients and the state of the optimizer from the shapes of the
parameters, activations as `memory.py` follows them, and stages of a pipeline from the multiply-accumulates.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import ceil, prod
from typing import Any, Literal, NamedTuple

from netspec.cuts import Line
from netspec.diagnostics import Problem
from netspec.graph import Graph
from netspec.ops.base import State
from netspec.parallel import shard_units, stage_cuts
from netspec.paths import enclosing
from netspec.quantities import byte_size, short
from netspec.stages import stages

Optimizer = Literal["adamw", "sgd", "momentum"]

STATES: dict[Optimizer, int] = {"adamw": 2, "sgd": 0, "momentum": 1}
"""How many tensors of the size of a parameter an optimizer keeps: for AdamW its two moments."""


class Job(NamedTuple):
    """What is planned: training of a batch on some devices, of which a pipeline makes so many microbatches."""

    devices: int
    batch: int
    microbatches: int
    optimizer: Optimizer


class Load(NamedTuple):
    """Bytes on one device. What is `gathered` are the weights and gradients that a unit of shards has for a while."""

    weights: int
    gradients: int
    optimizer: int
    gathered: int
    activations: int

    @property
    def total(self) -> int:
        return sum(self)


class Stage(NamedTuple):
    """A stage of the pipeline: the path of the node at which it begins, its multiply-accumulates, and its load."""

    begins: str
    macs: int
    load: Load


@dataclass(frozen=True, slots=True)
class DevicePlan:
    """What each device holds, in the ways of `ways`, and the stages of a pipeline with one for each device.

    The stages are those of the spec where it has as many, and else balanced ones. `cuts` are the balanced cut points.
    `memory` is what a device has, if that is known. `notes` say what stands in the way of shards and stages.
    """

    name: str
    job: Job
    memory: int | None
    ways: dict[str, Load]
    stages: tuple[Stage, ...]
    cuts: tuple[str, ...]
    notes: tuple[str, ...]

    def text(self) -> str:
        """The plan as tables for a terminal."""
        devices = f"{self.job.devices} devices" if self.job.devices > 1 else "1 device"
        lines = [f"{self.name} on {devices}: training in float32 with {self.job.optimizer}, batch {self.job.batch}", ""]
        lines += _table([("on each device", *_HEAD), *((way, *self._cells(load)) for way, load in self.ways.items())])
        if self.stages:
            head = ("stage", "begins at", "MACs", *_HEAD)
            rows = ((str(i), s.begins, short(s.macs), *self._cells(s.load)) for i, s in enumerate(self.stages))
            lines += ["", f"pipeline, {self.job.microbatches} microbatches", ""]
            lines += _table([head, *rows], left=2)
        lines += [line for note in self.notes for line in ("", f"note: {note}")]
        if self.cuts:
            lines += ["", "balanced stages, as a spec says it:", "", "parallel:"]
            lines.append(f"  pipeline: [{', '.join(self.cuts)}]")
        return "\n".join(lines)

    def json(self) -> str:
        """The plan as JSON; sizes are in bytes."""
        document = {
            "name": self.name,
            **self.job._asdict(),
            "memory": self.memory,
            "ways": {way: self._described(load) for way, load in self.ways.items()},
            "stages": [{"begins": s.begins, "macs": s.macs, **self._described(s.load)} for s in self.stages],
            "cuts": list(self.cuts),
            "notes": list(self.notes),
        }
        return json.dumps(document, indent=2, ensure_ascii=False)

    def _described(self, load: Load) -> dict[str, Any]:
        fits = {} if self.memory is None else {"fits": load.total <= self.memory}
        return {**load._asdict(), "total": load.total, **fits}

    def _cells(self, load: Load) -> tuple[str, ...]:
        verdict = "" if self.memory is None else "fits" if load.total <= self.memory else "too large"
        return (*(byte_size(size) if size else "" for size in (*load, load.total)), verdict)


_HEAD = ("weights", "gradients", "optimizer", "gathered", "activations", "total", "")


def to_plan(graph: Graph, job: Job, memory: int | None = None) -> DevicePlan:
    """The plan of training a graph. `memory` is that of a device, in bytes."""
    ways = {"one device": _load(graph, job, graph.activation_memory(batch=job.batch, training=True))}
    line = Line(graph)
    found: list[int] = []
    notes: list[str] = []
    if job.devices > 1:
        activations = graph.activation_memory(batch=ceil(job.batch / job.devices), training=True)
        ways["data parallel"] = _load(graph, job, activations)
        ways["sharded"] = _sharded(graph, job, activations)
        if not graph.parallel.shard:
            notes.append("the spec names nothing to shard one by one, so all weights are gathered at once")
        try:
            found = line.balanced(job.devices)
        except Problem as problem:
            notes.append(f"no pipeline: {problem.message}")
    declared = stage_cuts(line)
    cuts = declared if len(declared) == job.devices - 1 else found
    if declared and found and cuts is found:
        notes.append(f"the spec has {len(declared) + 1} stages and not {job.devices}, so those above are balanced ones")
    stages = _stages(line, cuts, job) if cuts else ()
    return DevicePlan(graph.name, job, memory, ways, stages, tuple(line.names[cut] for cut in found), tuple(notes))


def _load(graph: Graph, job: Job, activations: int) -> Load:
    """What a device holds that trains the whole graph."""
    state = graph.state()
    weights = sum(each.bytes for each in state.values())
    gradients = sum(state[key].bytes for key in _trained(graph, state))
    return Load(weights, gradients, STATES[job.optimizer] * gradients, 0, activations)


def _trained(graph: Graph, state: dict[str, State]) -> list[str]:
    frozen = graph.frozen() if graph.freeze else frozenset()
    return [key for key, each in state.items() if each.trainable and key not in frozen]


# Shards --------------------------------------------------------------------------------------------------------------


def _sharded(graph: Graph, job: Job, activations: int) -> Load:
    """What the first device holds, which has the largest part of each parameter; all have all buffers."""
    state = graph.state()
    parts = {key: _part(each, job.devices) for key, each in state.items()}
    gradients = sum(parts[key] for key in _trained(graph, state))
    return Load(sum(parts.values()), gradients, STATES[job.optimizer] * gradients, _gathered(graph), activations)


def _part(state: State, devices: int) -> int:
    """Bytes of the largest part of a tensor: `fully_shard` cuts parameters along their first axis."""
    if not state.trainable or not state.shape:
        return state.bytes
    first, *rest = state.shape
    return ceil(first / devices) * prod(rest) * state.bytes // state.elements


def _gathered(graph: Graph) -> int:
    """The most bytes of whole weights and gradients at a time.

    Those of the outermost unit stay until the backward pass is over. Of the others there are the weights of one and of
    the next, which is fetched ahead, and the gradients of one.
    """
    state = graph.state()
    trained = frozenset(_trained(graph, state))
    weights = {"": 0} | dict.fromkeys(shard_units(graph), 0)
    gradients = dict.fromkeys(weights, 0)
    for key, each in state.items():
        if each.trainable:
            unit = next((path for path in reversed([*enclosing(key)]) if path in weights), "")
            weights[unit] += each.bytes
            gradients[unit] += each.bytes if key in trained else 0
    outer, *units = weights
    ahead = [0, *(weights[unit] for unit in units)]  # of the unit that the backward pass comes to next
    most = max((weights[unit] + gradients[unit] + more for unit, more in zip(units, ahead, strict=False)), default=0)
    return weights[outer] + max(most, gradients[outer])


# Stages --------------------------------------------------------------------------------------------------------------


def _stages(line: Line, cuts: list[int], job: Job) -> tuple[Stage, ...]:
    """The stages of a pipeline, in which the first ones have most microbatches under way.

    Source: Narayanan et al., PipeDream: generalized pipeline parallelism for DNN training, 2019 (1F1B).
    """
    size = ceil(job.batch / job.microbatches)
    names = line.names
    found: list[Stage] = []
    for index, (begin, graph) in enumerate(zip([0, *cuts], stages(line, cuts), strict=True)):
        under_way = min(len(cuts) + 1 - index, job.microbatches)
        received = sum(type.bytes * (size if type.batched else 1) for type in graph.inputs.values()) if index else 0
        activations = under_way * (graph.activation_memory(batch=size, training=True) + received)
        found.append(Stage(names[begin], graph.macs, _load(graph, job, activations)))
    return tuple(found)


def _table(rows: list[tuple[str, ...]], left: int = 1) -> list[str]:
    """Rows as aligned lines, without the columns in which nothing is said; texts to the left, figures to the right."""
    columns = [column for column in zip(*rows, strict=True) if any(column[1:])]
    aligned = [
        [cell.ljust(width) if index < left else cell.rjust(width) for cell in column]
        for index, column in enumerate(columns)
        for width in (max(map(len, column)),)
    ]
    return ["  ".join(cells).rstrip() for cells in zip(*aligned, strict=True)]
