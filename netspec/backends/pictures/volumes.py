"""Graph in, `Figure` out: the volumes of a textbook figure and the layers between them, as plain data.

The figure follows the main way through the network, the longest one. A layer with weights or a change of shape makes a
volume; normalization, activation and dropout, which do neither, are left out. Equal layers in a row share a volume.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from typing import Literal

from netspec.backends.pictures.captions import op_text
from netspec.backends.pictures.dot import trunk
from netspec.backends.pictures.drawing import Box, Cluster, Depth, Drawing, outline, to_drawing
from netspec.graph import Graph, Node
from netspec.ops.base import Op
from netspec.shapes import AXIS_NAMES

Reach = Literal["window", "all", "other"]
"""What an element of a volume is made of: a window of the volume before it, all of that, or something else."""

_WEIGHTED = ("convolution", "linear", "attention", "recurrent")
_CHANNELS_FIRST = ("convolution", "pooling", "resample")
_FEATURES_LAST = ("linear", "attention", "recurrent")


@dataclass(frozen=True, slots=True)
class Layer:
    """What makes a volume of the one before: its text, such as `("conv", "11×11, /4")`, and the size of its window."""

    text: tuple[str, ...]
    reach: Reach = "other"
    window: tuple[int, int] = (1, 1)  # height and width


@dataclass(frozen=True, slots=True)
class Volume:
    """A tensor as a solid: `height` and `width` are its face, `channels` its thickness.

    A `flat` one is a vector or a sequence of vectors: its height is the number of features, its width that of vectors.
    `count` layers in a row made it, each of the same shape. `layer` is the kind they are of, none for the input.
    """

    path: str
    shape: tuple[int, ...]
    label: str
    height: int
    width: int
    channels: int
    flat: bool
    category: str
    layer: Layer | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class Figure:
    """The volumes of a network, from its input to its output, and what the reader needs to know about them."""

    name: str
    about: str
    volumes: tuple[Volume, ...]
    notes: tuple[str, ...]


def to_figure(graph: Graph, depth: Depth = "block", open: Sequence[str] = (), close: Sequence[str] = ()) -> Figure:
    """The volumes on the main way through a network, opened as `to_drawing` says.

    At the depth `block`, all groups are open and named blocks are closed, however many volumes that makes; each counts
    as one layer.
    """
    drawing = outline(graph, open, close) if depth == "block" else to_drawing(graph, depth, open, close)
    boxes = {box.id: box for box in drawing.boxes()}
    way = tuple(id for id in trunk(drawing) if boxes[id].output)
    nodes = [None if boxes[id].category == "terminal" else _node(graph, boxes[id]) for id in way]
    volumes: list[Volume] = []
    channels_first = _begins_with_channels([node for node in nodes if node])
    for id, node, shape in zip(way, nodes, _shapes(drawing, boxes, way), strict=True):
        if node and volumes:
            channels_first = _channels_first(node, volumes[-1].shape, channels_first)
        _add(volumes, boxes[id], node, shape, channels_first)
    return Figure(graph.name, graph.about, tuple(volumes), _notes(drawing, way, volumes))


def _notes(drawing: Drawing, way: tuple[str, ...], volumes: list[Volume]) -> tuple[str, ...]:
    notes = []
    ranks = [len(volume.shape) for volume in volumes if "@" in volume.label]
    if ranks:
        channels, *sizes = AXIS_NAMES.get(max(ranks), ("channels", "sizes"))
        notes.append(f"{channels} @ {' × '.join(sizes)}")
    notes.append("sides follow the square root of sizes")
    for item in drawing.walk():
        if isinstance(item, Cluster) and item.count > 1 and any(id.startswith(f"{item.id}.") for id in way):
            notes.append(f"{item.id} stands for {item.count} copies")
    terminals = [box.title for box in drawing.boxes() if box.category == "terminal" and not box.training_only]
    if len(terminals) > 2:
        ends = [box.title for box in drawing.boxes() if box.id in (way[0], way[-1])]
        notes.append(f"only the longest way is shown, from {ends[0]} to {ends[-1]}")
    return tuple(notes)


def _shapes(drawing: Drawing, boxes: dict[str, Box], way: tuple[str, ...]) -> list[tuple[int, ...]]:
    """The shape that each box of the way hands on. Where it gives several tensors, the edge to the next says which."""
    labels = {(edge.source, edge.target): edge.label for edge in drawing.edges}
    handed_on = [*(labels[step] for step in pairwise(way)), ""]
    shapes = []
    for id, label in zip(way, handed_on, strict=True):
        given = boxes[id].output.split(", ")
        size = (label if label in given else given[0]).partition(" ")[0]
        shapes.append(() if size == "scalar" else tuple(map(int, size.split("×"))))
    return shapes


def _node(graph: Graph, box: Box) -> Node:
    """The node that a box is about; groups around it gave way to it."""
    nodes = [graph.find(path) for path in box.paths]
    if box.category == "block":
        return next((node for node in nodes if node.kind not in ("chain", "graph", "branches", "repeat")), nodes[0])
    return next((node for node in nodes if isinstance(node.target, Op)), nodes[0])


def _begins_with_channels(nodes: list[Node]) -> bool:
    """Whether the first layer that tells takes channels in front, as images have them, or vectors of features."""
    categories = [node.target.category for node in nodes if isinstance(node.target, Op)]
    return next((c in _CHANNELS_FIRST for c in categories if c in (*_CHANNELS_FIRST, *_FEATURES_LAST)), True)


def _channels_first(node: Node, before: tuple[int, ...], channels_first: bool) -> bool:
    """Whether the channels of what `node` gives are its first axis rather than its last."""
    if not isinstance(node.target, Op) or len(node.output_types[0].shape) < 2:
        return channels_first
    if node.target.category in _CHANNELS_FIRST:
        return True
    if node.target.category in _FEATURES_LAST:
        return False
    after = node.output_types[0].shape
    if node.kind in ("permute", "transpose") and len(after) == len(before) and len(before) > 1:
        channels = before[0] if channels_first else before[-1]
        if channels not in (after[0], after[-1]) or after[0] == after[-1]:
            return channels_first
        return channels == after[0]
    return channels_first


def _add(volumes: list[Volume], box: Box, node: Node | None, shape: tuple[int, ...], channels_first: bool) -> None:
    """Add the volume that a box makes, or count the box to the last volume, or pass it over."""
    if node is None and volumes:  # an output
        return
    volume = _volume(box, node, shape, channels_first)
    if not volumes or node is None:
        volumes.append(volume)
        return
    last = volumes[-1]
    weighted = box.category in _WEIGHTED or (box.category == "block" and box.parameters > 0)
    if last.shape == shape and not weighted:
        return
    if box.category == last.category == "reshape":
        texts = (text for layer in (last.layer, volume.layer) if layer for text in layer.text)
        volumes[-1] = replace(volume, layer=Layer(tuple(dict.fromkeys(texts))))
    elif last.shape == shape and last.layer and volume.layer and last.layer.text == volume.layer.text:
        volumes[-1] = replace(last, count=last.count + volume.count)
    else:
        volumes.append(volume)


def _volume(box: Box, node: Node | None, shape: tuple[int, ...], channels_first: bool) -> Volume:
    layer = _layer(node) if node else None
    if len(shape) < 2 or (len(shape) == 2 and not channels_first):
        height, width = shape[-1] if shape else 1, prod(shape[:-1])
        return Volume(box.id, shape, _product(shape), height, width, 1, True, box.category, layer, box.count)
    channels, sizes = (shape[0], shape[1:]) if channels_first else (shape[-1], shape[:-1])
    height, width = (sizes[-2], sizes[-1]) if len(sizes) > 1 else (sizes[0], 1)
    label = f"{channels}@{_product(sizes)}" if channels_first else _product(shape)
    return Volume(box.id, shape, label, height, width, channels, False, box.category, layer, box.count)


def _product(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "1"


def _layer(node: Node) -> Layer:
    if not isinstance(node.target, Op):
        return Layer((node.kind,))
    kind, _, rest = op_text(node, width=False).partition(" ")
    text = (kind, rest) if rest and node.target.category in ("convolution", "pooling") else (kind,)
    if node.kind == "linear" and node.input_types[0].rank == 1:
        return Layer(text, "all")
    kernel = getattr(node.target, "kernel_size", None)
    axes = node.input_types[0].rank - 1 if node.inputs else 0
    if kernel is None or axes not in (1, 2):
        return Layer(text)
    sizes = kernel if isinstance(kernel, tuple) else (kernel,) * axes
    height, width = (sizes[0], sizes[-1]) if len(sizes) > 1 else (sizes[0], 1 if axes == 1 else sizes[0])
    return Layer(text, "window", (height, width))
