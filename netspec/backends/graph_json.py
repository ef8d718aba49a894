"""Graph in, the text of a graph file out: JSON in which nothing is left to work out, for programs of any kind.

A body that stands in many places is written once, behind those that it is made of. `netspec.graph_file` reads the text
back to an equal graph; `docs/export.md` describes the format. Published weights are named; a file of them, whose path
means something on one machine alone, is not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netspec.diagnostics import SourceFile, Span
from netspec.files import GRAPH_FORMAT, WEIGHT_FILES
from netspec.graph import Body, Graph, Node, Output, Value
from netspec.shapes import TensorType

WIDTH = 120  # columns of a line


def to_graph_json(graph: Graph) -> str:
    """The graph as the text of a graph file."""
    return _text(_Writer().graph(graph), 0) + "\n"


@dataclass(eq=False, repr=False)
class _Writer:
    """Numbers files, and names bodies, in the order in which they are first needed."""

    files: dict[SourceFile, int] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)  # of bodies, by identity
    bodies: list[dict[str, Any]] = field(default_factory=list)

    def graph(self, graph: Graph) -> dict[str, Any]:
        network = self.body(graph.root)
        return {
            "netspec_graph": GRAPH_FORMAT,
            "name": graph.name,
            **_given(about=graph.about, reference=graph.reference, weights=_weights(graph)),
            **_given(freeze=graph.freeze, checkpoint=graph.checkpoint, parallel=_parallel(graph)),
            **_given(left_out=sorted(graph.left_out)),
            "files": [file.name for file in self.files],
            "bodies": self.bodies,
            "network": network,
            **_initialization(graph),
        }

    def body(self, body: Body) -> dict[str, Any]:
        nodes = [self.node(node) for node in body.nodes]
        schedule = [node.name for node in body.schedule] if body.schedule != body.nodes else None
        return {
            "kind": body.kind,
            "form": body.form,
            "inputs": [_value(value) for value in body.inputs],
            "nodes": nodes,
            **_given(schedule=schedule),
            "outputs": [_output(output) for output in body.outputs],
            "returns": body.returns,
            **_given(repeated=body.repeated, absent=body.absent, arguments=body.arguments),
            "place": self.place(body.span),
        }

    def node(self, node: Node) -> dict[str, Any]:
        target = node.target
        what = (
            {"body": self.shared(target)}
            if isinstance(target, Body)
            else {"op": node.kind, "arguments": {name: getattr(target, name) for name in type(target).fields()}}
        )
        return {
            "name": node.name,
            **what,
            "inputs": [value.name for value in node.inputs],
            "outputs": [_value(value) for value in node.outputs],
            **_given(training_only=node.training_only, shares=node.shares),
            "place": self.place(node.span),
        }

    def shared(self, body: Body) -> str:
        """The name of a body, which is written when it is first needed."""
        if id(body) not in self.names:
            written = self.body(body)
            taken = set(self.names.values())
            name = next(name for name in _numbered(body.kind) if name not in taken)
            self.names[id(body)] = name
            self.bodies.append({"name": name, **written})
        return self.names[id(body)]

    def place(self, span: Span) -> list[int]:
        """The number of a file, and where in it something starts and ends."""
        return [self.files.setdefault(span.file, len(self.files)), *span[1:]]


def _numbered(kind: str) -> Iterator[str]:
    yield kind
    number = 2
    while True:
        yield f"{kind}_{number}"
        number += 1


def _given(**values: Any) -> dict[str, Any]:
    """What says something: neither nothing, nor false, nor empty."""
    return {name: value for name, value in values.items() if value}


def _weights(graph: Graph) -> dict[str, Any]:
    """The published weights of a network."""
    if Path(graph.weights).suffix in WEIGHT_FILES or not graph.weights:
        return {}
    return {"place": graph.weights, "needs": graph.weights_need, "adapted": graph.adapted}


def _parallel(graph: Graph) -> dict[str, Any]:
    """How a network is spread over devices, where its spec says so."""
    shard, pipeline, tensor = graph.parallel
    return _given(shard=shard, pipeline=pipeline, tensor=dict(tensor))


def _value(value: Value) -> dict[str, Any]:
    return {"name": value.name, **_type(value.type)}


def _type(type: TensorType) -> dict[str, Any]:
    dtype = {} if type.dtype == "float32" else {"dtype": type.dtype}
    return {"shape": list(type.shape), **dtype, **({} if type.batched else {"batched": False})}


def _output(output: Output) -> dict[str, Any]:
    return {"name": output.name, "value": output.value.name, **_given(training_only=output.training_only)}


def _initialization(graph: Graph) -> dict[str, Any]:
    """Which parameter is filled by which initializer; equal ones are written once."""
    numbers: dict[Any, int] = {}
    rows: list[list[Any]] = []
    for path, parameter, initializer, owner in graph.initializers:
        number = numbers.setdefault(initializer, len(numbers))
        rows.append([path, parameter, number, *([owner] if owner else [])])
    kinds = [{"name": item.function.rstrip("_"), "arguments": item.arguments()} for item in numbers]
    return {"initializers": kinds, "initialize": rows} if rows else {}


def _text(value: Any, indent: int) -> str:
    """JSON on one line where it fits, and else with a line for each item."""
    flat = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if len(flat) + indent <= WIDTH or not isinstance(value, (dict, list, tuple)):
        return flat
    inner = " " * (indent + 2)
    if isinstance(value, dict):
        items: Iterable[str] = (f"{json.dumps(key)}: {_text(item, indent + 2)}" for key, item in value.items())
        opening, closing = "{}"
    else:
        items = (_text(item, indent + 2) for item in value)
        opening, closing = "[]"
    lines = ",\n".join(inner + item for item in items)
    return f"{opening}\n{lines}\n{' ' * indent}{closing}"
