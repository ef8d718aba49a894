"""A body in, the use of a block of the standard library out that is just this body, if there is one.

The arguments are read off the nodes that the block would have. The block is then compiled for the same inputs and
compared with the body, so that a block is never taken for another one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

from netspec.catalog import library_blocks
from netspec.compiler import loads
from netspec.diagnostics import SpecError
from netspec.expressions import evaluate
from netspec.formulas import HOLE
from netspec.graph import Body, Graph, Node
from netspec.importing.equality import equal
from netspec.importing.fold.blocks import UNNAMED
from netspec.importing.fold.canonical import canonical
from netspec.importing.fold.reading import bare_use, read_op
from netspec.importing.fold.terms import Group, Step, Use
from netspec.importing.fold.yaml_text import Block, spec_text
from netspec.ops import OP_NAMES
from netspec.ops.base import Op
from netspec.ops.convolution import Conv
from netspec.source import Mapping, Scalar, read


class _MissingError(Exception):
    """A node that the block at hand has, and the body has not."""


class _Look:
    """The ops of a body by path."""

    def __init__(self, body: Body) -> None:
        self.body = body

    @property
    def channels(self) -> int:
        """The channels of the input."""
        return self.body.inputs[0].type.shape[0]

    @property
    def straight(self) -> list[str]:
        """The names of the nodes."""
        return [node.name for node in self.body.nodes]

    def has(self, path: str) -> bool:
        return self._find(path) is not None

    def node(self, path: str) -> Node:
        """The op at a path. Raises `_MissingError`."""
        node = self._find(path)
        if node is None or isinstance(node.target, Body):
            raise _MissingError
        return node

    def inside(self, path: str) -> _Look:
        """The body at a path. Raises `_MissingError`."""
        node = self._find(path)
        if node is None or not isinstance(node.target, Body):
            raise _MissingError
        return _Look(node.target)

    def op(self, path: str) -> Any:
        node = self.node(path)
        assert isinstance(node.target, Op)
        return canonical(node.target, node.input_types)

    def conv(self, path: str) -> Conv:
        op = self.op(path)
        if not isinstance(op, Conv):
            raise _MissingError
        return op

    def use(self, path: str, *categories: str) -> Use:
        """The op at a path, of one of the categories, as an argument of a block."""
        node = self.node(path)
        assert isinstance(node.target, Op)
        if node.target.category not in categories:
            raise _MissingError
        return read_op(node)

    def act(self, path: str) -> Use:
        return self.use(path, "activation")

    def norm(self, path: str) -> Use:
        return self.use(path, "batch_norm", "layer_norm", "group_norm", "normalization")

    def _find(self, path: str) -> Node | None:
        body, found = self.body, None
        for name in path.split("."):
            found = next((node for node in body.nodes if node.name == name), None)
            if found is None:
                return None
            if isinstance(found.target, Body):
                body = found.target
        return found


def _conv_norm_act(body: _Look) -> dict[str, Any]:
    conv = body.conv("0")
    norm = body.norm("1")
    act = body.act("2") if body.has("2") else None
    if act is None and body.body.kind in UNNAMED:
        raise _MissingError  # a list of two reads better than a block without its activation
    return {
        "out_channels": conv.out_channels,
        "kernel_size": conv.kernel_size,
        "stride": conv.stride,
        "groups": conv.groups,
        "norm": norm,
        "act": act,
    }


def _basic_conv(body: _Look) -> dict[str, Any]:
    conv = body.conv("conv")
    return {
        "out_channels": conv.out_channels,
        "kernel_size": conv.kernel_size,
        "stride": conv.stride,
        "padding": _margins(body.node("conv")),
    }


def _margins(node: Node) -> Any:
    assert isinstance(node.target, Op)
    call: Any = node.target.torch(*node.input_types)
    return call.kwargs.get("padding", 0)


def _basic_block(body: _Look) -> dict[str, Any]:
    return {"planes": body.conv("conv2").out_channels, "stride": body.conv("conv1").stride}


def _bottleneck(body: _Look) -> dict[str, Any]:
    conv1, conv2, conv3 = map(body.conv, ("conv1", "conv2", "conv3"))
    planes = conv3.out_channels // 4
    return {
        "planes": planes,
        "stride": conv2.stride,
        "groups": conv2.groups,
        "width_per_group": 64 * conv1.out_channels // (planes * conv2.groups),
        "dilation": conv2.dilation,
    }


def _inverted_residual(body: _Look) -> dict[str, Any]:
    inside = body.inside("conv")
    last = inside.straight[-1]
    filtered = inside.inside(inside.straight[-3])
    return {
        "out_channels": inside.conv(inside.straight[-2]).out_channels,
        "stride": filtered.conv("0").stride,
        "expand_ratio": _ratio(filtered.channels, body.channels),
        "norm": inside.norm(last),
        "act": filtered.act("2"),
    }


def _mbconv(body: _Look) -> dict[str, Any]:
    block = body.inside("block")
    filtered = block.inside(block.straight[-3])
    last = block.inside(block.straight[-1])
    return {
        "out_channels": last.conv("0").out_channels,
        "kernel_size": filtered.conv("0").kernel_size,
        "stride": filtered.conv("0").stride,
        "expand_ratio": _ratio(filtered.channels, body.channels),
        "drop": _drop(body),
        "norm": last.norm("1"),
    }


def _fused_mbconv(body: _Look) -> dict[str, Any]:
    block = body.inside("block")
    first, last = block.inside(block.straight[0]), block.inside(block.straight[-1])
    return {
        "out_channels": last.conv("0").out_channels,
        "kernel_size": first.conv("0").kernel_size,
        "stride": first.conv("0").stride,
        "expand_ratio": _ratio(last.channels, body.channels),
        "drop": _drop(body),
        "norm": last.norm("1"),
    }


def _drop(body: _Look) -> Any:
    """The probability of leaving a block out; without a shortcut it may be any."""
    return float(body.op("stochastic_depth").p) if body.has("stochastic_depth") else HOLE


def _ratio(wide: int, narrow: int) -> float:
    return wide // narrow if wide % narrow == 0 else wide / narrow


def _squeeze_excitation(body: _Look) -> dict[str, Any]:
    return {
        "squeeze_channels": body.conv("fc1").out_channels,
        "act": body.act("activation"),
        "scale": body.act("scale_activation"),
    }


def _dense_layer(body: _Look) -> dict[str, Any]:
    growth = body.conv("conv2").out_channels
    drop = body.op("dropout").p if body.has("dropout") else 0.0
    return {"growth_rate": growth, "bn_size": body.conv("conv1").out_channels // growth, "drop_rate": drop}


def _dense_block(body: _Look) -> dict[str, Any]:
    layers = [name for name in body.straight if name.startswith("denselayer")]
    return {"num_layers": len(layers)} | _dense_layer(body.inside("denselayer1"))


def _transition(body: _Look) -> dict[str, Any]:
    return {"compression": body.conv("conv").out_channels / body.channels}


def _fire(body: _Look) -> dict[str, Any]:
    names = ("squeeze", "expand1x1", "expand3x3")
    return {f"{name}_channels": body.conv(name).out_channels for name in names}


def _inception(body: _Look) -> dict[str, Any]:
    places = {
        "c1": "branch1.conv",
        "c3_reduce": "branch2.0.conv",
        "c3": "branch2.1.conv",
        "c5_reduce": "branch3.0.conv",
        "c5": "branch3.1.conv",
        "pool": "branch4.1.conv",
    }
    widths = {name: body.conv(path).out_channels for name, path in places.items()}
    return widths | {"c5_kernel": body.conv("branch3.1.conv").kernel_size}


def _shuffle_unit(body: _Look) -> dict[str, Any]:
    return {"out_channels": 2 * body.conv("branch2.5").out_channels, "stride": body.conv("branch2.3").stride}


def _mlp(body: _Look) -> dict[str, Any]:
    return {"hidden_features": body.op("0").out_features, "dropout": body.op("2").p, "act": body.act("1")}


def _transformer_block(body: _Look) -> dict[str, Any]:
    attention = body.op("self_attention")
    return {
        "num_heads": attention.num_heads,
        "mlp_dim": body.op("mlp.0").out_features,
        "dropout": body.op("dropout").p,
        "attention_dropout": attention.dropout,
        "eps": body.op("ln_1").eps,
    }


def _auxiliary_classifier(body: _Look) -> dict[str, Any]:
    return {"num_classes": body.op("fc2").out_features, "dropout": body.op("dropout").p}


def _table_conv(body: _Look) -> dict[str, Any]:
    rows = [body.inside(name) for name in body.straight if name.isdigit()]
    conv = rows[0].conv("conv")
    return {
        "table": tuple(
            tuple(row.op(f"seen.{name}").start for name in row.inside("seen").straight[:-1]) for row in rows
        ),
        "kernel_size": conv.kernel_size,
        "stride": conv.stride,
        "bias": conv.bias,
        "maps_per_row": conv.out_channels,
    }


_READERS: dict[str, Callable[[_Look], dict[str, Any]]] = {
    "conv_norm_act": _conv_norm_act,
    "basic_conv": _basic_conv,
    "basic_block": _basic_block,
    "bottleneck": _bottleneck,
    "inverted_residual": _inverted_residual,
    "mbconv": _mbconv,
    "fused_mbconv": _fused_mbconv,
    "squeeze_excitation": _squeeze_excitation,
    "dense_layer": _dense_layer,
    "dense_block": _dense_block,
    "transition": _transition,
    "fire": _fire,
    "inception": _inception,
    "shuffle_unit": _shuffle_unit,
    "mlp": _mlp,
    "transformer_block": _transformer_block,
    "auxiliary_classifier": _auxiliary_classifier,
    "table_conv": _table_conv,
}
"""How the arguments of a block are read off a body that may be one."""


def library_use(body: Body) -> Use | None:
    """The block of the library that a body is, with all its arguments."""
    for name, reader in _READERS.items():
        try:
            values = reader(_Look(body))
        except (_MissingError, AttributeError, IndexError, TypeError, ZeroDivisionError):
            continue
        parameters = _parameters(name)
        use = Use(name, tuple((parameter, values[parameter]) for parameter in parameters), tuple(parameters))
        if _is(use, body):
            return use
    return None


def _is(use: Use, body: Body) -> bool:
    """Whether a block, compiled for the inputs of a body, is that body."""
    use = replace(use, arguments=tuple((name, value) for name, value in use.arguments if value is not HOLE))
    names = tuple(f"x{number}" if number else "x" for number in range(len(body.inputs)))
    network = Group(names, (Step(use, "node", names),))
    inputs = dict(zip(names, (value.type for value in body.inputs), strict=True))
    try:
        graph = loads(spec_text("block", "", inputs, Block((), (), network), ()))
    except SpecError:
        return False
    target = graph.root.nodes[0].target
    return isinstance(target, Body) and equal(Graph("body", body), Graph("block", target)) is None


def library_default(head: Any, name: str) -> Any:
    """The default of an argument of a block of the library; `...` where it has none, or is no such block."""
    return _parameters(head).get(name, ...) if head in _READERS else ...


@cache
def _parameters(block: str) -> dict[str, Any]:
    """The parameters of a block of the library with their defaults, `...` for one that is required."""
    document = read(library_blocks()[block])
    assert isinstance(document, Mapping)
    parameters = document.get("params")
    assert isinstance(parameters, Mapping)
    found = {}
    for key, value in parameters.entries:
        default = value.get("default") if isinstance(value, Mapping) else value
        found[key.text] = _default(default.text) if isinstance(default, Scalar) else ...
    return found


def _default(text: str) -> Any:
    if text in OP_NAMES:
        return bare_use(text)
    return ... if text in ("", "int", "number", "size", "table") else evaluate(text, {})
