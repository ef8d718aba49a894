"""Drawing in, DOT source out, for Graphviz to lay out.

Labels are plain text, because an engine may drop HTML-like ones without a word. Names of nodes are numbers, so no path
has to be escaped; `numbered` gives them back their meaning.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from operator import itemgetter
from typing import Any

from graphviz import Digraph, nohtml

from netspec.backends.drawing import Box, Cluster, Drawing
from netspec.backends.palette import Palette
from netspec.quantities import short

FONT_SIZE = 12
EDGE_FONT_SIZE = 10
_POINTS = 72
_NARROW = ("merge", "terminal")  # categories whose boxes are as wide as their text
_PADDING = 26  # points on both sides of the text of a box together
_WIDEST = 340  # points; a longer text widens its own box alone
_LINE_LENGTH = 46  # characters; what is joined in one line stays below


def to_dot(drawing: Drawing, palette: Palette, *, title: bool = True) -> str:
    """DOT source of a drawing. `title` puts the drawing's title on it."""
    width = min(_WIDEST, max(map(_room, drawing.walk())))
    heading = "\n".join((drawing.title, *drawing.subtitle)) if title else ""
    graph = Digraph(
        graph_attr={
            "rankdir": "TB",
            "bgcolor": "transparent",
            "nodesep": "0.35",
            "ranksep": "0.16",
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
    _add(graph, drawing.children, ids, palette, width, spine, level=0)
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


def box_lines(box: Box) -> tuple[str, ...]:
    """The text of a box line by line: its title, then the rest in as few lines as are easy to read."""
    facts = list(box.lines)
    if box.parameters:
        facts.append(f"{short(box.parameters)} params{' in all' if box.count > 1 else ''}")
    lines: list[str] = []
    for fact in facts:
        if lines and len(lines[-1]) + len(fact) + 3 <= _LINE_LENGTH:
            lines[-1] += f" · {fact}"
        else:
            lines.append(fact)
    return (box.title, *lines)


def _add(
    graph: Digraph,
    items: Iterable[Box | Cluster],
    ids: dict[str, str],
    palette: Palette,
    width: float,
    spine: tuple[str, ...],
    level: int,
) -> None:
    for item in items:
        dashes = ",dashed" if item.training_only else ""
        if isinstance(item, Box):
            tone = palette.marks[item.mark] if item.mark else palette.categories[item.category]
            options: dict[str, Any] = {"fillcolor": tone.fill, "color": tone.line}
            if _stands_out(item):
                options["penwidth"] = "2"
            if item.category == "terminal":
                options |= {"fontcolor": palette.background, "margin": "0.2,0.03", "height": "0.25"}
            wide = item.category not in _NARROW
            options["width"] = f"{(width if wide else _text_room(item)) / _POINTS:.2f}"
            if dashes:
                options["style"] = f"rounded,filled{dashes}"
            if item.id in spine:
                options["group"] = "trunk"
            if item.count > 1:
                options["peripheries"] = "2"
            graph.node(ids[item.id], _escaped("\n".join(box_lines(item))), **options)
            continue
        tone = palette.cluster(level)
        line = palette.marks[item.mark].line if item.mark and _stands_out(item) else tone.line
        with graph.subgraph(name=ids[item.id]) as inner:
            inner.attr(
                label=_escaped("\n".join((item.title, *item.lines)), "\\l"),
                labeljust="l",
                style=f"rounded,filled{dashes}",
                fillcolor=tone.fill,
                color=line,
                fontcolor=palette.text,
                margin="12",
                penwidth="2" if item.count > 1 or _stands_out(item) else "1",
            )
            _add(inner, item.children, ids, palette, width, spine, level + 1)


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

    Half of a cluster is left to its title, because the edge into it comes down in the middle.
    """
    if isinstance(item, Cluster):
        return 2 * text_width(item.title) + _PADDING
    return 0 if item.category in _NARROW else _text_room(item)


def _text_room(box: Box) -> float:
    return max(map(text_width, box_lines(box))) + _PADDING


def text_width(text: str, size: float = FONT_SIZE) -> float:
    """About how many points a text takes in a wide sans-serif such as DejaVu Sans, which Arial stays below."""
    narrow = sum(character in " .,:;'|ilIjtfr()[]/·" for character in text)
    wide = sum(character in "mwMW%@×" for character in text)
    return size * (0.4 * narrow + 0.9 * wide + 0.63 * (len(text) - narrow - wide))
