"""Two graphs in, the first difference out: whether a spec is the network that it was made from.

Equal are graphs with the same inputs, keys and outputs in which every module with a state reads the same values and
does the same with them. What has no state may have any name and stand in any block. Each value is numbered by what
computes it, from the inputs on, so equal numbers mean equal values.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from netspec.graph import Body, Graph, Node, Value
from netspec.importing.fold.canonical import signature
from netspec.ops.merge import Add, Concat, Mul
from netspec.ops.reshape import Identity
from netspec.recursion import deep_recursion


class _Step(NamedTuple):
    """A module with a state, where it runs: what it does, and the numbers of what it reads and gives."""

    does: str
    reads: tuple[int, ...]
    gives: tuple[int, ...]


@dataclass(eq=False)
class _Network:
    """What a graph computes."""

    steps: dict[tuple[str, int], _Step] = field(default_factory=dict)  # by path, and which of its calls it is
    ops: Counter[Any] = field(default_factory=Counter)  # how often each thing is computed, concatenations aside
    outputs: list[tuple[str, int, bool]] = field(default_factory=list)


@dataclass(eq=False)
class _Numbering:
    """Numbers of values, the same for the same computation in whatever graph."""

    numbers: dict[Any, int] = field(default_factory=dict)
    joined: dict[int, tuple[Any, tuple[int, ...]]] = field(default_factory=dict)  # what a concatenation is made of

    def number(self, key: Any) -> int:
        return self.numbers.setdefault(key, len(self.numbers))

    def network(self, root: Body) -> _Network:
        network = _Network()
        inputs = tuple(self.number(("input", index, value.type)) for index, value in enumerate(root.inputs))
        results = self.body(root, inputs, "", network)
        for output, number in zip(root.outputs, results, strict=True):
            name = output.name if len(root.outputs) > 1 or root.returns != "bare" else ""
            network.outputs.append((name, number, output.training_only))
        return network

    def body(self, body: Body, inputs: tuple[int, ...], prefix: str, network: _Network) -> tuple[int, ...]:
        """Run a body on numbered inputs; the numbers of its outputs."""
        known: dict[Value, int] = dict(zip(body.inputs, inputs, strict=True))
        for node in body.schedule:
            reads = tuple(known[value] for value in node.inputs)
            path = prefix + (node.shares or node.name)
            if isinstance(node.target, Body):
                gives = self.body(node.target, reads, f"{path}.", network)
            else:
                gives = self.op(node, reads, path, network)
            known |= dict(zip(node.outputs, gives, strict=True))
        return tuple(known[output.value] for output in body.outputs)

    def op(self, node: Node, reads: tuple[int, ...], path: str, network: _Network) -> tuple[int, ...]:
        assert not isinstance(node.target, Body)
        if isinstance(node.target, Identity) or (isinstance(node.target, Concat) and len(reads) == 1):
            return reads
        does = signature(node.target, node.input_types)
        stateful = bool(node.target.state(*node.input_types))
        if isinstance(node.target, Concat):
            does, reads = self.whole(node.target.dim % (node.inputs[0].type.rank + 1), reads)
        elif isinstance(node.target, Add | Mul):
            reads = (*sorted(reads[:2]), *reads[2:])  # the order of two numbers makes no difference, not even in bits
        key = (does, path if stateful else "", reads, node.training_only)
        gives = tuple(self.number((*key, index)) for index in range(len(node.outputs)))
        if isinstance(node.target, Concat):
            self.joined[gives[0]] = (does, reads)
        else:
            network.ops[key] += 1
        if stateful:
            call = 0
            while (path, call) in network.steps:
                call += 1
            network.steps[path, call] = _Step(does, reads, gives)
        return gives

    def whole(self, axis: int, reads: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
        """A concatenation of concatenations along one axis as the concatenation of all their parts."""
        own = f"concat along {axis}"
        parts: list[int] = []
        for number in reads:
            inner = self.joined.get(number)
            parts += inner[1] if inner is not None and inner[0] == own else (number,)
        return own, tuple(parts)


@deep_recursion
def equal(first: Graph, second: Graph) -> str | None:
    """The first difference between two networks in words; None where they are the same one.

    Names of blocks, of parameters of the spec and of nodes without a state may differ, and so may initialization.
    """
    if [value.type for value in first.root.inputs] != [value.type for value in second.root.inputs]:
        return f"the inputs are {_types(first)} and {_types(second)}"
    keys, others = first.state(), second.state()
    for key, state in keys.items():
        if key not in others:
            return f"`{key}` is in the first alone"
        if others[key] != state:
            return f"`{key}` is {state.shape} and {others[key].shape}"
    for key in others:
        if key not in keys:
            return f"`{key}` is in the second alone"
    if list(keys) != list(others):
        place = next(index for index, pair in enumerate(zip(keys, others, strict=True)) if pair[0] != pair[1])
        return f"the keys have another order from `{list(keys)[place]}` on"
    return _compare(first, second)


def _compare(first: Graph, second: Graph) -> str | None:
    numbering = _Numbering()
    ours, theirs = numbering.network(first.root), numbering.network(second.root)
    for place, step in ours.steps.items():
        other = theirs.steps.get(place)
        if other != step:
            if other is None:
                return f"`{place[0]}` runs more often in the first"
            return f"`{place[0]}` {'reads another value' if other.does == step.does else 'does something else'}"
    if first.root.returns != second.root.returns or ours.outputs != theirs.outputs:
        return "the outputs differ"
    if ours.steps.keys() != theirs.steps.keys():
        return "some modules run more often in the second"
    if ours.ops != theirs.ops:
        return "there are other ops without a state"
    return None


def _types(graph: Graph) -> str:
    return ", ".join(str(value.type) for value in graph.root.inputs)
