"""Text, Mermaid, PDF and notebooks show the boxes and shapes of the drawing, whatever characters they are made of."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pypdf
import pytest
from pypdf._codecs.core_font_metrics import CORE_FONT_METRICS

import netspec
from netspec.backends import notebook
from netspec.backends.pictures.dot import box_lines, to_dot
from netspec.backends.pictures.drawing import Box, Cluster, Drawing, Edge, Legend, to_drawing
from netspec.backends.pictures.engines import to_svg
from netspec.backends.pictures.figure import to_svg as to_figure_svg
from netspec.backends.pictures.mermaid import to_mermaid
from netspec.backends.pictures.palette import LIGHT
from netspec.backends.pictures.pdf import text_length, to_pdf
from netspec.backends.pictures.svg import framed
from netspec.backends.pictures.tree import as_ascii, to_tree
from netspec.backends.pictures.volumes import to_figure
from netspec.catalog import shipped_specs
from netspec.cli import main
from netspec.graph import Graph
from tests.conftest import Golden

GOLDENS = Path(__file__).parent / "goldens" / "trees"
LANES = "│─├┤┼┬┴╮╯●○ "

ODD = ("<b>bold</b>", 'a "quoted" word', "back\\slash", "&amp; #35;", "naïve · 3×3 →", "`code`", "end", "a|b{c}[d](e)")


@pytest.fixture(scope="module", params=shipped_specs())
def graph(request: pytest.FixtureRequest) -> Graph:
    return netspec.load(request.param)


@pytest.fixture(scope="module")
def odd() -> Drawing:
    boxes = tuple(Box(f"box {i}", title, ("<i>",), "block", "3×3") for i, title in enumerate(ODD))
    cluster = Cluster("cluster", "<b>&\\G</b>", (), boxes)
    edges = (Edge("box 0", "box 1", '"|"'), Edge("box 1", "box 2", "end", "auxiliary"))
    return Drawing('"<t>"\\', ("1 & 2", "<s>"), "about", (cluster,), edges, Legend(("block",), (), ("<note>",)))


def picture(drawing: Drawing) -> str:
    return framed(to_svg(to_dot(drawing, LIGHT, title=False), "embedded"), drawing, LIGHT)


def run(*arguments: str, env: dict[str, str]) -> str:
    done = subprocess.run([sys.executable, "-m", "netspec", *arguments], env=env, capture_output=True, check=True)
    return done.stdout.decode()


# Text ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lenet5", "resnet50", "googlenet", "densenet121"])
def test_the_tree_is_the_golden_one(name: str, golden: Golden) -> None:
    golden(GOLDENS / f"{name}.txt", to_tree(to_drawing(netspec.load(name), 1)) + "\n")


def test_the_tree_shows_every_box_with_its_shape(graph: Graph) -> None:
    drawing = to_drawing(graph)
    marked = [line for line in to_tree(drawing, 400).split("\n") if "●" in line or "○" in line]
    shown = [re.split(r"\s{2,}", line.lstrip(LANES)) for line in marked]
    assert [text.partition(" · ")[0] for text, *_ in shown] == [
        box.title.partition(" · ")[0] for box in drawing.boxes()
    ]
    assert [shape for *_, shape in shown] == [box.output for box in drawing.boxes()]


def read_lanes(tree: str, ids: Iterator[str]) -> set[tuple[str, str]]:
    """The edges that the lanes of a tree draw, read from its characters alone."""
    lanes: dict[int, str] = {}
    joined: dict[int, set[str]] = {}
    edges = set()
    for line in tree.split("\n"):
        prefix = line[: len(line) - len(line.lstrip(LANES))]
        cells = dict(enumerate(prefix[::2]))
        if not set(prefix) & set("●○"):
            if "├" in prefix:
                home = prefix.index("├") // 2
                above = [column for column, cell in cells.items() if cell in "├┤┼┴╯"]
                joined = {home: {lanes[column] for column in above}}
                new = [column for column, cell in cells.items() if cell in "╮┬"]
                for column in new:
                    joined[column] = {lanes[home]}
                    lanes[column] = lanes[home]
            continue
        place = next(column for column, cell in cells.items() if cell in "●○")
        box = next(ids)
        sources = joined.get(place) or ({lanes[place]} if place in lanes else set())
        edges |= {(source, box) for source in sources}
        lanes = {column: id for column, id in lanes.items() if cells.get(column, " ") != " "} | {place: box}
        joined = {}
    return edges


@pytest.mark.parametrize("name", ["lenet5", "resnet18", "googlenet", "densenet121", "dla34", "inception_v3", "dpn68"])
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_the_lanes_of_the_tree_are_the_edges_of_the_drawing(name: str, depth: int) -> None:
    drawing = to_drawing(netspec.load(name), depth)
    lines = to_tree(drawing, 400).split("\n\n")[1]
    expected = {(edge.source, edge.target) for edge in drawing.edges}
    assert read_lanes(lines, (box.id for box in drawing.boxes())) == expected


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_tree_keeps_to_the_width_of_the_terminal(graph: Graph, width: int) -> None:
    lines = to_tree(to_drawing(graph), width).split("\n\n")[1].split("\n")
    assert max(map(len, lines)) <= width


def test_the_tree_notes_shortcuts_and_copies() -> None:
    text = to_tree(to_drawing(netspec.load("resnet18"), 2), 120)
    assert "layer1 ×2 · basic_block" in text
    assert "shortcut from maxpool" in text


def test_a_terminal_of_ascii_gets_ascii() -> None:
    text = as_ascii(to_tree(to_drawing(netspec.load("googlenet"), 1)))
    assert text.isascii()
    assert "?" not in text
    assert "192x28x28" in text


def test_the_command_prints_the_tree_in_the_characters_of_the_terminal() -> None:
    wide = run("draw", "resnet50", "--format", "text", env={"PYTHONIOENCODING": "utf-8", "COLUMNS": "90"})
    assert wide == to_tree(to_drawing(netspec.load("resnet50")), 90) + "\n"
    plain = run("draw", "resnet50", "--format", "text", env={"PYTHONIOENCODING": "ascii", "COLUMNS": "90"})
    assert plain == as_ascii(wide)


def test_a_format_and_a_file_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["draw", "lenet5", "--format", "text", "-o", "lenet5.txt"])
    assert caught.value.code == 2
    assert "not allowed with" in capsys.readouterr().err


# Mermaid -------------------------------------------------------------------------------------------------------------

_STATEMENT = re.compile(
    r"""
      (?P<box>n\d+)(?:\(\["(?P<a>[^"]*)"\]\)|\[\["(?P<b>[^"]*)"\]\]|\["(?P<c>[^"]*)"\])
    | subgraph\ (?P<cluster>cluster_\d+)\["[^"]*"\]
    | (?P<end>end)
    | (?P<source>n\d+)\ (?P<arrow>-->|==>|-\.->)\|"(?P<label>[^"]*)"\|\ (?P<target>n\d+)
    | classDef\ (?P<defined>\w+)\ \S.*
    | class\ (?P<members>[\w,]+)\ (?P<used>\w+)
    | linkStyle\ [\d,]+\ stroke:\#\w{6}
    """,
    re.VERBOSE,
)


def statements(text: str) -> list[re.Match[str]]:
    head, _, body = text.removeprefix("---\n").partition("---\n")
    assert re.fullmatch(r'title: ".*"\n', head)
    kind, *lines = body.rstrip("\n").split("\n")
    assert kind == "flowchart TB"
    found = [_STATEMENT.fullmatch(line.strip()) for line in lines]
    assert None not in found, lines[found.index(None)]
    return [match for match in found if match is not None]


def unescaped(label: str) -> str:
    names = {"quot": '"', "amp": "&", "lt": "<", "gt": ">"}
    return re.sub(r"#(\w+);", lambda match: names.get(match[1]) or chr(int(match[1])), label)


def test_mermaid_shows_the_boxes_and_edges_of_the_drawing(graph: Graph) -> None:
    drawing = to_drawing(graph)
    found = statements(to_mermaid(drawing, LIGHT))
    boxes = {m["box"]: unescaped(m["a"] or m["b"] or m["c"]) for m in found if m["box"]}
    assert list(boxes.values()) == ["<br/>".join(box_lines(box)) for box in drawing.boxes()]
    ids = dict(zip((box.id for box in drawing.boxes()), boxes, strict=True))
    arrows = {"main": "-->", "shortcut": "==>", "auxiliary": "-.->"}
    assert [(m["source"], m["arrow"], m["label"], m["target"]) for m in found if m["source"]] == [
        (ids[edge.source], arrows[edge.kind], edge.label, ids[edge.target]) for edge in drawing.edges
    ]
    assert sum(bool(m["cluster"]) for m in found) == sum(bool(m["end"]) for m in found)
    assert {m["used"] for m in found if m["used"]} == {m["defined"] for m in found if m["defined"]}


def test_mermaid_text_means_itself_whatever_characters_it_has(odd: Drawing) -> None:
    found = statements(to_mermaid(odd, LIGHT))
    assert [unescaped(m["c"]).partition("<br/>")[0] for m in found if m["box"]] == list(ODD)
    assert [unescaped(m["label"]) for m in found if m["source"]] == ['"|"', "end"]


def test_mermaid_draws_dashes_around_what_exists_in_training_alone() -> None:
    text = to_mermaid(to_drawing(netspec.load("googlenet")), LIGHT)
    assert "classDef training_only stroke-dasharray:4 3" in text
    assert text.count("-.->") == 4


# PDF -----------------------------------------------------------------------------------------------------------------


def read_pdf(data: bytes) -> tuple[pypdf.PageObject, str]:
    page = pypdf.PdfReader(io.BytesIO(data), strict=True).pages[0]
    return page, page.extract_text()


def words(texts: list[str]) -> Counter[str]:
    return Counter(word for text in texts for word in text.split())


@pytest.mark.parametrize("name", ["lenet5", "googlenet"])
def test_text_of_a_picture_is_text_in_the_pdf(name: str) -> None:
    svg = picture(to_drawing(netspec.load(name)))
    page, text = read_pdf(to_pdf(svg))
    assert words(re.findall(r"<text[^>]*>([^<]*)</text>", svg)) == words([text])
    width, height = (float(value) for value in re.findall(r'(?:width|height)="(\d+)"', svg)[:2])
    assert [float(page.mediabox.width), float(page.mediabox.height)] == [0.75 * width, 0.75 * height]


def test_a_figure_has_the_size_on_paper_that_it_was_made_for() -> None:
    svg = to_figure_svg(to_figure(netspec.load("vgg16")), LIGHT)
    page, text = read_pdf(to_pdf(svg))
    assert f'width="{page.mediabox.width:.0f}pt" height="{page.mediabox.height:.0f}pt"' in svg
    assert words([text]) == words(re.findall(r"<text[^>]*>([^<]*)</text>", svg))


def test_the_pdf_uses_fonts_that_every_reader_has(odd: Drawing) -> None:
    page, text = read_pdf(to_pdf(picture(odd)))
    fonts = page["/Resources"]["/Font"].values()  # type: ignore[index]
    assert {font.get_object()["/BaseFont"][1:] for font in fonts} <= set(CORE_FONT_METRICS)
    assert all(title in text for title in ODD)


@pytest.mark.parametrize("font", ["Helvetica", "Helvetica-Bold"])
def test_lengths_of_texts_are_those_of_the_font(font: str) -> None:
    widths = CORE_FONT_METRICS[font].character_widths
    for character in [*map(chr, range(32, 127)), *"×·–…"]:
        assert text_length(character, 1000, bold=font.endswith("Bold")) == widths[character], character
    assert text_length("→", 1000) == CORE_FONT_METRICS["Symbol"].character_widths["→"]


# Notebooks -----------------------------------------------------------------------------------------------------------


class Cells(HTMLParser):
    """The texts of a page, and which elements it opens and closes."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: Counter[str] = Counter()
        self.closed: Counter[str] = Counter()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.opened[tag] += 1

    def handle_endtag(self, tag: str) -> None:
        self.closed[tag] += 1

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def test_a_notebook_shows_the_picture_and_the_summary() -> None:
    graph = netspec.load("lenet5")
    html, svg = graph._repr_html_(), graph._repr_svg_()
    assert svg is not None
    assert svg in html
    page = Cells()
    page.feed(html)
    assert page.opened["svg"] == page.opened["table"] == 1
    assert all(page.opened[tag] == page.closed[tag] for tag in ("table", "tr", "td", "th", "details", "div", "svg"))
    assert page.opened["tr"] == len(graph.root.nodes) + 2
    assert {"16×10×10", "48,120", "61,706", "total"} <= set(page.texts)


def test_without_an_engine_a_notebook_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "wasmtime", None)
    notebook._picture.cache_clear()
    graph = netspec.load("lenet5")
    html = graph._repr_html_()
    assert "pip install &#x27;netspec[draw]&#x27;" in html
    assert "<details open>" in html
    assert "<table>" in html
    assert graph._repr_svg_() is None


def test_no_medium_but_pictures_needs_an_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "wasmtime", None)
    graph = netspec.load("lenet5")
    for name in ("a.txt", "a.mmd", "a.dot"):
        graph.draw(tmp_path / name)
    graph.draw(tmp_path / "b.svg", style="volumes")
    graph.draw(tmp_path / "b.pdf", style="volumes")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.dot", "a.mmd", "a.txt", "b.pdf", "b.svg"]
