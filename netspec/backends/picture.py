"""Graph in, picture file out: `.svg`, `.png` or `.dot`.

The graph becomes a `Drawing`, Graphviz gives every part its place, and the frame adds title and legend. Text stays text
in an SVG. A PNG is painted from the SVG, with a font of this machine.
"""

from __future__ import annotations

import os
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from netspec.backends.dot import to_dot
from netspec.backends.drawing import to_drawing
from netspec.backends.engines import missing_extra, to_svg
from netspec.backends.palette import LIGHT
from netspec.backends.svg import framed
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


# PNG -----------------------------------------------------------------------------------------------------------------

_FAMILIES = (
    *("Helvetica", "Arial", "Liberation Sans", "Nimbus Sans", "DejaVu Sans", "Noto Sans", "Segoe UI", "Roboto"),
    *("Open Sans", "Ubuntu", "Cantarell", "FreeSans", "Verdana", "Tahoma"),
)


def to_png(svg: str) -> bytes:
    """Paint an SVG. Raises `SpecError` where no font is found, because the picture would have no text at all."""
    try:
        import resvg_py
    except ImportError as error:
        raise missing_extra(error, "drawing a `.png`") from None
    family, files = _font()
    painted = resvg_py.svg_to_bytes(
        svg_string=svg,
        zoom=PNG_SCALE,
        sans_serif_family=family,
        font_files=files,
    )
    return bytes(painted)


@cache
def _font() -> tuple[str, list[str]]:
    """A sans-serif family that can be painted, and the files it is in where the system has none."""
    for family in _FAMILIES:
        if _paints(family, []):
            return family, []
    files = _bundled_fonts()
    if files and _paints("DejaVu Sans", files):
        return "DejaVu Sans", files
    help = (
        "draw a `.svg` instead, whose text is painted by the program that shows it",
        "install a font: `apt install fonts-dejavu-core`, or `pip install matplotlib`, which brings one",
    )
    raise SpecError(
        [Problem("missing-font", "a `.png` needs a sans-serif font, and none was found", help=help).at(None)]
    )


def _paints(family: str, files: list[str]) -> bool:
    import resvg_py

    letter = f'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><text y="9" font-family="{family}">'
    filled, empty = (
        bytes(resvg_py.svg_to_bytes(svg_string=f"{letter}{text}</text></svg>", font_files=files)) for text in ("M", "")
    )
    return filled != empty


def _bundled_fonts() -> list[str]:
    """DejaVu Sans as matplotlib ships it. Finding the package does not import it."""
    spec = find_spec("matplotlib")
    if spec is None or spec.origin is None:
        return []
    folder = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf"
    return [str(path) for name in ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf") if (path := folder / name).is_file()]
