"""Drawing in, a Mermaid flowchart out, which GitHub and many editors show inside Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from netspec.backends.pictures.dot import Direction, box_lines, numbered
from netspec.backends.pictures.drawing import Box, Cluster, Drawing
from netspec.backends.pictures.palette import Palette

_ARROWS = {"main": "-->", "shortcut": "==>", "auxiliary": "-.->", "failed": "==>"}
_ENTITIES = str.maketrans(
    {"#": "#35;", '"': "#quot;", "&": "#amp;", "<": "#lt;", ">": "#gt;", "\\": "#92;", "`": "#96;"}
)


def to_mermaid(drawing: Drawing, palette: Palette, direction: Direction = "down") -> str:
    """A flowchart: a subgraph for each cluster, shapes on the edges, dashes for what exists in training alone."""
    ids = numbered(drawing)
    lines = ["---", f'title: "{_title(drawing)}"', "---", f"flowchart {'TB' if direction == 'down' else 'LR'}"]
    lines += _items(drawing.children, ids, "  ")
    for edge in drawing.edges:
        lines.append(f'  {ids[edge.source]} {_ARROWS[edge.kind]}|"{_escaped(edge.label)}"| {ids[edge.target]}')
    lines += _styles(drawing, ids, palette)
    return "\n".join(lines) + "\n"


def _title(drawing: Drawing) -> str:
    text = ": ".join((drawing.title, drawing.subtitle[0]))
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _items(items: Iterable[Box | Cluster], ids: dict[str, str], indent: str) -> Iterator[str]:
    for item in items:
        if isinstance(item, Cluster):
            yield f'{indent}subgraph {ids[item.id]}["{_label((item.title, *item.lines))}"]'
            yield from _items(item.children, ids, indent + "  ")
            yield f"{indent}end"
        else:
            opening, closing = ("([", "])") if item.category == "terminal" else ("[[", "]]") if item.count > 1 else "[]"
            yield f'{indent}{ids[item.id]}{opening}"{_label(box_lines(item))}"{closing}'


def _styles(drawing: Drawing, ids: dict[str, str], palette: Palette) -> Iterator[str]:
    """The colors of categories and kinds of edge, each said once."""
    members: dict[str, list[str]] = {}
    for item in drawing.walk():
        if isinstance(item, Box):
            members.setdefault(item.category, []).append(ids[item.id])
        if item.training_only:
            members.setdefault("training_only", []).append(ids[item.id])
    for name, found in members.items():
        if name == "training_only":
            yield f"  classDef {name} stroke-dasharray:4 3"
        else:
            tone = palette.categories[name]
            text = palette.background if name == "terminal" else palette.text
            yield f"  classDef {name} fill:{tone.fill},stroke:{tone.line},color:{text}"
        yield f"  class {','.join(found)} {name}"
    for kind in drawing.legend.edges:
        places = [str(place) for place, edge in enumerate(drawing.edges) if edge.kind == kind]
        yield f"  linkStyle {','.join(places)} stroke:{palette.edges[kind]}"


def _label(lines: Iterable[str]) -> str:
    return "<br/>".join(map(_escaped, lines))


def _escaped(text: str) -> str:
    """Text inside quotes, with what Mermaid would read as markup written as entities."""
    return text.translate(_ENTITIES)
