"""Module in, program out: what a module computes in eval mode, as a flat list of functions and the tensors they take.

`torch.fx` runs the module's code once with symbols for tensors, so every module whose code does not depend on the
values in them can be traced: one that netspec builds, one of torchvision, one written by hand.
"""

from __future__ import annotations

import copy
import inspect
import operator
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from netspec.diagnostics import first_line

CONTAINERS = (nn.Module, nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
"""Classes of `torch.nn` whose subclasses are code to look into. What else derives from `torch.nn` stays a module."""


class Untraceable(Exception):
    """Why a module cannot become a program."""


@dataclass(eq=False, repr=False)
class Program:
    """Straight-line code over `constants`: tensors, which `get_attr` nodes read, and modules, which others call."""

    graph: fx.Graph
    constants: dict[str, Any]

    def tensor(self, argument: Any) -> Any:
        """The tensor that an argument of a node reads, or None for an argument that is None."""
        return None if argument is None else self.constants[argument.target]

    def read(self, constant: Any, hint: str) -> fx.Node:
        """A new node that reads a new constant; the caller has said where with `inserting_before`."""
        return self.graph.create_node("get_attr", self.store(constant, hint))

    def store(self, constant: Any, hint: str) -> str:
        """The name of a constant, which is a new one where the hint is that of another."""
        name = hint.replace(".", "_")
        while self.constants.setdefault(name, constant) is not constant:
            name += "_"
        return name

    def calls(self) -> Iterator[fx.Node]:
        """The nodes that call a function, in the order they run; the graph may be changed meanwhile."""
        return (node for node in list(self.graph.nodes) if node.op == "call_function")

    def clean(self) -> None:
        """Drop the nodes that nothing reads, and the constants that no node reads."""
        for node in reversed(list(self.graph.nodes)):
            if not node.users and node.op not in ("placeholder", "output"):
                self.graph.erase_node(node)
        used = {node.target for node in self.graph.nodes if node.op in ("get_attr", "call_module")}
        self.constants = {name: constant for name, constant in self.constants.items() if name in used}


def trace(module: nn.Module) -> Program:
    """The program of a module that is in eval mode; its tensors are those of the module, which is left as it is.

    Dropout and identities are gone, layers are functions, and nothing changes a tensor in place. Raises `Untraceable`.
    """
    try:
        graph = _Tracer().trace(module)
    except Exception as error:  # whatever the module's own code raises when it meets a symbol
        raise Untraceable(f"its code cannot be traced: {first_line(error)}") from error
    program = Program(graph, {})
    copies: dict[Any, nn.Module] = {}  # of what is called twice there is one
    for node in list(graph.nodes):
        if node.op == "get_attr":
            value = operator.attrgetter(node.target)(module)
            node.target = program.store(value.detach(), node.target)
        elif node.op == "call_module" and not _lower_module(program, node, module.get_submodule(node.target)):
            if node.target not in copies:
                copies[node.target] = copy.deepcopy(module.get_submodule(node.target)).requires_grad_(False)
            node.target = program.store(copies[node.target], node.target)
    for node in list(graph.nodes):
        _normalize(node)
    for node in list(graph.nodes):
        _out_of_place(program, node)
    program.clean()
    return program


class _Tracer(fx.Tracer):
    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        """Whether a module is called rather than looked into: a layer of PyTorch, or a variant of one."""
        bases = (base for base in type(module).__mro__ if base.__module__.startswith("torch.nn."))
        return any(base not in CONTAINERS for base in bases)


# Modules become functions --------------------------------------------------------------------------------------------


def _convolution(function: Callable[..., torch.Tensor]) -> Callable[[Any], tuple[Any, ...] | None]:
    def lower(m: Any) -> tuple[Any, ...] | None:
        if m.padding_mode != "zeros":
            return None
        return function, m.weight, m.bias, m.stride, m.padding, m.dilation, m.groups

    return lower


def _transposed(function: Callable[..., torch.Tensor]) -> Callable[[Any], tuple[Any, ...]]:
    return lambda m: (function, m.weight, m.bias, m.stride, m.padding, m.output_padding, m.groups, m.dilation)


def _batch_norm(m: Any) -> tuple[Any, ...] | None:
    if m.running_mean is None:
        return None
    return functional.batch_norm, m.running_mean, m.running_var, m.weight, m.bias, False, 0.0, m.eps


Lowering = Callable[[Any], "tuple[Any, ...] | None"]
"""The function that a module calls in eval mode, and what it passes besides the input; None where it does more."""

LOWERINGS: dict[type[nn.Module], Lowering] = {
    nn.Conv1d: _convolution(functional.conv1d),
    nn.Conv2d: _convolution(functional.conv2d),
    nn.Conv3d: _convolution(functional.conv3d),
    nn.ConvTranspose1d: _transposed(functional.conv_transpose1d),
    nn.ConvTranspose2d: _transposed(functional.conv_transpose2d),
    nn.ConvTranspose3d: _transposed(functional.conv_transpose3d),
    nn.Linear: lambda m: (functional.linear, m.weight, m.bias),
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.BatchNorm3d: _batch_norm,
    nn.LayerNorm: lambda m: (functional.layer_norm, m.normalized_shape, m.weight, m.bias, m.eps),
    nn.MaxPool2d: lambda m: (
        (functional.max_pool2d, m.kernel_size, m.stride, m.padding, m.dilation, m.ceil_mode)
        if not m.return_indices
        else None
    ),
    nn.AvgPool2d: lambda m: (
        functional.avg_pool2d,
        m.kernel_size,
        m.stride,
        m.padding,
        m.ceil_mode,
        m.count_include_pad,
        m.divisor_override,
    ),
    nn.AdaptiveAvgPool2d: lambda m: (functional.adaptive_avg_pool2d, m.output_size),
    nn.Flatten: lambda m: (torch.flatten, m.start_dim, m.end_dim),
    nn.ReLU: lambda m: (functional.relu,),
    nn.ReLU6: lambda m: (functional.relu6,),
    nn.Hardtanh: lambda m: (functional.hardtanh, m.min_val, m.max_val),
    nn.LeakyReLU: lambda m: (functional.leaky_relu, m.negative_slope),
    nn.SiLU: lambda m: (functional.silu,),
    nn.Hardswish: lambda m: (functional.hardswish,),
    nn.Hardsigmoid: lambda m: (functional.hardsigmoid,),
    nn.GELU: lambda m: (functional.gelu,) if m.approximate == "none" else None,
    nn.Sigmoid: lambda m: (torch.sigmoid,),
    nn.Tanh: lambda m: (torch.tanh,),
}

NOTHING = (nn.Identity, nn.modules.dropout._DropoutNd)
"""Modules that return their input in eval mode."""


def _lower_module(program: Program, node: fx.Node, module: nn.Module) -> bool:
    """Let a node call the function of its module, or nothing where that does nothing; False where it stays a module."""
    if module._forward_hooks or module._forward_pre_hooks:
        return False
    if isinstance(module, NOTHING):
        _drop(node)
        return True
    lower = LOWERINGS.get(type(module))
    lowered = lower(module) if lower and len(node.args) == 1 and not node.kwargs else None
    if lowered is None:
        return False
    names = {id(tensor): name for name, tensor in chain(module.named_parameters(), module.named_buffers())}
    with program.graph.inserting_before(node):
        arguments = [
            program.read(argument.detach(), f"{node.name}_{names[id(argument)]}") if id(argument) in names else argument
            for argument in lowered[1:]
        ]
    node.op, node.target, node.args = "call_function", lowered[0], (node.args[0], *arguments)
    if getattr(module, "inplace", False):
        node.kwargs = {"inplace": True}
    return True


def _drop(node: fx.Node) -> None:
    """Let the readers of a node read what it reads."""
    node.replace_all_uses_with(node.args[0] if node.args else node.kwargs["input"])  # type: ignore[arg-type]
    node.graph.erase_node(node)


# One spelling for what is written in several ways --------------------------------------------------------------------

METHODS = {"relu": functional.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh}
FUNCTIONS: dict[Any, Any] = {
    torch.relu: functional.relu,
    functional.sigmoid: torch.sigmoid,
    functional.tanh: torch.tanh,
}
SUMS = {"add": operator.add, torch.add: operator.add, "mul": operator.mul, torch.mul: operator.mul}  # of two terms
IN_PLACE: dict[Any, Any] = {operator.iadd: operator.add, operator.imul: operator.mul, torch.relu_: functional.relu}
DROPOUTS = (
    *(functional.dropout, functional.dropout1d, functional.dropout2d, functional.dropout3d),
    *(functional.alpha_dropout, functional.feature_alpha_dropout),
)


def _normalize(node: fx.Node) -> None:
    """Give a call the one spelling that the passes look for; `inplace=True` marks what changes its input."""
    if node.op == "call_method":
        _normalize_method(node)
    elif node.op == "call_function":
        if node.target is operator.setitem:
            raise Untraceable("it changes a tensor in place by assigning to a part of it")
        if node.target in DROPOUTS or _is_stochastic_depth(node.target):
            _drop(node)
            return
        if node.target in IN_PLACE:
            node.target, node.kwargs = IN_PLACE[node.target], {"inplace": True}
        if node.target in SUMS and len(node.args) == 2 and not node.kwargs:
            node.target = SUMS[node.target]
        node.target = FUNCTIONS.get(node.target, node.target)
        _name_in_place(node)


def _normalize_method(node: fx.Node) -> None:
    name = str(node.target)
    if name == "view" and not any(isinstance(argument, torch.dtype) for argument in node.args):
        node.target = "reshape"  # which also takes what lies in memory in another order
    in_place = name.endswith("_") and not name.endswith("__")
    plain = name.removesuffix("_") if in_place else name
    function: Any = SUMS.get(plain) if len(node.args) == 2 and not node.kwargs else METHODS.get(plain)
    if function is not None:
        node.op, node.target, node.kwargs = "call_function", function, {"inplace": True} if in_place else {}
    elif in_place:
        raise Untraceable(f"it changes a tensor in place with `{name}`")


def _name_in_place(node: fx.Node) -> None:
    """Let `inplace`, which is the last parameter of functions that have it, be given by name, and where it is true."""
    if getattr(node.target, "__module__", "") == functional.__name__:
        parameters = list(inspect.signature(node.target).parameters)  # type: ignore[arg-type]
        if "inplace" in parameters[: len(node.args)]:
            node.args, node.kwargs = node.args[:-1], {**node.kwargs, "inplace": node.args[-1]}
    if node.kwargs.get("inplace") is False:
        node.kwargs = {name: value for name, value in node.kwargs.items() if name != "inplace"}


def _is_stochastic_depth(function: Any) -> bool:
    """Whether a function is that of torchvision, which is imported where a module uses it."""
    operators = sys.modules.get("torchvision.ops")
    return operators is not None and function is operators.stochastic_depth


# What acts in place makes a new tensor, which later readers of the old one read ---------------------------------------


def _out_of_place(program: Program, node: fx.Node) -> None:
    """Let a call that changes its input make a new tensor. Raises `Untraceable` where a view of the old may be read."""
    module = program.constants.get(str(node.target)) if node.op == "call_module" else None
    if module is None and node.kwargs.get("inplace") is not True:
        return
    if module is not None:
        if not getattr(module, "inplace", False):
            return
        module.inplace = False
    node.kwargs = {name: value for name, value in node.kwargs.items() if name != "inplace"}
    changed = node.args[0]
    assert isinstance(changed, fx.Node)

    def new(other: fx.Node) -> bool:
        module = program.constants.get(str(other.target)) if other.op == "call_module" else None
        return makes_new(other) if module is None else not isinstance(module, VIEW_MODULES)

    order = {other: position for position, other in enumerate(program.graph.nodes)}
    for user in list(changed.users):
        if order[user] > order[node]:
            user.replace_input_with(changed, node)
        elif user is not node and not new(user):
            raise Untraceable(f"it changes `{changed.name}` in place, and `{user.name}` may share its memory")
    if changed.op != "placeholder" and not new(changed):
        raise Untraceable(f"it changes `{changed.name}` in place, which may share memory with another tensor")


VIEW_MODULES = (nn.Flatten, nn.Unflatten, nn.Identity, nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle)
_VIEWS = """
    as_strided broadcast_tensors broadcast_to chunk contiguous detach diagonal expand expand_as flatten float getattr
    getitem half hsplit iadd imul moveaxis movedim narrow permute ravel real relu_ reshape reshape_as select sigmoid_
    split squeeze swapaxes swapdims t tanh_ tensor_split to transpose type type_as unbind unflatten unfold unsqueeze
    view view_as vsplit
"""
VIEW_NAMES = frozenset(_VIEWS.split())
"""Names of what may return a tensor in the memory of its input."""


def makes_new(node: fx.Node) -> bool:
    """Whether the result of a node certainly shares no memory with its inputs."""
    if node.op == "call_function":
        module = str(getattr(node.target, "__module__", None) or "torch")  # methods of tensors name no module
        known = module.startswith(("torch", "_operator", "netspec.backends"))
        return known and node.kwargs.get("inplace") is not True and _name(node.target) not in VIEW_NAMES
    return node.op == "call_method" and str(node.target) not in VIEW_NAMES


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", function))
