"""A graph in, the graphs of its pipeline stages out: each is a part of the network that runs on a device of its own.

A stage takes what crosses the cut before it, and gives what crosses the cut behind it; blocks that a cut goes through
stand in both with what is left of them. Paths stay what they are, so the keys of the stages are those of the network.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from netspec.cuts import Line, Wire, in_order
from netspec.graph import Body, Graph, Node, Output, Value
from netspec.names import underscored
from netspec.paths import PathPattern
from netspec.recursion import deep_recursion


@deep_recursion
def stages(line: Line, cuts: Sequence[int]) -> tuple[Graph, ...]:
    """The stages of the graph of a line, cut at the positions `cuts`, which are in order."""
    ends = [*cuts, len(line.steps)]
    return tuple(_stage(line, first, end) for first, end in zip([0, *cuts], ends, strict=True))


def _stage(line: Line, first: int, end: int) -> Graph:
    graph = line.graph
    root = _Part(line, first, end, graph.root, "").stage()
    stage = replace(graph, root=root, parallel=graph.parallel._replace(pipeline=()))
    kept = {path for path, _ in stage.walk()}
    stage.checkpoint = tuple(selector for selector in graph.checkpoint if any(map(PathPattern(selector).matches, kept)))
    stage.initializers = tuple(assignment for assignment in graph.initializers if assignment.path in kept)
    stage.left_out = graph.left_out | (graph.state().keys() - stage.state().keys())
    return stage


@dataclass(eq=False, repr=False)
class _Part:
    """What a stage from `first` to `end` has of the body whose paths begin with `prefix`, as it is put together."""

    line: Line
    first: int
    end: int
    body: Body
    prefix: str
    inputs: dict[Wire, Value] = field(default_factory=dict)
    values: dict[Wire, Value] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)  # by name, in the order in which they run

    @cached_property
    def own(self) -> list[Node]:
        """The nodes that run in this stage, in whole or in part, in the order in which they run."""
        spans = ((node, self.line.spans[self.prefix + node.name]) for node in in_order(self.body))
        return [node for node, (first, end) in spans if first < self.end and end > self.first]

    def stage(self) -> Body:
        """The body of the whole stage."""
        line = self.line
        taken = line.crossing(self.first) if self.first else [line.known[""][value] for value in self.body.inputs]
        for wire in taken:
            self.value(wire)
        self.fill()
        if self.end == len(line.steps):
            given = [Output(o.name, self.value(line.known[""][o.value]), o.training_only) for o in self.body.outputs]
            return self.made(given, self.body.returns)
        given = self.named([self.value(wire) for wire in line.crossing(self.end)])
        return self.made(given, "bare" if len(given) == 1 else "tuple")

    def fill(self) -> None:
        """Take over the nodes of the body that run in this stage."""
        known = self.line.known[self.prefix]
        for node in self.own:
            path = self.prefix + node.name
            first, end = self.line.spans[path]
            if self.first <= first and end <= self.end:
                inputs = tuple(self.value(known[value]) for value in node.inputs)
                wires = [known[value] for value in node.outputs]
                made = replace(node, inputs=inputs)
            else:
                made, wires = self.cut_through(node, path)
            self.nodes[node.name] = made
            for wire, value in zip(wires, made.outputs, strict=True):
                self.values.setdefault(wire, value)

    def cut_through(self, node: Node, path: str) -> tuple[Node, list[Wire]]:
        """A node of which the stage has a part, and what that gives."""
        assert isinstance(node.target, Body), "an op is never cut"
        inner = _Part(self.line, self.first, self.end, node.target, f"{path}.")
        inner.fill()
        first, end = self.line.spans[path]
        first, end = max(first, self.first), min(end, self.end)
        wires = [wire for wire in inner.values if first <= wire.made < end <= wire.used]
        given = self.named([inner.values[wire] for wire in wires])
        body = inner.made(given, "bare" if len(given) == 1 else "tuple")
        inputs = tuple(self.value(wire) for wire in inner.inputs)
        names = [node.name] if len(given) == 1 else [f"{node.name}.{output.name}" for output in given]
        outputs = tuple(Value(name, wire.type) for name, wire in zip(names, wires, strict=True))
        return replace(node, target=body, inputs=inputs, outputs=outputs), wires

    def value(self, wire: Wire) -> Value:
        """The value of a wire in this body: what is made outside of it becomes an input."""
        if wire not in self.values:
            taken = {value.name for value in self.inputs.values()} | {node.name for node in self.own}
            self.values[wire] = self.inputs[wire] = Value(_free(wire.name, taken), wire.type)
        return self.values[wire]

    def named(self, values: list[Value]) -> list[Output]:
        """Outputs with names that are free."""
        outputs: dict[str, Output] = {}
        for value in values:
            name = _free(value.name, outputs.keys())
            outputs[name] = Output(name, value)
        return list(outputs.values())

    def made(self, outputs: list[Output], returns: Literal["bare", "tuple", "dict"]) -> Body:
        """The body, which is still a chain where one value goes through all its nodes."""
        schedule = tuple(self.nodes.values())
        taken = [*(node.inputs for node in schedule), tuple(output.value for output in outputs)]
        given = [tuple(self.inputs.values()), *(node.outputs for node in schedule)]
        chain = self.body.form == "chain" and taken == given and all(len(values) == 1 for values in given)
        return replace(
            self.body,
            form="chain" if chain else "graph",
            inputs=tuple(self.inputs.values()),
            nodes=tuple(self.nodes[node.name] for node in self.body.nodes if node.name in self.nodes),
            schedule=schedule,
            outputs=tuple(outputs),
            returns=returns,
        )


def _free(name: str, taken: Collection[str]) -> str:
    """A name of a variable, made of a path, that is not `taken`."""
    name = re.sub(r"\W", "_", name)
    return underscored(name if name[0].isalpha() else f"x{name}", taken)
