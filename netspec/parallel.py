"""What a spec says of several devices, checked against its graph: what is sharded, cut into stages, and split.

Backends read the answers: the paths of the modules to shard, the positions of the cuts, and how each layer is split.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple, cast, get_args

from netspec.cuts import Line
from netspec.diagnostics import Problem, Reporter, SpecError, listing, suggest
from netspec.graph import Body, Graph, Node, Parallel, Value, node_parameters, node_state
from netspec.paths import PathPattern
from netspec.spec import ParallelSpec
from netspec.transfer import is_left_out, nearest
from netspec.windows import same_place

Style = Literal["colwise", "rowwise"]
"""How a layer is split: its output features, or its input features; of an embedding the features, or the rows."""

SPLIT = ("linear", "embedding")
"""The ops that can be split."""


def spread(spec: ParallelSpec, graph: Graph, reporter: Reporter) -> None:
    """Give `graph` what its spec says of several devices."""
    units = _units(graph) if spec.shard else {}
    for selector in spec.shard:
        with reporter.catch(selector.span):
            _units_at(graph, selector.text, units)
    line = Line(graph) if spec.pipeline else None
    begun: dict[int, str] = {}
    for selector in spec.pipeline:
        with reporter.catch(selector.span):
            assert line is not None
            _begin(line, selector.text, begun)
    layers = _layers(graph) if spec.tensor else []
    for path, style in spec.tensor:
        with reporter.catch(path.span):
            _layers_at(graph, path.text, layers)
        with reporter.catch(style.span):
            _style(style.text)
    graph.parallel = Parallel(
        shard=tuple(selector.text for selector in spec.shard),
        pipeline=tuple(selector.text for selector in spec.pipeline),
        tensor=tuple((path.text, style.text) for path, style in spec.tensor),
    )


def check_parallel(graph: Graph) -> None:
    """Raise `SpecError` where what a graph says of several devices does not fit it."""
    shard_units(graph)
    split_layers(graph)
    if graph.parallel.pipeline:
        stage_cuts(Line(graph))


# Shards --------------------------------------------------------------------------------------------------------------


def shard_units(graph: Graph) -> list[str]:
    """Paths of the modules that are sharded one by one, in the order of the network. Raises `SpecError`."""
    try:
        units = _units(graph) if graph.parallel.shard else {}
        found = {path for selector in graph.parallel.shard for path in _units_at(graph, selector, units)}
    except Problem as problem:
        raise SpecError([problem.at(None)]) from None
    return [path for path in units if path in found]


def _units(graph: Graph) -> dict[str, str]:
    """The modules that have parameters: for each path the kind of block, or nothing for an op."""
    modules = ((path, node) for path, node in graph.walk() if node.inputs and node_parameters(node))
    return {path: node.kind if isinstance(node.target, Body) else "" for path, node in modules}


def _units_at(graph: Graph, selector: str, units: dict[str, str]) -> list[str]:
    """Paths of those of the `units` that a selector means: a pattern, or a kind of block."""
    meant = PathPattern(selector).matches
    found = [path for path, kind in units.items() if kind == selector or meant(path)]
    if not found and not is_left_out(graph, selector):
        bare = next((node.kind for path, node in graph.walk() if meant(path)), None)
        help = nearest(selector, set(units)) or suggest(selector, set(units.values()), "the block")
        if bare is not None:
            help = (f"`{bare}` is none here: leave it out",)
        raise Problem("unmatched-parallel", f"no module with parameters is called `{selector}`", help=help)
    return found


# Stages --------------------------------------------------------------------------------------------------------------


def stage_cuts(line: Line) -> list[int]:
    """The positions, in order, at which the spec of a graph begins a stage. Raises `SpecError`."""
    begun: dict[int, str] = {}
    try:
        for selector in line.graph.parallel.pipeline:
            _begin(line, selector, begun)
    except Problem as problem:
        raise SpecError([problem.at(None)]) from None
    return sorted(begun)


def _begin(line: Line, selector: str, begun: dict[int, str]) -> None:
    """Note the positions of the nodes that a selector means, at which stages begin. Raises `Problem`."""
    meant = PathPattern(selector).matches
    found = {path: first for path, (first, end) in line.spans.items() if path and first < end and meant(path)}
    if not found and not is_left_out(line.graph, selector):
        if any(meant(path) for path, _ in line.graph.walk()):
            message = f"no stage can begin at `{selector}`, inside a module that is called more than once"
            raise Problem("invalid-cut", message, help=("cut before the first call, or behind the last",))
        help = nearest(selector, line.spans.keys() - {""})
        raise Problem("unmatched-parallel", f"no node is called `{selector}`", help=help)
    for path, first in found.items():
        if first in begun:
            message = f"a stage begins at `{begun[first]}` already, which is where `{path}` begins"
            raise Problem("invalid-cut", message, help=("leave out one of the two",))
        line.check(first, path)
        begun[first] = path


# Split layers --------------------------------------------------------------------------------------------------------


class Split(NamedTuple):
    """How a layer is split: its style, and whether it takes, and gives, a part of the features on each device.

    What it takes and gives whole is the same on each device. `divided` is what the number of devices has to divide.
    """

    style: Style
    takes_part: bool
    gives_part: bool
    divided: int


def split_layers(graph: Graph) -> dict[str, Split]:
    """The layers that are split, by path. Raises `SpecError`.

    Between a layer that is split by columns and those split by rows that read it, features stay where they are, if
    nothing else reads them and all that lies between works element by element.
    """
    try:
        styles: dict[str, Style] = {}
        layers = _layers(graph) if graph.parallel.tensor else []
        for selector, style in graph.parallel.tensor:
            styles |= dict.fromkeys(_layers_at(graph, selector, layers), _style(style))
    except Problem as problem:
        raise SpecError([problem.at(None)]) from None
    found: dict[str, Split] = {}
    for prefix, body in _bodies(graph) if styles else ():
        own = {node: styles[prefix + node.name] for node in body.nodes if prefix + node.name in styles}
        parts = _parts(body, own)
        for node, style in own.items():
            takes, gives = node.inputs[0] in parts and style == "rowwise", node.outputs[0] in parts
            found[prefix + node.name] = Split(style, takes, gives, _divided(node, style))
    return found


def _style(word: str) -> Style:
    if word not in get_args(Style):
        help = suggest(word, get_args(Style))
        raise Problem("wrong-value", f"a layer is split {listing(get_args(Style), 'or')}, not `{word[:60]}`", help=help)
    return cast(Style, word)


def _layers(graph: Graph) -> list[str]:
    """Paths of the layers that can be split."""
    return [path for path, node in graph.walk() if node.kind in SPLIT and not node.shares]


def _layers_at(graph: Graph, selector: str, layers: list[str]) -> list[str]:
    """Paths of those of the `layers` that a selector means."""
    meant = PathPattern(selector).matches
    found = [path for path in layers if meant(path)]
    if not found and not is_left_out(graph, selector):
        other = next((node for path, node in graph.walk() if meant(path)), None)
        if other is None:
            help = nearest(selector, set(layers))
        else:
            help = (f"`{other.kind}` is neither: name the layers themselves",)
        message = f"no {listing(SPLIT, 'or')} is called `{selector}`"
        raise Problem("unmatched-parallel", message, help=help)
    return found


def _bodies(graph: Graph) -> Iterator[tuple[str, Body]]:
    """Every body with what the paths in it begin with."""
    yield "", graph.root
    for path, node in graph.walk():
        if isinstance(node.target, Body) and not node.shares:
            yield f"{path}.", node.target


def _parts(body: Body, styles: dict[Node, Style]) -> set[Value]:
    """The values of a body of which each device can have a part, between layers split by columns and by rows."""
    called_again = {node.shares for node in body.nodes}
    once = {node: style for node, style in styles.items() if node.kind == "linear" and node.name not in called_again}
    parts = {node.outputs[0] for node, style in once.items() if style == "colwise"}
    for node in body.schedule:
        if _is_elementwise(node) and parts.issuperset(node.inputs):
            parts |= set(node.outputs)
    before = None
    while before != parts:
        before = set(parts)
        parts -= {output.value for output in body.outputs}
        for node in reversed(body.schedule):
            by_rows = once.get(node) == "rowwise"
            goes_on = _is_elementwise(node) and parts.issuperset((*node.inputs, *node.outputs))
            if not by_rows and not goes_on:
                parts -= {*node.inputs, *(() if node in styles else node.outputs)}
    return parts


def _is_elementwise(node: Node) -> bool:
    """Whether each element of the one output comes from the elements of the inputs at its own place."""
    if isinstance(node.target, Body) or not node.inputs or len(node.outputs) > 1:
        return False
    if node.target.category == "regularization" and node.kind != "dropout":
        return False  # it draws one number for many elements, which all devices would have to share
    (given,) = node.output_types
    same = all(type == given for type in node.input_types) and not node_state(node)
    return same and all(reads == same_place(given.rank) for reads in node.target.reach(*node.input_types))


def _divided(node: Node, style: Style) -> int:
    """The length of the axis that is cut, of the weight of a layer."""
    rows, columns = node_state(node)["weight"].shape
    return rows if (style == "colwise") == (node.kind == "linear") else columns
