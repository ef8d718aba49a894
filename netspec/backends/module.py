"""Graph in, `nn.Module` out.

A list becomes an `nn.Sequential`, a mapping a module of a generated class with straight-line `forward`, and an op the
PyTorch module it names; an op that is a function becomes a line of the `forward` around it. Generated classes are
restored from their source when a module is copied or unpickled, so every part of the tree can live on its own.
"""

from __future__ import annotations

import linecache
from collections import OrderedDict, namedtuple
from contextlib import ExitStack
from functools import cache, lru_cache
from hashlib import sha256
from importlib import import_module
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from netspec.backends.forward import Forward, body_forward, call_forward
from netspec.graph import Body, Graph, Node
from netspec.ops.base import ModuleCall, StateCall


def to_module(graph: Graph, *, seed: int | None = None, device: str | None = None) -> nn.Module:
    """Build the network in training mode, as PyTorch does.

    Weights are drawn as PyTorch's constructors draw them, then by the graph's initializers in the order of
    `modules()`. With `seed` they are reproducible and the global random state is left alone.
    """
    with ExitStack() as stack:
        if seed is not None:
            stack.enter_context(torch.random.fork_rng(devices=[]))
            torch.manual_seed(seed)
        if device is not None:
            stack.enter_context(torch.device(device))
        module = _body_module(graph.root, graph.name)
        for assignment in graph.initializers:
            owner: Any = module.get_submodule(assignment.path.rpartition(".")[0])
            held = getattr(owner, assignment.path.rpartition(".")[2])
            parameter = held if isinstance(held, nn.Parameter) else held.get_parameter(assignment.parameter)
            function = getattr(nn.init, assignment.initializer.function)
            function(parameter, **assignment.initializer.arguments())
    return module


# Modules -------------------------------------------------------------------------------------------------------------


def _body_module(body: Body, name: str) -> nn.Module:
    if body.form == "chain":
        return nn.Sequential(OrderedDict((node.name, _chain_module(node)) for node in body.nodes))
    kind = name if body.kind in ("graph", "branches", "repeat") else body.kind
    module = _generated_class(_ClassRecord(_class_name(kind), "nn.Module", _forward(body)))()
    for node in body.nodes:
        if not node.shares:
            _attach(module, node)
    return module


@lru_cache(maxsize=4096)
def _forward(body: Body) -> Forward:
    return body_forward(body)


def _attach(module: nn.Module, node: Node) -> None:
    if isinstance(node.target, Body):
        module.add_module(node.name, _body_module(node.target, node.name))
        return
    call = node.target.torch(*node.input_types)
    if isinstance(call, ModuleCall):
        module.add_module(node.name, _resolve(call.target)(*call.args, **call.kwargs))
    elif isinstance(call, StateCall):
        dtype = getattr(torch, call.state.dtype)
        if call.state.trainable:
            module.register_parameter(node.name, nn.Parameter(torch.zeros(call.state.shape, dtype=dtype)))
        else:
            values = torch.tensor(call.values, dtype=dtype).expand(call.state.shape).clone()
            module.register_buffer(node.name, values, persistent=call.state.persistent)


def _chain_module(node: Node) -> nn.Module:
    """A module for a node of a chain, where everything must be one."""
    if isinstance(node.target, Body):
        return _body_module(node.target, f"{node.kind}{node.name}")
    call = node.target.torch(*node.input_types)
    if isinstance(call, ModuleCall):
        if call.plain:
            made: nn.Module = _resolve(call.target)(*call.args, **call.kwargs)
            return made
        record = _ClassRecord(call.target.rpartition(".")[2], call.target, call_forward(call, call.target))
        return _generated_class(record)(*call.args, **call.kwargs)
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
    cls: type[nn.Module] = type(record.name, bases, attributes)
    return cls
