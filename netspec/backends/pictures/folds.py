"""What a picture draws as one: ops that follow each other, equal copies in a row, the copies of a dense block.

Reads bodies of the graph. A `Unit` is one box or cluster; a `Fold` is one or more units that are drawn once.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

from netspec.graph import Body, Node, Value
from netspec.ops.base import Op

Unit = tuple[Node, ...]
"""One node, or several ops that follow each other and are drawn in one box."""

_FOLLOWERS: dict[str, tuple[str, ...]] = {
    "convolution": ("normalization", "activation"),
    "linear": ("normalization", "activation"),
    "normalization": ("activation",),
    "merge": ("activation",),
}


@dataclass(frozen=True, eq=False, slots=True)
class Fold:
    """Consecutive copies that are drawn once. `join` is the last concat of a densely connected body."""

    units: tuple[Unit, ...]

    @property
    def first(self) -> Node:
        return self.units[0][0]

    @property
    def nodes(self) -> tuple[Node, ...]:
        return tuple(node for unit in self.units for node in unit)


@lru_cache(maxsize=4096)
def body_folds(body: Body) -> tuple[Fold, ...]:
    """The nodes of a body in the order they run, grouped by what is drawn as one."""
    if (dense := dense_copies(body)) is not None:
        copies, joins = dense
        return (Fold(tuple((node,) for node in copies)), Fold(tuple((node,) for node in joins)))
    links = _Links(body)
    runs: list[list[Unit]] = []
    for unit in links.units():
        if runs and links.sole_input(unit) is runs[-1][-1][-1] and _alike(runs[-1][-1], unit):
            runs[-1].append(unit)
        else:
            runs.append([unit])
    return tuple(Fold(tuple(run)) for run in runs)


def dense_copies(body: Body) -> tuple[tuple[Node, ...], tuple[Node, ...]] | None:
    """The copies of a densely connected body and the concats between them, or nothing for another body."""
    count = len(body.nodes) // 2
    if not body.repeated or body.form != "graph" or count < 2 or len(body.nodes) % 2:
        return None
    copies, joins = body.schedule[::2], body.schedule[1::2]
    seen = body.inputs[0]
    for copy, join in zip(copies, joins, strict=True):
        if copy.inputs != (seen,) or join.kind != "concat" or join.inputs != (seen, *copy.outputs):
            return None
        seen = join.outputs[0]
    if not all(_same(copies[0], copy) for copy in copies[1:]):
        return None
    return copies, joins


class _Links:
    """Who uses which value in a body."""

    def __init__(self, body: Body) -> None:
        self.body = body
        self.uses: Counter[Value] = Counter(value for node in body.nodes for value in node.inputs)
        self.uses.update(output.value for output in body.outputs)
        self.maker = {value: node for node in body.nodes for value in node.outputs}
        self.follower = {node.inputs[0]: node for node in body.nodes if len(node.inputs) == 1}

    def units(self) -> list[Unit]:
        units: list[Unit] = []
        taken: set[str] = set()
        for node in self.body.schedule:
            if node.name not in taken:
                unit = self.unit(node)
                taken.update(member.name for member in unit)
                units.append(unit)
        return units

    def unit(self, node: Node) -> Unit:
        """A node with the normalization and activation right behind it, where nothing else uses what is between."""
        unit = [node]
        allowed = _FOLLOWERS.get(node.target.category, ()) if isinstance(node.target, Op) else ()
        while allowed and (following := self.next(unit[-1])) is not None:
            target = following.target
            if not isinstance(target, Op) or target.category not in allowed:
                break
            allowed = allowed[allowed.index(target.category) + 1 :]
            unit.append(following)
        return tuple(unit)

    def next(self, node: Node) -> Node | None:
        """The one node that uses the one output of `node`."""
        if len(node.outputs) != 1 or self.uses[node.outputs[0]] != 1:
            return None
        following = self.follower.get(node.outputs[0])
        return following if following is None or following.training_only == node.training_only else None

    def sole_input(self, unit: Unit) -> Node | None:
        """The node before a unit, where this unit alone uses it and takes nothing else."""
        if len(unit[0].inputs) != 1 or self.uses[unit[0].inputs[0]] != 1:
            return None
        return self.maker.get(unit[0].inputs[0])


def _alike(first: Unit, second: Unit) -> bool:
    """Whether two units are drawn the same; dropout rates may differ, as where stochastic depth grows with depth."""
    return len(first) == len(second) and all(
        a.input_types == b.input_types and a.output_types == b.output_types and _same(a, b)
        for a, b in zip(first, second, strict=True)
    )


def _same(a: Node, b: Node) -> bool:
    """Whether two nodes do the same, whatever the width of their inputs."""
    if a.kind != b.kind or a.training_only != b.training_only or a.shares or b.shares:
        return False
    if isinstance(a.target, Body) and isinstance(b.target, Body):
        return a.target is b.target or _same_inside(a.target, b.target)
    if isinstance(a.target, Op) and isinstance(b.target, Op):
        regularizes = a.target.category == "regularization" and type(a.target) is type(b.target)
        return a.target == b.target or regularizes
    return False


def _same_inside(a: Body, b: Body) -> bool:
    if a.form != b.form or a.repeated != b.repeated or len(a.nodes) != len(b.nodes):
        return False
    if [output.value.name for output in a.outputs] != [output.value.name for output in b.outputs]:
        return False
    for inner, other in zip(a.nodes, b.nodes, strict=True):
        wired = [value.name for value in inner.inputs] == [value.name for value in other.inputs]
        if inner.name != other.name or not wired or not _same(inner, other):
            return False
    return True
