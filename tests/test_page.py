"""The page works in a real browser: what a reader does, and what the page shows then.

Every test fails where the page writes an error to the console or asks for anything but its own file.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

import netspec
from netspec.backends.pictures.drawing import Box, to_drawing
from netspec.backends.pictures.page import to_page, to_page_data
from netspec.backends.pictures.palette import DARK, LIGHT
from netspec.backends.receptive import ReceptiveFields
from netspec.cli import main
from netspec.graph import Body, Graph

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
OPTIONS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
MEGABYTE = 1_000_000
DRAWN = ("resnet50", "googlenet", "hybrid", "capsulenet", "lrcn", "swin_t", "res2net50_26w_4s")

Show = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        message = f"no browser to open pages with: install one of {', '.join(BROWSERS)}"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=list(OPTIONS))
        yield launched
        launched.close()


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Iterator[Show]:
    """Open the page of a graph; afterwards, look whether it complained or asked for anything."""
    heard: list[str] = []
    asked: set[str] = set()
    contexts = []

    def opened(graph: Graph | str, fragment: str = "", **context: Any) -> Page:
        graph = netspec.load(graph) if isinstance(graph, str) else graph
        file = tmp_path / "network.html"
        graph.draw(file)
        context.setdefault("viewport", {"width": 1200, "height": 800})
        contexts.append(browser.new_context(**context))
        page = contexts[-1].new_page()
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("request", lambda request: asked.add(request.url.partition(":")[0]))
        page.goto(file.as_uri() + fragment)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert heard == []
    assert asked <= {"file", "data", "blob"}


def boxes(page: Page, kind: str = "box") -> list[str]:
    """Paths of what is drawn, in the order the network runs."""
    script = "kind => page.scene.entries.filter(({item}) => item.type === kind).map(({item}) => item.path ?? item.key)"
    return list(page.evaluate(script, kind))


def selected(page: Page) -> str | None:
    return page.evaluate("page.selected")  # type: ignore[no-any-return]


def click_toggle(page: Page, path: str) -> None:
    page.locator(f'[data-path="{path}"] > .toggle').first.click()


def open_everything(page: Page) -> None:
    """Open every frame there is, copies too."""
    script = """() => {
        for (;;) {
            const closed = page.scene.entries.filter(({item}) => item.type === "box" && item.toggle);
            if (!closed.length) return;
            closed.forEach(({item}) => page.openAt(item.toggle));
            page.draw();
        }
    }"""
    page.evaluate(script)


# What the page holds -------------------------------------------------------------------------------------------------


def test_a_page_is_one_small_file_however_often_blocks_repeat() -> None:
    page = to_page(netspec.load("resnet152"))
    assert len(page.encode()) < MEGABYTE
    assert not re.search(r"(?:src|href)\s*=\s*[\"']", page.partition("<script")[0])


def test_every_body_is_in_the_page_once() -> None:
    graph = netspec.load("resnet152")
    distinct = {id(graph.root)} | {id(node.target) for _, node in graph.walk() if isinstance(node.target, Body)}
    assert len(to_page_data(graph, to_drawing(graph))["bodies"]) == len(distinct) < graph.root.size / 5


def test_the_library_in_the_page_comes_with_its_license() -> None:
    page = to_page(netspec.load("lenet5"))
    assert "Copyright (c) 2012-2014 Chris Pettitt" in page
    assert "The above copyright notice and this permission notice shall be included" in page
    assert "sourceMappingURL" not in page


class _Scripts(HTMLParser):
    """Every script of a page, and every other element, as a browser would find them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.others: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "script":
            self.scripts.append((dict(attrs), ""))
        else:
            self.others.append(tag)

    def handle_data(self, data: str) -> None:
        if self.lasttag == "script" and self.scripts:
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)


HOSTILE = """
netspec: 1
name: "</script><script>window.hacked = 1</script>{{data}}"
about: "</script><script>window.hacked = 1</script><!-- <img src=x onerror='window.hacked=1'> {{scripts}} \\u2028"
input: [3, 8, 8]
graph:
  conv: {conv: [4, 3]}  # </script><script>window.hacked = 1</script><b>{{data}}
"""


def test_nothing_of_a_spec_becomes_markup(show: Show) -> None:
    graph = netspec.loads(HOSTILE)
    found, plain = _Scripts(to_page(graph)), _Scripts(to_page(netspec.load("lenet5")))
    assert len(found.scripts) == len(plain.scripts)
    assert found.others == plain.others
    (data,) = (text for attributes, text in found.scripts if attributes.get("id") == "data")
    assert json.loads(data)["about"] == graph.about
    assert "hacked" in graph.about
    page = show(graph, "#conv")
    assert page.evaluate("window.hacked") is None
    assert "# </script><script>window.hacked = 1</script><b>{{data}}" in page.locator("#panel pre").inner_text()


def test_a_script_that_is_not_of_the_page_does_not_run(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "changed.html"
    file.write_text(to_page(netspec.load("lenet5")).replace("</main>", "</main><script>window.added = 1</script>"))
    page = browser.new_page()
    page.goto(file.as_uri())
    assert page.evaluate("[window.added, page.network.name]") == [None, "lenet5"]
    page.close()


@pytest.mark.parametrize("name", [*DRAWN, "densenet121"])
def test_the_page_finds_every_node_and_its_receptive_field(show: Show, name: str) -> None:
    graph = netspec.load(name)
    page = show(graph)
    script = "() => [...page.network.walk()].map(([path]) => [path, page.network.field(page.network.route(path))])"
    found = page.evaluate(script)
    assert [path for path, _ in found] == [path for path, _ in graph.walk()]
    fields = ReceptiveFields(graph)
    for path, facts in found:
        (parts, *_) = fields.of(graph.route(path)).values() or [()]
        sizes = [getattr(part, "size", None) for part in parts[1:] or parts]
        if sizes and None not in sizes:
            assert "×".join(map(str, sizes)) in [text for _, text in facts], path


# What is drawn -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["resnet50", "googlenet", "resnet18", "vgg16", "efficientnet_b0"])
def test_the_page_begins_as_the_picture_does(show: Show, name: str) -> None:
    graph = netspec.load(name)
    drawn = [item.id for item in to_drawing(graph).walk() if isinstance(item, Box) and item.category != "terminal"]
    assert boxes(show(graph)) == drawn


def test_depth_says_what_is_open_in_the_page_too(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "resnet18.html"
    with pytest.raises(SystemExit, match="0"):
        main(["draw", "resnet18", "-o", str(file), "--depth", "0"])
    page = browser.new_page()
    page.goto(file.as_uri())
    assert boxes(page, "frame") == []
    assert "layer1" in boxes(page)
    page.close()


OVERLAPS = """() => {
    const wrong = [];
    const {entries} = page.scene;
    for (const a of entries) {
        const {parent} = a;
        const inside = !parent || (a.x >= parent.x && a.y >= parent.y &&
            a.x + a.width <= parent.x + parent.width + 0.5 && a.y + a.height <= parent.y + parent.height + 0.5);
        if (!inside) wrong.push([a.item.key, "leaves", parent.item.key]);
        for (const b of entries) {
            if (b.index <= a.index || b.parent !== parent) continue;
            const beside = a.x + a.width <= b.x || b.x + b.width <= a.x;
            const apart = beside || a.y + a.height <= b.y || b.y + b.height <= a.y;
            if (!apart) wrong.push([a.item.key, b.item.key]);
        }
    }
    return wrong;
}"""


@pytest.mark.parametrize("name", DRAWN)
def test_no_box_covers_another_and_frames_hold_what_is_in_them(show: Show, name: str) -> None:
    page = show(name)
    assert page.evaluate(OVERLAPS) == []
    page.keyboard.press("+")
    assert page.evaluate(OVERLAPS) == []


@pytest.mark.parametrize("name", ["resnet18", "hybrid", "googlenet", "shufflenet_v2_x1_0"])
def test_with_everything_open_every_op_has_its_place_and_every_tensor_its_line(show: Show, name: str) -> None:
    graph = netspec.load(name)
    page = show(graph)
    open_everything(page)
    ops = {path for path, node in graph.walk() if not isinstance(node.target, Body)}
    standing = page.evaluate("[...page.scene.standing].map(([path, entry]) => [path, entry.item.key])")
    place = {path: key for path, key in standing if path in ops}
    assert set(place) == ops
    lines = page.evaluate("page.scene.tensors().map(([from, to]) => [from.item.key, to.item.key])")
    wired = {(place[a], place[b]) for a, b in graph.to_networkx().edges if a in ops and b in ops}
    found = {(a, b) for a, b in lines if not a.startswith("input:") and not b.startswith("output:")}
    assert found == {(a, b) for a, b in wired if a != b}


TWO = """
netspec: 1
name: two
inputs: {a: [4, 8, 8], b: [4, 8, 8]}
blocks:
  two:
    inputs: [x, y]
    graph:
      left: {from: x, conv: [4, 1]}
      right: {from: y, conv: [4, 1]}
      sum: {add: [left, right]}
      dif: {sub: [left, right]}
    outputs: {sum: sum, dif: dif}
graph:
  t: {from: [a, b], two: }
  u: {from: [t.dif, t.sum], two: }
  v: {add: [u.sum, u.sum]}
  w: {concat: [u.dif, v]}
"""


def test_a_block_of_several_inputs_and_outputs_keeps_them_apart(show: Show) -> None:
    page = show(netspec.loads(TWO))
    open_everything(page)
    lines = page.evaluate("page.scene.tensors().map(([from, to]) => [from.item.key, to.item.key])")
    assert [line for line in lines if line[0].startswith("input:")] == [["input:a", "t.left"], ["input:b", "t.right"]]
    assert [line for line in lines if line[0].startswith("t.") and line[1].startswith("u.")] == [
        ["t.sum", "u.right"],
        ["t.dif", "u.left"],
    ]
    assert page.evaluate(OVERLAPS) == []


def test_what_is_wrong_in_a_spec_is_drawn_red(show: Show) -> None:
    with pytest.raises(netspec.SpecError) as caught:
        netspec.loads("netspec: 1\nname: wrong\ninput: [3, 8, 8]\ngraph: {a: {conv: [8, 3]}, b: {conv: [8, 99]}}")
    assert caught.value.sketch is not None
    page = show(caught.value.sketch)
    assert page.locator('[data-path="b"] > .outline').get_attribute("stroke") == LIGHT.categories["failed"].line
    assert "does not fit" in page.locator("#legend").inner_text()


def many_nodes(stages: int) -> Graph:
    """A network of 500 different nodes in each stage."""
    lines = ["netspec: 1", "name: many", "input: [8, 16, 16]", "graph:"]
    for stage in range(stages):
        lines.append(f"  stage{stage}:")
        for block in range(25):
            lines.append(f"    - - {{conv: [8, 3], padding: same, bias: {str(block % 2 == 0).lower()}}}")
            lines += [f"      - {{conv: [{8 + (stage + block * i) % 5}, 1]}}" for i in range(17)]
            lines.append("      - {conv: [8, 1]}")
    return netspec.loads("\n".join(lines))


def test_a_network_of_ten_thousand_nodes_lays_out_what_is_open_alone(show: Show) -> None:
    graph = many_nodes(20)
    assert graph.root.size > 10_000 - 20
    page = show(graph)
    laid_out = "[page.layouts.known.size, page.scene.entries.length]"
    assert page.evaluate(laid_out) == [1, 22], "twenty closed stages between input and output"
    page.evaluate("page.select('stage19.24.18')")
    assert page.evaluate(laid_out) == [4, 22 + 25 + 19], "with one stage open, and one block in it"


def test_more_boxes_than_anyone_can_read_are_not_opened_at_once(show: Show) -> None:
    page = show(many_nodes(4))
    for _ in range(3):
        page.keyboard.press("+")
    assert "open blocks one by one" in page.locator("#note").inner_text()
    assert page.evaluate("page.scene.entries.length") < 1500


# What a reader does --------------------------------------------------------------------------------------------------


def test_blocks_open_and_close_in_place(show: Show) -> None:
    page = show("resnet50")
    closed = boxes(page)
    title = page.locator('[data-path="layer1.0"] > text').first
    click_toggle(page, "layer1.0")
    assert {"layer1.0.conv1", "layer1.0.conv2", "layer1.0.conv3", "layer1.0.add"} <= set(boxes(page))
    assert "layer1.0" in boxes(page, "frame")
    page.wait_for_timeout(300)
    assert title.is_visible()
    click_toggle(page, "layer1.0")
    assert boxes(page) == closed


def test_copies_are_one_box_until_it_is_opened(show: Show) -> None:
    page = show("resnet50")
    assert "layer3.2" not in boxes(page)
    page.locator('[data-path="layer3.1"]').get_by_text("1–5 ×5 · bottleneck").dblclick()
    assert [path for path in boxes(page) if path.startswith("layer3.")] == [f"layer3.{i}" for i in range(6)]


def test_a_click_selects_a_node_and_tells_all_about_it(show: Show) -> None:
    graph = netspec.load("resnet50")
    page = show(graph)
    page.locator('[data-path="conv1"] > .outline').click()
    node = graph.find("conv1")
    told = page.locator("#details").inner_text()
    for text in ("3×224×224", "64×112×112", "9,408", "118,013,952", "3.06 MiB", "7×7", "weight", "64×3×7×7"):
        assert text in told, text
    (made,) = page.locator("#panel .made").all_inner_texts()
    assert made.strip().endswith(node.span.file.lines[node.span.line - 1].strip())
    assert page.url.endswith("#conv1")
    page.locator("#close").click()
    assert selected(page) is None
    assert "#" not in page.url


def test_an_op_inside_of_a_box_is_selected_by_its_own_words(show: Show) -> None:
    page = show("resnet50")
    page.locator('[data-path="bn1"]').first.click()
    assert selected(page) == "bn1"
    assert "batch_norm" in page.locator("#details").inner_text()


def test_lines_of_the_library_come_with_the_lines_that_called_for_them(show: Show) -> None:
    page = show("resnet50", "#layer1.0.conv2")
    places = page.locator("#panel h3").all_inner_texts()
    assert [place.partition(":")[0].rpartition("/")[2] for place in places if ".yaml:" in place] == [
        "bottleneck.yaml",
        "resnet50.yaml",
    ]


def test_the_way_to_a_node_leads_back(show: Show) -> None:
    page = show("resnet50", "#layer1.0.conv2")
    page.locator("#panel nav button", has_text="layer1").click()
    assert selected(page) == "layer1"


@pytest.mark.parametrize("path", ["layer1.0.conv2", "layer3.4.bn3", "fc"])
def test_a_link_to_a_node_opens_the_way_to_it(show: Show, path: str) -> None:
    page = show("resnet50", f"#{path}")
    assert selected(page) == path
    chosen = page.locator(".selected")
    assert chosen.count() == 1
    box = chosen.bounding_box()
    assert box is not None
    assert box["x"] > 0
    assert box["y"] > 60
    assert box["y"] + box["height"] < 800


@pytest.mark.parametrize("fragment", ["#nowhere", "#layer1.99", "#%", "#layer1..0", "#<script>"])
def test_a_link_to_no_node_opens_the_page_as_it_is(show: Show, fragment: str) -> None:
    page = show("resnet50", fragment)
    assert selected(page) is None
    assert "layer1.0" in boxes(page)


def test_the_address_follows_and_leads(show: Show) -> None:
    page = show("resnet50")
    page.evaluate("location.hash = '#layer4.2.conv3'")
    page.wait_for_function("page.selected === 'layer4.2.conv3'")


def test_search_finds_paths_and_ops(show: Show) -> None:
    page = show("googlenet")
    page.keyboard.press("/")
    page.keyboard.type("4a branch2 conv")
    results = page.locator("#results [role=option]")
    assert all("inception4a.branch2" in text for text in results.all_inner_texts())
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    chosen = selected(page)
    assert chosen is not None
    assert chosen.startswith("inception4a.branch2")
    assert page.locator(".selected").is_visible()
    page.locator("#search").fill("max_pool")
    assert len(results.all_inner_texts()) == sum(
        node.kind == "max_pool" for _, node in netspec.load("googlenet").walk()
    )
    page.locator("#search").fill("no such thing")
    assert page.locator("#results").inner_text() == "nothing found"


def test_a_node_tells_of_itself_under_the_pointer(show: Show) -> None:
    page = show("resnet50")
    page.locator('[data-path="maxpool"] > text').hover()
    assert page.locator("#tip").inner_text().splitlines()[0] == "maxpool"
    assert "64×56×56" in page.locator("#tip").inner_text()


def test_keys_alone_lead_from_the_input_to_the_output(show: Show) -> None:
    page = show("resnet50")
    page.locator("#picture").focus()
    visited = []
    for _ in range(40):
        page.keyboard.press("ArrowDown")
        visited.append(page.evaluate("(page.current ?? page.focused).item.key"))
    assert visited[:5] == ["input:x", "conv1", "maxpool", "layer1", "layer1.0"]
    assert {"layer1.1*", "layer4.0", "avgpool", "fc"} <= set(visited)
    assert visited[-1].startswith("output:")
    page.keyboard.press("ArrowUp")
    assert selected(page) == "fc"


def test_keys_open_select_and_let_go(show: Show) -> None:
    page = show("resnet50", "#layer2.0")
    page.locator("#picture").focus()
    page.keyboard.press("Enter")
    assert "layer2.0" in boxes(page, "frame")
    assert page.locator('[data-path="layer2.0"]').first.get_attribute("aria-expanded") == "true"
    page.keyboard.press("Tab")
    assert selected(page) == "layer2.0.conv1"
    page.keyboard.press("Backspace")
    assert selected(page) == "layer2.0"
    page.keyboard.press("Enter")
    assert "layer2.0" not in boxes(page, "frame")
    page.keyboard.press("Escape")
    assert selected(page) is None
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#help").is_visible()


def test_arrows_to_the_side_reach_other_branches(show: Show) -> None:
    page = show("googlenet", "#inception3a.branch1")
    page.locator("#picture").focus()
    page.keyboard.press("ArrowRight")
    assert selected(page) == "inception3a.branch2"
    page.keyboard.press("ArrowLeft")
    assert selected(page) == "inception3a.branch1"


def test_the_tab_key_leaves_the_picture_when_nothing_is_selected(show: Show) -> None:
    page = show("resnet18")
    page.locator("#picture").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") != "picture"


def test_the_picture_moves_zooms_and_fits(show: Show) -> None:
    page = show("resnet50")
    where = "[page.view.x, page.view.y, page.view.scale]"
    x, y, scale = page.evaluate(where)
    page.mouse.move(300, 400)
    page.mouse.down()
    page.mouse.move(360, 430, steps=4)
    page.mouse.up()
    assert page.evaluate(where) == pytest.approx([x + 60, y + 30, scale])
    assert selected(page) is None
    page.keyboard.down("Control")
    page.mouse.wheel(0, -100)
    page.keyboard.up("Control")
    assert page.evaluate(where)[2] > scale
    page.keyboard.press("f")
    for entry in page.evaluate("page.scene.entries.map(({element}) => element.getBoundingClientRect().toJSON())"):
        assert 0 <= entry["left"] < entry["right"] <= 1200
        assert 60 <= entry["top"] < entry["bottom"] <= 800


def test_without_motion_the_picture_is_there_at_once(show: Show) -> None:
    page = show("resnet50", reduced_motion="reduce")
    page.locator("#picture").focus()
    settled = page.evaluate("() => { page.go(page.scene.entries.at(-1)); return [page.view.x, page.view.y]; }")
    page.wait_for_timeout(250)
    assert page.evaluate("[page.view.x, page.view.y]") == settled


# How it looks --------------------------------------------------------------------------------------------------------


def background(page: Page) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


def rgb(color: str) -> str:
    return f"rgb({', '.join(str(int(color[i : i + 2], 16)) for i in (1, 3, 5))})"


def test_the_page_is_dark_where_the_reader_likes_it_and_on_demand(show: Show) -> None:
    page = show("resnet50", color_scheme="dark")
    assert background(page) == rgb(DARK.background)
    conv = page.locator('[data-path="conv1"] > .outline')
    assert conv.get_attribute("fill") == DARK.categories["convolution"].fill
    page.locator("#theme").click()
    assert background(page) == rgb(LIGHT.background)
    assert conv.get_attribute("fill") == LIGHT.categories["convolution"].fill


@pytest.mark.parametrize("cost", ["parameters", "macs", "memory"])
def test_colors_tell_what_costs_most(show: Show, cost: str) -> None:
    page = show("vgg16")
    page.select_option("#color", cost)
    graph = netspec.load("vgg16")
    drawn = [item for item in to_drawing(graph).boxes() if item.category != "terminal"]
    rows = {path: sum(_costs(graph, path)[cost] for path in paths) for path, paths in ((d.id, d.paths) for d in drawn)}
    most = max(rows, key=lambda path: rows[path])
    fills = page.evaluate("page.scene.boxes.map((item) => [item.path, page.scene.fill(item)])")
    assert dict(fills)[most] == LIGHT.costs[1]
    assert [path for path, fill in fills if fill == LIGHT.costs[0]] == [path for path in rows if not rows[path]]
    assert page.locator("#legend .scale").is_visible()


def _costs(graph: Graph, path: str) -> dict[str, int]:
    from netspec.graph import node_macs, node_parameters

    node = graph.find(path)
    memory = sum(type.bytes for type in node.output_types)
    return {"parameters": node_parameters(node), "macs": node_macs(node), "memory": memory}


@pytest.mark.parametrize(("width", "height"), [(1200, 800), (400, 800)])
def test_the_page_fits_wide_and_narrow_windows(show: Show, width: int, height: int) -> None:
    page = show("resnet50", "#conv1", viewport={"width": width, "height": height})
    assert page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]") == [
        width,
        height,
    ]
    for control in ("#search", "#color", "#more", "#fit", "#png", "#question", "#close", "#in"):
        box = page.locator(control).bounding_box()
        assert box is not None, control
        assert 0 <= box["x"] < box["x"] + box["width"] <= width, control
    chosen, panel = page.locator(".selected").bounding_box(), page.locator("#panel").bounding_box()
    assert chosen is not None
    assert panel is not None
    assert chosen["x"] + chosen["width"] <= panel["x"] or chosen["y"] + chosen["height"] <= panel["y"]


def test_the_picture_is_saved_as_svg_as_it_is_seen(show: Show) -> None:
    page = show("resnet50", "#layer1.1.conv2", color_scheme="dark")
    with page.expect_download() as download:
        page.locator("#svg").click()
    assert download.value.suggested_filename == "resnet50.svg"
    svg = ElementTree.parse(download.value.path()).getroot()
    texts = {element.text for element in svg.iter() if element.tag.endswith("text")}
    assert {"resnet50", "conv2 · conv 3×3, 64", "256×56×56", "convolution", "shortcut"} <= texts
    fills = {element.get("fill") for element in svg.iter()}
    assert {DARK.background, DARK.categories["convolution"].fill} <= fills
    assert not {element.tag.rpartition("}")[2] for element in svg.iter()} & {
        "style",
        "script",
        "image",
        "foreignObject",
    }


def test_the_picture_is_saved_as_png(show: Show) -> None:
    page = show("resnet50")
    with page.expect_download() as download:
        page.locator("#png").click()
    assert download.value.suggested_filename == "resnet50.png"
    data = Path(download.value.path()).read_bytes()
    width, height = struct.unpack(">II", data[16:24])
    assert data.startswith(b"\x89PNG")
    assert width > page.evaluate("page.scene.width")
    assert height > page.evaluate("page.scene.height")
    assert len(data) > 20_000, "an empty picture would be smaller"
