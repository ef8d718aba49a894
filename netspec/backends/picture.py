"""Graph in, picture file out: `.svg`, `.png` or `.dot`.

The graph becomes a `Drawing`, Graphviz gives every part its place, and the frame adds title and legend. Text stays text
in an SVG. A PNG is painted from the SVG, with a font of this machine.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from netspec.backends.dot import to_dot
from netspec.backends.diff import Difference
from netspec.backends.diff_text import remarks
from netspec.backends.drawing import Drawing, marked, to_drawing, to_drawings, with_one_legend
from netspec.backends.engines import to_svg
from netspec.backends.palette import LIGHT
from netspec.backends.svg import framed, side_by_side
from netspec.diagnostics import Problem, SpecError
from netspec.files import extra, unknown_format, whole
from netspec.graph import Graph

FORMATS = (".svg", ".png", ".dot")
FORMATS_OF_PAIRS = (".svg", ".png")
PNG_SCALE = 2  # pixels for each point, so that text is sharp on screens of high density


def draw(graph: Graph, path: str | Path, *, depth: int | None = None, engine: str | None = None) -> None:
    """Draw a network into a file whose suffix says the format, with `depth` levels of blocks opened.

    `engine` is `native`, the system's Graphviz, or `embedded`; by default the first that is there. The file appears
    complete or not at all. Raises `SpecError` for another suffix, or where a package or font is missing.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise unknown_format(path, list(FORMATS))
    drawing = to_drawing(graph, depth)
    _write(path, to_dot(drawing, LIGHT) if suffix == ".dot" else _picture(drawing, engine))


def draw_difference(
    difference: Difference, path: str | Path, *, depth: int | None = None, engine: str | None = None
) -> None:
    """Draw both networks side by side into an `.svg` or `.png`, with what differs marked. Options are those of `draw`."""
    if Path(path).suffix.lower() not in FORMATS_OF_PAIRS:
        raise unknown_format(path, list(FORMATS_OF_PAIRS))
    graphs = difference.before, difference.after
    before, after = to_drawings(graphs, depth)
    marks, other_marks = difference.marks
    drawings = marked(before, marks, {}), marked(after, other_marks, remarks(difference))
    title = f"{difference.before.name} and {difference.after.name}: what differs"
    pictures = (_picture(drawing, engine) for drawing in with_one_legend(drawings))
    _write(path, side_by_side(pictures, title, LIGHT))


def _picture(drawing: Drawing, engine: str | None) -> str:
    return framed(to_svg(to_dot(drawing, LIGHT, title=False), engine), drawing, LIGHT)


def _write(path: str | Path, content: str) -> None:
    """Write DOT or SVG into a file, painted where the file is a `.png`."""
    data = to_png(content) if Path(path).suffix.lower() == ".png" else content.encode()
    with whole(path) as file:
        file.write_bytes(data)


# PNG -----------------------------------------------------------------------------------------------------------------

_FAMILIES = (
    *("Helvetica", "Arial", "Liberation Sans", "Nimbus Sans", "DejaVu Sans", "Noto Sans", "Segoe UI", "Roboto"),
    *("Open Sans", "Ubuntu", "Cantarell", "FreeSans", "Verdana", "Tahoma"),
)


def to_png(svg: str) -> bytes:
    """Paint an SVG. Raises `SpecError` where no font is found, because the picture would have no text at all."""
    resvg = extra("resvg_py", "draw", "drawing a `.png`")
    family, files = _font()
    painted = resvg.svg_to_bytes(
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
