"""Graph in, `Drawing` out: boxes in nested clusters, edges with shapes, a title and a legend.

The drawing knows what is shown and in which words, not how it looks: a layout engine, a web page or a terminal can
each show the same one. It holds plain data alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from netspec.backends.captions import Arguments, copies_name, count_text, heading, op_text
from netspec.backends.folds import Fold, Unit, body_folds, dense_copies
from netspec.diagnostics import Span
from netspec.graph import Body, Graph, Node, Value, node_parameters
from netspec.ops.base import Op

EdgeKind = Literal["main", "shortcut", "auxiliary"]
"""`shortcut` skips boxes that another path visits; `auxiliary` belongs to a part that exists in training alone."""

SMALL = 24  # a network of at most this many boxes is drawn with everything open
LARGE = 60  # a picture of more boxes than this is no longer read at one glance


@dataclass(frozen=True, slots=True)
class Box:
    """One rectangle: an op, ops that follow each other, a closed block, or a network input or output.

    `id` is the path of its first node, and `paths` are all that it stands for, copies included. `title` names it,
    `lines` say more, one op or fact each. `count` copies share it; `parameters` are those of all copies together.
    """

    id: str
    title: str
    lines: tuple[str, ...]
    category: str
    output: str
    parameters: int = 0
    count: int = 1
    training_only: bool = False
    span: Span | None = None
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cluster:
    """A frame around an open block or group. `count` copies share it, and `paths` are those of the copies."""

    id: str
    title: str
    lines: tuple[str, ...]
    children: tuple[Box | Cluster, ...]
    count: int = 1
    training_only: bool = False
    span: Span | None = None
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Edge:
    """A tensor on its way between two boxes, given by their ids. `label` is its shape."""

    source: str
    target: str
    label: str
    kind: EdgeKind = "main"


@dataclass(frozen=True, slots=True)
class Legend:
    """What the reader needs to know: the categories and kinds of edge that occur, and remarks on blocks."""

    categories: tuple[str, ...]
    edges: tuple[EdgeKind, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture of a network before it has any size or place."""

    title: str
    subtitle: tuple[str, ...]
    about: str
    children: tuple[Box | Cluster, ...]
    edges: tuple[Edge, ...]
    legend: Legend

    def boxes(self) -> Iterator[Box]:
        """Every box, in the order the network runs."""
        return (item for item in self.walk() if isinstance(item, Box))

    def walk(self) -> Iterator[Box | Cluster]:
        """Every box and cluster, parents first."""
        pending = list(reversed(self.children))
        while pending:
            item = pending.pop()
            yield item
            if isinstance(item, Cluster):
                pending.extend(reversed(item.children))


def to_drawing(graph: Graph, depth: int | None = None) -> Drawing:
    """Draw a network with `depth` levels of clusters opened; 0 shows its top-level nodes alone.

    Without `depth`, a network of few boxes is opened whole. In another, groups and repeats are open and named blocks
    are closed, and the deepest levels are closed as well while there are too many boxes for one page.
    """
    if depth is not None:
        return _draw(graph, lambda node, level: level < depth)
    whole = _draw(graph, lambda node, level: True)
    if sum(1 for _ in whole.boxes()) <= SMALL:
        return whole
    drawing = _draw(graph, lambda node, level: _is_group(node))
    deepest = 4
    while deepest > 0 and sum(1 for _ in drawing.boxes()) > LARGE:
        deepest -= 1
        limit = deepest
        drawing = _draw(graph, lambda node, level: level < limit and _is_group(node))
    return drawing


def _is_group(node: Node) -> bool:
    """Whether a body is a part of the network's own structure rather than a block with a name."""
    assert isinstance(node.target, Body)
    return node.target.repeated or node.kind in ("chain", "graph", "branches", "repeat")


def _draw(graph: Graph, opens: Callable[[Node, int], bool]) -> Drawing:
    builder = _Builder(opens, Arguments(graph))
    children = builder.network(graph.root)
    edges = _classified(builder.edges, builder.boxes)
    categories = dict.fromkeys(box.category for box in builder.boxes.values() if box.category != "terminal")
    kinds = {edge.kind for edge in edges}
    legend = Legend(
        categories=tuple(categories),
        edges=tuple(kind for kind in ("shortcut", "auxiliary") if kind in kinds),
        notes=tuple(note for kind in builder.closed for note in builder.arguments.notes(kind)),
    )
    return Drawing(graph.name, _subtitle(graph), graph.about, children, edges, legend)


def _subtitle(graph: Graph) -> tuple[str, ...]:
    def listed(word: str, types: dict[str, str]) -> str:
        if len(types) == 1:
            return f"{word} {next(iter(types.values()))}"
        return f"{word}s {', '.join(f'{name} {type}' for name, type in types.items())}"

    inputs = listed("input", {name: str(type) for name, type in graph.inputs.items()})
    outputs = listed("output", {name: str(type) for name, type in graph.outputs.items()})
    counts = f"{count_text(graph.parameters)} parameters · {count_text(graph.macs)} MACs"
    return (counts, f"{inputs} → {outputs}")


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a value comes from in the picture."""

    box: str
    label: str


_Sources = dict[Value, _Source]


class _Builder:
    def __init__(self, opens: Callable[[Node, int], bool], arguments: Arguments) -> None:
        self.opens = opens
        self.arguments = arguments
        self.boxes: dict[str, Box] = {}
        self.edges: list[Edge] = []
        self.closed: dict[str, None] = {}  # kinds of blocks drawn as one box

    def network(self, root: Body) -> tuple[Box | Cluster, ...]:
        """The whole picture: inputs, nodes and outputs."""
        sources: _Sources = {}
        children: list[Box | Cluster] = []
        for value in root.inputs:
            title = "input" if len(root.inputs) == 1 else f"input {value.name}"
            box = self.add(Box(f"input:{value.name}", title, (), "terminal", str(value.type), span=root.span))
            sources[value] = _Source(box.id, str(value.type))
            children.append(box)
        children.extend(self.body(root, "", 0, sources, training_only=False))
        for output in root.outputs:
            title = "output" if len(root.outputs) == 1 else f"output {output.name}"
            lines = ("training only",) if output.training_only else ()
            box = Box(f"output:{output.name}", title, lines, "terminal", str(output.value.type))
            children.append(self.add(replace(box, training_only=output.training_only, span=root.span)))
            self.connect(sources[output.value], box.id)
        return tuple(children)

    def add(self, box: Box) -> Box:
        self.boxes[box.id] = box
        return box

    def connect(self, source: _Source, target: str) -> None:
        self.edges.append(Edge(source.box, target, source.label))

    def body(
        self, body: Body, prefix: str, level: int, sources: _Sources, training_only: bool
    ) -> list[Box | Cluster]:
        """Draw the inside of a body. `sources` holds its inputs, and all its values afterwards."""
        if dense_copies(body) is not None:
            return self.dense(body, prefix, level, sources, training_only)
        return [self.fold(fold, prefix, level, sources, training_only) for fold in body_folds(body)]

    def fold(
        self, fold: Fold, prefix: str, level: int, sources: _Sources, training_only: bool, facts: tuple[str, ...] = ()
    ) -> Box | Cluster:
        """Draw copies as one, or a single node or strip of ops where there are no copies."""
        training_only = training_only or fold.first.training_only
        name = copies_name(tuple(unit[0].name for unit in fold.units))
        first = fold.units[0]
        path = prefix + fold.first.name
        inner, wrappers = _unwrapped(first, prefix)
        node = inner[0]
        paths = tuple(_paths(fold, prefix))
        parameters = sum(map(node_parameters, fold.nodes))
        count = len(fold.units)
        if isinstance(node.target, Body) and self.opens(node, level):
            return self.cluster(fold, node, wrappers, name, level, sources, training_only, facts)
        output = str(fold.nodes[-1].output_types[0]) if len(fold.nodes[-1].outputs) == 1 else ""
        if isinstance(node.target, Body):
            bodies = tuple(unit[0].target for unit in fold.units if isinstance(unit[0].target, Body))
            title, category = heading(name, _kind(node), count), "block"
            text = self.arguments.text(bodies if inner is first else (node.target,), node.kind)
            lines = tuple(filter(None, (text,)))
            self.closed[node.kind] = None
        else:
            title, category = _op_heading(name, node, count), node.target.category
            lines = tuple(op_text(member) for member in inner[1:])
        lines += facts + (("training only",) if training_only else ())
        box = Box(path, title, lines, category, output, parameters, count, training_only, node.span, paths)
        self.add(box)
        for value in fold.first.inputs:
            self.connect(sources[value], box.id)
        for member in fold.nodes:
            sources.update({value: _Source(box.id, str(value.type)) for value in member.outputs})
        return box

    def cluster(
        self,
        fold: Fold,
        node: Node,
        wrappers: tuple[str, ...],
        name: str,
        level: int,
        sources: _Sources,
        training_only: bool,
        facts: tuple[str, ...],
    ) -> Box | Cluster:
        """Draw the inside of the first copy. What the last copy gives leaves from there."""
        body = node.target
        assert isinstance(body, Body)
        inside = {
            inner: sources[outer] for inner, outer in zip(body.inputs, fold.first.inputs, strict=True)
        }
        children = self.body(body, wrappers[-1] + ".", level + 1, inside, training_only)
        for member in fold.nodes:
            for value, output in zip(member.outputs, body.outputs, strict=True):
                sources[value] = inside[output.value]
        bodies = tuple(n.target for n in fold.nodes if isinstance(n.target, Body))
        text = "" if body.repeated else self.arguments.text(bodies, node.kind)
        lines = tuple(filter(None, (text,))) + facts + (("training only",) if training_only else ())
        count = len(fold.units)
        title = heading(name, _kind(node), count)
        if body.repeated and count == 1:
            copies = len(body.schedule) if dense_copies(body) is None else len(body.schedule) // 2
            title = heading(name, _kind(node), copies)
        prefix = wrappers[0].removesuffix(fold.first.name)
        paths = wrappers + tuple(_paths(Fold(fold.units[1:]), prefix))
        return Cluster(wrappers[0], title, lines, tuple(children), count, training_only, node.span, paths)

    def dense(
        self, body: Body, prefix: str, level: int, sources: _Sources, training_only: bool
    ) -> list[Box | Cluster]:
        """Draw the copies of a densely connected body once, and one concat of its input and all they give."""
        copies, joins = body_folds(body)
        given = sources[body.inputs[0]]
        widths = [node.input_types[0].channels for node in (copies.first, copies.nodes[-1])]
        drawn = self.fold(copies, prefix, level, sources, training_only, (f"{widths[0]}–{widths[1]} channels in",))
        made = sources[copies.nodes[-1].outputs[0]]
        name = copies_name(tuple(node.name for node in joins.nodes))
        last = joins.nodes[-1]
        paths = tuple(prefix + node.name for node in joins.nodes)
        box = Box(
            id=paths[-1],
            title=heading(name, last.kind),
            lines=(),
            category="merge",
            output=str(last.output_types[0]),
            training_only=training_only,
            span=last.span,
            paths=paths,
        )
        self.add(box)
        self.connect(given, box.id)
        self.connect(replace(made, label=f"{len(paths)} × {made.label}"), box.id)
        sources[last.outputs[0]] = _Source(box.id, box.output)
        return [drawn, box]


def _kind(node: Node) -> str:
    """The word for a body: its block, the block that it repeats, or nothing for a plain group."""
    if node.kind in ("chain", "graph", "branches"):
        return ""
    if node.kind == "repeat" and isinstance(node.target, Body):
        kinds = {inner.kind for inner in node.target.nodes}
        return kinds.pop() if len(kinds) == 1 else ""
    return node.kind


def _op_heading(name: str, node: Node, count: int) -> str:
    text = op_text(node)
    return heading(name, "" if text == name else text, count) if text.partition(" ")[0] != name else heading(text, "", count)


def _unwrapped(unit: Unit, prefix: str) -> tuple[Unit, tuple[str, ...]]:
    """What to draw for a unit: a frame around one box alone is needless.

    A group that holds one unit gives way to it, and so does a block that holds ops of one box. The paths are those of
    the bodies given up and of the first node drawn.
    """
    paths = [prefix + unit[0].name]
    inner, found = unit, 1
    while (held := _held(inner)) is not None:
        inner = held
        paths.append(f"{paths[-1]}.{inner[0].name}")
        if isinstance(inner[0].target, Op) or (unit is not inner and found == len(paths) - 1 and _is_group(unit[0])):
            unit, found = inner, len(paths)
    return unit, tuple(paths[:found])


def _held(unit: Unit) -> Unit | None:
    """The one unit in a body, where it takes and gives all that the body does."""
    body = unit[0].target
    if not isinstance(body, Body):
        return None
    folds = body_folds(body)
    if len(folds) != 1 or len(folds[0].units) != 1:
        return None
    inner = folds[0].units[0]
    same = inner[0].inputs == body.inputs and tuple(output.value for output in body.outputs) == inner[-1].outputs
    return inner if same else None


def _paths(fold: Fold, prefix: str) -> Iterator[str]:
    """Paths of all nodes in a fold, and of all below them."""
    pending = [(prefix, node) for node in reversed(fold.nodes)]
    while pending:
        start, node = pending.pop()
        yield start + node.name
        if isinstance(node.target, Body):
            pending.extend((f"{start}{node.name}.", inner) for inner in reversed(node.target.nodes))


def _classified(edges: list[Edge], boxes: dict[str, Box]) -> tuple[Edge, ...]:
    """Mark what exists in training alone, and what skips boxes that another path visits."""
    order = {id: position for position, id in enumerate(boxes)}
    targets: dict[str, list[str]] = {}
    for edge in edges:
        targets.setdefault(edge.source, []).append(edge.target)
    entering: dict[str, int] = {}
    for edge in edges:
        entering[edge.target] = entering.get(edge.target, 0) + 1

    def skips(edge: Edge) -> bool:
        if len(targets[edge.source]) < 2 or entering[edge.target] < 2:
            return False
        pending = [target for target in targets[edge.source] if order[target] < order[edge.target]]
        seen = set(pending)
        while pending:
            for target in targets.get(pending.pop(), ()):
                if target == edge.target:
                    return True
                if target not in seen and order[target] < order[edge.target]:
                    seen.add(target)
                    pending.append(target)
        return False

    def kind(edge: Edge) -> EdgeKind:
        if boxes[edge.source].training_only or boxes[edge.target].training_only:
            return "auxiliary"
        return "shortcut" if skips(edge) else "main"

    return tuple(replace(edge, kind=kind(edge)) for edge in edges)
