"""The figure of volumes says the shapes of the graph, keeps its proportions, and can be read on a page."""

from __future__ import annotations

import re
from itertools import combinations, pairwise
from math import sqrt
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element, fromstring

import pytest

import netspec
from netspec.backends.pictures.dot import text_width
from netspec.backends.pictures.figure import FONT_SIZE, PAGE_WIDTH, to_svg
from netspec.backends.pictures.palette import LIGHT
from netspec.backends.pictures.volumes import Figure, to_figure
from netspec.catalog import shipped_specs
from netspec.cli import main
from netspec.graph import Graph
from tests.conftest import Golden

IMAGES = Path(__file__).parent.parent / "docs" / "images"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module", params=shipped_specs())
def graph(request: pytest.FixtureRequest) -> Graph:
    return netspec.load(request.param)


def labels(figure: Figure) -> list[str]:
    return [volume.label for volume in figure.volumes]


def layers(figure: Figure) -> list[str]:
    return [" ".join(volume.layer.text) for volume in figure.volumes if volume.layer]


def figure_of(graph: str, input: str) -> Figure:
    return to_figure(netspec.loads(f"netspec: 1\nname: small\ninput: {input}\ngraph:\n{graph}"))


class Area(NamedTuple):
    """A rectangle on the page: a text, or the front of a volume."""

    name: str
    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Area) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


def areas(page: Element) -> tuple[list[Area], list[Area]]:
    """The texts and the fronts of the slabs, in the coordinates of the page."""
    texts: list[Area] = []
    fronts: list[Area] = []
    pending = [(page, 0.0, 0.0)]
    while pending:
        element, dx, dy = pending.pop()
        if move := re.match(r"translate\((\S+) (\S+)\)", element.get("transform", "")):
            dx, dy = dx + float(move[1]), dy + float(move[2])
        if element.tag == f"{SVG}text":
            assert element.get("text-anchor") == "middle"
            text, x, y = element.text or "", dx + float(element.attrib["x"]), dy + float(element.attrib["y"])
            half = text_width(text, FONT_SIZE) / 2
            texts.append(Area(text, x - half, y - 0.75 * FONT_SIZE, x + half, y))
        if (path := element.get("data-path")) is not None:
            for front in element.findall(f"{SVG}polygon")[::3]:
                xs, ys = zip(*(map(float, point.split(",")) for point in front.attrib["points"].split()), strict=True)
                fronts.append(Area(path, dx + min(xs), dy + min(ys), dx + max(xs), dy + max(ys)))
        pending += [(child, dx, dy) for child in reversed(element)]
    return texts, fronts


# What is shown -------------------------------------------------------------------------------------------------------


def test_the_label_of_every_volume_is_a_shape_of_its_node(graph: Graph) -> None:
    inputs = {f"input:{name}": type for name, type in graph.inputs.items()}
    for volume in to_figure(graph).volumes:
        types = [inputs[volume.path]] if volume.path in inputs else graph.find(volume.path).output_types
        assert volume.shape in [type.shape for type in types], volume
        assert tuple(map(int, re.findall(r"\d+", volume.label))) == (volume.shape or (1,))


def test_the_figure_leads_from_an_input_to_an_output(graph: Graph) -> None:
    volumes = to_figure(graph).volumes
    assert volumes[0].shape in [type.shape for type in graph.inputs.values()]
    assert volumes[-1].shape in [type.shape for type in graph.outputs.values()]


def test_alexnet_has_the_volumes_of_its_paper() -> None:
    figure = to_figure(netspec.load("alexnet_2012"))
    pooled = {"96@27×27", "256@13×13", "256@6×6"}
    assert [label for label, layer in zip(labels(figure)[1:], layers(figure), strict=True) if "pool" not in layer] == [
        *("96@55×55", "256@27×27", "384@13×13", "384@13×13", "256@13×13"),
        *("9216", "4096", "1000"),
    ]
    assert pooled <= set(labels(figure))
    assert layers(figure)[:2] == ["conv 11×11, /4", "max_pool 3×3, /2"]


def test_lenet_has_the_maps_of_its_paper() -> None:
    figure = to_figure(netspec.load("lenet5_1998"))
    sizes = ["1@32×32", "6@28×28", "6@14×14", "16@10×10", "16@5×5", "120@1×1", "120", "84", "10"]
    assert labels(figure) == sizes


def test_vgg_has_its_sixteen_layers() -> None:
    volumes = to_figure(netspec.load("vgg16")).volumes
    counts = {kind: sum(v.count for v in volumes if v.layer and v.layer.text[0] == kind) for kind in ("conv", "linear")}
    assert counts == {"conv": 13, "linear": 3}


def test_blocks_of_one_shape_are_one_volume() -> None:
    volumes = [v for v in to_figure(netspec.load("resnet50")).volumes if v.layer and v.layer.text == ("bottleneck",)]
    assert [(v.label, v.count) for v in volumes] == [
        *(("256@56×56", 3), ("512@28×28", 4), ("1024@14×14", 6), ("2048@7×7", 3)),
    ]


def test_open_to_the_bottom_the_layers_of_one_copy_are_volumes() -> None:
    figure = to_figure(netspec.load("resnet50"), "op")
    shown = 8  # of 16 blocks: two for each stage, of which the second stands for its copies
    assert sum(v.count for v in figure.volumes if v.layer and v.layer.text[0] == "conv") == 1 + 3 * shown
    copies = [note for note in figure.notes if note.endswith("copies")]
    assert copies == [f"layer{stage}.1 stands for {count} copies" for stage, count in enumerate((2, 3, 5, 2), 1)]


def test_sequences_and_volumes_have_channels_in_front() -> None:
    sequence = figure_of("  - {conv: [8, 5, 2]}\n  - {max_pool: 2}\n", "[2, 100]")
    assert labels(sequence) == ["2@100", "8@48", "8@24"]
    assert sequence.volumes[1].layer is not None
    assert (sequence.volumes[1].height, sequence.volumes[1].channels) == (48, 8)
    assert sequence.volumes[1].layer.window == (5, 1)
    assert sequence.notes[0] == "channels @ length"
    space = figure_of("  - {conv: [8, 3]}\n", "[1, 16, 32, 48]")
    assert labels(space) == ["1@16×32×48", "8@14×30×46"]
    assert (space.volumes[1].height, space.volumes[1].width) == (30, 46)
    assert space.notes[0] == "channels @ depth × height × width"


def test_features_of_tokens_are_behind() -> None:
    volumes = {v.label: v for v in to_figure(netspec.load("vit_b_16")).volumes}
    assert volumes["768@14×14"].channels == 768
    tokens = volumes["197×768"]
    assert (tokens.flat, tokens.height, tokens.width) == (True, 768, 197)
    stage = next(v for v in to_figure(netspec.load("swin_t")).volumes if v.label == "28×28×192")
    assert (stage.flat, stage.height, stage.width, stage.channels) == (False, 28, 28, 192)


def test_of_several_tensors_the_one_that_is_used_is_shown() -> None:
    figure = figure_of("  rnn: {lstm: 8}\n  last: {from: rnn.h, flatten: }\n  out: {linear: 3}\n", "[6, 4]")
    assert labels(figure) == ["6×4", "1×8", "8", "3"]


def test_of_several_inputs_and_outputs_the_longest_way_is_shown_and_named() -> None:
    text = """
netspec: 1
name: two
inputs: {image: [3, 16, 16], extra: [4]}
graph:
  conv: {from: image, conv: [8, 3]}
  pool: global_avg_pool
  both: {concat: [pool, extra]}
  out: {linear: 5}
"""
    figure = to_figure(netspec.loads(text))
    assert labels(figure) == ["3@16×16", "8@14×14", "8", "12", "5"]
    assert figure.notes[-1] == "only the longest way is shown, from input image to output"


def test_of_a_wrong_spec_the_figure_shows_what_is_valid() -> None:
    with pytest.raises(netspec.SpecError) as caught:
        figure_of("  - {conv: [8, 3]}\n  - {conv: [8, 99]}\n", "[3, 16, 16]")
    assert caught.value.sketch is not None
    assert labels(to_figure(caught.value.sketch)) == ["3@16×16", "8@14×14"]


# How it looks --------------------------------------------------------------------------------------------------------


def test_every_text_stands_free_on_one_page(graph: Graph) -> None:
    page = fromstring(to_svg(to_figure(graph), LIGHT))
    _, _, width, height = map(float, page.attrib["viewBox"].split())
    assert width <= PAGE_WIDTH
    assert float(page.attrib["font-size"]) >= 8
    assert page.attrib["width"] == f"{width:.0f}pt"
    texts, fronts = areas(page)
    assert min(area.left for area in (*texts, *fronts)) >= 0
    assert max(area.right for area in (*texts, *fronts)) <= width
    assert max(area.bottom for area in (*texts, *fronts)) <= height
    crowded = [a.name + " / " + b.name for a, b in combinations(texts, 2) if a.overlaps(b)]
    crowded += [text.name + " on " + front.name for text in texts for front in fronts if text.overlaps(front)]
    assert crowded == []


def test_every_volume_is_drawn_with_its_labels(graph: Graph) -> None:
    figure = to_figure(graph)
    page = fromstring(to_svg(figure, LIGHT))
    drawn = [group.attrib["data-path"] for group in page.iter(f"{SVG}g") if "data-path" in group.attrib]
    assert drawn == [volume.path for volume in figure.volumes]
    shown = "".join(element.text or "" for element in page.iter(f"{SVG}text")).replace(" ", "")
    for volume in figure.volumes:
        assert all(part in shown for part in re.split("(?<=@)", volume.label))
        assert volume.count == 1 or f"×{volume.count}" in shown


@pytest.mark.parametrize("name", ["lenet5", "alexnet_2012", "resnet50"])
def test_sides_follow_the_square_root_of_sizes(name: str) -> None:
    figure = to_figure(netspec.load(name))
    _, fronts = areas(fromstring(to_svg(figure, LIGHT)))
    drawn = {front.name: front for front in fronts}
    solids = [volume for volume in figure.volumes if not volume.flat]
    for first, second in pairwise(solids):
        a, b = drawn[first.path], drawn[second.path]
        assert (a.bottom - a.top) / (b.bottom - b.top) == pytest.approx(sqrt(first.height / second.height), rel=0.02)
        if min(first.channels, second.channels) >= 6:
            ratio = sqrt(first.channels / second.channels)
            assert (a.right - a.left) / (b.right - b.left) == pytest.approx(ratio, rel=0.05)


def test_layers_in_a_row_are_as_many_slabs() -> None:
    _, fronts = areas(fromstring(to_svg(to_figure(netspec.load("vgg16")), LIGHT)))
    paths = [front.name for front in fronts]
    assert [paths.count(path) for path in dict.fromkeys(paths)] == [1, 2, 1, 2, 1, 3, 1, 3, 1, 3, 1, 1, 2, 1]


@pytest.mark.parametrize("name", ["lenet5", "alexnet", "alexnet_2012", "zfnet", "lenet5_1998", "resnet50", "vit_b_16"])
def test_a_short_network_stands_in_one_row(name: str) -> None:
    _, fronts = areas(fromstring(to_svg(to_figure(netspec.load(name)), LIGHT)))
    assert all(left.right < right.left for left, right in pairwise(fronts))


@pytest.mark.parametrize("name", ["lenet5", "alexnet"])
def test_the_figures_of_the_documentation_are_up_to_date(name: str, golden: Golden) -> None:
    golden(IMAGES / f"volumes_{name}.svg", to_svg(to_figure(netspec.load(name)), LIGHT))


@pytest.mark.parametrize("suffix", [".svg", ".png", ".pdf"])
def test_the_command_writes_the_figure(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"lenet{suffix}"
    with pytest.raises(SystemExit) as caught:
        main(["draw", "lenet5", "--style", "volumes", "-o", str(file)])
    assert caught.value.code == 0
    beginning = {".svg": b"<svg", ".png": b"\x89PNG", ".pdf": b"%PDF"}[suffix]
    assert file.read_bytes().startswith(beginning)


@pytest.mark.parametrize("arguments", [["-o", "lenet5.dot"], ["--format", "text"]])
def test_the_figure_has_no_form_in_characters(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["draw", "lenet5", "--style", "volumes", *arguments])
    assert caught.value.code == 1
    assert "the formats are .svg, .png, .pdf\n" in capsys.readouterr().err
