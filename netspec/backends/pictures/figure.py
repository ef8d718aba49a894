"""`Figure` in, SVG out: solids in oblique projection side by side, sizes under them, layers above them.

Lengths are in points. A figure is never wider than the text of a page; what is longer goes on in another row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import sqrt
from xml.etree.ElementTree import Element, SubElement, tostring

from netspec.backends.pictures.dot import text_width
from netspec.backends.pictures.palette import Palette, Tone
from netspec.backends.pictures.svg import FONTS
from netspec.backends.pictures.volumes import Figure, Layer, Volume

PAGE_WIDTH = 504.0  # 7 inches, the text of a letter or A4 page
FONT_SIZE = 8.0
_LINE = 9.5
_MARGIN = 4.0
_FACE = 104.0  # the largest height
_THICKNESS = 34.0  # the largest thickness of one layer
_THINNEST = 1.6
_BAR = 5.0  # the thickness of a vector
_OBLIQUE = (0.34, 0.26)  # what the width of a face becomes to the right and up
_GAP = 13.0  # between volumes, at least
_SLAB_GAP = 1.5
_WORD_GAP = 5.0  # between labels in a line, at least
_MOST_SLABS = 5  # more equal layers are drawn as one
_LONGEST_WORD = 13  # characters; the name of a longer layer is broken behind an underscore
_ROW_GAP = 20.0
_STUB = 18.0  # the arrow where a row goes on
_WINDOW_AT = (0.16, 0.3)  # where a window begins, as parts of the width and height of a face


@dataclass(frozen=True, slots=True)
class _Solid:
    """A volume with its size on paper, standing at `x`. `rise` and `run` are its width seen obliquely."""

    volume: Volume
    x: float
    thickness: float
    height: float
    run: float
    rise: float

    @property
    def slabs(self) -> int:
        """Layers are drawn one by one, blocks and long repeats as one."""
        count = self.volume.count
        return count if count <= _MOST_SLABS and self.volume.category != "block" else 1

    @property
    def front(self) -> float:
        """Where the front of the last slab ends."""
        return self.x + self.slabs * self.thickness + (self.slabs - 1) * _SLAB_GAP

    @property
    def right(self) -> float:
        return self.front + self.run

    @property
    def bottom(self) -> float:
        """Of the front; the middle of the solid is at 0, and y grows downwards."""
        return (self.height + self.rise) / 2

    @property
    def top(self) -> float:
        return self.bottom - self.height

    def on_face(self, along: float, down: float) -> tuple[float, float]:
        """A point of the right face, by parts of its width and height."""
        return self.front + along * self.run, self.top + down * self.height - along * self.rise


@dataclass(frozen=True, slots=True)
class _Row:
    """The solids of one line, and where the labels of their layers are centered."""

    solids: tuple[_Solid, ...]
    layers: tuple[float, ...]
    width: float


def to_svg(figure: Figure, palette: Palette) -> str:
    """The figure as a page of its own, at most `PAGE_WIDTH` wide, with no text smaller than `FONT_SIZE`."""
    sizes, rows = _fitted(figure.volumes)
    page = Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "role": "img", "font-family": FONTS})
    page.set("font-size", f"{FONT_SIZE:g}")
    SubElement(page, "title").text = f"{figure.name}, its volumes from input to output"
    SubElement(page, "desc").text = figure.about
    SubElement(page, "rect", {"width": "100%", "height": "100%", "fill": palette.background})
    note = " · ".join(figure.notes)
    width = min(
        PAGE_WIDTH, max(max(row.width for row in rows) + 2 * _MARGIN, text_width(note, FONT_SIZE) + 2 * _MARGIN)
    )
    y = _MARGIN
    for position, row in enumerate(rows):
        place = SubElement(page, "g", {"transform": f"translate({(width - row.width) / 2:.1f} {y:.1f})"})
        y += _draw_row(place, row, sizes, palette, first=position == 0, last=position == len(rows) - 1) + _ROW_GAP
    y += _LINE - _ROW_GAP + 4
    for line in _wrapped(note, width - 2 * _MARGIN):
        _text(page, width / 2, y, line, palette.muted)
        y += _LINE
    height = y - _LINE + _MARGIN + 2
    page.attrib |= {"width": f"{width:.0f}pt", "height": f"{height:.0f}pt", "viewBox": f"0 0 {width:.0f} {height:.0f}"}
    return tostring(page, encoding="unicode") + "\n"


# Layout --------------------------------------------------------------------------------------------------------------


def _fitted(volumes: Sequence[Volume]) -> tuple[bool, list[_Row]]:
    """The solids in as few rows as can be, as large as can be; sizes are broken into two lines where that helps."""
    best: tuple[bool, list[_Row]] | None = None
    for broken in (False, True):
        for scale in (1.0, 0.85, 0.7):
            rows = _rows(volumes, scale, broken)
            if best is None or len(rows) < len(best[1]):
                best = broken, rows
    assert best is not None, "a figure has volumes"
    return best


def _rows(volumes: Sequence[Volume], scale: float, broken: bool) -> list[_Row]:
    """Fill rows evenly: the narrowest limit that still makes as few rows as the page does."""
    solids = _solids(volumes, scale)
    limit = PAGE_WIDTH - 2 * _MARGIN
    rows = _broken_into(solids, broken, limit)
    if len(rows) == 1:
        return rows
    for narrower in range(int(limit), int(limit / 2), -10):
        attempt = _broken_into(solids, broken, narrower)
        if len(attempt) > len(rows):
            break
        rows = attempt
    return rows


def _solids(volumes: Sequence[Volume], scale: float) -> list[_Solid]:
    """The solids in their sizes; lengths of the largest are the same in every figure."""
    solid = [volume for volume in volumes if not volume.flat]
    side = max((max(volume.height, volume.width) for volume in solid), default=1)
    channels = max((volume.channels for volume in solid), default=1)
    features = max((volume.height for volume in volumes if volume.flat), default=1)
    vectors = max((volume.width for volume in volumes if volume.flat), default=1)
    found = []
    for volume in volumes:
        if volume.flat:
            height, thickness = max(3.0, _FACE * sqrt(volume.height / features)), _BAR
            width = 6.0 + (0 if volume.width == 1 else 0.6 * _FACE * sqrt(volume.width / vectors))
        else:
            height = max(3.0, _FACE * sqrt(volume.height / side))
            width = max(3.0, _FACE * sqrt(volume.width / side))
            thickness = max(_THINNEST, _THICKNESS * sqrt(volume.channels / channels))
        run, rise = (part * width * scale for part in _OBLIQUE)
        found.append(_Solid(volume, 0.0, max(_THINNEST, thickness * scale), height * scale, run, rise))
    return found


def _broken_into(solids: Sequence[_Solid], broken: bool, limit: float) -> list[_Row]:
    """Set solids from left to right, and begin a new row where the limit is passed."""
    rows: list[_Row] = []
    taken = 0
    while taken < len(solids):
        rows.append(_row(solids[taken:], broken, limit, continued=taken > 0))
        taken += len(rows[-1].solids)
    return rows


def _row(solids: Sequence[_Solid], broken: bool, limit: float, *, continued: bool) -> _Row:
    """Set solids side by side, as close as their labels allow, as many as stay below the limit, or one.

    A row that continues another begins with an arrow. A layer stands over the gap before its volume, and moves towards
    that where the layer before is in the way.
    """
    placed: list[_Solid] = []
    layers: list[float] = []
    width = 0.0
    end, size_end, layer_end = _STUB if continued else -_GAP, -_WORD_GAP, -_WORD_GAP
    for solid in solids:
        half_size = _widest(size_lines(solid.volume, broken)) / 2
        half_layer = _widest(layer_lines(solid.volume, broken)) / 2
        half = (solid.right - solid.x) / 2
        size_start = size_end + _WORD_GAP + half_size
        layer_start = layer_end + _WORD_GAP + half_layer if half_layer else 0.0
        x = max(end + _GAP, size_start - half, layer_start - half)
        layer = max((max(end, 0.0) + x) / 2, layer_start)
        end, size_end = x + 2 * half, x + half + half_size
        layer_end = layer + half_layer if half_layer else layer_end
        if placed and max(end, size_end, layer_end) > limit:
            break
        width = max(end, size_end, layer_end)
        placed.append(replace(solid, x=x))
        layers.append(layer)
    return _Row(tuple(placed), tuple(layers), width)


def size_lines(volume: Volume, broken: bool) -> tuple[str, ...]:
    """The label of a size, in two lines where it is `broken`: `512@` and `28×28`."""
    channels, at, rest = volume.label.partition("@")
    return (channels + at, rest) if broken and at else (volume.label,)


def layer_lines(volume: Volume, broken: bool) -> tuple[str, ...]:
    """The label of a layer, the number of layers behind its name: `conv ×3` and `3×3`; more lines where `broken`."""
    if volume.layer is None:
        return ()
    name, *rest = volume.layer.text
    lines = _words(name)
    if volume.count > 1:
        times = f"×{volume.count}"
        lines[-1:] = (
            [lines[-1], times] if broken and len(lines[-1]) + len(times) >= _LONGEST_WORD else [f"{lines[-1]} {times}"]
        )
    return (*lines, *(part for text in rest for part in (text.split(", ") if broken else [text])))


def _words(name: str) -> list[str]:
    """A long name broken behind an underscore, into lines that are as even as can be."""
    breaks = [position for position, character in enumerate(name, 1) if character == "_"]
    if len(name) <= _LONGEST_WORD or not breaks:
        return [name]
    middle = min(breaks, key=lambda position: max(position, len(name) - position))
    return [name[:middle], name[middle:]]


def _widest(lines: Iterable[str]) -> float:
    return max((text_width(line, FONT_SIZE) for line in lines), default=0.0)


def _wrapped(note: str, width: float) -> list[str]:
    lines = [""]
    for part in note.split(" · "):
        longer = f"{lines[-1]} · {part}" if lines[-1] else part
        if lines[-1] and text_width(longer, FONT_SIZE) > width:
            lines.append(part)
        else:
            lines[-1] = longer
    return lines


# Drawing -------------------------------------------------------------------------------------------------------------


def _draw_row(place: Element, row: _Row, broken: bool, palette: Palette, *, first: bool, last: bool) -> float:
    """Draw a row from y = 0 on. Returns its height."""
    above = max(len(layer_lines(solid.volume, broken)) for solid in row.solids) * _LINE
    below = max(len(size_lines(solid.volume, broken)) for solid in row.solids) * _LINE
    half = max((solid.height + solid.rise) / 2 for solid in row.solids)
    middle = above + 6 + half
    stage = SubElement(place, "g", {"transform": f"translate(0 {middle:.1f})", "stroke-linejoin": "round"})
    if not first:
        _arrow(stage, row.solids[0].x - _STUB - 4, row.solids[0].x - 3, palette)
    for solid in row.solids:
        _draw_solid(stage, solid, palette)
    for source, target in pairwise(row.solids):
        _draw_link(stage, source, target, palette)
    for solid, center in zip(row.solids, row.layers, strict=True):
        lines = layer_lines(solid.volume, broken)
        for position, line in enumerate(lines):
            _text(place, center, (position + 1) * _LINE - 2, line, palette.muted)
        x = (solid.x + solid.right) / 2
        for position, line in enumerate(size_lines(solid.volume, broken)):
            _text(place, x, middle + half + _LINE * (position + 1) + 1, line, palette.text)
    return middle + half + below + 4


def _draw_solid(stage: Element, solid: _Solid, palette: Palette) -> None:
    """Draw its slabs, each with its front, top and right side, and the window that the next layer sees through."""
    volume = solid.volume
    group = SubElement(stage, "g", {"data-path": volume.path, "stroke-width": "0.6"})
    SubElement(group, "title").text = f"{volume.path}: {volume.label}"
    tone = palette.categories["reshape" if volume.category == "terminal" else volume.category]
    group.set("stroke", tone.line)
    for slab in range(solid.slabs):
        x = solid.x + slab * (solid.thickness + _SLAB_GAP)
        _draw_slab(group, x, solid, tone, palette)


def _draw_slab(group: Element, x: float, solid: _Solid, tone: Tone, palette: Palette) -> None:
    end, top, bottom, run, rise = x + solid.thickness, solid.top, solid.bottom, solid.run, solid.rise
    lid = [(x, top), (x + run, top - rise), (end + run, top - rise), (end, top)]
    side = [(end, top), (end + run, top - rise), (end + run, bottom - rise), (end, bottom)]
    _polygon(group, [(x, top), (end, top), (end, bottom), (x, bottom)], fill=tone.fill)
    _polygon(group, lid, fill=_mixed(tone.fill, palette.background, 0.55))
    _polygon(group, side, fill=_mixed(tone.fill, tone.line, 0.22))


def _draw_link(stage: Element, source: _Solid, target: _Solid, palette: Palette) -> None:
    layer = target.volume.layer or Layer(())
    if layer.reach == "window" and layer.window != (1, 1) and not source.volume.flat:
        _draw_window(stage, source, target, layer, palette)
    elif layer.reach == "all":
        ends = [(source.on_face(1, 0), (target.x, target.top)), (source.on_face(0, 1), (target.x, target.bottom))]
        for (x1, y1), (x2, y2) in ends:
            _line(stage, x1, y1, x2, y2, palette.edges["auxiliary"])
    else:
        _arrow(stage, source.right + 2, target.x - 2, palette)


def _draw_window(stage: Element, source: _Solid, target: _Solid, layer: Layer, palette: Palette) -> None:
    """A window on the right face of `source`, and lines from its corners to the one element it becomes."""
    volume = source.volume
    high, wide = (sqrt(min(1.0, part)) for part in (layer.window[0] / volume.height, layer.window[1] / volume.width))
    left, upper = min(_WINDOW_AT[0], 1 - wide), min(_WINDOW_AT[1], 1 - high)
    corners = [
        source.on_face(along, down)
        for along, down in ((left, upper), (left + wide, upper), (left + wide, upper + high), (left, upper + high))
    ]
    color = palette.edges["shortcut"]
    group = SubElement(stage, "g", {"stroke": color, "stroke-width": "0.5"})
    _polygon(group, corners, fill=palette.background)
    end = (target.x, target.top + (upper + high / 2) * target.height)
    for x, y in corners:
        _line(group, x, y, *end, color, dashes="2 1.2")


def _arrow(stage: Element, start: float, end: float, palette: Palette) -> None:
    color = palette.edges["main"]
    _line(stage, start, 0, end - 4, 0, color)
    _polygon(stage, [(end - 4.5, -2), (end, 0), (end - 4.5, 2)], fill=color)


def _line(parent: Element, x1: float, y1: float, x2: float, y2: float, color: str, dashes: str | None = None) -> None:
    ends = {"x1": f"{x1:.1f}", "y1": f"{y1:.1f}", "x2": f"{x2:.1f}", "y2": f"{y2:.1f}"}
    line = SubElement(parent, "line", {**ends, "stroke": color, "stroke-width": "0.6"})
    if dashes:
        line.set("stroke-dasharray", dashes)


def _polygon(parent: Element, points: Iterable[tuple[float, float]], **attributes: str) -> None:
    SubElement(parent, "polygon", {"points": " ".join(f"{x:.1f},{y:.1f}" for x, y in points), **attributes})


def _text(parent: Element, x: float, y: float, text: str, fill: str) -> None:
    SubElement(parent, "text", {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": "middle", "fill": fill}).text = text


def _mixed(color: str, other: str, part: float) -> str:
    """A color with `part` of another in it."""
    pairs = ((int(color[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(a + (b - a) * part):02x}" for a, b in pairs)
