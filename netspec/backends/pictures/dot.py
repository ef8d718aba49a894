"""Drawing in, DOT source out, for Graphviz to lay out.

Labels are plain text, because an engine may drop HTML-like ones without a word. Names of nodes are numbers, so no path
has to be escaped; `numbered` gives them back their meaning.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from itertools import pairwise
from operator import itemgetter
from typing import Literal, NamedTuple

from graphviz import Digraph, nohtml

from netspec.backends.pictures.drawing import Box, Cluster, Drawing
from netspec.backends.pictures.palette import Palette
from netspec.quantities import short

Direction = Literal["down", "right"]
"""Where the network runs to."""

FONT_SIZE = 12
EDGE_FONT_SIZE = 10
_POINTS = 72
_NARROW = ("merge", "terminal")  # categories whose boxes are as wide as their text
_PADDING = 26  # points on both sides of the text of a box together
_WIDEST = 340  # points; a longer text widens its own box alone
_LINE_LENGTHS: dict[Direction, int] = {"down": 46, "right": 22}  # characters; longer lines are broken between words


def to_dot(drawing: Drawing, palette: Palette, direction: Direction = "down", *, title: bool = True) -> str:
    """DOT source of a drawing. `title` puts the drawing's title on it."""
    down = direction == "down"
    width = min(_WIDEST, max(map(_room, drawing.walk()))) if down else 0
    heading = "\n".join((drawing.title, *drawing.subtitle)) if title else ""
    graph = Digraph(
        graph_attr={
            "rankdir": "TB" if down else "LR",
            "bgcolor": "transparent",
            "nodesep": "0.35",
            "ranksep": "0.16" if down else "0.1",
            "pad": "0.1",
            "fontname": "Arial",
            "fontsize": str(FONT_SIZE),
            "labelloc": "t",
            "labeljust": "l",
            "label": _escaped(heading, "\\l"),
        },
        node_attr={
            "shape": "box",
            "style": "rounded,filled",
            "fontname": "Arial",
            "fontsize": str(FONT_SIZE),
            "fontcolor": palette.text,
            "margin": "0.14,0.07",
            "height": "0.3",
        },
        edge_attr={
            "fontname": "Arial",
            "fontsize": str(FONT_SIZE),
            "fontcolor": palette.muted,
            "arrowsize": "0.6",
        },
    )
    ids, spine = numbered(drawing), trunk(drawing)
    steps = set(pairwise(spine))
    _Items(ids, palette, direction, width, frozenset(spine)).add(graph, drawing.children, 0)
    for edge in drawing.edges:
        options = {"color": palette.edges[edge.kind]}
        if edge.kind in ("shortcut", "failed"):
            options["penwidth"] = "1.6"
        elif edge.kind == "auxiliary":
            options["style"] = "dashed"
        elif (edge.source, edge.target) in steps:
            options["weight"] = "100"
        graph.edge(ids[edge.source], ids[edge.target], label=_escaped(f"  {edge.label} "), **options)
    return str(graph.source)


def numbered(drawing: Drawing) -> dict[str, str]:
    """The name in DOT of each box and cluster."""
    items = list(drawing.walk())
    return {item.id: f"{'n' if isinstance(item, Box) else 'cluster_'}{i}" for i, item in enumerate(items)}


def trunk(drawing: Drawing) -> tuple[str, ...]:
    """The boxes on the longest way through the network, in order; a layout keeps it straight."""
    longest = {box.id: (0, "") for box in drawing.boxes() if not box.training_only}
    entering: dict[str, list[str]] = {}
    for edge in drawing.edges:
        if edge.kind != "auxiliary":
            entering.setdefault(edge.target, []).append(edge.source)
    for id in longest:  # boxes are in the order they run
        if id in entering:
            longest[id] = max(((longest[source][0] + 1, source) for source in entering[id]), key=itemgetter(0))
    id = max(longest, key=lambda id: longest[id][0])
    found = []
    while id:
        found.append(id)
        id = longest[id][1]
    return tuple(reversed(found))


def title_lines(item: Box | Cluster, direction: Direction = "down") -> tuple[str, ...]:
    """The title, broken where its name ends or between words if it is long."""
    length = _LINE_LENGTHS[direction]
    parts = [item.title] if len(item.title) <= length else item.title.split(" · ")
    return tuple(line for part in parts for line in _wrapped(part, length))


def box_lines(box: Box, direction: Direction = "down") -> tuple[str, ...]:
    """The text of a box line by line: its title, then the rest in as few lines as are easy to read."""
    length = _LINE_LENGTHS[direction]
    facts = [line for fact in box.lines for line in _wrapped(fact, length)]
    if box.parameters:
        facts.append(f"{short(box.parameters)} params{' in all' if box.count > 1 else ''}")
    lines: list[str] = []
    for fact in facts:
        if lines and len(lines[-1]) + len(fact) + 3 <= length:
            lines[-1] += f" · {fact}"
        else:
            lines.append(fact)
    return (*title_lines(box, direction), *lines)


def cluster_lines(cluster: Cluster) -> tuple[str, ...]:
    """The text of a cluster line by line."""
    facts = (line for fact in cluster.lines for line in _wrapped(fact, _LINE_LENGTHS["down"]))
    return (*title_lines(cluster), *facts)


def _wrapped(text: str, length: int) -> list[str]:
    return textwrap.wrap(text, length, break_long_words=False, break_on_hyphens=False) or [text]


class _Items(NamedTuple):
    """Puts boxes and clusters into a graph. Boxes are at least `width` points wide, but those of merges and ends."""

    ids: dict[str, str]
    palette: Palette
    direction: Direction
    width: float
    spine: frozenset[str]

    def add(self, graph: Digraph, items: Iterable[Box | Cluster], level: int) -> None:
        for item in items:
            if isinstance(item, Box):
                text = _escaped("\n".join(box_lines(item, self.direction)))
                graph.node(self.ids[item.id], text, **self.box(item))
            else:
                with graph.subgraph(name=self.ids[item.id]) as inner:
                    inner.attr(**self.cluster(item, level))
                    self.add(inner, item.children, level + 1)

    def box(self, box: Box) -> dict[str, str]:
        tone = self.palette.marks[box.mark] if box.mark else self.palette.categories[box.category]
        options: dict[str, str] = {"fillcolor": tone.fill, "color": tone.line}
        if _stands_out(box):
            options["penwidth"] = "2"
        if box.category == "terminal":
            options |= {"fontcolor": self.palette.background, "margin": "0.2,0.03", "height": "0.25"}
        least = 0 if box.category in _NARROW else self.width
        options["width"] = f"{max(least, _text_room(box, self.direction)) / _POINTS:.2f}"
        stroke = "solid" if box.mark else self.palette.strokes.get(box.category, "solid")
        if box.training_only or stroke != "solid":
            options["style"] = f"rounded,filled,{'dashed' if box.training_only else stroke}"
        if box.id in self.spine:
            options["group"] = "trunk"
        if box.count > 1:
            options["peripheries"] = "2"
        return options

    def cluster(self, cluster: Cluster, level: int) -> dict[str, str]:
        tone = self.palette.cluster(level)
        return {
            "label": _escaped("\n".join(cluster_lines(cluster)), "\\l"),
            "labeljust": "l",
            "style": f"rounded,filled{',dashed' if cluster.training_only else ''}",
            "fillcolor": tone.fill,
            "color": self.palette.marks[cluster.mark].line if cluster.mark and _stands_out(cluster) else tone.line,
            "fontcolor": self.palette.text,
            "margin": "12",
            "penwidth": "2" if cluster.count > 1 or _stands_out(cluster) else "1",
        }


def _stands_out(item: Box | Cluster) -> bool:
    """Whether an item differs from its like in another network."""
    return item.mark not in (None, "same")


def _escaped(text: str, end: str = "") -> str:
    """A label that means its text, each line closed by `end` (`\\l` aligns left)."""
    lines = text.replace("\\", "\\\\").replace("&", "&amp;").split("\n")
    label: str = nohtml("".join(line + end for line in lines) if end else "\\n".join(lines))
    return label if text else ""


def _room(item: Box | Cluster) -> float:
    """How wide the boxes of a picture must be for the sake of this item.

    Half of a cluster is left to its text, because the edge into it comes down in the middle.
    """
    if isinstance(item, Cluster):
        return 2 * max(map(text_width, cluster_lines(item))) + _PADDING
    return 0 if item.category in _NARROW else _text_room(item, "down")


def _text_room(box: Box, direction: Direction) -> float:
    return max(map(text_width, box_lines(box, direction))) + _PADDING


def text_width(text: str, size: float = FONT_SIZE) -> float:
    """About how many points a text takes in a wide sans-serif such as DejaVu Sans, which Arial stays below."""
    narrow = sum(character in " .,:;'|ilIjtfr()[]/·" for character in text)
    wide = sum(character in "mwMW%@×" for character in text)
    return size * (0.4 * narrow + 0.9 * wide + 0.63 * (len(text) - narrow - wide))
