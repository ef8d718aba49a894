"""To a picture file and to a summary: netspec from a spec, torchview and torchinfo from a module, which they run.

There are two networks: ResNet-50, and a chain of 1,000 blocks, of which the peers get a module that was built before.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from torch import nn

import netspec
from benchmarks import peers
from benchmarks.contest import BOXES, FILE_SIZE, LINES, Contest
from netspec.backends.pictures.drawing import Depth, to_drawing
from netspec.graph import Graph
from netspec.shapes import Shape

SHIPPED = "resnet50"
LONG = "1,000 blocks"
LONG_SPEC = """\
netspec: 1
name: long
input: [64, 8, 8]
graph:
  - {bottleneck: 16, repeat: 1000}
"""

Load = Callable[[], Graph]
Build = Callable[[], nn.Module]

BOX_MARKS = {".svg": 'class="node"', ".dot": "[label="}  # one for each box of a file by torchview


def contests(folder: Path, *, full: bool = False) -> Iterator[Contest]:
    """For each network: a picture of it, and a summary. The peers take minutes for the long one."""
    peers.torchview()
    peers.torchinfo()
    suffix = ".svg" if shutil.which("dot") else ".dot"  # torchview has no layout engine of its own
    load, build = partial(netspec.load, SHIPPED), partial(peers.torchvision_on_meta, SHIPPED)
    yield pictures(SHIPPED, load, build, folder, suffix)
    yield summaries(SHIPPED, load, build)
    if not full:
        return
    load_long = partial(netspec.loads, LONG_SPEC)
    module = load_long().build(device="meta")
    yield pictures(LONG, load_long, lambda: module, folder, ".dot")  # nobody looks at a layout of 10,000 boxes
    yield summaries(LONG, load_long, lambda: module)


def pictures(name: str, load: Load, build: Build, folder: Path, suffix: str) -> Contest:
    """The contest of pictures in one format, and beside them netspec's web page, which opens at the same boxes."""
    graph = load()
    shape = input_shape(graph)
    drawn: dict[str, tuple[Path, Callable[[Path], None]]] = {
        "netspec": (folder / f"blocks{suffix}", partial(by_netspec, load, "block")),
        "netspec, every op": (folder / f"ops{suffix}", partial(by_netspec, load, "op")),
        "netspec, interactive page": (folder / "page.html", partial(by_netspec, load, "block")),
        "torchview": (folder / f"torchview{suffix}", partial(by_torchview, build, shape)),
    }
    for file, draw in drawn.values():
        draw(file)
    boxes = dict.fromkeys(drawn, count_boxes(graph, "block")) | {
        "netspec, every op": count_boxes(graph, "op"),
        "torchview": drawn["torchview"][0].read_text(encoding="utf-8").count(BOX_MARKS[suffix]),
    }
    return Contest(
        f"{name}, picture",
        {way: partial(draw, file) for way, (file, draw) in drawn.items()},
        facts={way: {FILE_SIZE: file.stat().st_size, BOXES: boxes[way]} for way, (file, _) in drawn.items()},
    )


def summaries(name: str, load: Load, build: Build) -> Contest:
    """The contest of tables as text."""
    graph = load()
    shape = input_shape(graph)
    theirs = peers.torchinfo_summary(build(), shape)
    assert theirs.trainable_params == graph.parameters, (
        f"{theirs.trainable_params:,} parameters, not {graph.parameters:,}"
    )
    tables = {"netspec": graph.summary(), "torchinfo": str(theirs)}
    return Contest(
        f"{name}, summary",
        {"netspec": lambda: load().summary(), "torchinfo": lambda: str(peers.torchinfo_summary(build(), shape))},
        facts={way: {LINES: len(table.splitlines())} for way, table in tables.items()},
    )


def by_netspec(load: Load, depth: Depth, file: Path) -> None:
    """Compile the spec and draw it, with the Graphviz that torchview uses."""
    load().draw(file, depth=depth, engine="native")


def by_torchview(build: Build, shape: Shape, file: Path) -> None:
    """Build the module, run it and draw what ran."""
    picture = peers.torchview().draw_graph(build(), input_size=(1, *shape), device="meta").visual_graph
    if file.suffix == ".dot":
        picture.save(file)
    else:
        picture.render(outfile=file, cleanup=True)


def count_boxes(graph: Graph, depth: Depth) -> int:
    """How many boxes a picture by netspec has."""
    return sum(1 for _ in to_drawing(graph, depth).boxes())


def input_shape(graph: Graph) -> Shape:
    """The shape of the one input."""
    (type,) = graph.inputs.values()
    return type.shape
