"""Graph in, picture file out: one module for each format.

The graph becomes a `Drawing`, Graphviz gives every part its place, and the frame adds title and legend; or it becomes a
`Figure` of volumes. Text stays text in SVG and PDF. A PNG is painted from the SVG, with a font of this machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from netspec.backends.pictures.dot import Direction, to_dot
from netspec.backends.pictures.drawing import Depth, Drawing, Level, to_drawing, to_drawings
from netspec.backends.pictures.engines import to_svg
from netspec.backends.pictures.marks import marked, with_one_legend
from netspec.backends.pictures.palette import LIGHT, THEMES, Palette, Theme
from netspec.backends.pictures.svg import framed, side_by_side
from netspec.diagnostics import Problem, SpecError, listing, suggest
from netspec.files import extra, unknown_format, whole
from netspec.graph import Graph

if TYPE_CHECKING:
    from netspec.backends.diff import Difference

Style = Literal["boxes", "volumes"]
"""Boxes and arrows for every detail, or the volumes of the figures in papers."""

FORMATS = (".svg", ".png", ".pdf", ".html", ".dot", ".mmd", ".txt")
FORMATS_OF_VOLUMES = (".svg", ".png", ".pdf")
FORMATS_OF_PAIRS = (".svg", ".png")
_PIXELS_PER_INCH = 96  # as browsers have them, for pictures whose size is in points
PNG_SCALE = 2  # pixels for each point, so that text is sharp on screens of high density


def draw(
    graph: Graph,
    path: str | Path,
    *,
    depth: Depth = "block",
    open: Sequence[str] = (),
    close: Sequence[str] = (),
    theme: Theme = "light",
    direction: Direction = "down",
    style: Style = "boxes",
    engine: str | None = None,
) -> None:
    """Draw a network into a file whose suffix says the format. What `depth`, `open` and `close` show: see `to_drawing`.

    `engine` is `native`, the system's Graphviz, or `embedded`; by default the first that is there. The file appears
    complete or not at all. Raises `SpecError` for another suffix, a pattern of `open` or `close` that selects nothing,
    or where a package or font is missing.
    """
    if not isinstance(depth, int):
        _check_choice("depth", depth, get_args(Level))
    _check_choice("theme", theme, tuple(THEMES))
    _check_choice("direction", direction, get_args(Direction))
    _check_choice("style", style, get_args(Style))
    suffix = Path(path).suffix.lower()
    formats = FORMATS if style == "boxes" else FORMATS_OF_VOLUMES
    if suffix not in formats:
        raise unknown_format(path, list(formats))
    if style == "volumes":
        from netspec.backends.pictures import figure, volumes

        _write(path, figure.to_svg(volumes.to_figure(graph, depth, open, close), THEMES[theme]))
    elif suffix == ".html":
        from netspec.backends.pictures.page import to_page

        _write(path, to_page(graph, depth, open, close))
    else:
        drawing = to_drawing(graph, depth, open, close)
        _write(path, _content(drawing, suffix, THEMES[theme], direction, engine))


def _check_choice(what: str, chosen: str, known: tuple[str, ...]) -> None:
    """Raise a `SpecError` unless an option from Python is one of those there are."""
    if chosen not in known:
        message = f"`{what}` is {listing(known, 'or')}, got `{chosen}`"
        raise SpecError([Problem("wrong-value", message, help=suggest(str(chosen), known)).at(None)])


def _content(drawing: Drawing, suffix: str, palette: Palette, direction: Direction, engine: str | None) -> str:
    """What a file of a text format holds; the others are made from SVG."""
    if suffix == ".dot":
        return to_dot(drawing, palette, direction)
    if suffix == ".mmd":
        from netspec.backends.pictures.mermaid import to_mermaid

        return to_mermaid(drawing, palette, direction)
    if suffix == ".txt":
        from netspec.backends.pictures.tree import to_tree

        return to_tree(drawing) + "\n"
    return to_picture(drawing, palette, direction, engine)


def draw_difference(
    difference: Difference, path: str | Path, *, depth: Depth = "block", engine: str | None = None
) -> None:
    """Draw both networks side by side into an `.svg` or `.png`, with what differs marked.

    Options and errors are those of `draw`.
    """
    from netspec.backends.diff_text import params_text, remarks

    if Path(path).suffix.lower() not in FORMATS_OF_PAIRS:
        raise unknown_format(path, list(FORMATS_OF_PAIRS))
    graphs = difference.before, difference.after
    before, after = to_drawings(graphs, depth)
    marks, other_marks = difference.marks
    drawings = (
        replace(marked(before, marks, {}), subtitle=(*before.subtitle, "")),
        replace(marked(after, other_marks, remarks(difference)), subtitle=(*after.subtitle, params_text(difference))),
    )
    title = f"{difference.before.name} and {difference.after.name}: what differs"
    pictures = (to_picture(drawing, engine=engine) for drawing in with_one_legend(drawings))
    _write(path, side_by_side(pictures, title, LIGHT))


def to_picture(
    drawing: Drawing, palette: Palette = LIGHT, direction: Direction = "down", engine: str | None = None
) -> str:
    """The finished SVG of a drawing, by `engine` as in `draw`."""
    return framed(to_svg(to_dot(drawing, palette, direction, title=False), engine), drawing, palette, direction)


def _write(path: str | Path, content: str) -> None:
    """Write text into a file; SVG is painted where the file is a `.png`, and set where it is a `.pdf`."""
    suffix = Path(path).suffix.lower()
    if suffix == ".pdf":
        from netspec.backends.pictures.pdf import to_pdf

        data = to_pdf(content)
    else:
        data = to_png(content) if suffix == ".png" else content.encode()
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
        dpi=_PIXELS_PER_INCH,
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
