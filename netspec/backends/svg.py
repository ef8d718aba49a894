"""Graphviz's SVG in, the finished one out: title, legend, one font, and names that a screen reader can read.

A box carries its path as `data-path`, so that a page around the picture can find it.
"""

from __future__ import annotations

import re
import textwrap
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from xml.etree.ElementTree import Element, SubElement

from netspec.backends.dot import EDGE_FONT_SIZE, FONT_SIZE, numbered, text_width, trunk
from netspec.backends.drawing import SIGNS, Box, Cluster, Drawing
from netspec.backends.palette import Palette, Tone

_NAMESPACE = "http://www.w3.org/2000/svg"
FONTS = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
_MARGIN = 24.0
_TITLE_SIZE = 20
_LINE = 17.0
_SWATCH = 13.0
_LEGEND_CHARACTERS = 38
_ARROW_LENGTH = 6
_LABEL_GAP = 6
_POINT = re.compile(r"(-?[\d.]+),(-?[\d.]+)")
_EDGE_NAMES = {"shortcut": "shortcut", "auxiliary": "training only", "failed": "does not fit"}


def framed(svg: str, drawing: Drawing, palette: Palette) -> str:
    """The SVG of a layout with the drawing's title above it and its legend beside it."""
    laid_out = ElementTree.fromstring(svg)
    content = laid_out.find(f"{{{_NAMESPACE}}}g")
    assert content is not None, "Graphviz puts a picture into one group"
    _, _, width, height = map(float, laid_out.attrib["viewBox"].split())
    _restyle(content, drawing, palette)

    page = Element("svg", {"xmlns": _NAMESPACE, "role": "img", "font-family": FONTS, "font-size": str(FONT_SIZE)})
    SubElement(page, "title").text = f"{drawing.title}: {drawing.subtitle[0]}"
    SubElement(page, "desc").text = " ".join(filter(None, (drawing.about, drawing.subtitle[1])))
    background = SubElement(page, "rect", {"width": "100%", "height": "100%", "fill": palette.background})
    background.tail = "\n"
    header_width, top = _header(page, drawing, palette)
    legend = _Legend(drawing, palette)
    place = SubElement(page, "g", {"transform": f"translate({_MARGIN:g} {top:g})"})
    place.append(content)
    side = SubElement(page, "g", {"transform": f"translate({_MARGIN + width + _MARGIN:g} {top + 8:g})"})
    side.append(legend.group)

    right = max(_MARGIN + header_width, _MARGIN + width + _MARGIN + legend.width) + _MARGIN
    bottom = top + max(height, 8 + legend.height) + _MARGIN
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
    """A column of swatches, lines and remarks."""

    def __init__(self, drawing: Drawing, palette: Palette) -> None:
        self.group = Element("g", {"font-size": str(FONT_SIZE - 1)})
        self.width = self.height = 0.0
        for category in drawing.legend.categories:
            self.swatch(palette.categories[category], category, palette)
        for mark in drawing.legend.marks:
            self.swatch(palette.marks[mark], SIGNS[mark] + mark, palette)
        for kind in drawing.legend.edges:
            y = f"{self.height + _SWATCH / 2:g}"
            dashes = {"stroke-dasharray": "4 3"} if kind == "auxiliary" else {"stroke-width": "1.6"}
            ends = {"x1": "0", "x2": f"{_SWATCH:g}", "y1": y, "y2": y, "stroke": palette.edges[kind]}
            SubElement(self.group, "line", {**ends, **dashes})
            self.line(_EDGE_NAMES[kind], palette.text)
        for note in drawing.legend.notes:
            self.height += 6
            for line in textwrap.wrap(note, _LEGEND_CHARACTERS, subsequent_indent="  "):
                self.line(line, palette.muted, indent=0)

    def swatch(self, tone: Tone, text: str, palette: Palette) -> None:
        size = {"width": f"{_SWATCH:g}", "height": f"{_SWATCH:g}", "y": f"{self.height:g}", "rx": "3"}
        SubElement(self.group, "rect", {**size, "fill": tone.fill, "stroke": tone.line})
        self.line(text, palette.text)

    def line(self, text: str, fill: str, indent: float = _SWATCH + 7) -> None:
        _text(self.group, indent, self.height + _SWATCH - 2.5, text, fill=fill)
        self.width = max(self.width, indent + text_width(text, FONT_SIZE - 1))
        self.height += _LINE + 1


def _restyle(content: Element, drawing: Drawing, palette: Palette) -> None:
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
            _emphasize(group, item, palette)
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


_Frame = tuple[float, float, float]
"""Centre, top and bottom of a box."""


def _frame(group: Element) -> _Frame:
    outlines = " ".join(e.get("d") or e.get("points") or "" for e in group if e.tag in ("path", "polygon"))
    points = [tuple(map(float, point)) for point in _POINT.findall(outlines)] or [(0.0, 0.0)]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return (min(xs) + max(xs)) / 2, min(ys), max(ys)


def _straighten(edge: Element, source: _Frame, target: _Frame) -> None:
    """Draw a straight line between two boxes that stand one above the other.

    Graphviz bends such an edge around its own label where a shortcut enters the cluster.
    """
    path, arrow, label = (edge.find(tag) for tag in ("path", "polygon", "text"))
    x, start, end = source[0], source[2], target[1]
    if abs(x - target[0]) > 1 or path is None or arrow is None or label is None:
        return
    if all(abs(float(along) - x) <= 1 for along, _ in _POINT.findall(path.get("d", ""))):
        return
    base = end - _ARROW_LENGTH
    path.set("d", f"M{x:g},{start:g}L{x:g},{base:g}")
    arrow.set("points", f"{x - 2.1:g},{base:g} {x:g},{end:g} {x + 2.1:g},{base:g}")
    label.attrib |= {"x": f"{x + _LABEL_GAP:g}", "text-anchor": "start"}
    label.text = (label.text or "").strip()


def _emphasize(group: Element, item: Box | Cluster, palette: Palette) -> None:
    """Make the first line bold and the others paler, which plain labels of DOT cannot say."""
    terminal = isinstance(item, Box) and item.category == "terminal" and item.mark is None
    for position, text in enumerate(group.iter("text")):
        text.set("font-weight", "normal" if position else "bold")
        text.set("fill", palette.background if terminal else palette.muted if position else palette.text)


def _raised(group: Element) -> list[Element]:
    """The texts of a cluster, taken out to be painted above the edges, with a rim of the cluster's own color."""
    frame = next(element for element in group if element.tag in ("path", "polygon"))
    texts = group.findall("text")
    for text in texts:
        group.remove(text)
        text.set("stroke", frame.get("fill", "none"))
    return texts
