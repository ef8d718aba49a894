"""Graph in, picture file out: `.svg`, `.png` or `.dot`.

The graph becomes a `Drawing`, Graphviz gives every part its place, and this module adds title, legend and style to
the SVG, in which all text stays text. A PNG is painted from the SVG.
"""

from __future__ import annotations

import os
import tempfile
import xml.etree.ElementTree as ElementTree
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from netspec.backends.drawing import Box, Drawing, to_drawing
from netspec.backends.dot import FONT_SIZE, SMALL_FONT_SIZE, box_lines, numbered, text_width, to_dot
from netspec.backends.engines import missing_extra, to_svg
from netspec.backends.palette import LIGHT, Palette
from netspec.diagnostics import Problem, SpecError, listing, suggest
from netspec.graph import Graph

FORMATS = (".svg", ".png", ".dot")
PNG_SCALE = 2  # pixels for each point, so that text is sharp on screens of high density


def draw(graph: Graph, path: str | Path, *, depth: int | None = None, engine: str | None = None) -> None:
    """Draw a network into a file whose suffix says the format, with `depth` levels of blocks opened.

    `engine` is `native`, the system's Graphviz, or `embedded`; by default the first that is there. The file appears
    complete or not at all. Raises `SpecError` for another suffix, or where a package or font is missing.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        help = (*suggest(suffix, FORMATS), f"the formats are {listing(FORMATS)}")
        what = f"the format `{suffix}`" if suffix else f"the format of `{path.name}`, which has no suffix"
        raise SpecError([Problem("unknown-format", f"cannot draw {what}", help=help).at(None)])
    drawing = to_drawing(graph, depth)
    try:
        source = to_dot(drawing, LIGHT, title=suffix == ".dot")
    except ImportError as error:
        raise missing_extra(error, "drawing") from None
    if suffix == ".dot":
        content = source.encode()
    else:
        svg = framed(to_svg(source, engine), drawing, LIGHT)
        content = svg.encode() if suffix == ".svg" else to_png(svg)
    _write(path, content)


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


# SVG -----------------------------------------------------------------------------------------------------------------

_SVG = "http://www.w3.org/2000/svg"
_FONTS = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
_MARGIN = 24
_TITLE_SIZE = 20
_SWATCH = 12
_EDGE_NAMES = {"shortcut": "shortcut", "auxiliary": "training only"}


def framed(svg: str, drawing: Drawing, palette: Palette) -> str:
    """The SVG of a layout with title, legend, accessible names and one font for all."""
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    laid_out = ElementTree.fromstring(svg)
    _, _, width, height = map(float, laid_out.attrib["viewBox"].split())
    content = laid_out.find(f"{{{_SVG}}}g")
    assert content is not None, "Graphviz puts a picture into one group"
    _style(content, drawing, palette)

    header = _header(drawing, palette)
    legend, legend_size = _legend(drawing, palette, max(width, header.width))
    page = ElementTree.Element(f"{{{_SVG}}}svg")
    total_width = max(width, header.width, legend_size[0]) + 2 * _MARGIN
    top = _MARGIN + header.height
    total_height = top + height + legend_size[1] + _MARGIN
    page.attrib |= {
        "width": f"{total_width:.0f}",
        "height": f"{total_height:.0f}",
        "viewBox": f"0 0 {total_width:.0f} {total_height:.0f}",
        "font-family": _FONTS,
        "font-size": str(FONT_SIZE),
        "role": "img",
    }
    return ElementTree.tostring(page, encoding="unicode")
