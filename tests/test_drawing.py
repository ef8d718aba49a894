"""The drawing shows every node once, folds what is equal, and reaches a file whole; nobody compares pixels."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from html import unescape
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import pytest

import netspec
from netspec.backends.pictures import engines, picture
from netspec.backends.pictures.captions import copies_name, op_text
from netspec.backends.pictures.dot import Direction, numbered, text_width, title_lines, to_dot, trunk
from netspec.backends.pictures.drawing import LARGE, Box, Cluster, Depth, Drawing, Legend, to_drawing
from netspec.backends.pictures.palette import DARK, LIGHT, PRINT, THEMES, Palette, Theme
from netspec.backends.pictures.picture import draw
from netspec.backends.pictures.svg import framed
from netspec.catalog import shipped_specs
from netspec.cli import main
from netspec.graph import Graph
from netspec.ops import OP_NAMES, op_class
from tests.conftest import Golden

SPECS = sorted(path.stem for path in (Path(__file__).parent.parent / "specs").glob("*.yaml"))
ENGINES = ["embedded", *(["native"] if shutil.which("dot") else [])]
FAMILIES = [
    name for name in SPECS if not re.search("^extends:", shipped_specs()[name].read_text("utf-8"), re.MULTILINE)
]
GOLDENS = Path(__file__).parent / "goldens" / "drawings"
LONG = ("maxvit_t", "nasnetalarge", "pnasnet5large", "swin_t")
"""Families of which nobody would read all ops."""

BRANCHED = """
netspec: 1
name: branched
inputs: {image: [3, 16, 16], tokens: {shape: [6], dtype: int64}}
graph:
  a: {from: image, conv: [8, 3], padding: same}
  b: [{conv: [8, 3], padding: same}, {max_pool: [3, 1, 1]}]
  add: {add: [a, b]}
  act: relu
  twice: {add: [act, act]}
  pool: global_avg_pool
  embed: {from: tokens, embedding: [100, 8]}
  rnn: {lstm: 8}
  mean: {from: rnn.output, mean: 1}
  cat: {concat: [pool, mean]}
  out: {linear: 5}
  aux: {from: pool, linear: 3, training_only: true}
outputs: {main: out, helper: aux}
"""


@pytest.fixture(scope="module", params=SPECS)
def graph(request: pytest.FixtureRequest) -> Graph:
    return netspec.load(request.param)


def clusters(drawing: Drawing) -> dict[str, Cluster]:
    return {item.id: item for item in drawing.walk() if isinstance(item, Cluster)}


def boxes(drawing: Drawing) -> dict[str, Box]:
    return {box.id: box for box in drawing.boxes()}


def model(drawing: Drawing) -> str:
    """What a drawing says, as text: boxes and clusters with all that is written in them, then the edges."""
    lines = [drawing.title, *drawing.subtitle, ""]

    def add(items: Iterable[Box | Cluster], indent: str) -> None:
        for item in items:
            kind = item.category if isinstance(item, Box) else "cluster"
            count = f" ×{item.count}" if item.count > 1 else ""
            training = " training" if item.training_only else ""
            lines.append(f"{indent}{item.id} [{kind}{count}{training}] {' | '.join((item.title, *item.lines))}")
            if isinstance(item, Cluster):
                add(item.children, f"{indent}  ")

    add(drawing.children, "")
    lines.append("")
    lines.extend(f"{edge.source} -> {edge.target} [{edge.kind}] {edge.label}" for edge in drawing.edges)
    return "\n".join([*lines, "", *drawing.legend.notes, ""])


def texts(svg: str) -> Counter[str]:
    return Counter(unescape(text).strip() for text in re.findall(r"<text[^>]*>([^<]*)</text>", svg))


def laid_out(drawing: Drawing, engine: str) -> str:
    return framed(engines.to_svg(to_dot(drawing, LIGHT, title=False), engine), drawing, LIGHT)


# What is drawn -------------------------------------------------------------------------------------------------------


def test_every_node_is_in_exactly_one_box_or_cluster(graph: Graph) -> None:
    nodes = Counter(path for path, _ in graph.walk())
    for depth in ("stage", "block", 2, "op"):
        assert Counter(path for item in to_drawing(graph, depth).walk() for path in item.paths) == nodes


def test_parameters_of_the_boxes_add_up_to_those_of_the_network(graph: Graph) -> None:
    def total(items: Iterable[Box | Cluster]) -> int:
        return sum(item.parameters if isinstance(item, Box) else item.count * total(item.children) for item in items)

    for depth in ("stage", "block"):
        assert total(to_drawing(graph, depth).children) == graph.parameters


def test_every_edge_joins_two_boxes_and_carries_a_shape(graph: Graph) -> None:
    drawing = to_drawing(graph, "op")
    known = set(boxes(drawing))
    for edge in drawing.edges:
        assert {edge.source, edge.target} <= known
        assert re.fullmatch(r"(\d+ × )?(\d+(×\d+)*|scalar)( \w+)?", edge.label), edge


def test_the_picture_of_every_spec_is_small_unless_more_depth_is_asked_for(graph: Graph) -> None:
    assert len(boxes(to_drawing(graph))) <= LARGE
    assert len(boxes(to_drawing(graph, "stage"))) <= len(boxes(to_drawing(graph)))


@pytest.mark.parametrize("name", FAMILIES)
def test_open_to_the_bottom_every_edge_of_the_graph_is_drawn_unless_a_fold_holds_it(name: str) -> None:
    graph = netspec.load(name)
    drawing = to_drawing(graph, "op")
    owner = {path: box.id for box in drawing.boxes() for path in box.paths}
    owner |= {name: f"input:{name}" for name in graph.inputs}
    drawn = {(edge.source, edge.target) for edge in drawing.edges}
    for source, target in graph.to_networkx().edges:
        if source in owner and target in owner and owner[source] != owner[target]:
            assert (owner[source], owner[target]) in drawn


@pytest.mark.parametrize(
    "graph",
    [netspec.load("lenet5"), netspec.load("resnet18", layers=[1, 1, 1, 1]), netspec.loads(BRANCHED)],
    ids=lambda graph: graph.name,
)
def test_open_to_the_bottom_the_edges_are_those_of_the_graph(graph: Graph) -> None:
    drawing = to_drawing(graph, "op")
    owner = {path: box.id for box in drawing.boxes() for path in box.paths}
    owner |= {name: f"input:{name}" for name in graph.inputs}
    expected = {
        (owner[source], owner[target], "×".join(map(str, shape)))
        for source, target, shape in graph.to_networkx().edges(data="shape")
        if owner[source] != owner[target]
    }
    inner = [edge for edge in drawing.edges if not edge.target.startswith("output:")]
    assert {(edge.source, edge.target, edge.label.partition(" ")[0]) for edge in inner} == expected


@pytest.mark.parametrize("name", FAMILIES)
def test_the_drawing_is_the_one_that_was_read(name: str, golden: Golden) -> None:
    graph = netspec.load(name)
    levels: tuple[Depth, ...] = ("stage", "block") if name in LONG else ("stage", "block", "op")
    for level in levels:
        golden(GOLDENS / f"{name}.{level}.txt", model(to_drawing(graph, level)))


def test_every_spec_is_drawn_as_it_was_at_every_level(golden: Golden) -> None:
    """The models of families can be read; a line with counts and a digest holds the others, of which there are many."""
    lines = []
    for name in shipped_specs():
        graph = netspec.load(name)
        for level in ("stage", "block", "op"):
            drawing = to_drawing(graph, level)
            digest = sha256(model(drawing).encode()).hexdigest()[:12]
            counts = f"{sum(1 for _ in drawing.boxes())} boxes, {len(drawing.edges)} edges"
            lines.append(f"{name} {level}: {counts}, {digest}\n")
    golden(GOLDENS / "all.txt", "".join(lines))


def test_depth_says_how_many_levels_are_open() -> None:
    graph = netspec.load("resnet50")
    assert not clusters(to_drawing(graph, 0))
    assert list(clusters(to_drawing(graph, 1))) == ["layer1", "layer2", "layer3", "layer4"]
    assert "layer1.0" in clusters(to_drawing(graph, 2))
    assert "layer1.0.conv1" in boxes(to_drawing(graph, 2))
    assert to_drawing(graph, 3) == to_drawing(graph, "op")


def test_a_frame_that_gives_way_to_a_block_counts_as_a_level() -> None:
    assert list(clusters(to_drawing(netspec.load("resnet18"), 1))) == ["layer2", "layer3", "layer4"]
    assert "layer1" in clusters(to_drawing(netspec.load("resnet18"), 2))


def test_stages_fit_on_a_postcard() -> None:
    resnet = to_drawing(netspec.load("resnet50"), "stage")
    assert not clusters(resnet)
    assert boxes(resnet)["layer3"].title == "layer3 ×6 · bottleneck"
    assert boxes(resnet)["layer3"].lines == ("planes 256, first /2",)
    efficientnet = to_drawing(netspec.load("efficientnet_b0"), "stage")
    assert list(clusters(efficientnet)) == ["features", "classifier"]
    assert boxes(efficientnet)["features.6"].title == "6 ×4 · mbconv"
    assert boxes(to_drawing(netspec.load("vgg16"), "stage"))["features"].lines == ("conv ×13, relu ×13, max_pool ×5",)


def test_a_group_named_by_a_number_is_told_apart_by_what_is_around_it() -> None:
    drawing = to_drawing(netspec.load("convnext_tiny"))
    assert [clusters(drawing)[f"features.{place}"].title for place in (2, 4, 6)] == [
        "features.2",
        "features.4",
        "features.6",
    ]


def test_what_is_opened_or_closed_is_so_at_any_depth() -> None:
    graph = netspec.load("resnet50")
    opened = to_drawing(graph, "stage", open=["layer3.0"])
    assert list(clusters(opened)) == ["layer3", "layer3.0"]
    assert "layer3.0.conv2" in boxes(opened)
    assert to_drawing(graph, "op", close=["layer*"]) == to_drawing(graph, 0)
    assert to_drawing(graph, "op", open=["layer2.*"], close=["layer*"]) == to_drawing(graph, 0)
    assert list(clusters(to_drawing(graph, close=["layer1", "layer4"]))) == ["layer2", "layer3"]


def test_to_open_one_of_equal_copies_opens_the_one_that_is_drawn() -> None:
    assert "layer3.1.conv2" in boxes(to_drawing(netspec.load("resnet50"), open=["layer3.4"]))
    assert "layer1.0.conv2" in boxes(to_drawing(netspec.load("resnet18"), open=["layer1.1"]))
    inner = to_drawing(netspec.load("mobilenet_v3_small"), open=["features.6.block.2"])
    assert "features.5.block.2" in clusters(inner)
    assert "features.5.block.1" not in clusters(inner)


def test_a_path_to_open_that_there_is_not_is_likened_to_those_there_are() -> None:
    with pytest.raises(netspec.SpecError) as caught:
        to_drawing(netspec.load("resnet50"), open=["layer3.7", "layer*"], close=["conv1", "fcc"])
    assert [(diagnostic.message, diagnostic.help) for diagnostic in caught.value.diagnostics] == [
        ("`resnet50` has no node `layer3.7` to open", ("did you mean `layer3.5`?",)),
        ("`resnet50` has no block `conv1` to close", ()),
        ("`resnet50` has no block `fcc` to close", ()),
    ]


def test_without_a_depth_stages_are_open_and_blocks_are_closed() -> None:
    for name, depth in (("resnet50", 1), ("googlenet", 0)):
        graph = netspec.load(name)
        assert to_drawing(graph) == to_drawing(graph, depth)


def test_a_network_of_few_boxes_is_open_to_the_bottom() -> None:
    graph = netspec.load("resnet18", layers=[1, 1])
    assert to_drawing(graph) == to_drawing(graph, "op")


def test_many_boxes_make_the_default_close_the_deepest_groups() -> None:
    text = """
netspec: 1
name: long
input: [1, 8, 8]
graph:
  - for: i in range(40)
    do: [[{conv: [1 + i, 1]}, {max_pool: [3, 1, 1]}]]
"""
    assert len(boxes(to_drawing(netspec.loads(text)))) == 42


def test_the_title_says_what_the_network_is_and_costs() -> None:
    drawing = to_drawing(netspec.load("resnet50"))
    assert drawing.title == "resnet50"
    assert drawing.subtitle == ("25.6 M parameters · 4.09 G MACs", "input 3×224×224 → output 1000")
    assert to_drawing(netspec.loads(BRANCHED)).subtitle[1] == "inputs image 3×16×16, tokens 6 int64 → output 5"


# Folds ---------------------------------------------------------------------------------------------------------------


def test_equal_copies_are_drawn_once_behind_a_first_that_differs() -> None:
    found = boxes(to_drawing(netspec.load("resnet50")))
    assert [found[f"layer{i}.0"].count for i in range(1, 5)] == [1, 1, 1, 1]
    assert [found[f"layer{i}.1"].count for i in range(1, 5)] == [2, 3, 5, 2]
    assert found["layer3.1"].title == "1–5 ×5 · bottleneck"
    assert found["layer3.0"].lines == ("planes 256, /2, downsample",)
    assert clusters(to_drawing(netspec.load("resnet50")))["layer3"].title == "layer3 ×6 · bottleneck"


def test_open_copies_are_one_cluster_that_says_how_many() -> None:
    cluster = clusters(to_drawing(netspec.load("resnet50"), 2))["layer3.1"]
    assert cluster.count == 5
    assert {"layer3.1", "layer3.2", "layer3.5.conv3"} <= set(cluster.paths)


def test_a_repeat_of_equal_copies_needs_no_frame() -> None:
    box = boxes(to_drawing(netspec.load("resnet18")))["layer1"]
    assert (box.title, box.count) == ("layer1 ×2 · basic_block", 2)


def test_copies_in_a_plain_chain_are_folded() -> None:
    found = boxes(to_drawing(netspec.load("vgg16")))
    assert found["features.24"].title == "24–28 ×3 · conv 3×3, 512"
    assert found["features.24"].lines == ("relu",)


def test_copies_may_differ_in_their_dropout_alone() -> None:
    box = boxes(to_drawing(netspec.load("efficientnet_b0")))["features.6.1"]
    assert box.count == 3
    assert box.lines == ("5×5, 192, expand_ratio 6, drop 0.15–0.175",)


def test_a_module_called_again_is_no_copy() -> None:
    text = """
netspec: 1
name: shared
input: [4, 8, 8]
graph:
  a: {conv: [4, 3], padding: same}
  b: {call: a}
  c: {conv: [4, 3], padding: same}
"""
    assert {"a", "b", "c"} <= set(boxes(to_drawing(netspec.loads(text))))


def test_densely_connected_copies_are_one_box_and_one_concat() -> None:
    drawing = to_drawing(netspec.load("densenet121"))
    layers = boxes(drawing)["features.denseblock3.denselayer1"]
    assert (layers.title, layers.count) == ("denselayer1–24 ×24 · dense_layer", 24)
    assert layers.lines == ("256–992 channels in",)
    into = [edge for edge in drawing.edges if edge.target == "features.denseblock3.concat24"]
    assert [(edge.label, edge.kind) for edge in into] == [("256×14×14", "shortcut"), ("24 × 32×14×14", "main")]


# Words and marks -----------------------------------------------------------------------------------------------------


def test_convolution_normalization_and_activation_share_a_box() -> None:
    box = boxes(to_drawing(netspec.load("resnet50")))["conv1"]
    assert (box.title, box.lines, box.category) == ("conv1 · conv 7×7, 64, /2", ("batch_norm", "relu"), "convolution")
    assert box.paths == ("conv1", "bn1", "relu")


def test_an_activation_that_others_wait_for_has_its_own_box() -> None:
    text = """
netspec: 1
name: fork
input: [4, 8, 8]
graph:
  a: {conv: [4, 3], padding: same}
  b: relu
  c: {add: [a, b]}
"""
    assert {"a", "b", "c"} <= set(boxes(to_drawing(netspec.loads(text))))


def test_a_block_that_is_one_convolution_reads_as_one() -> None:
    box = boxes(to_drawing(netspec.load("googlenet"), 0))["conv3"]
    assert (box.title, box.lines) == ("conv3 · conv 3×3, 192", ("batch_norm", "relu"))


def test_parts_that_exist_in_training_alone_are_marked() -> None:
    drawing = to_drawing(netspec.load("googlenet"))
    marked = {box.id for box in drawing.boxes() if box.training_only}
    assert marked == {"aux1", "aux2", "output:aux_logits1", "output:aux_logits2"}
    assert all("training only" in boxes(drawing)[id].lines for id in marked)
    assert {edge.target for edge in drawing.edges if edge.kind == "auxiliary"} == marked
    opened = to_drawing(netspec.load("googlenet"), "op")
    assert "training only" in clusters(opened)["aux1"].lines
    assert boxes(opened)["aux1.fc1"].training_only


BROKEN = """
netspec: 1
name: broken
input: [3, 32, 32]
blocks:
  residual:
    params: {channels: int}
    graph:
      conv: {conv: [channels, 3], padding: same}
      add: {add: [conv, x]}
graph:
  stem: {conv: [16, 3, 2, 1]}
  good: {residual: 16}
  bad: {from: stem, repeat: 2, residual: 32}
  wide: {from: good, conv: [8, 99]}
  after: {concat: [wide, bad]}
"""


def test_of_a_wrong_spec_the_valid_part_is_drawn_and_what_does_not_fit() -> None:
    with pytest.raises(netspec.SpecError) as caught:
        netspec.loads(BROKEN)
    assert [diagnostic.code for diagnostic in caught.value.diagnostics] == ["shape-mismatch", "kernel-too-large"]
    assert caught.value.sketch is not None
    drawing = to_drawing(caught.value.sketch)
    drawn = {id: box.category for id, box in boxes(drawing).items() if box.category in ("failed", "merge")}
    assert drawn == {"good.add": "merge", "bad.0.add": "failed", "wide": "failed"}
    wrong = {(edge.source, edge.target, edge.label) for edge in drawing.edges if edge.kind == "failed"}
    assert wrong == {
        ("bad.0.conv", "bad.0.add", "32×16×16"),
        ("stem", "bad.0.add", "16×16×16"),
        ("good.add", "wide", "16×16×16"),
    }
    assert clusters(drawing)["bad"].lines == ("channels 32",)
    assert "after" not in boxes(drawing)


def test_the_picture_of_a_wrong_spec_is_written_beside_the_messages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = tmp_path / "broken.yaml"
    spec.write_text(BROKEN, encoding="utf-8")
    with pytest.raises(SystemExit) as caught:
        main(["draw", str(spec), "-o", str(tmp_path / "broken.svg")])
    assert caught.value.code == 1
    printed = capsys.readouterr()
    assert printed.out == f"{tmp_path / 'broken.svg'}\n"
    assert "error[shape-mismatch]" in printed.err
    picture = (tmp_path / "broken.svg").read_text(encoding="utf-8")
    assert "does not fit" in texts(picture)
    assert LIGHT.edges["failed"] in picture


def test_every_wrong_spec_has_a_picture_or_none() -> None:
    sketches = 0
    for path in sorted((Path(__file__).parent / "wrong").glob("*/*.yaml")):
        try:
            graph: Graph | None = netspec.load(path)
        except netspec.SpecError as error:
            graph = error.sketch
        if graph is not None:
            sketches += 1
            assert all(edge.label for edge in to_drawing(graph, "op").edges), path
    assert sketches > 20


def test_an_edge_around_a_block_is_a_shortcut() -> None:
    drawing = to_drawing(netspec.load("resnet50"), "op")
    shortcuts = {(edge.source, edge.target) for edge in drawing.edges if edge.kind == "shortcut"}
    assert shortcuts == {(f"layer{i}.0.add", f"layer{i}.1.add") for i in range(1, 5)}


def test_arguments_that_all_blocks_share_are_said_once() -> None:
    notes = to_drawing(netspec.load("googlenet")).legend.notes
    assert notes[:2] == ("inception (c1, c3_reduce, c3, c5_reduce, c5, pool)", "every inception: c5_kernel 3")


@pytest.mark.parametrize(
    ("node", "text"),
    [
        ("{conv: [8, 3]}", "conv 3×3, 8"),
        ("{conv: [8, [1, 7], [1, 2]], bias: false}", "conv 1×7, 8, /1×2"),
        ("{conv: [4, 3, 2], groups: 4}", "conv 3×3, 4, /2, depthwise"),
        ("{conv: [4, 3], groups: 2, dilation: 2}", "conv 3×3, 4, groups 2, dilation 2"),
        ("{conv_transpose: [4, 2, 2]}", "conv_transpose 2×2, 4, ×2"),
        ("{max_pool: 2}", "max_pool 2×2, /2"),
        ("{max_pool: [3, 1, 1]}", "max_pool 3×3"),
        ("{adaptive_avg_pool: 1}", "adaptive_avg_pool 1×1"),
        ("{dropout: 0.25}", "dropout 0.25"),
        ("{group_norm: 2}", "group_norm 2"),
        ("{permute: [0, 2, 3, 1]}", "permute 0, 2, 3, 1"),
        ("batch_norm", "batch_norm"),
    ],
)
def test_an_op_is_said_in_a_few_characters(node: str, text: str) -> None:
    graph = netspec.loads(f"netspec: 1\nname: one\ninput: [4, 16, 16]\ngraph:\n  - {node}\n")
    assert op_text(graph.root.nodes[0]) == text


def test_copies_are_named_by_the_first_and_the_last() -> None:
    assert copies_name(("a",)) == "a"
    assert copies_name(("1", "2", "3")) == "1–3"
    assert copies_name(("layer9", "layer10")) == "layer9–10"
    assert copies_name(("left", "right")) == "left–right"


def linear(color: str) -> tuple[float, float, float]:
    """A color as the intensities of red, green and blue light."""
    channels = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return red, green, blue


def luminance(light: tuple[float, float, float]) -> float:
    return 0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2]


def deuteranope(light: tuple[float, float, float]) -> tuple[float, float, float]:
    """What remains without the cones for green: Machado, Oliveira and Fernandes 2009, severity 1."""
    rows = ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881))
    red, green, blue = (sum(weight * part for weight, part in zip(row, light, strict=True)) for row in rows)
    return red, green, blue


def lightness(light: tuple[float, float, float]) -> float:
    """CIE L*, in which equal steps look equal, from 0 to 100."""
    found = luminance(light)
    return float(116 * found ** (1 / 3) - 16 if found > 0.008856 else 903.3 * found)


@pytest.mark.parametrize("palette", [LIGHT, DARK, PRINT], ids=["light", "dark", "print"])
def test_every_category_has_a_color_on_which_text_can_be_read(palette: Palette) -> None:
    categories = {op_class(name).category for name in OP_NAMES}
    assert categories | {"block", "terminal", "failed"} == set(palette.categories)
    for category in [*categories, "block"]:
        for text in (palette.text, palette.muted):
            lights = [luminance(linear(color)) + 0.05 for color in (palette.categories[category].fill, text)]
            assert max(lights) / min(lights) >= 4.5, category


@pytest.mark.parametrize("seen", [deuteranope, lambda light: light], ids=["deuteranope", "greyscale"])
def test_in_print_categories_differ_in_lightness_or_in_the_line_around_them(
    seen: Callable[[tuple[float, float, float]], tuple[float, float, float]],
) -> None:
    looks = {
        category: (PRINT.strokes.get(category, "solid"), lightness(seen(linear(tone.fill))))
        for category, tone in PRINT.categories.items()
    }
    for (one, (stroke, light)), (other, (stroke_, light_)) in combinations(looks.items(), 2):
        assert stroke != stroke_ or abs(light - light_) >= 7, f"{one} and {other}"


# Pictures ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("depth", ["block", "op"])
@pytest.mark.parametrize("name", ["densenet121", "googlenet"])
def test_every_engine_shows_all_texts_of_the_drawing(name: str, depth: Depth, engine: str) -> None:
    drawing = to_drawing(netspec.load(name), depth)
    shown = texts(laid_out(drawing, engine))
    expected = Counter(line for item in drawing.walk() for line in title_lines(item))
    assert expected + Counter(edge.label for edge in drawing.edges) <= shown
    assert {drawing.title, *drawing.subtitle, *drawing.legend.categories} <= set(shown)


@pytest.mark.parametrize("engine", ENGINES)
def test_text_means_itself_whatever_characters_it_has(engine: str) -> None:
    titles = ("<b>bold</b>", 'a "quoted" word', "back\\lslash", "&amp;", "naïve · 3×3 → 日本", "\\N")
    children = tuple(Box(f"box {i}", title, ("<i>",), "block", "") for i, title in enumerate(titles))
    cluster = Cluster("cluster", "<b>&\\G</b>", (), children)
    drawing = Drawing("<t>", ("1 & 2", "<s>"), "about", (cluster,), (), Legend(("block",), (), ("<note>",)))
    shown = texts(laid_out(drawing, engine))
    assert {*titles, "<i>", "<b>&\\G</b>", "<t>", "1 & 2", "<s>", "<note>"} <= set(shown)


def parts(svg: str) -> Iterator[tuple[str, tuple[float, ...], list[tuple[float, float, str]]]]:
    """The boxes and clusters of a layout, by number: their sides, and their lines of text from left to right."""
    for group in re.findall(r'<g id="[^"]*" class="(?:node|cluster)">(.*?)</g>', svg, re.DOTALL):
        (number,) = re.findall("<title>(.*?)</title>", group)
        outlines = " ".join(re.findall(r' (?:d|points)="([^"]*)"', group))
        xs, ys = zip(*(map(float, point) for point in re.findall(r"(-?[\d.]+),(-?[\d.]+)", outlines)), strict=True)
        lines = []
        for anchor, place, text in re.findall(r'<text[^>]*text-anchor="(\w+)" x="([^"]*)"[^>]*>([^<]*)<', group):
            width = text_width(unescape(text))
            left = float(place) - (width / 2 if anchor == "middle" else 0)
            lines.append((left, left + width, unescape(text)))
        yield number, (min(xs), max(xs), min(ys), max(ys)), lines


@pytest.mark.parametrize(
    ("names", "depth", "direction"),
    [
        (SPECS, "block", "down"),
        (["capsulenet", "densenet121", "squeezenet1_0"], "block", "right"),
        (["googlenet", "swin_t", "resnet50"], "op", "down"),
    ],
    ids=["block", "right", "op"],
)
def test_no_text_is_wider_than_its_box(names: list[str], depth: Depth, direction: Direction) -> None:
    for name in names:
        drawing = to_drawing(netspec.load(name), depth)
        svg = engines.to_svg(to_dot(drawing, LIGHT, direction, title=False), "embedded")
        found = {number for number, *_ in parts(svg)}
        assert found == set(numbered(drawing).values())
        for _, (left, right, *_), lines in parts(svg):
            for start, end, text in lines:
                assert left <= start, f"{name}: {text}"
                assert end <= right, f"{name}: {text}"


@pytest.mark.parametrize("direction", ["down", "right"])
def test_the_network_runs_straight_in_its_direction(direction: Direction) -> None:
    drawing = to_drawing(netspec.load("resnet18"), open=["layer2.0"])
    svg = engines.to_svg(to_dot(drawing, LIGHT, direction, title=False), "embedded")
    places = {number: sides for number, sides, _ in parts(svg)}
    way = [places[numbered(drawing)[id]] for id in trunk(drawing)]
    ahead, across = ((2, 3), (0, 1)) if direction == "down" else ((0, 1), (2, 3))
    for source, target in pairwise(way):
        assert source[ahead[1]] < target[ahead[0]]
        assert sum(source[side] for side in across) == pytest.approx(sum(target[side] for side in across), abs=4)


@pytest.mark.parametrize("theme", THEMES)
def test_a_theme_colors_all_of_a_picture(theme: Theme, tmp_path: Path) -> None:
    netspec.load("googlenet").draw(tmp_path / "picture.svg", theme=theme, engine="embedded")
    palette = THEMES[theme]
    used = set(re.findall("#[0-9a-f]{6}", (tmp_path / "picture.svg").read_text(encoding="utf-8")))
    assert {palette.background, palette.text, palette.muted, *palette.edges.values()} - used <= {
        palette.edges["shortcut"],
        palette.edges["failed"],
    }
    others = {color for other in (LIGHT, DARK) if other != palette for color in (other.text, other.edges["main"])}
    assert not used & others
    if theme == "print":
        assert all(color[1:3] == color[3:5] == color[5:7] for color in used)


def test_the_command_draws_what_it_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "picture.dot")
    options = ["--depth", "stage", "--open", "layer1", "--close", "layer1.0", "--theme", "print"]
    with pytest.raises(SystemExit, match="0"):
        main(["draw", "resnet50", "-o", path, *options, "--direction", "right"])
    drawing = to_drawing(netspec.load("resnet50"), "stage", open=["layer1"], close=["layer1.0"])
    assert Path(path).read_text(encoding="utf-8") == to_dot(drawing, PRINT, "right")
    with pytest.raises(SystemExit, match="1"):
        main(["draw", "resnet50", "-o", path, "--open", "layer5"])
    assert "has no node `layer5` to open" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["resnet50", "googlenet"])
def test_the_picture_fits_one_page(name: str) -> None:
    svg = laid_out(to_drawing(netspec.load(name)), "embedded")
    width, height = (int(value) for value in re.findall(r'(?:width|height)="(\d+)"', svg)[:2])
    assert width <= 1200
    assert height <= 1600


def test_an_svg_can_be_read_by_a_screen_reader_and_found_by_a_script(tmp_path: Path) -> None:
    draw(netspec.load("lenet5"), tmp_path / "lenet5.svg", engine="embedded")
    svg = (tmp_path / "lenet5.svg").read_text(encoding="utf-8")
    assert 'role="img"' in svg
    assert "<title>lenet5: 61.7 k parameters · 417 k MACs</title>" in svg
    assert "<desc>" in svg
    assert 'data-path="7"' in svg


def test_every_format_is_written_whole(tmp_path: Path) -> None:
    graph = netspec.load("lenet5")
    for suffix in picture.FORMATS:
        draw(graph, tmp_path / f"picture{suffix}", engine="embedded")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert (tmp_path / "picture.svg").read_text(encoding="utf-8").startswith("<svg")
    dot = (tmp_path / "picture.dot").read_text(encoding="utf-8")
    assert "lenet5" in dot
    assert len(re.findall('class="node"', engines.to_svg(dot, "embedded"))) == len(boxes(to_drawing(graph)))
    assert {path.suffix for path in tmp_path.iterdir()} == set(picture.FORMATS)


def test_a_failure_leaves_the_old_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "old.svg"
    path.write_text("old", encoding="utf-8")

    def fail(source: str, engine: str | None) -> str:
        return engines.to_svg("digraph {", "embedded")

    monkeypatch.setattr(picture, "to_svg", fail)
    with pytest.raises(netspec.SpecError, match="the layout engine failed"):
        draw(netspec.load("lenet5"), path)
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_layout_that_fails_says_so_and_prints_nothing(engine: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(netspec.SpecError) as caught:
        engines.to_svg("digraph { a -> ", engine)
    assert caught.value.diagnostics[0].code == "layout-failed"
    assert capfd.readouterr() == ("", "")
    assert "<svg" in engines.to_svg("digraph { a -> b }", engine)


@pytest.mark.parametrize("name", ["picture.gif", "picture"])
def test_an_unknown_format_names_those_there_are(name: str, tmp_path: Path) -> None:
    with pytest.raises(netspec.SpecError) as caught:
        draw(netspec.load("lenet5"), tmp_path / name)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "unknown-format"
    assert all(suffix in diagnostic.help[-1] for suffix in picture.FORMATS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": "blok"}, "`depth` is `stage`, `block` or `op`, got `blok`"),
        ({"theme": "drak"}, "`theme` is `light`, `dark` or `print`, got `drak`"),
        ({"direction": "left"}, "`direction` is `down` or `right`, got `left`"),
        ({"style": "volume"}, "`style` is `boxes` or `volumes`, got `volume`"),
    ],
)
def test_an_option_that_there_is_not_is_a_message(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(netspec.SpecError) as caught:
        netspec.load("lenet5").draw(tmp_path / "picture.svg", **options)
    assert caught.value.diagnostics[0].message == message
    assert not list(tmp_path.iterdir())


def test_an_unknown_engine_names_those_there_are() -> None:
    with pytest.raises(netspec.SpecError, match="did you mean `native`"):
        engines.to_svg("digraph {}", "nativ")


@pytest.mark.parametrize(("package", "suffix"), [("wasmtime", ".svg"), ("resvg_py", ".png")])
def test_a_missing_package_is_asked_for(
    package: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(netspec.SpecError) as caught:
        draw(netspec.load("lenet5"), tmp_path / f"picture{suffix}", engine="embedded")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "missing-extra"
    assert diagnostic.help == ("pip install 'netspec[draw]'",)


def test_a_png_without_any_font_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture, "_paints", lambda family, files: False)
    picture._font.cache_clear()
    with pytest.raises(netspec.SpecError, match="missing-font"):
        picture.to_png("<svg/>")


def test_drawing_imports_no_heavy_package(tmp_path: Path) -> None:
    code = """
import sys
import netspec
from netspec.backends.pictures.drawing import to_drawing
to_drawing(netspec.load("resnet50"))
print([name for name in ("torch", "graphviz", "networkx", "wasmtime", "resvg_py", "xml") if name in sys.modules])
netspec.load("lenet5").draw(sys.argv[1])
print([name for name in ("torch", "networkx") if name in sys.modules])
"""
    arguments = [sys.executable, "-c", code, str(tmp_path / "lenet5.dot")]
    printed = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
    assert printed.split("\n")[:2] == ["[]", "[]"]


def test_a_drawing_of_one_graph_is_always_the_same(graph: Graph) -> None:
    assert to_drawing(graph) == to_drawing(graph)
