"""The name of a spec in, a module out, by one call and with the words of timm.

With `features_only` the module returns the feature maps of a backbone, one for each size that they have. Which nodes
give them is read from the graph: the last one of each size, in the order in which they run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import log2, prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from netspec.compiler import load
from netspec.diagnostics import Problem, Span, SpecError
from netspec.graph import Body, Graph, Node, Output, Value
from netspec.instances import op_instance
from netspec.recursion import deep_recursion
from netspec.scope import count_of
from netspec.shapes import TensorType
from netspec.verify import verify

if TYPE_CHECKING:
    from torch import nn

POOLS_TO_A_SIZE = ("adaptive_avg_pool", "adaptive_max_pool")  # heads have them; what they give has no stride


class Feature(NamedTuple):
    """A feature map: the path of its node, its channels, and how many pixels of the input one of its own is wide."""

    module: str
    channels: int
    reduction: int


class FeatureInfo(tuple[Feature, ...]):
    """The feature maps that a module returns, in their order, with the methods of timm's `feature_info`."""

    __slots__ = ()

    def channels(self) -> list[int]:
        return [feature.channels for feature in self]

    def reduction(self) -> list[int]:
        return [feature.reduction for feature in self]

    def module_name(self) -> list[str]:
        return [feature.module for feature in self]


def create_model(
    name: str | Path,
    pretrained: bool | str = False,
    num_classes: int | None = None,
    features_only: bool = False,
    out_indices: Sequence[int] | None = None,
    seed: int | None = None,
    **parameters: Any,
) -> nn.Module:
    """Build a spec as a module in training mode. Needs PyTorch.

    `name` is a spec as for `load`, and `parameters` are its own, `input` among them. `pretrained` takes the weights
    that the spec names, or those of another name or file; what does not fit them, such as the layer of another
    `num_classes`, is initialized, with a warning. `seed` makes initial weights reproducible.

    With `features_only` the module returns a tuple of feature maps, batch × channels × spatial, from the largest to
    the smallest, and has a `feature_info` that says what they are. `out_indices` chooses some of them; a single one is
    returned as it is.
    Raises `SpecError`.
    """
    if num_classes is not None:
        parameters["num_classes"] = num_classes
    if out_indices is not None and not features_only:
        help = ("`features_only=True` asks for them",)
        raise SpecError([Problem("wrong-value", "`out_indices` choose feature maps", help=help).at(None)])
    graph = load(name, **parameters)
    weights = "DEFAULT" if pretrained is True else pretrained or None
    if not features_only:
        return graph.build(weights=weights, seed=seed)
    info = _chosen(graph, out_indices)
    module = backbone(graph, info).build(weights=weights, seed=seed)
    module.feature_info = info  # type: ignore[assignment]  # no tensor and no module
    return module


def _chosen(graph: Graph, out_indices: Sequence[int] | None) -> FeatureInfo:
    """The feature maps with these numbers, from the largest to the smallest. Raises `SpecError`."""
    found = features(graph)
    if out_indices is None:
        return found
    numbers = [*range(len(found))]
    given = list(out_indices) if isinstance(out_indices, Sequence) else []
    if not given or any(index not in [*numbers, *(number - len(found) for number in numbers)] for index in given):
        message = f"`out_indices` are {out_indices}, but `{graph.name}` has {count_of(len(found), 'feature map')}"
        help = (f"they are {', '.join(f'{index}: `{feature.module}`' for index, feature in enumerate(found))}",)
        raise SpecError([Problem("wrong-value", message, help=help).at(None)])
    chosen = {numbers[index] for index in given}
    return FeatureInfo(feature for index, feature in enumerate(found) if index in chosen)


# The feature maps of a graph -----------------------------------------------------------------------------------------


class _Scale(NamedTuple):
    """How a feature map lies to the image: how often its size was halved, and whether its channels come last.

    Where the size divides that of the image, `reduction` is the quotient, and else the power of two.
    """

    level: int
    reduction: int
    channels_last: bool


@deep_recursion
def features(graph: Graph) -> FeatureInfo:
    """The last node of each size that the feature maps of a network have. Raises `SpecError` where there are none."""
    image = _image(graph)
    last = {} if image is None else {scale.level: feature for scale, feature in _maps(graph.root, "", image)}
    if not last:
        help = ("`Graph.select` chooses nodes of any shape",)
        raise SpecError([Problem("no-outputs", f"`{graph.name}` has no feature maps", help=help).at(None)])
    return FeatureInfo(last[level] for level in sorted(last))


def _image(graph: Graph) -> TensorType | None:
    """The input that feature maps are maps of: the first image or volume."""
    return next((type for type in graph.inputs.values() if type.rank in (3, 4)), None)


def _maps(body: Body, prefix: str, image: TensorType) -> Iterator[tuple[_Scale, Feature]]:
    """The feature maps of a body in the order in which they run.

    A body inside is looked into where it changes the size, by way of sizes that are neither that of its input nor that
    of its output.
    """
    called_again = {node.shares for node in body.nodes if node.shares}
    for node in body.schedule:
        if node.training_only or node.kind in POOLS_TO_A_SIZE or len(node.outputs) != 1:
            continue
        path, type = prefix + node.name, node.outputs[0].type
        scale = _scale(type, image)
        if isinstance(node.target, Body) and not node.shares and node.name not in called_again:
            ends = {scale, *(_scale(value.type, image) for value in node.inputs)}
            inside = list(_maps(node.target, f"{path}.", image)) if len(ends) > 1 else []
            if not {found.level for found, _ in inside} <= {end.level for end in ends if end is not None}:
                yield from inside
        if scale is not None:
            yield scale, Feature(path, type.shape[-1 if scale.channels_last else 0], scale.reduction)


def _scale(type: TensorType, image: TensorType) -> _Scale | None:
    """The scale of a value, and nothing where it is no map of the image: its axes are not shortened alike."""
    if not type.batched or type.rank != image.rank:
        return None
    for channels_last, size in ((False, type.shape[1:]), (True, type.shape[:-1])):
        levels = {round(log2(whole / length)) for whole, length in zip(image.spatial, size, strict=True)}
        if len(levels) == 1 and min(levels) >= 0 and prod(size) > 1:
            quotient, rest = divmod(image.spatial[0], size[0])
            level = levels.pop()
            return _Scale(level, 2**level if rest else quotient, channels_last)
    return None


def backbone(graph: Graph, info: FeatureInfo) -> Graph:
    """The graph that returns these feature maps as a named tuple, with the channels of each in front."""
    chosen = graph.select({f"stride_{feature.reduction}": feature.module for feature in info})
    image = _image(graph)
    assert image is not None, "it has feature maps"
    moved: list[Node] = []
    outputs = []
    for output in chosen.root.outputs:
        value = output.value
        scale = _scale(value.type, image)
        assert scale is not None, f"{output.name} is a feature map"
        if scale.channels_last:
            moved.append(_channels_first(value, f"{output.name}_channels_first", chosen.root.span))
            value = moved[-1].outputs[0]
        outputs.append(Output(output.name, value))
    root = replace(
        chosen.root,
        form="graph",
        nodes=(*chosen.root.nodes, *moved),
        schedule=(*chosen.root.schedule, *moved),
        outputs=tuple(outputs),
        returns="tuple",
    )
    return verify(replace(chosen, root=root))


def _channels_first(value: Value, name: str, span: Span) -> Node:
    """A node that puts the last axis in front of the others."""
    rank = value.type.rank
    made = op_instance("permute", {"dims": (0, rank, *range(1, rank))}, (value.type,)).instance
    return Node(name, "permute", made.target, (value,), (Value(name, made.outputs[0]),), span)
