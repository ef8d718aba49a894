"""Graph in, `nn.Module` out.

A list becomes an `nn.Sequential`, a mapping a module of a generated class with straight-line `forward`, and an op the
PyTorch module it names; an op that is a function becomes a line of the `forward` around it. Generated classes are
restored from their source when a module is copied or unpickled, so every part of the tree can live on its own.
"""

from __future__ import annotations

import linecache
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from functools import cache, lru_cache
from hashlib import sha256
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from netspec.backends.forward import Forward, body_forward, call_forward
from netspec.graph import Body, Graph, Node
from netspec.ops.base import FunctionCall, ModuleCall

if TYPE_CHECKING:
    from netspec.initialize import Assignment


def to_module(graph: Graph, *, seed: int | None = None, device: str | None = None) -> nn.Module:
    """Build the network in training mode, as PyTorch does.

    Weights are drawn as PyTorch's constructors draw them. The graph's initializers act when the body that brings them
    is built, in the order of `modules()`. With `seed` weights are reproducible and the global random state is left
    alone.
    """
    with ExitStack() as stack:
        if seed is not None:
            stack.enter_context(torch.random.fork_rng(devices=[]))
            torch.manual_seed(seed)
        if device is not None:
            stack.enter_context(torch.device(device))
        acting: dict[str, list[Assignment]] = {}
        for assignment in graph.initializers:
            acting.setdefault(assignment.owner, []).append(assignment)
        return body_module(graph.root, graph.name, "", acting)


def initialize(module: nn.Module, path: str, assignment: Assignment) -> None:
    """Fill the parameter of an assignment in what stands at `path` of `module`."""
    owner: Any = module.get_submodule(path.rpartition(".")[0])
    held = getattr(owner, path.rpartition(".")[2])
    parameter = held if isinstance(held, nn.Parameter) else held.get_parameter(assignment.parameter)
    getattr(nn.init, assignment.initializer.function)(parameter, **assignment.initializer.arguments())


def freeze_parameters(module: nn.Module, keys: Collection[str]) -> None:
    """Take the parameters of these names out of training."""
    for name, parameter in module.named_parameters(remove_duplicate=False):
        if name in keys:
            parameter.requires_grad_(False)


# Modules -------------------------------------------------------------------------------------------------------------


Acting = Mapping[str, Sequence["Assignment"]]
"""Initializers by the path of the body, or of the learned parameter, that they act with."""

Constructor = Callable[[type[nn.Module], ModuleCall], nn.Module]
"""Makes the module of an op."""


def construct(cls: type[nn.Module], call: ModuleCall) -> nn.Module:
    """The module of an op, as its own constructor makes it."""
    return cls(*call.args, **call.kwargs)


def body_module(
    body: Body, name: str, path: str = "", acting: Acting = MappingProxyType({}), make: Constructor = construct
) -> nn.Module:
    """The module of the body at `path`; `name` names the class of one that is no block."""
    prefix = f"{path}." if path else ""
    module: nn.Module
    if body.form == "chain":
        children = ((node.name, _chain_module(node, prefix + node.name, acting, make)) for node in body.nodes)
        module = nn.Sequential(OrderedDict(children))
    else:
        kind = name if body.kind in ("graph", "branches", "repeat") else body.kind
        module = _generated_class(_ClassRecord(_class_name(kind), "nn.Module", _forward(body)))()
        for node in body.nodes:
            if not node.shares:
                attach(module, node, prefix + node.name, acting, make)
    for assignment in acting.get(path, ()):
        initialize(module, assignment.path.removeprefix(prefix), assignment)
    return module


@lru_cache(maxsize=4096)
def _forward(body: Body) -> Forward:
    return body_forward(body)


def attach(
    module: nn.Module,
    node: Node,
    path: str = "",
    acting: Acting = MappingProxyType({}),
    make: Constructor = construct,
) -> None:
    """Give `module` what the node at `path` needs of it: a child, a parameter, a buffer, or nothing."""
    call = node.target if isinstance(node.target, Body) else node.target.torch(*node.input_types)
    if isinstance(call, FunctionCall):
        return
    *holders, name = node.name.split(".")
    for holder in holders:
        if not hasattr(module, holder):
            module.add_module(holder, nn.Module())
        module = module.get_submodule(holder)
    if isinstance(call, Body):
        class_name = f"{node.kind}{node.name}" if node.name[0].isdigit() else node.name
        module.add_module(name, body_module(call, class_name.replace(".", "_"), path, acting, make))
    elif isinstance(call, ModuleCall):
        module.add_module(name, make(_resolve(call.target), call))
    else:
        dtype = getattr(torch, call.state.dtype)
        if call.state.trainable:
            module.register_parameter(name, nn.Parameter(torch.zeros(call.state.shape, dtype=dtype)))
            for assignment in acting.get(path, ()):
                initialize(module, name, assignment)
        else:
            values = torch.tensor(call.values, dtype=dtype).expand(call.state.shape).clone()
            module.register_buffer(name, values, persistent=call.state.persistent)


def _chain_module(node: Node, path: str, acting: Acting, make: Constructor) -> nn.Module:
    """A module for the node at `path` of a chain, where everything must be one."""
    if isinstance(node.target, Body):
        return body_module(node.target, f"{node.kind}{node.name}", path, acting, make)
    call = node.target.torch(*node.input_types)
    if isinstance(call, ModuleCall):
        if call.plain:
            return make(_resolve(call.target), call)
        record = _ClassRecord(call.target.rpartition(".")[2], call.target, call_forward(call, call.target))
        return make(_generated_class(record), call)
    return _generated_class(_ClassRecord(_class_name(node.kind), "nn.Module", call_forward(call, "nn.Module")))()


def _resolve(target: str) -> Any:
    """The class that a dotted name such as `nn.Conv2d` or `torchvision.ops.StochasticDepth` names."""
    owner, _, name = target.rpartition(".")
    return getattr(nn if owner == "nn" else import_module(owner), name)


def _class_name(name: str) -> str:
    """`conv_norm_act` as `ConvNormAct`."""
    return "".join(part[:1].upper() + part[1:] for part in name.replace("-", "_").split("_"))


# Generated classes ---------------------------------------------------------------------------------------------------


class _ClassRecord(NamedTuple):
    """All it takes to make a generated class again: its name, its base by dotted name, and its `forward`."""

    name: str
    base: str
    forward: Forward


class _Generated:
    """Mixed into every generated class, so that modules can be copied and pickled although no import finds it."""

    _netspec_record: _ClassRecord

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return _restore, (self._netspec_record,), self.__getstate__()


def _restore(record: _ClassRecord) -> Any:
    cls = _generated_class(record)
    return cls.__new__(cls)


@cache
def _generated_class(record: _ClassRecord) -> type[nn.Module]:
    """The class of a record. Its source is registered with `linecache`, so tracebacks and `inspect` show it."""
    forward = record.forward
    digest = sha256(repr(record).encode()).hexdigest()[:8]
    filename = f"<netspec {record.name} {digest}>"
    linecache.cache[filename] = (len(forward.source), None, forward.source.splitlines(keepends=True), filename)
    variables: dict[str, Any] = {"torch": torch, "nn": nn, "F": functional, "__name__": __name__}
    if forward.fields:
        variables["Outputs"] = namedtuple(f"{record.name}Outputs", forward.fields)
        variables["EvalOutputs"] = namedtuple(f"{record.name}Outputs", forward.eval_fields)
    if not record.base.startswith("nn."):
        variables[record.base.partition(".")[0]] = import_module(record.base.partition(".")[0])
    exec(compile(forward.source, filename, "exec"), variables)  # noqa: S102 - names and numbers, validated
    bases = (_Generated, _resolve(record.base))
    attributes = {"forward": variables["forward"], "_netspec_record": record, "__module__": __name__}
    if record.base == "nn.Module":
        attributes["_version"] = 2  # torchvision's MNASNet takes a state_dict of version 1 for an old, faulty one
    cls: type[nn.Module] = type(record.name, bases, attributes)
    return cls
