"""A picture's SVG in, PDF out, with its lines as lines and its text as text.

Knows what the pictures of this package are made of and nothing else of SVG. Fonts are Helvetica and, for arrows and
minus signs, Symbol: two of the fourteen that every reader of PDF has, so none is embedded.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
import zlib
from collections.abc import Iterable
from xml.etree.ElementTree import Element

_LARGEST = 14_400.0  # points; readers need not show a larger page
_PIXEL = 0.75  # points
_CURVE = 0.5523  # of a radius: where a quarter of a circle, drawn as a Bézier curve, has its handles
_HALO = 1.5  # points around a text with a rim
_INHERITED = ("fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin")
_INHERITED_BY_TEXT = ("font-size", "font-weight", "text-anchor", "paint-order")
_NAMES = {"black": "#000000", "white": "#ffffff"}
_NUMBER = re.compile(r"-?\d*\.?\d+(?:e-?\d+)?")
_STEP = re.compile(r"([A-Za-z])([^A-Za-z]*)")
_MOVE = re.compile(r"translate\(([^)]*)\)")

_SYMBOLS = {"→": (0xAE, 987), "−": (0x2D, 549)}
"""Code and width in the font Symbol, for characters that Helvetica has not."""


def _widths(letters: str) -> dict[str, int]:
    """Widths in thousandths of the font size by character; `letters` lists those from the space to the tilde."""
    found = {chr(code): int(width) for code, width in enumerate(letters.split(), 32)}
    return found | {"×": 584, "·": 278, "–": 556, "—": 1000, "…": 1000}


# Adobe's font metrics of Helvetica and Helvetica-Bold
_REGULAR = _widths("""
    278 278 355 556 556 889 667 191 333 333 389 584 278 333 278 278 556 556 556 556 556 556 556 556
    556 556 278 278 584 584 584 556 1015 667 667 722 722 667 611 778 722 278 500 667 556 833 722 778
    667 778 722 667 611 722 667 944 667 667 611 278 278 278 469 556 333 556 556 500 556 556 278 556
    556 222 222 500 222 833 556 556 556 556 333 500 278 556 500 722 500 500 500 334 260 334 584
""")
_BOLD = _widths("""
    278 333 474 556 556 889 722 238 333 333 389 584 278 333 278 278 556 556 556 556 556 556 556 556
    556 556 333 333 584 584 584 611 975 722 722 722 722 667 611 778 722 278 556 722 611 833 722 778
    667 778 722 667 611 722 667 944 667 667 611 333 278 333 584 556 333 556 611 556 611 556 333 611
    611 278 278 556 278 889 611 611 611 611 389 556 333 611 556 778 556 556 500 389 280 389 584
""")


def to_pdf(svg: str) -> bytes:
    """The picture on a page of its own size, a pixel of the screen being three quarters of a point."""
    root = ElementTree.fromstring(svg)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    scale = 1.0 if root.attrib["width"].endswith("pt") else _PIXEL
    scale *= min(1.0, _LARGEST / (scale * max(width, height)))
    commands = [f"{scale:g} 0 0 {-scale:g} 0 {scale * height:g} cm"]
    _add(commands, root, {"fill": "#000000", "size": f"{width:g} {height:g}"})
    titles = [element.text or "" for element in root if element.tag.endswith("title")]
    return _file("\n".join(commands), scale * width, scale * height, " ".join(titles))


def text_length(text: str, size: float, *, bold: bool = False) -> float:
    """How long a text is in Helvetica of a size."""
    widths = _BOLD if bold else _REGULAR
    return size / 1000 * sum(_SYMBOLS[c][1] if c in _SYMBOLS else widths.get(c, 556) for c in text)


# What is drawn -------------------------------------------------------------------------------------------------------


def _add(commands: list[str], element: Element, style: dict[str, str]) -> None:
    """Draw an element and all in it. `style` is what it inherits."""
    tag = element.tag.rpartition("}")[2]
    if tag in ("title", "desc"):
        return
    style = style | {
        name: element.attrib[name] for name in (*_INHERITED, *_INHERITED_BY_TEXT) if name in element.attrib
    }
    if tag in ("svg", "g"):
        offsets = [tuple(map(float, _NUMBER.findall(move))) for move in _MOVE.findall(element.get("transform", ""))]
        commands.append("q")
        commands.extend(f"1 0 0 1 {x:g} {y:g} cm" for x, y in offsets)
        for child in element:
            _add(commands, child, style)
        commands.append("Q")
    elif tag == "text":
        commands.extend(_text(element, style))
    else:
        commands.extend(_shape(_outline(tag, element, style), style, filled=tag != "line"))


def _outline(tag: str, element: Element, style: dict[str, str]) -> list[str]:
    """The path of a shape in the operators of PDF."""
    if tag == "rect":
        size = {"width": style["size"].split()[0], "height": style["size"].split()[1]}
        given = {name: value for name, value in element.attrib.items() if not value.endswith("%")}
        x, y, width, height, radius = (
            float(given.get(name, size.get(name, 0))) for name in ("x", "y", "width", "height", "rx")
        )
        return _rounded(x, y, width, height, radius)
    if tag == "line":
        x1, y1, x2, y2 = (float(element.get(name, 0)) for name in ("x1", "y1", "x2", "y2"))
        return [f"{x1:g} {y1:g} m", f"{x2:g} {y2:g} l"]
    if tag in ("polygon", "polyline"):
        points = list(_pairs(element.attrib["points"]))
        end = ["h"] if tag == "polygon" else []
        return [f"{x:g} {y:g} {'l' if position else 'm'}" for position, (x, y) in enumerate(points)] + end
    assert tag == "path", f"pictures hold no `{tag}`"
    return [operator for step in _STEP.finditer(element.attrib["d"]) for operator in _path_step(step[1], step[2])]


def _path_step(command: str, numbers: str) -> Iterable[str]:
    points = [f"{x:g} {y:g}" for x, y in _pairs(numbers)]
    if command == "M":
        return [f"{points[0]} m", *(f"{point} l" for point in points[1:])]
    if command == "L":
        return [f"{point} l" for point in points]
    if command == "C":
        return [" ".join(points[place : place + 3]) + " c" for place in range(0, len(points), 3)]
    assert command in "Zz", f"pictures hold no path with `{command}`"
    return ["h"]


def _pairs(numbers: str) -> Iterable[tuple[float, float]]:
    values = list(map(float, _NUMBER.findall(numbers)))
    return zip(values[::2], values[1::2], strict=True)


def _rounded(x: float, y: float, width: float, height: float, radius: float) -> list[str]:
    if not radius:
        return [f"{x:g} {y:g} {width:g} {height:g} re"]
    left, right, upper, lower = x + radius, x + width - radius, y + radius, y + height - radius
    far, bottom, k = x + width, y + height, radius * _CURVE
    return [
        f"{left:g} {y:g} m {right:g} {y:g} l",
        f"{right + k:g} {y:g} {far:g} {upper - k:g} {far:g} {upper:g} c {far:g} {lower:g} l",
        f"{far:g} {lower + k:g} {right + k:g} {bottom:g} {right:g} {bottom:g} c {left:g} {bottom:g} l",
        f"{left - k:g} {bottom:g} {x:g} {lower + k:g} {x:g} {lower:g} c {x:g} {upper:g} l",
        f"{x:g} {upper - k:g} {left - k:g} {y:g} {left:g} {y:g} c h",
    ]


def _shape(outline: list[str], style: dict[str, str], *, filled: bool) -> list[str]:
    fill = _color(style["fill"]) if filled else None
    stroke = _color(style.get("stroke", "none"))
    if fill is None and stroke is None:
        return []
    commands = ["q"]
    if fill is not None:
        commands.append(f"{fill} rg")
    if stroke is not None:
        dashes = " ".join(_NUMBER.findall(style.get("stroke-dasharray", "")))
        join = 1 if style.get("stroke-linejoin") == "round" else 0
        commands.append(f"{stroke} RG {style.get('stroke-width', '1')} w {join} j [{dashes}] 0 d")
    paint = "S" if fill is None else "f" if stroke is None else "B"
    return [*commands, *outline, paint, "Q"]


def _color(name: str) -> str | None:
    """A color as three parts of one, or nothing for none."""
    if name in ("none", "transparent"):
        return None
    code = _NAMES.get(name, name)
    return " ".join(f"{int(code[i : i + 2], 16) / 255:.3g}" for i in (1, 3, 5))


def _text(element: Element, style: dict[str, str]) -> list[str]:
    """A text; where it has a rim in another color, that is a box behind it."""
    text, size = element.text or "", float(style.get("font-size", "16"))
    bold = style.get("font-weight") == "bold"
    length = text_length(text, size, bold=bold)
    before = {"middle": length / 2, "end": length}.get(style.get("text-anchor", "start"), 0.0)
    x, y = float(element.get("x", 0)) - before, float(element.get("y", 0))
    commands = []
    rim = _color(style.get("stroke", "none")) if "paint-order" in style else None
    if rim is not None:
        box = (x - _HALO, y - 0.75 * size - _HALO, length + 2 * _HALO, size + 2 * _HALO)
        commands.append(f"q {rim} rg {' '.join(f'{value:g}' for value in box)} re f Q")
    font = "F2" if bold else "F1"
    shown = " ".join(f"/{'F3' if symbol else font} {size:g} Tf ({part}) Tj" for symbol, part in _runs(text))
    return [*commands, f"BT {_color(style['fill']) or '0 0 0'} rg 1 0 0 -1 {x:g} {y:g} Tm {shown} ET"]


def _runs(text: str) -> Iterable[tuple[bool, str]]:
    """The parts of a text that one font sets, escaped, and whether that is Symbol."""
    for symbol, part in re.findall(f"([{''.join(_SYMBOLS)}])|([^{''.join(_SYMBOLS)}]+)", text):
        if symbol:
            yield True, f"\\{_SYMBOLS[symbol][0]:03o}"
        else:
            codes = part.encode("cp1252", "replace")
            yield False, "".join(chr(c) if 32 <= c < 127 and chr(c) not in "()\\" else f"\\{c:03o}" for c in codes)


# The file ------------------------------------------------------------------------------------------------------------


def _file(content: str, width: float, height: float, title: str) -> bytes:
    """A document of one page."""
    stream = zlib.compress(content.encode("ascii"), 9)
    fonts = "/F1 4 0 R /F2 5 0 R /F3 6 0 R"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {width:g} {height:g}] /Contents 7 0 R "
        f"/Resources << /Font << {fonts} >> >> >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold /Encoding /WinAnsiEncoding >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Symbol >>",
        f"<< /Length {len(stream)} /Filter /FlateDecode >>\nstream\n".encode() + stream + b"\nendstream",
        f"<< /Title <feff{title.encode('utf-16-be').hex()}> /Producer (netspec) >>".encode(),
    ]
    data = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(data))
        data += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    trailer = f"trailer\n<< /Size {size} /Root 1 0 R /Info 8 0 R >>\nstartxref\n{len(data)}\n%%EOF\n"
    return data + f"xref\n0 {size}\n0000000000 65535 f \n{table}{trailer}".encode()
