"""Graph and path in, explanation out: where one node comes from, how its shape comes about, and what it costs.

All arithmetic is that of the ops themselves, so it is what the shape, the parameters and the costs were computed by.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import pairwise, takewhile
from typing import Any, NamedTuple

from netspec.backends.receptive import ReceptiveFields
from netspec.diagnostics import Span
from netspec.expressions import show
from netspec.graph import Body, Graph, Node, Value, node_macs, node_parameters, node_state
from netspec.ops.base import Op
from netspec.quantities import byte_size, short
from netspec.shapes import AXIS_NAMES, TensorType
from netspec.windows import WHOLE, Part, Reach, Reaches, product

_MAPS = ("convolution", "pooling", "resample")  # categories whose ops take channels and spatial axes
_MOST_STEPS = 12  # of the way from the input
_LABEL = 17  # width of the column of labels


class Quantity(NamedTuple):
    """A number and how it comes about."""

    name: str
    arithmetic: str
    value: int

    def __str__(self) -> str:
        shown = f"{self.value:,}"
        return f"{self.name}: {shown if self.arithmetic == str(self.value) else f'{self.arithmetic} = {shown}'}"


class Place(NamedTuple):
    """A value where it stands in the network: the path of the node that makes it, or the name of an input."""

    path: str
    type: str

    def __str__(self) -> str:
        return f"{self.path} {self.type}"


class Origin(NamedTuple):
    """A block or group that the node is in: where it is used, as it is written there, and with which arguments."""

    path: str
    kind: str
    copy: str
    place: str
    written: tuple[str, ...]
    arguments: dict[str, str]


class Child(NamedTuple):
    """A node inside the one that is explained."""

    name: str
    kind: str
    outputs: tuple[str, ...]
    parameters: int
    macs: int


class Explanation(NamedTuple):
    """All that is to say of one node. Memory is in bytes; costs are for one sample."""

    path: str
    op: str
    span: Span
    origins: tuple[Origin, ...]
    inputs: tuple[Place, ...]
    outputs: tuple[str, ...]
    memory: int
    axes: tuple[Quantity, ...]
    way: tuple[Place, ...]
    fields: dict[str, Reaches]
    network_inputs: dict[str, TensorType]
    parameters: int
    parameter_sums: tuple[Quantity, ...]
    macs: int
    macs_arithmetic: str
    state: dict[str, str]
    shares: str | None
    readers: tuple[str, ...]
    children: tuple[Child, ...]

    def text(self) -> str:
        """The explanation for a terminal."""
        return "\n".join([f"{self.path}: {self.op}", self.span.excerpt(), "", *self._lines()])

    def json(self) -> str:
        """The explanation as JSON; sizes are in bytes."""
        document: dict[str, Any] = {"path": self.path, "op": self.op, "file": self.span.file.name}
        document |= {"line": self.span.line, "column": self.span.column}
        document |= {
            "inside": [origin._asdict() for origin in self.origins],
            "inputs": [place._asdict() for place in self.inputs],
            "outputs": self.outputs,
            "memory": self.memory,
            "axes": [axis._asdict() for axis in self.axes],
            "way": [place._asdict() for place in self.way],
            "receptive_field": {name: list(map(_plain, field)) for name, field in self.fields.items()},
            "parameters": self.parameters,
            "parameter_sums": [item._asdict() for item in self.parameter_sums],
            "macs": self.macs,
            "macs_arithmetic": self.macs_arithmetic,
            "state": self.state,
            "shares": self.shares,
            "readers": self.readers,
            "children": [child._asdict() for child in self.children],
        }
        return json.dumps(document, indent=2, ensure_ascii=False)

    def _lines(self) -> Iterator[str]:
        for outer, origin in pairwise((None, *self.origins)):
            assert origin is not None
            yield _labeled("inside", f"{origin.path}: {origin.kind}{origin.copy}, {origin.place}", outer is None)
            if outer is None or origin.written != outer.written:
                yield from (f"{' ' * _LABEL}    {line}" for line in origin.written)
            if origin.arguments:
                yield _labeled("", f"  {_arguments_text(origin.arguments)}")
        yield from _section("input", map(str, self.inputs))
        yield from _section("output", [f"{', '.join(self.outputs)}, {byte_size(self.memory)}", *map(str, self.axes)])
        if self.shares:
            yield _labeled("module", f"that of {self.shares}, called again")
        yield _labeled("way", " → ".join(map(str, _shortened(self.way))))
        fields = self.fields.items()
        yield from _section(
            "receptive field", (_field_text(name, self.network_inputs[name], field) for name, field in fields)
        )
        total = f"{self.parameters:,}"
        sums = [str(item) for item in self.parameter_sums]
        yield from _section("parameters", sums + [f"together: {total}"] * (len(sums) > 1) or [total])
        yield _labeled("MACs", f"{self.macs_arithmetic} = {self.macs:,}" if self.macs_arithmetic else f"{self.macs:,}")
        yield from _section("state_dict", (f"{key} {shape}" for key, shape in self.state.items()))
        yield from _section("read by", self.readers)
        widths = [max(map(len, column)) for column in zip(*map(_cells, self.children), strict=True)]
        cells = ([cell.ljust(width) for cell, width in zip(_cells(c), widths, strict=True)] for c in self.children)
        yield from _section("children", ("  ".join(row).rstrip() for row in cells))


def explain(graph: Graph, path: str) -> Explanation:
    """What there is to say of the node at `path`. Raises `SpecError` where there is none."""
    route = graph.route(path)
    if not route:
        raise graph.no_node(path)
    place = _Standing(graph, route)
    node, types = route[-1], route[-1].input_types
    op = node.target if isinstance(node.target, Op) else None
    return Explanation(
        path,
        _call(node),
        node.span,
        tuple(_origins(graph, route)),
        tuple(place.source(value) for value in node.inputs),
        tuple(map(str, node.output_types)),
        sum(type.bytes for type in node.output_types),
        _axes(op, types, node.output_types[0]) if op else (),
        place.way(),
        ReceptiveFields(graph).of(route),
        graph.inputs,
        node_parameters(node),
        tuple(
            Quantity(name or node.name, product(state.shape) or "1", state.elements)
            for name, state in node_state(node).items()
            if state.trainable
        ),
        node_macs(node),
        " + ".join(map(product, op.products(*types))) if op else "",
        {
            f"{path}.{name}" if name else path: "×".join(map(str, state.shape)) or "scalar"
            for name, state in node_state(node).items()
            if state.persistent
        },
        node.shares,
        tuple(dict.fromkeys(place.readers())),
        tuple(map(_child, node.target.nodes)) if isinstance(node.target, Body) else (),
    )


class _Standing(NamedTuple):
    """A node in its network: the nodes that lead to it, which its neighbors are found by."""

    graph: Graph
    route: tuple[Node, ...]

    @property
    def outer(self) -> _Standing:
        return _Standing(self.graph, self.route[:-1])

    @property
    def body(self) -> Body:
        """The body that the node stands in."""
        around = self.route[-2].target if len(self.route) > 1 else self.graph.root
        assert isinstance(around, Body)
        return around

    def path(self, node: Node) -> str:
        return ".".join([*(outer.name for outer in self.route[:-1]), node.name])

    def maker(self, value: Value) -> tuple[_Standing, Node | None, Value]:
        """The node that makes a value of this body, which may stand further out; None for an input of the network."""
        node = _makers(self.body).get(value)
        if node is not None:
            return self, node, value
        if len(self.route) == 1:
            return self, None, value
        return self.outer.maker(self.route[-2].inputs[self.body.inputs.index(value)])

    def source(self, value: Value) -> Place:
        standing, node, made = self.maker(value)
        if node is None:
            return Place(made.name, str(made.type))
        several = len(node.outputs) > 1
        output = made.name.removeprefix(node.name) if several else ""
        return Place(standing.path(node) + output, str(made.type))

    def way(self) -> tuple[Place, ...]:
        """The values on the way from the network's input, where the shape changes; of several inputs the first."""
        last = self.route[-1].outputs[0]
        places = [Place(self.path(self.route[-1]), str(last.type))]
        standing, node = self, self.route[-1]
        while node.inputs:
            read = next((value for value in node.inputs if value.type.batched), node.inputs[0])
            places.append(standing.source(read))
            standing, maker, _ = standing.maker(read)
            if maker is None:
                break
            node = maker
        places.reverse()
        return (*places[:1], *(place for before, place in pairwise(places) if place.type != before.type))

    def readers(self) -> Iterator[str]:
        """Who reads the node's outputs: paths of nodes, or outputs of the network."""
        yield from self._readers(self.route[-1].outputs)

    def _readers(self, values: tuple[Value, ...]) -> Iterator[str]:
        for node in self.body.schedule:
            if set(values) & set(node.inputs):
                yield self.path(node)
        returned = [(i, output) for i, output in enumerate(self.body.outputs) if output.value in values]
        if len(self.route) == 1:
            yield from (f"the output {output.name}" for _, output in returned)
        elif returned:
            yield from self.outer._readers(tuple(self.route[-2].outputs[i] for i, _ in returned))


@lru_cache(maxsize=256)
def _makers(body: Body) -> dict[Value, Node]:
    return {value: node for node in body.nodes for value in node.outputs}


def _call(node: Node) -> str:
    """`conv(out_channels=64, kernel_size=7)`: the node with its arguments as resolved."""
    target = node.target
    arguments = target.changed(*type(target).fields()) if isinstance(target, Op) else target.arguments
    text = _arguments_text({name: show(value) for name, value in arguments.items()})
    return f"{node.kind}({text})" if text else node.kind


def _arguments_text(arguments: dict[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in arguments.items())


def _origins(graph: Graph, route: tuple[Node, ...]) -> Iterator[Origin]:
    around = graph.root
    path: list[str] = []
    for node in route[:-1]:
        assert isinstance(node.target, Body)
        path.append(node.name)
        copies = [other.name for other in around.nodes if other.span == node.span and other.kind == node.kind]
        copy = f", copy {copies.index(node.name) + 1} of {len(copies)}" if around.repeated else ""
        arguments = {name: show(value) for name, value in node.target.arguments.items()}
        yield Origin(".".join(path), node.kind, copy, str(node.span), _written(node), arguments)
        around = node.target


def _written(node: Node) -> tuple[str, ...]:
    """A node's own keys in the file; of a group there are none but what is in it."""
    span = node.span
    if node.kind in ("chain", "graph", "branches"):
        return ()
    lines, number, column = span.file.lines, span.line - 1, span.column - 1
    if lines[number][:column].strip():
        return (lines[number].strip(),)
    before = list(takewhile(lambda line: _indent(line) >= column, reversed(lines[:number])))
    behind = takewhile(lambda line: _indent(line) >= column, lines[number + 1 :])
    return tuple(line.strip() for line in (*reversed(before), lines[number], *behind) if _indent(line) == column)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _axes(op: Op, inputs: tuple[TensorType, ...], output: TensorType) -> tuple[Quantity, ...]:
    names = AXIS_NAMES.get(output.rank, ()) if op.category in _MAPS or output.rank == 1 else ()
    names = names or tuple(f"axis {axis + output.batched}" for axis in range(output.rank))
    texts = op.arithmetic(*inputs)
    return tuple(
        Quantity(name, text, length)
        for name, text, length in zip(names, texts or [""] * output.rank, output.shape, strict=True)
        if text
    )


def _child(node: Node) -> Child:
    outputs = tuple(map(str, node.output_types))
    return Child(node.name, node.kind, outputs, node_parameters(node), node_macs(node))


def _cells(child: Child) -> tuple[str, ...]:
    parameters = f"{child.parameters:,} parameters" if child.parameters else ""
    macs = f"{short(child.macs)}MACs" if child.macs else ""
    return child.name, child.kind, ", ".join(child.outputs), parameters, macs


def _shortened(way: tuple[Place, ...]) -> Iterable[Place | str]:
    if len(way) <= _MOST_STEPS:
        return way
    return (*way[: _MOST_STEPS // 2], "…", *way[-_MOST_STEPS // 2 :])


def _field_text(name: str, input: TensorType, field: Reaches) -> str:
    """`43×43 of x 3×224×224, stride 8×8, first centered at 0×0`: channels, of which all is seen, are left out."""
    axes = field[1:] if len(field) > 2 else field
    if all(part == WHOLE for part in axes):
        return f"all of {name} {input}"
    if any(part is None for part in axes):
        return f"not known of {name} {input}: positions were rearranged on the way"
    extents = [part for part in axes if isinstance(part, Reach)]
    size = "×".join(str(part.size) if isinstance(part, Reach) else "all" for part in axes)
    stride = "×".join(str(part.stride) for part in extents)
    center = ", ".join(f"{float(part.center):g}" for part in extents)
    return f"{size} of {name} {input}, stride {stride}, the first centered at {center}"


def _plain(part: Part) -> Any:
    """What is read of one axis of an input as plain data."""
    if not isinstance(part, Reach):
        return part
    return {"size": part.size, "stride": str(part.stride), "center": float(part.center)}


def _section(label: str, lines: Iterable[str]) -> Iterator[str]:
    """Lines under one label, which stands before the first."""
    for number, line in enumerate(lines):
        yield _labeled(label, line, number == 0)


def _labeled(label: str, text: str, first: bool = True) -> str:
    return f"{label if first else '':<{_LABEL}}{text}".rstrip()
