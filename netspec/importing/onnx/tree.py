"""Steps of a flat program in, each with a path, and the tree of bodies out that these paths are the paths of.

A part of the program becomes a body where it can run as one node. Where it cannot, because what is around it runs in
between, dots in the names of its nodes say the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Any, Literal, NamedTuple

from netspec.diagnostics import Span
from netspec.graph import Body, Node, Output, Value
from netspec.names import numbered
from netspec.ops import OP_NAMES
from netspec.ops.base import Op
from netspec.shapes import TensorType

Path = tuple[str, ...]


class Called(NamedTuple):
    """What a file calls a node, its operator, and its weights."""

    node: str
    operator: str
    weights: tuple[str, ...]


@dataclass(eq=False, repr=False)
class Step:
    """One op that runs. Values go by the names that they have in the program, each of which is given once.

    One that `shares` the weights of another step beside it has the path of that.
    """

    kind: str
    op: Op
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    types: tuple[TensorType, ...]  # of the outputs
    weights: Mapping[str, Any]
    called: Called
    path: Path = ()
    shares: Path = ()


@dataclass(eq=False, repr=False)
class _Unit:
    """A node of the body at hand: one step, or the steps of a body inside."""

    name: str
    steps: list[Step]
    inner: bool

    @property
    def reads(self) -> list[str]:
        """The values from outside, in the order in which they are first read."""
        own = {value for step in self.steps for value in step.outputs}
        return list(dict.fromkeys(value for step in self.steps for value in step.inputs if value not in own))


class _Made(NamedTuple):
    """What a node is: its target, the values that go in and out, and what the latter are called if they are several."""

    kind: str
    target: Op | Body
    reads: tuple[str, ...]
    gives: tuple[str, ...]
    names: list[str]
    shares: str | None = None


@dataclass(eq=False, repr=False)
class Tree:
    """Makes the bodies of a program whose values have these `types`, and whose results are `wanted`."""

    types: Mapping[str, TensorType]
    wanted: tuple[str, ...]
    span: Span

    def root(self, kind: str, steps: list[Step], inputs: Mapping[str, str], outputs: Iterable[str]) -> Body:
        """The body of the network; `inputs` are names of values and what to call them, `outputs` what to call those."""
        self.readers: dict[str, set[Step]] = defaultdict(set)
        for step in steps:
            for value in step.inputs:
                self.readers[value].add(step)
        self.kinds: dict[Any, str] = {}
        named = dict(zip(outputs, self.wanted, strict=True))
        return self._body(kind, (), steps, inputs, named, "bare" if len(named) == 1 else "dict")

    def _body(
        self,
        kind: str,
        path: Path,
        steps: list[Step],
        inputs: Mapping[str, str],
        outputs: Mapping[str, str],
        returns: Literal["bare", "tuple", "dict"],
    ) -> Body:
        values = {value: Value(name, self.types[value]) for value, name in inputs.items()}
        nodes = [self._node(unit, path, values) for unit in _units(steps, len(path))]
        given = tuple(Output(name, values[value]) for name, value in outputs.items())
        return Body(
            kind=kind,
            form="chain" if _is_chain(nodes, tuple(values[value] for value in inputs), given) else "graph",
            inputs=tuple(values[value] for value in inputs),
            nodes=tuple(nodes),
            schedule=tuple(nodes),
            outputs=given,
            span=self.span,
            returns=returns,
        )

    def _node(self, unit: _Unit, around: Path, values: dict[str, Value]) -> Node:
        """The node of a unit; what it gives is added to the `values` of the body around it."""
        made = self._part(unit, around) if unit.inner else _leaf(unit, around)
        names = [f"{unit.name}.{name}" for name in made.names] if len(made.gives) > 1 else [unit.name]
        outputs = tuple(Value(name, self.types[value]) for name, value in zip(names, made.gives, strict=True))
        inputs = tuple(values[value] for value in made.reads)
        values |= zip(made.gives, outputs, strict=True)
        return Node(unit.name, made.kind, made.target, inputs, outputs, self.span, shares=made.shares)

    def _part(self, unit: _Unit, around: Path) -> _Made:
        """A body inside, which gives what is read outside of it."""
        path, own = (*around, *unit.name.split(".")), set(unit.steps)
        reads = tuple(unit.reads)
        gives = tuple(
            value
            for step in unit.steps
            for value in step.outputs
            if value in self.wanted or not self.readers[value] <= own
        )
        inputs = dict(zip(reads, _numbered("x", len(reads)), strict=True))
        outputs = dict(zip(_numbered("y", len(gives)), gives, strict=True))
        body = self._body("graph", path, unit.steps, inputs, outputs, "tuple" if len(gives) > 1 else "bare")
        body.kind = self._kind(path, body)
        return _Made(body.kind, body, reads, gives, list(outputs))

    def _kind(self, path: Path, body: Body) -> str:
        """What to call a body: equal for those with nodes of equal names and kinds, after the first one of them."""
        if body.form == "chain":
            return "graph"
        contents = tuple((node.name, node.kind) for node in body.nodes)
        if contents not in self.kinds:
            word = path[-1].rstrip("0123456789_-").replace("-", "_") or "block"
            self.kinds[contents] = numbered(word if word not in OP_NAMES else f"{word}_block", set(self.kinds.values()))
        return self.kinds[contents]


def _leaf(unit: _Unit, around: Path) -> _Made:
    """The op of a unit that is one step."""
    (step,) = unit.steps
    names = [str(number) for number in range(len(step.outputs))]
    shares = ".".join(step.shares[len(around) :]) or None
    return _Made(step.kind, step.op, step.inputs, step.outputs, names, shares)


def _units(steps: list[Step], depth: int) -> list[_Unit]:
    """The nodes of a body whose path is `depth` names long, in an order in which they can run."""
    open: set[Path] = set()  # parts that cannot run as one node, or that nothing goes into
    while True:
        units: dict[Path, _Unit] = {}
        for step in steps:
            length = depth + 1
            while step.path[:length] in open:
                length += 1
            key = step.path[:length]
            unit = units.setdefault(key, _Unit(".".join(key[depth:]), [], len(step.path) > length))
            unit.steps.append(step)
        ordered, tangled = _sorted(units)
        apart = {key for key, unit in units.items() if unit.inner and (key in tangled or not unit.reads)}
        if not apart:
            return [units[key] for key in ordered]
        open |= apart


def _sorted(units: Mapping[Path, _Unit]) -> tuple[list[Path], set[Path]]:
    """Units in an order in which they can run, and those that wait for each other."""
    makers = {value: key for key, unit in units.items() for step in unit.steps for value in step.outputs}
    needs = {key: {makers[value] for value in unit.reads if value in makers} for key, unit in units.items()}
    ordered = _peeled(needs)
    rest = {key: needs[key] - set(ordered) for key in needs.keys() - set(ordered)}
    needed = {key: {other for other in rest if key in rest[other]} for key in rest}
    return ordered, rest.keys() - set(_peeled(needed))


def _peeled(needs: Mapping[Path, set[Path]]) -> list[Path]:
    """Keys one after the other, each as soon as all that it needs is there, in the order given."""
    waiting = {key: len(others) for key, others in needs.items()}
    followers: dict[Path, list[Path]] = defaultdict(list)
    for key, others in needs.items():
        for other in others:
            followers[other].append(key)
    place = {key: number for number, key in enumerate(needs)}
    ready = [place[key] for key, count in waiting.items() if not count]
    keys = list(needs)
    heapify(ready)
    ordered = []
    while ready:
        key = keys[heappop(ready)]
        ordered.append(key)
        for follower in followers[key]:
            waiting[follower] -= 1
            if not waiting[follower]:
                heappush(ready, place[follower])
    return ordered


def _is_chain(nodes: list[Node], inputs: tuple[Value, ...], outputs: tuple[Output, ...]) -> bool:
    """Whether nodes are numbered from 0 on, and each one reads the one before it alone."""
    if len(inputs) != 1 or len(outputs) != 1 or any(len(node.outputs) != 1 for node in nodes):
        return False
    results = [*inputs, *(node.outputs[0] for node in nodes)]
    wired = [*(node.inputs for node in nodes), (outputs[0].value,)]
    names = [str(number) for number in range(len(nodes))]
    return [node.name for node in nodes] == names and wired == [(value,) for value in results]


def _numbered(word: str, count: int) -> list[str]:
    """`x`, `x2`, `x3`."""
    return [word if number == 1 else f"{word}{number}" for number in range(1, count + 1)]
