"""Graphviz's SVG in, the finished one out: title above, legend below, one font, and names for a screen reader.

A box carries its path as `data-path`, so that a page around the picture can find it.
"""

from __future__ import annotations

import re
import textwrap
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple
from xml.etree.ElementTree import Element, SubElement

from netspec.backends.pictures.dot import EDGE_FONT_SIZE, FONT_SIZE, Direction, numbered, text_width, title_lines, trunk
from netspec.backends.pictures.drawing import SIGNS, Box, Cluster, Drawing, EdgeKind
from netspec.backends.pictures.palette import Palette, Stroke, Tone

_NAMESPACE = "http://www.w3.org/2000/svg"
FONTS = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
_MARGIN = 24.0
_TITLE_SIZE = 20
_LINE = 17.0
_SWATCH = 13.0
_INDENT = _SWATCH + 6  # of the text beside a swatch
_NOTE_CHARACTER = 6.5  # points, on average
_LEGEND_GAP = 12.0  # between two entries in a row
_NARROWEST = 420.0  # points that a legend may take, however narrow the picture is
_ARROW_LENGTH = 6
_LABEL_GAP = 6
_POINT = re.compile(r"(-?[\d.]+),(-?[\d.]+)")
_STROKES: dict[Stroke, dict[str, str]] = {
    "solid": {},
    "bold": {"stroke-width": "2"},
    "dotted": {"stroke-dasharray": "1 3"},
}
_EDGE_NAMES = {"shortcut": "shortcut", "auxiliary": "training only", "failed": "does not fit"}


def framed(svg: str, drawing: Drawing, palette: Palette, direction: Direction = "down") -> str:
    """The SVG of a layout with the drawing's title above it and its legend below."""
    laid_out = ElementTree.fromstring(svg)
    content = laid_out.find(f"{{{_NAMESPACE}}}g")
    assert content is not None, "Graphviz puts a picture into one group"
    _, _, width, height = map(float, laid_out.attrib["viewBox"].split())
    _restyle(content, drawing, palette, direction)

    page = Element("svg", {"xmlns": _NAMESPACE, "role": "img", "font-family": FONTS, "font-size": str(FONT_SIZE)})
    SubElement(page, "title").text = f"{drawing.title}: {drawing.subtitle[0]}"
    SubElement(page, "desc").text = " ".join(filter(None, (drawing.about, drawing.subtitle[1])))
    background = SubElement(page, "rect", {"width": "100%", "height": "100%", "fill": palette.background})
    background.tail = "\n"
    header_width, top = _header(page, drawing, palette)
    legend = _Legend(drawing, palette, max(width, header_width, _NARROWEST))
    inner = max(width, header_width, legend.width)
    place = SubElement(page, "g", {"transform": f"translate({_MARGIN + (inner - width) / 2:g} {top:g})"})
    place.append(content)
    below = SubElement(page, "g", {"transform": f"translate({_MARGIN:g} {top + height + _LEGEND_GAP:g})"})
    below.append(legend.group)

    right = inner + 2 * _MARGIN
    bottom = top + height + (_LEGEND_GAP + legend.height if legend.height else 0) + _MARGIN / 2
    page.attrib |= {"width": f"{right:.0f}", "height": f"{bottom:.0f}", "viewBox": f"0 0 {right:.0f} {bottom:.0f}"}
    return ElementTree.tostring(page, encoding="unicode") + "\n"


def side_by_side(pictures: Iterable[str], title: str, palette: Palette) -> str:
    """Finished pictures next to each other in one, as tall as the tallest."""
    page = Element("svg", {"xmlns": _NAMESPACE, "role": "img"})
    SubElement(page, "title").text = title
    SubElement(page, "rect", {"width": "100%", "height": "100%", "fill": palette.background})
    right = bottom = 0.0
    for picture in pictures:
        inner = ElementTree.fromstring(picture)
        for element in inner.iter():
            element.tag = element.tag.removeprefix(f"{{{_NAMESPACE}}}")
        inner.set("x", f"{right:g}")
        right += float(inner.attrib["width"])
        bottom = max(bottom, float(inner.attrib["height"]))
        page.append(inner)
    page.attrib |= {"width": f"{right:.0f}", "height": f"{bottom:.0f}", "viewBox": f"0 0 {right:.0f} {bottom:.0f}"}
    return ElementTree.tostring(page, encoding="unicode") + "\n"


def _text(parent: Element, x: float, y: float, text: str, **attributes: str) -> None:
    given = {name.replace("_", "-"): value for name, value in attributes.items()}
    SubElement(parent, "text", {"x": f"{x:g}", "y": f"{y:g}", **given}).text = text


def _header(page: Element, drawing: Drawing, palette: Palette) -> tuple[float, float]:
    """Write the title. Returns its width and where the picture under it starts."""
    y = _MARGIN + _TITLE_SIZE * 0.75
    _text(page, _MARGIN, y, drawing.title, font_size=str(_TITLE_SIZE), font_weight="bold", fill=palette.text)
    for line in drawing.subtitle:
        y += _LINE if line is not drawing.subtitle[0] else _LINE + 4
        _text(page, _MARGIN, y, line, fill=palette.muted)
    width = max(text_width(drawing.title, _TITLE_SIZE), *(text_width(line) for line in drawing.subtitle))
    return width, y + 14


class _Legend:
    """Swatches and lines in rows of at most `room` points, and remarks below."""

    def __init__(self, drawing: Drawing, palette: Palette, room: float) -> None:
        self.group = Element("g", {"font-size": str(FONT_SIZE - 1)})
        self.palette, self.room = palette, room
        self.width = self.height = self.x = 0.0
        for category in drawing.legend.categories:
            self.swatch(palette.categories[category], category, palette.strokes.get(category, "solid"))
        for mark in drawing.legend.marks:
            self.swatch(palette.marks[mark], SIGNS[mark] + mark)
        for kind in drawing.legend.edges:
            self.edge(kind)
        for note in drawing.legend.notes:
            self.note(note)

    def swatch(self, tone: Tone, text: str, stroke: Stroke = "solid") -> None:
        place = self.place(text)
        size = {"width": f"{_SWATCH:g}", "height": f"{_SWATCH:g}", "x": f"{self.x:g}", "y": f"{place:g}", "rx": "3"}
        SubElement(self.group, "rect", {**size, "fill": tone.fill, "stroke": tone.line, **_STROKES[stroke]})
        self.entry(text)

    def edge(self, kind: EdgeKind) -> None:
        text = _EDGE_NAMES[kind]
        y = f"{self.place(text) + _SWATCH / 2:g}"
        dashes = {"stroke-dasharray": "4 3"} if kind == "auxiliary" else {"stroke-width": "1.6"}
        ends = {"x1": f"{self.x:g}", "x2": f"{self.x + _SWATCH:g}", "y1": y, "y2": y}
        SubElement(self.group, "line", {**ends, "stroke": self.palette.edges[kind], **dashes})
        self.entry(text)

    def place(self, text: str) -> float:
        """Begin a new row where an entry does not fit into the current one. Returns the top of the row."""
        if self.x and self.x + _INDENT + text_width(text, FONT_SIZE - 1) > self.room:
            self.x = 0.0
        if not self.x:
            self.height += _LINE + 1
        return self.height - _LINE - 1

    def entry(self, text: str) -> None:
        top = self.height - _LINE - 1
        _text(self.group, self.x + _INDENT, top + _SWATCH - 2.5, text, fill=self.palette.text)
        self.x += _INDENT + text_width(text, FONT_SIZE - 1)
        self.width = max(self.width, self.x)
        self.x += _LEGEND_GAP

    def note(self, text: str) -> None:
        self.height += 2
        for line in textwrap.wrap(text, int(self.room / _NOTE_CHARACTER), subsequent_indent="  "):
            _text(self.group, 0, self.height + _SWATCH - 2.5, line, fill=self.palette.muted)
            self.width = max(self.width, text_width(line, FONT_SIZE - 1))
            self.height += _LINE


def _restyle(content: Element, drawing: Drawing, palette: Palette, direction: Direction) -> None:
    """Emphasize titles, mute the rest, and give every part a name instead of a number."""
    names = numbered(drawing)
    items = {names[item.id]: item for item in drawing.walk()}
    ids = {number: id for id, number in names.items()}
    for element in content.iter():
        element.tag = element.tag.removeprefix(f"{{{_NAMESPACE}}}")
        for attribute in ("id", "font-family"):
            element.attrib.pop(attribute, None)
    pairs = Counter((edge.source, edge.target) for edge in drawing.edges)
    steps = {step for step in pairwise(trunk(drawing)) if pairs[step] == 1}
    frames = {title.text: _frame(group) for group in content.iter("g") if (title := group.find("title")) is not None}
    cluster_titles = Element("g", {"font-weight": "bold", "paint-order": "stroke", "stroke-width": "4"})
    for group in list(content.iter("g")):
        title = group.find("title")
        if title is None or title.text is None:
            continue
        item = items.get(title.text)
        if item is not None:
            group.set("data-path", item.id)
            bold = len(title_lines(item, direction if isinstance(item, Box) else "down"))
            _emphasize(group, item, palette, bold)
            title.text = item.id if item.span is None else f"{item.id} ({item.span})"
            if isinstance(item, Cluster):
                cluster_titles.extend(_raised(group))
        elif "->" in title.text:
            source, _, target = title.text.partition("->")
            title.text = f"{ids[source]} → {ids[target]}"
            for text in group.iter("text"):
                text.set("font-size", str(EDGE_FONT_SIZE))
            if (ids[source], ids[target]) in steps:
                _straighten(group, frames[source], frames[target])
        else:
            group.remove(title)
    content.append(cluster_titles)


class _Frame(NamedTuple):
    """The sides of a box."""

    left: float
    right: float
    top: float
    bottom: float

    @property
    def middle(self) -> tuple[float, float]:
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2


def _frame(group: Element) -> _Frame:
    outlines = " ".join(e.get("d") or e.get("points") or "" for e in group if e.tag in ("path", "polygon"))
    points = [tuple(map(float, point)) for point in _POINT.findall(outlines)] or [(0.0, 0.0)]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return _Frame(min(xs), max(xs), min(ys), max(ys))


def _straighten(edge: Element, source: _Frame, target: _Frame) -> None:
    """Draw a straight line between two boxes that stand in one line, one below the other or beside it.

    Graphviz bends such an edge around its own label where a shortcut enters the cluster.
    """
    path, arrow, label = (edge.find(tag) for tag in ("path", "polygon", "text"))
    if path is None or arrow is None or label is None:
        return
    (x, y), (other_x, other_y) = source.middle, target.middle
    points = [(float(along), float(down)) for along, down in _POINT.findall(path.get("d", ""))]
    if abs(x - other_x) <= 1 and not all(abs(along - x) <= 1 for along, _ in points):
        end = target.top
        base = end - _ARROW_LENGTH
        path.set("d", f"M{x:g},{source.bottom:g}L{x:g},{base:g}")
        arrow.set("points", f"{x - 2.1:g},{base:g} {x:g},{end:g} {x + 2.1:g},{base:g}")
        label.attrib |= {"x": f"{x + _LABEL_GAP:g}", "text-anchor": "start"}
        label.text = (label.text or "").strip()
    elif abs(y - other_y) <= 1 and source.right < target.left:
        end = target.left
        base = end - _ARROW_LENGTH
        path.set("d", f"M{source.right:g},{y:g}L{base:g},{y:g}")
        arrow.set("points", f"{base:g},{y - 2.1:g} {end:g},{y:g} {base:g},{y + 2.1:g}")
        label.attrib |= {"x": f"{(source.right + base) / 2:g}", "y": f"{y - _LABEL_GAP:g}", "text-anchor": "middle"}
        label.text = (label.text or "").strip()


def _emphasize(group: Element, item: Box | Cluster, palette: Palette, bold: int) -> None:
    """Make the lines of the title bold and the others paler, which plain labels of DOT cannot say."""
    terminal = isinstance(item, Box) and item.category == "terminal" and item.mark is None
    for position, text in enumerate(group.iter("text")):
        text.set("font-weight", "bold" if position < bold else "normal")
        text.set("fill", palette.background if terminal else palette.text if position < bold else palette.muted)


def _raised(group: Element) -> list[Element]:
    """The texts of a cluster, taken out to be painted above the edges, with a rim of the cluster's own color."""
    frame = next(element for element in group if element.tag in ("path", "polygon"))
    texts = group.findall("text")
    for text in texts:
        group.remove(text)
        text.set("stroke", frame.get("fill", "none"))
    return texts
