"""Layers and what stands around them become one operator each: what is added to a result, and its activation.

PyTorch brings such operators of oneDNN for its compiler; they take weights that were packed for the processor once. A
`Group` of nodes can be computed in several ways, each a few calls, which are measured on tensors, or written into the
program.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from math import prod
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import fx
from torch.nn import functional

from netspec.backends.optimize.fold_norms import CONVOLUTIONS, affine
from netspec.backends.optimize.tracing import Program

PLAIN, FUSED, MATRIX, SCALED, SINGLE = WAYS = ("plain", "fused", "matrix", "scaled", "single")
"""PyTorch's own functions; oneDNN's operator; the same for a convolution of single pixels, seen as a product of
matrices; a batch norm as one product and one sum for each element; and the plain way in single precision."""

CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}
"""The order in memory that fast convolutions have, by the number of axes."""


class Slot(NamedTuple):
    """Stands for a value that a call takes: the group's input, what is added, or the result of the call before."""

    name: str


INPUT, OTHER, LAST = Slot("input"), Slot("other"), Slot("last")


class Call(NamedTuple):
    """A function and its arguments, some of which are slots."""

    function: Callable[..., torch.Tensor]
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any] = MappingProxyType({})


def run(calls: Sequence[Call], values: Mapping[Slot, torch.Tensor]) -> torch.Tensor:
    """The result of the last of some calls."""
    known = dict(values)
    for call in calls:
        arguments = (known[argument] if isinstance(argument, Slot) else argument for argument in call.arguments)
        known[LAST] = call.function(*arguments, **call.keywords)
    return known[LAST]


class Activation(NamedTuple):
    """What oneDNN calls an activation, its numbers from the arguments of PyTorch's function, and its formula."""

    name: str
    numbers: Callable[..., list[float]] = lambda: []
    algorithm: str = ""


ACTIVATIONS: dict[Any, Activation] = {
    functional.relu: Activation("relu"),
    functional.relu6: Activation("hardtanh", lambda: [0.0, 6.0]),
    functional.hardtanh: Activation("hardtanh", lambda low=-1.0, high=1.0: [low, high]),
    functional.leaky_relu: Activation("leaky_relu", lambda slope=0.01: [slope]),
    functional.silu: Activation("swish"),
    functional.hardswish: Activation("hardswish"),
    functional.hardsigmoid: Activation("hardsigmoid"),
    functional.gelu: Activation("gelu", algorithm="none"),
    torch.sigmoid: Activation("sigmoid"),
    torch.tanh: Activation("tanh"),
}


def operators_missing(device: torch.device) -> str:
    """Why oneDNN's operators cannot be used for tensors of a device; empty where they can."""
    if device.type != "cpu":
        return f"fused operators are for the CPU, and the weights are on {device}"
    weight, window = torch.zeros(1, 1, 1, 1), ([0, 0], [1, 1], [1, 1], 1)
    try:
        packed = torch.ops.mkldnn._reorder_convolution_weight(weight, *window, None)
        torch.ops.mkldnn._convolution_pointwise(weight, packed, None, *window, "relu", [], "")
    except (AttributeError, RuntimeError):
        return f"PyTorch {torch.__version__} has no fused operators for this processor"
    return ""


# Groups --------------------------------------------------------------------------------------------------------------


class Group(NamedTuple):
    """A layer, the node that adds something to its result, and the activation after that."""

    layer: fx.Node
    sum: fx.Node | None
    activation: fx.Node | None

    @property
    def nodes(self) -> list[fx.Node]:
        return [node for node in self if node is not None]

    @property
    def last(self) -> fx.Node:
        return self.nodes[-1]

    @property
    def input(self) -> fx.Node:
        node = self.layer.args[0]
        assert isinstance(node, fx.Node)
        return node

    @property
    def other(self) -> fx.Node | None:
        """What is added to the result of the layer."""
        if self.sum is None:
            return None
        first, second = self.sum.args
        node = second if first is self.layer else first
        assert isinstance(node, fx.Node)
        return node


def groups(program: Program) -> list[Group]:
    """The layers of a program, each with what can be fused with it; a node is in one group at most."""
    found = []
    taken: set[fx.Node] = set()
    for node in program.calls():
        if node.target not in (*CONVOLUTIONS, functional.linear, functional.batch_norm):
            continue
        sum = _only_reader(node)
        if sum is None or sum in taken or not _adds(sum, node):
            sum = None
        activation = _only_reader(sum or node)
        if activation is None or activation.target not in ACTIVATIONS or activation.kwargs:
            activation = None
        group = Group(node, sum, activation)
        taken.update(group.nodes)
        found.append(group)
    return found


def _only_reader(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _adds(node: fx.Node, layer: fx.Node) -> bool:
    """Whether `node` adds to a layer's result what has the same shape for whatever input the network takes."""
    if node.target is not operator.add or layer.target is functional.batch_norm:
        return False
    if not all(isinstance(term, fx.Node) and term.op != "get_attr" for term in node.args):
        return False
    first, second = ((term.meta["shape"], term.meta["dtype"]) for term in node.args)  # type: ignore[union-attr]
    places = layer.meta["shape"][1:-1] if layer.target is functional.linear else layer.meta["shape"][2:]
    return bool(first == second and 1 not in places)  # an axis of length 1 may be broadcast for another input


def write(program: Program, group: Group, calls: Sequence[Call]) -> None:
    """Put calls in the place of a group."""
    graph, last, name = program.graph, group.last, group.layer.name
    values: dict[Slot, Any] = {INPUT: group.input, OTHER: group.other}
    with graph.inserting_before(last):
        for call in calls:
            arguments = []
            for argument in call.arguments:
                if isinstance(argument, torch.Tensor):
                    arguments.append(program.read(argument, f"{name}_{len(program.constants)}"))
                else:
                    arguments.append(values[argument] if isinstance(argument, Slot) else argument)
            values[LAST] = graph.call_function(call.function, tuple(arguments), dict(call.keywords))
            values[LAST].meta = dict(last.meta)
    last.replace_all_uses_with(values[LAST])
    for node in reversed(group.nodes):
        graph.erase_node(node)


# Ways ----------------------------------------------------------------------------------------------------------------


def ways(program: Program, group: Group, fusing: bool) -> list[str]:
    """Names of the ways to compute a group, the plain one first; with `fusing` oneDNN's operators may be used."""
    layer, shape = group.layer, group.layer.meta["shape"]
    found = [PLAIN]
    if layer.target is functional.batch_norm:
        found.append(SCALED)
    elif layer.meta["dtype"] != torch.float32 and prod(shape) == shape[0] * shape[1]:
        found.append(SINGLE)  # so few numbers that it is the call that takes time
    if fusing and layer.target is functional.linear:
        found.append(FUSED)
    elif fusing and len(shape) in CHANNELS_LAST and not isinstance(layer.args[4], str):
        found.append(FUSED)
        if layer.target in CONVOLUTIONS and _takes_single_pixels(program, layer):
            found.append(MATRIX)
    return found


def _takes_single_pixels(program: Program, layer: fx.Node) -> bool:
    """Whether a convolution is a linear layer for the channels of each pixel."""
    stride, padding, _, groups = _arguments(layer)[2:6]
    weight = program.tensor(layer.args[1])
    return bool(weight[0, 0].numel() == 1 and groups == 1 and set(stride) == {1} and set(padding) == {0})


def calls(program: Program, group: Group, way: str) -> list[Call]:
    """How to compute a group in a way that it has."""
    return {PLAIN: _plain, FUSED: _fused, MATRIX: _matrix, SCALED: _scaled, SINGLE: _single}[way](program, group)


def _plain(program: Program, group: Group) -> list[Call]:
    layer = group.layer
    arguments = [program.tensor(a) if isinstance(a, fx.Node) else a for a in _arguments(layer)]
    if layer.target in CONVOLUTIONS and arguments[0].dim() in CHANNELS_LAST:
        arguments[0] = arguments[0].contiguous(memory_format=CHANNELS_LAST[arguments[0].dim()])
    return [Call(_function(layer), (INPUT, *arguments)), *_after(group)]


def _function(layer: fx.Node) -> Callable[..., torch.Tensor]:
    assert callable(layer.target)
    return layer.target


def _arguments(layer: fx.Node) -> tuple[Any, ...]:
    """What a layer takes besides its input."""
    return layer.args[1:]


def _scaled(program: Program, group: Group) -> list[Call]:
    axes = (1, -1, *(1,) * (len(group.layer.meta["shape"]) - 2))
    scale, shift = (number.view(axes) for number in affine(program, group.layer))
    return [Call(torch.addcmul, (shift, INPUT, scale)), *_after(group)]


def _after(group: Group) -> list[Call]:
    """What follows a layer, one call each, written over its result."""
    calls = [] if group.sum is None else [Call(operator.iadd, (LAST, OTHER))]
    if group.activation is not None:
        function, keywords = overwriting(group.activation.target)
        calls.append(Call(function, (LAST, *group.activation.args[1:]), keywords))
    return calls


def overwriting(activation: Any) -> tuple[Any, dict[str, Any]]:
    """The function that writes an activation over its input, and its keywords; gelu has none."""
    if activation in (torch.sigmoid, torch.tanh):
        return torch.sigmoid_ if activation is torch.sigmoid else torch.tanh_, {}
    return activation, {} if activation is functional.gelu else {"inplace": True}


def _single(program: Program, group: Group) -> list[Call]:
    layer = group.layer
    tensors = [program.tensor(argument) for argument in layer.args[1:3]]
    wide = [tensor if tensor is None else tensor.float() for tensor in tensors]
    before = Call(torch.Tensor.to, (INPUT, torch.float32))
    after = Call(torch.Tensor.to, (LAST, layer.meta["dtype"]))
    return [before, Call(_function(layer), (LAST, *wide, *_arguments(layer)[2:])), *_after(group), after]


def _fused(program: Program, group: Group) -> list[Call]:
    layer = group.layer
    if layer.target is functional.batch_norm:
        scale, shift = affine(program, layer)
        spatial = len(layer.meta["shape"]) - 2
        window = ([0] * spatial, [1] * spatial, [1] * spatial, len(scale))
        return _convolution(group, scale.view(-1, 1, *window[1]), shift, window)
    weight, bias = (program.tensor(argument) for argument in layer.args[1:3])
    if layer.target is functional.linear:
        return _product(group, weight, bias, torch.ops.mkldnn._linear_pointwise)
    stride, padding, dilation, groups = _arguments(layer)[2:6]
    return _convolution(group, weight, bias, (list(padding), list(stride), list(dilation), groups))


def _matrix(program: Program, group: Group) -> list[Call]:
    weight, bias = (program.tensor(argument) for argument in group.layer.args[1:3])
    return _product(group, weight.flatten(1), bias, PIXELS)


Window = tuple[list[int], list[int], list[int], int]
"""Padding, stride and dilation of a convolution, and its groups."""


def _convolution(group: Group, weight: torch.Tensor, bias: torch.Tensor | None, window: Window) -> list[Call]:
    """oneDNN's convolution, and after it what it cannot do as well."""
    operators = torch.ops.mkldnn
    packed = operators._reorder_convolution_weight(weight, *window, list(group.input.meta["shape"]))
    if group.sum is None:
        return [Call(operators._convolution_pointwise.default, (INPUT, packed, bias, *window, *_attributes(group)))]
    relu = group.activation is not None and group.activation.target is functional.relu
    added: tuple[Any, ...] = ("add", 1.0, "relu" if relu else None, [], "")
    call = Call(operators._convolution_pointwise.binary, (INPUT, OTHER, packed, bias, *window, *added))
    return [call] if relu else [call, *_after(group._replace(sum=None))]


def _product(group: Group, weight: torch.Tensor, bias: torch.Tensor | None, operators: Any) -> list[Call]:
    """oneDNN's product of matrices, and after it what it cannot do as well."""
    shape = group.layer.meta["shape"]
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), prod(shape) // len(weight))
    if group.sum is None:
        return [Call(operators.default, (INPUT, packed, bias, *_attributes(group)))]
    call = Call(operators.binary, (INPUT, OTHER, packed, bias, "add"))
    return [call, *_after(group._replace(sum=None))]


def _attributes(group: Group) -> tuple[str, list[float], str]:
    """An activation as oneDNN's operators take it."""
    if group.activation is None:
        return "none", [], ""
    activation = ACTIVATIONS[group.activation.target]
    return activation.name, activation.numbers(*group.activation.args[1:]), activation.algorithm


def pixels(x: torch.Tensor, *arguments: Any) -> torch.Tensor:
    """oneDNN's linear layer for the channels of each pixel, which lie side by side in memory."""
    result: torch.Tensor = torch.ops.mkldnn._linear_pointwise.default(x.movedim(1, -1), *arguments)
    return result.movedim(-1, 1)


def pixels_added(x: torch.Tensor, other: torch.Tensor, *arguments: Any) -> torch.Tensor:
    """The same with something added to its result."""
    binary = torch.ops.mkldnn._linear_pointwise.binary
    result: torch.Tensor = binary(x.movedim(1, -1), other.movedim(1, -1), *arguments)
    return result.movedim(-1, 1)


class Operators(NamedTuple):
    """An operator of oneDNN without and with a second input."""

    default: Callable[..., torch.Tensor]
    binary: Callable[..., torch.Tensor]


PIXELS = Operators(pixels, pixels_added)
