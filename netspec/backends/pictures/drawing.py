"""Graph in, `Drawing` out: boxes in nested clusters, edges with shapes, a title and a legend.

The drawing knows what is shown and in which words, not how it looks: a layout engine, a web page or a terminal can
each show the same one. It holds plain data alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from netspec.backends.pictures.captions import GROUPS, Arguments, contents, copies_name, heading, op_text
from netspec.backends.pictures.folds import Fold, Unit, body_folds, dense_copies
from netspec.diagnostics import Problem, Span, SpecError, suggest
from netspec.graph import Body, Graph, Node, Value, node_parameters
from netspec.ops.base import Op
from netspec.paths import PathPattern, prefixes
from netspec.quantities import short
from netspec.recursion import deep_recursion

Level = Literal["stage", "block", "op"]
Depth = int | Level
"""How much a picture shows: a number of levels that are open, or the stages, the named blocks or all ops."""

EdgeKind = Literal["main", "shortcut", "auxiliary", "failed"]
"""`shortcut` skips boxes that another path visits; `auxiliary` belongs to a part that exists in training alone.

`failed` leads to a node that is wrong, in the sketch of a wrong spec.
"""

Mark = Literal["added", "removed", "changed", "same"]
"""What became of a node, in a picture that stands beside that of another network."""

SIGNS: dict[Mark, str] = {"added": "+ ", "removed": "− ", "changed": "~ ", "same": ""}

_MOST_EXTRAS = 3  # names of nodes that tell a copy from the others
POSTCARD = 18  # boxes, among them inputs and outputs, that a picture of the stages has where it can
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
    mark: Mark | None = None


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
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class Edge:
    """A tensor on its way between two boxes, given by their ids. `label` is its shape."""

    source: str
    target: str
    label: str
    kind: EdgeKind = "main"


@dataclass(frozen=True, slots=True)
class Legend:
    """What the reader needs to know: the categories and kinds of edge that occur, remarks on blocks, and marks."""

    categories: tuple[str, ...]
    edges: tuple[EdgeKind, ...]
    notes: tuple[str, ...]
    marks: tuple[Mark, ...] = ()


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


@deep_recursion
def to_drawing(graph: Graph, depth: Depth = "block", open: Sequence[str] = (), close: Sequence[str] = ()) -> Drawing:
    """Draw a network with `depth` levels of clusters opened; 0 shows its top-level nodes alone.

    `stage` opens plain groups as far as a postcard has room, and closes repeats and named blocks. `block` opens repeats
    too, and closes named blocks; it opens a network of few boxes whole, and closes the deepest levels of one that has
    too many boxes for one page. `op` opens everything. Nodes whose paths match a pattern of `open` or `close` are open,
    with all around them, or closed whatever the depth. Raises `SpecError` where a pattern matches nothing.
    """
    return _draw(graph, _rule((graph,), depth), _chosen(graph, open, close))


@deep_recursion
def to_drawings(graphs: Sequence[Graph], depth: Depth = "block") -> tuple[Drawing, ...]:
    """Draw networks that are to be seen together, with the same levels opened: as many as suit the largest one."""
    opens = _rule(graphs, depth)
    return tuple(_draw(graph, opens) for graph in graphs)


# What is open --------------------------------------------------------------------------------------------------------

_Opens = Callable[[Node, int], bool]
"""Whether a body at a level is opened."""


class _Chosen(NamedTuple):
    """Paths of the nodes that are open and of those that are closed, whatever the depth."""

    opened: set[str]
    closed: set[str]


def outline(graph: Graph, open: Sequence[str] = (), close: Sequence[str] = ()) -> Drawing:
    """Draw a network with its groups open and its named blocks closed, however many boxes that makes."""
    return _draw(graph, _opens_groups(None), _chosen(graph, open, close))


def _rule(graphs: Sequence[Graph], depth: Depth) -> _Opens:
    """What is open in all `graphs` at a depth: of what comes into question, the first that leaves few enough boxes."""
    if depth == "op":
        return _everything
    if depth == "stage":
        choices = [(_opens_plain_groups(deepest), POSTCARD) for deepest in (None, 2, 1)]
    elif depth == "block":
        choices = [(_everything, SMALL), *((_opens_groups(deepest), LARGE) for deepest in (None, 3, 2, 1))]
    else:
        return lambda node, level: level < depth
    return next((opens for opens, most in choices if all(_size(graph, opens) <= most for graph in graphs)), _nothing)


def _everything(node: Node, level: int) -> bool:
    return True


def _nothing(node: Node, level: int) -> bool:
    return False


def _opens_groups(deepest: int | None) -> _Opens:
    return lambda node, level: _is_group(node) and (deepest is None or level < deepest)


def _opens_plain_groups(deepest: int | None) -> _Opens:
    return lambda node, level: _is_plain_group(node) and (deepest is None or level < deepest)


def _is_group(node: Node) -> bool:
    """Whether a body is a part of the network's own structure rather than a block with a name."""
    assert isinstance(node.target, Body)
    return node.target.repeated or node.kind in GROUPS


def _is_plain_group(node: Node) -> bool:
    """Whether a group only holds stages together, and is none itself as copies of a block are."""
    return _is_group(node) and node.kind != "repeat" and not kind_word(node)


def _size(graph: Graph, opens: _Opens) -> int:
    builder = _Builder(opens, Arguments(graph), _Chosen(set(), set()))
    builder.network(graph.root)
    return len(builder.boxes)


def _chosen(graph: Graph, open: Sequence[str], close: Sequence[str]) -> _Chosen:
    """The paths that patterns select. What is around an open node is open as well."""
    if not open and not close:
        return _Chosen(set(), set())
    nodes = dict(graph.walk())
    blocks = {path: node for path, node in nodes.items() if isinstance(node.target, Body)}
    problems: list[Problem] = []

    def selected(patterns: Sequence[str], paths: Mapping[str, Node], message: str) -> Iterator[str]:
        for text in patterns:
            pattern = PathPattern(text)
            found = [path for path in paths if pattern.matches(path)]
            if not found:
                problems.append(Problem("unknown-node", message.format(graph.name, text), help=suggest(text, paths)))
            yield from found

    opened = {around for path in selected(open, nodes, "`{}` has no node `{}` to open") for around in prefixes(path)}
    closed = set(selected(close, blocks, "`{}` has no block `{}` to close"))
    if problems:
        raise SpecError([problem.at(None) for problem in problems])
    return _Chosen(opened, closed)


# The picture ---------------------------------------------------------------------------------------------------------


def _draw(graph: Graph, opens: _Opens, chosen: _Chosen | None = None) -> Drawing:
    builder = _Builder(opens, Arguments(graph), chosen or _Chosen(set(), set()))
    children = builder.network(graph.root)
    edges = _classified(builder.edges, builder.boxes)
    categories = dict.fromkeys(box.category for box in builder.boxes.values() if box.category != "terminal")
    kinds = {edge.kind for edge in edges}
    legend = Legend(
        categories=tuple(categories),
        edges=tuple(kind for kind in ("shortcut", "auxiliary", "failed") if kind in kinds),
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
    counts = f"{short(graph.parameters)} parameters · {short(graph.macs)} MACs"
    return (counts, f"{inputs} → {outputs}" if graph.root.outputs else f"{inputs}; what is wrong is red")


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a value comes from in the picture."""

    box: str
    label: str


_Sources = dict[Value, _Source]


class _Builder:
    def __init__(self, rule: _Opens, arguments: Arguments, chosen: _Chosen) -> None:
        self.rule = rule
        self.arguments = arguments
        self.chosen = chosen
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

    def body(self, body: Body, prefix: str, level: int, sources: _Sources, training_only: bool) -> list[Box | Cluster]:
        """Draw the inside of a body. `sources` holds its inputs, and all its values afterwards."""
        if dense_copies(body) is not None:
            return self.dense(body, prefix, level, sources, training_only)
        folds = body_folds(body)
        facts = _only_in_first(folds) if body.repeated else ()
        drawn = []
        for fold in folds:
            drawn.append(self.fold(fold, prefix, level, sources, training_only, facts))
            facts = ()
        return drawn

    def opens(self, node: Node, shown: _Shown, level: int) -> bool:
        """Whether a body is drawn open. What is chosen for a copy holds for the one that is drawn in its place."""
        bodies = {*shown.paths, *(copy for copy, _ in shown.copies)}
        if not bodies.isdisjoint(self.chosen.closed):
            return False
        for paths in self.chosen:
            inside = {
                drawn + path.removeprefix(copy)
                for copy, drawn in shown.copies
                for path in paths
                if copy != drawn and path.startswith(f"{copy}.")
            }
            paths.update(inside)
        return not bodies.isdisjoint(self.chosen.opened) or self.rule(node, level)

    def fold(
        self, fold: Fold, prefix: str, level: int, sources: _Sources, inherited: bool, facts: tuple[str, ...] = ()
    ) -> Box | Cluster:
        """Draw copies as one, or a single node or strip of ops where there are no copies."""
        shown = _shown(fold, prefix)
        node = shown.unit[0]
        name = copies_name(tuple(unit[0].name for unit in fold.units))
        marks = ("training only",) if fold.first.training_only else ()
        training_only = inherited or fold.first.training_only
        level += len(shown.paths) - 1
        if isinstance(node.target, Body):
            name = _told_apart(name, prefix, kind_word(node))
        if isinstance(node.target, Body) and node.target.nodes and (not node.outputs or self.opens(node, shown, level)):
            lines = self.block_lines(shown, facts) + marks
            return self.cluster(fold, shown, name, lines, level, sources, training_only)
        if isinstance(node.target, Body):
            title = heading(name, kind_word(node), _count(shown))
            category = "block" if node.outputs else "failed"
            lines = self.block_lines(shown, facts, closed=True)
            self.closed[kind_word(node)] = None
        else:
            text = op_text(node)
            title = (
                heading(name, text, shown.count) if text.partition(" ")[0] != name else heading(text, "", shown.count)
            )
            category, lines = node.target.category, (*map(op_text, shown.unit[1:]), *facts)
        given = fold.nodes[-1].outputs
        box = Box(
            id=prefix + fold.first.name,
            title=title,
            lines=lines + marks,
            category=category,
            output=", ".join(str(value.type) for value in given),
            parameters=sum(map(node_parameters, fold.nodes)),
            count=shown.count,
            training_only=training_only,
            span=node.span,
            paths=tuple(_paths(fold.nodes, prefix)),
        )
        self.add(box)
        for value in fold.first.inputs:
            self.connect(sources[value], box.id)
        sources.update({value: _Source(box.id, str(value.type)) for value in given})
        return box

    def cluster(
        self,
        fold: Fold,
        shown: _Shown,
        name: str,
        lines: tuple[str, ...],
        level: int,
        sources: _Sources,
        training_only: bool,
    ) -> Cluster:
        """Draw the inside of the first copy. What the last copy gives leaves from there."""
        node = shown.unit[0]
        body = node.target
        assert isinstance(body, Body)
        inside = {inner: sources[outer] for inner, outer in zip(body.inputs, fold.first.inputs, strict=True)}
        children = self.body(body, shown.paths[-1] + ".", level + 1, inside, training_only)
        for value, output in zip(fold.nodes[-1].outputs, body.outputs, strict=True):
            sources[value] = inside[output.value]
        title = heading(name, kind_word(node), _count(shown))
        paths = shown.paths + shown.other_paths
        return Cluster(shown.paths[0], title, lines, tuple(children), shown.count, training_only, node.span, paths)

    def block_lines(self, shown: _Shown, facts: tuple[str, ...], *, closed: bool = False) -> tuple[str, ...]:
        """The arguments of a block, and more facts. Of a closed group: what it holds, or what its copies have."""
        node = shown.unit[0]
        assert isinstance(node.target, Body)
        word, text = kind_word(node), ""
        if word == node.kind and (closed or not node.target.repeated):
            text = self.arguments.text(_bodies(unit[0] for unit in shown.units), word)
        elif closed:
            text = self.arguments.text(_bodies(node.target.schedule), word) if word else contents(node.target)
        line = ", ".join(filter(None, (text, *facts)))
        return (line,) if line else ()

    def dense(self, body: Body, prefix: str, level: int, sources: _Sources, training_only: bool) -> list[Box | Cluster]:
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


def kind_word(node: Node) -> str:
    """The word for a body: its block, the block of which it holds copies alone, or nothing for a plain group."""
    if node.kind not in GROUPS:
        return node.kind
    assert isinstance(node.target, Body)
    kinds = {inner.kind for inner in node.target.nodes if isinstance(inner.target, Body) or node.target.repeated}
    alike = node.kind in ("chain", "repeat") and len(kinds) == 1 and len({n.kind for n in node.target.nodes}) == 1
    return next(iter(kinds - set(GROUPS)), "") if alike else ""


def _count(shown: _Shown) -> int:
    """How many copies a body stands for, or holds."""
    node = shown.unit[0]
    assert isinstance(node.target, Body)
    if shown.count > 1 or not kind_word(node):
        return shown.count
    if (dense := dense_copies(node.target)) is not None:
        return len(dense[0])
    return len(node.target.nodes) if node.target.repeated or node.kind == "chain" else 1


def _bodies(nodes: Iterable[Node]) -> tuple[Body, ...]:
    return tuple(node.target for node in nodes if isinstance(node.target, Body))


def _only_in_first(folds: tuple[Fold, ...]) -> tuple[str, ...]:
    """The names of what the first copy of a block has and the others lack, as its projection."""
    bodies = _bodies(fold.first for fold in folds)
    if len(bodies) < max(2, len(folds)):
        return ()
    first, *others = ([node.name for node in body.nodes] for body in bodies)
    extra = tuple(name for name in first if not any(name in other for other in others))
    return extra if len(extra) <= _MOST_EXTRAS else ()


def _told_apart(name: str, prefix: str, word: str) -> str:
    """The name of a body, with that of the one around it where it is a number and no word follows."""
    around = prefix.rstrip(".").rpartition(".")[2]
    return f"{around}.{name}" if around and not word and name.isdecimal() else name


@dataclass(frozen=True, slots=True)
class _Shown:
    """What stands in the picture for a fold: `units` are equal copies, of which the first is drawn.

    `paths` are those of the bodies that gave way to it and of the first copy; `other_paths` lie in the copies left out.
    `copies` pairs the path of each copy with that of the one drawn in its place.
    """

    units: tuple[Unit, ...]
    count: int
    paths: tuple[str, ...]
    other_paths: tuple[str, ...]
    copies: tuple[tuple[str, str], ...]

    @property
    def unit(self) -> Unit:
        return self.units[0]


def _shown(fold: Fold, prefix: str) -> _Shown:
    """Look through frames around one box alone, which are needless.

    A group that holds one unit, or copies of one, gives way to it; so does a block that holds the ops of one box.
    """
    path = prefix + fold.first.name
    copies = tuple((prefix + unit[0].name, path) for unit in fold.units)
    shown = _Shown(fold.units, len(fold.units), (path,), tuple(_paths(Fold(fold.units[1:]).nodes, prefix)), copies)
    unit, paths, groups = fold.units[0], [path], True
    while (held := held_fold(unit)) is not None and (len(held.units) == 1 or len(fold.units) == 1):
        groups = groups and _is_group(unit[0])
        inside = f"{paths[-1]}."
        unit = held.units[0]
        paths.append(inside + unit[0].name)
        if groups or isinstance(unit[0].target, Op):
            others = shown.other_paths + tuple(_paths(Fold(held.units[1:]).nodes, inside))
            copies += tuple((inside + copy[0].name, paths[-1]) for copy in held.units)
            shown = _Shown(held.units, max(len(fold.units), len(held.units)), tuple(paths), others, copies)
        if len(held.units) > 1:
            break
    return shown


def held_fold(unit: Unit) -> Fold | None:
    """The one fold in a body, where it takes and gives all that the body does."""
    body = unit[0].target
    if not isinstance(body, Body) or len(body_folds(body)) != 1:
        return None
    fold = body_folds(body)[0]
    whole = fold.first.inputs == body.inputs and fold.nodes[-1].outputs == tuple(o.value for o in body.outputs)
    return fold if whole else None


def _paths(nodes: tuple[Node, ...], prefix: str) -> Iterator[str]:
    """Paths of nodes and of all below them."""
    pending = [(prefix, node) for node in reversed(nodes)]
    while pending:
        start, node = pending.pop()
        yield start + node.name
        if isinstance(node.target, Body) and not node.shares:
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
        if boxes[edge.target].category == "failed":
            return "failed"
        if boxes[edge.source].training_only or boxes[edge.target].training_only:
            return "auxiliary"
        return "shortcut" if skips(edge) else "main"

    return tuple(replace(edge, kind=kind(edge)) for edge in edges)
