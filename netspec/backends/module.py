"""Graph in, `nn.Module` out.

A list becomes an `nn.Sequential`, a mapping a module of a generated class with straight-line `forward`, and an op the
PyTorch module it names; an op that is a function becomes a line of the `forward` around it. Generated classes are
restored from their source when a module is copied or unpickled, so every part of the tree can live on its own.
"""

from __future__ import annotations

import gc
import linecache
from collections import namedtuple
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import cache, lru_cache
from hashlib import sha256
from importlib import import_module
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import nn
from torch.nn import functional

from netspec.backends.checkpoint import checkpoint
from netspec.backends.class_names import class_name
from netspec.backends.forward import Forward, body_forward, call_forward
from netspec.backends.in_place import modules_in_place
from netspec.backends.initial import Constructed, FilledOnce, Maker
from netspec.diagnostics import Problem, SpecError, listing, suggest
from netspec.graph import Body, Graph, Node
from netspec.ops.base import Call, FunctionCall, ModuleCall

NONE: frozenset[str] = frozenset()

Init = Literal["once", "pytorch"]
"""How initial weights are drawn: each once, or as often as PyTorch's constructors do, with their random numbers."""


def to_module(
    graph: Graph,
    *,
    init: Init = "once",
    seed: int | None = None,
    device: str | None = None,
    given: Mapping[str, torch.Tensor] = MappingProxyType({}),
) -> nn.Module:
    """Build the network in training mode, as PyTorch does.

    With `init="once"` a tensor is made on its device and filled by the one initializer that has the last word on it;
    `given` are tensors to take instead, by key. With `init="pytorch"` constructors fill their tensors, and the graph's
    initializers fill them again when the body that brings them is complete, in the order of `modules()`: under one seed
    the numbers are those of a module written by hand. With `seed` weights are reproducible, and the global random state
    is left alone.
    """
    if init not in get_args(Init):
        message = f"`init` is {listing(get_args(Init), 'or')}, got `{init}`"
        raise SpecError([Problem("wrong-value", message, help=suggest(str(init), get_args(Init))).at(None)])
    place = torch.device(device) if device is not None else torch.get_default_device()
    with seeded(seed, place), _collector_paused(), torch.no_grad():
        if init == "once" or place.type == "meta":
            return assembled(graph, FilledOnce(graph, place, given))
        with nullcontext() if device is None else place:
            return assembled(graph, Constructed(graph, place))


@contextmanager
def seeded(seed: int | None, place: torch.device) -> Iterator[None]:
    """Draw from `seed`, and put the random state back."""
    if seed is None or place.type == "meta":
        yield
    elif place.type == "cpu":
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            yield
    else:
        devices = range(torch.get_device_module(place.type).device_count())
        with torch.random.fork_rng(devices, device_type=place.type):
            torch.manual_seed(seed)
            yield


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Keep Python from looking for garbage in a network that is being made: there is none, and it takes long."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def freeze_parameters(module: nn.Module, keys: Collection[str]) -> None:
    """Take the parameters of these names out of training."""
    for name, parameter in module.named_parameters(remove_duplicate=False):
        if name in keys:
            parameter.requires_grad_(False)


# Modules -------------------------------------------------------------------------------------------------------------


def assembled(graph: Graph, make: Maker) -> nn.Module:
    """The modules of a network, put together without recursion: it may be of any depth."""
    checkpointed = graph.checkpointed()
    root = _empty(graph.root, graph.name, _inside(graph.root, "", checkpointed))
    pending: list[tuple[nn.Module, str, Node | Body]] = [(root, "", graph.root)]  # a body, once its module is complete
    pending.extend((root, "", node) for node in reversed(graph.root.nodes))
    while pending:
        owner, prefix, node = pending.pop()
        if isinstance(node, Body):
            for name in modules_in_place(node, _inside(node, prefix, checkpointed)):
                activation: Any = owner.get_submodule(name)
                activation.inplace = True
            make.complete(owner, prefix[:-1])
        elif node.shares:
            continue
        elif isinstance(node.target, Body):
            inside = f"{prefix}{node.name}."
            child = _empty(node.target, _kind_of(node), _inside(node.target, inside, checkpointed))
            holder, name = _holder(owner, node.name)
            holder.add_module(name, child)
            pending.append((child, inside, node.target))
            pending.extend((child, inside, inner) for inner in reversed(node.target.nodes))
        else:
            _attach(owner, node, prefix + node.name, make)
    return root


def _inside(body: Body, prefix: str, checkpointed: frozenset[str]) -> frozenset[str]:
    """Names of the nodes of a body that are `checkpointed`; their paths begin with `prefix`."""
    return frozenset(node.name for node in body.nodes if prefix + node.name in checkpointed) if checkpointed else NONE


def _empty(body: Body, name: str, checkpointed: frozenset[str]) -> nn.Module:
    """The module of a body, without what it holds; `name` names the class of one that is no block."""
    if body.form == "chain" and not checkpointed:
        return nn.Sequential()
    kind = name if body.kind in ("graph", "branches", "repeat") else body.kind
    base = "nn.Sequential" if body.form == "chain" else "nn.Module"
    return _generated_class(_ClassRecord(class_name(kind), base, _forward(body, checkpointed)))()


@lru_cache(maxsize=4096)
def _forward(body: Body, checkpointed: frozenset[str]) -> Forward:
    return body_forward(body, checkpointed)


def _attach(owner: nn.Module, node: Node, path: str, make: Maker) -> None:
    """Give `owner` what the op at `path` needs of it: a child, a parameter, a buffer, or nothing."""
    assert not isinstance(node.target, Body)
    call = node.target.torch(*node.input_types)
    if isinstance(owner, nn.Sequential):
        owner.add_module(node.name, _in_chain(call, node, path, make))
    elif not isinstance(call, FunctionCall):
        holder, name = _holder(owner, node.name)
        if isinstance(call, ModuleCall):
            holder.add_module(name, make.module(_resolve(call.target), call, node, path))
        elif call.state.trainable:
            holder.register_parameter(name, make.parameter(call.state, path))
        else:
            holder.register_buffer(name, make.constant(call, path), persistent=call.state.persistent)


def _holder(module: nn.Module, name: str) -> tuple[nn.Module, str]:
    """What is to hold a node, and under which name: dots lead through modules that only hold others."""
    *holders, name = name.split(".")
    for holder in holders:
        if not hasattr(module, holder):
            module.add_module(holder, nn.Module())
        module = module.get_submodule(holder)
    return module, name


def _in_chain(call: Call, node: Node, path: str, make: Maker) -> nn.Module:
    """The module of an op in a chain, where everything must be one, from one input to one output."""
    if isinstance(call, ModuleCall) and call.plain:
        return make.module(_resolve(call.target), call, node, path)
    if isinstance(call, ModuleCall):
        record = _ClassRecord(call.target.rpartition(".")[2], call.target, call_forward(call, call.target))
        return make.module(_generated_class(record), call, node, path)
    return _generated_class(_ClassRecord(class_name(node.kind), "nn.Module", call_forward(call, "nn.Module")))()


def _resolve(target: str) -> Any:
    """The class that a dotted name such as `nn.Conv2d` or `torchvision.ops.StochasticDepth` names."""
    owner, _, name = target.rpartition(".")
    return getattr(nn if owner == "nn" else import_module(owner), name)


def _kind_of(node: Node) -> str:
    """What to call the class of a group of nodes, which has a name of its own or a number."""
    return (f"{node.kind}{node.name}" if node.name[0].isdigit() else node.name).replace(".", "_")


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
    if "checkpoint(" in forward.source:
        variables["checkpoint"] = checkpoint
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
