"""What the nodes of a network hold, with initial values and on its device: modules of ops, parameters, constants.

`Constructed` leaves it to PyTorch's constructors, as a module written by hand does. `FilledOnce` constructs each kind
of module without memory and copies it; each tensor is made once, and filled by the initializer with the last word.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch
from torch import nn

from netspec.graph import Body, Graph, Node, node_state
from netspec.initializers import Initializer, NormalTable, TruncNormal, Zeros
from netspec.ops.base import ModuleCall, State, StateCall

if TYPE_CHECKING:
    from netspec.initialize import Assignment

KNOWN_PACKAGES = frozenset({"builtins", "torch", "torchvision", "netspec"})
"""Whose modules can be copied: what another constructor does besides holding tensors and arguments, nobody knows."""

CREATORS = {"zeros_": torch.zeros, "ones_": torch.ones}
"""Functions that make a tensor and fill it at once, by that of `torch.nn.init`."""


class Maker(Protocol):
    """Makes what nodes hold, in the order of the file."""

    def module(self, cls: type[nn.Module], call: ModuleCall, node: Node, path: str) -> nn.Module:
        """The module of the op at `path`."""

    def parameter(self, state: State, path: str) -> nn.Parameter:
        """The learned parameter at `path`."""

    def constant(self, call: StateCall, path: str) -> torch.Tensor:
        """The constant at `path`."""

    def complete(self, module: nn.Module, path: str) -> None:
        """Do what comes last in a constructor; `module` is that of the body at `path`, and has its children."""


class Constructed:
    """Makes modules by their constructors. Rules fill what the body that brings them holds, once it is complete."""

    def __init__(self, graph: Graph, place: torch.device) -> None:
        self.place = place
        self.acting: dict[str, list[Assignment]] = {}
        for assignment in graph.initializers:
            self.acting.setdefault(assignment.owner, []).append(assignment)

    def module(self, cls: type[nn.Module], call: ModuleCall, node: Node, path: str) -> nn.Module:
        return cls(*call.args, **call.kwargs)

    def parameter(self, state: State, path: str) -> nn.Parameter:
        parameter = nn.Parameter(torch.zeros(state.shape, dtype=_dtype(state), device=self.place))
        for assignment in self.acting.get(path, ()):
            _initialize(parameter, assignment.initializer)
        return parameter

    def constant(self, call: StateCall, path: str) -> torch.Tensor:
        return _constant(call, self.place)

    def complete(self, module: nn.Module, path: str) -> None:
        prefix = f"{path}." if path else ""
        for assignment in self.acting.get(path, ()):
            owner, _, name = assignment.path.removeprefix(prefix).rpartition(".")
            held = getattr(module.get_submodule(owner), name)
            parameter = held if isinstance(held, nn.Parameter) else held.get_parameter(assignment.parameter)
            _initialize(parameter, assignment.initializer)


class _Kind(NamedTuple):
    """Modules that are constructed alike: one without memory, if it may be copied, and what each of them holds.

    A tensor has no initializer where the constructor is to fill it.
    """

    sample: nn.Module | None
    states: tuple[tuple[str, State, Initializer | None], ...]


class FilledOnce:
    """Makes each tensor once: the one in `given` of its key, or a new one, filled by the last initializer it has."""

    def __init__(self, graph: Graph, place: torch.device, given: Mapping[str, torch.Tensor]) -> None:
        self.place = place
        self.given = given
        self.rules = {(a.path, a.parameter): a.initializer for a in graph.initializers}  # the last one stays
        self.kinds: dict[tuple[type[nn.Module], str], _Kind] = {}

    def module(self, cls: type[nn.Module], call: ModuleCall, node: Node, path: str) -> nn.Module:
        key = (cls, repr((call.args, call.kwargs)))
        if key not in self.kinds:
            self.kinds[key] = _kind(cls, call, node)
        sample, states = self.kinds[key]
        if sample is not None:
            module = _copied(sample, cls)
        else:
            with self.place:
                module = cls(*call.args, **call.kwargs)
        for name, state, default in states:
            initializer = self.rules.get((path, name), default)
            if initializer is not None or f"{path}.{name}" in self.given:
                tensor = self.tensor(f"{path}.{name}", state, initializer or Zeros())
                owner, _, own_name = name.rpartition(".")
                setattr(module.get_submodule(owner), own_name, nn.Parameter(tensor) if state.trainable else tensor)
        return module

    def parameter(self, state: State, path: str) -> nn.Parameter:
        return nn.Parameter(self.tensor(path, state, self.rules.get((path, "value"), Zeros())))

    def constant(self, call: StateCall, path: str) -> torch.Tensor:
        return self.taken(path, call.state) if path in self.given else _constant(call, self.place)

    def complete(self, module: nn.Module, path: str) -> None:
        """All is filled already."""

    def tensor(self, key: str, state: State, initializer: Initializer) -> torch.Tensor:
        """The tensor of a key: the given one, or a new one."""
        if key in self.given:
            return self.taken(key, state)
        create = torch.empty if self.place.type == "meta" else CREATORS.get(initializer.function, torch.empty)
        tensor = create(state.shape, dtype=_dtype(state), device=self.place)
        if create is torch.empty and not tensor.is_meta:
            _fill(tensor, initializer)
        return tensor

    def taken(self, key: str, state: State) -> torch.Tensor:
        return self.given[key].detach().to(_dtype(state))


def _kind(cls: type[nn.Module], call: ModuleCall, node: Node) -> _Kind:
    states = node_state(node)
    if not all(base.__module__.partition(".")[0] in KNOWN_PACKAGES for base in cls.__mro__):
        return _Kind(None, tuple((name, state, None) for name, state in states.items()))
    assert not isinstance(node.target, Body)
    initial = node.target.initial(*node.input_types)
    zeros = Zeros()
    kwargs = call.kwargs | {"device": "meta"} if states else call.kwargs
    sample = (_unfilled(cls) if states else cls)(*call.args, **kwargs)
    return _Kind(sample, tuple((name, state, initial.get(name, zeros)) for name, state in states.items()))


_UNFILLED: dict[type[nn.Module], type[nn.Module]] = {}


def _unfilled(cls: type[nn.Module]) -> type[nn.Module]:
    """The class with a constructor that fills nothing: drawing takes long even where there is no memory."""
    if cls not in _UNFILLED:
        methods = dict.fromkeys(("reset_parameters", "_reset_parameters"), lambda self: None)
        _UNFILLED[cls] = type(cls.__name__, (cls,), methods)
    return _UNFILLED[cls]


def _copied(module: nn.Module, cls: type[nn.Module]) -> nn.Module:
    """A module of class `cls` with containers of its own; its tensors are those of `module` until others come."""
    copied = cls.__new__(cls)
    for name, value in module.__dict__.items():
        copied.__dict__[name] = value.copy() if isinstance(value, (dict, list, set)) else value
    copied._modules = {name: child and _copied(child, type(child)) for name, child in module._modules.items()}
    return copied


# Tensors -------------------------------------------------------------------------------------------------------------


def _dtype(state: State) -> torch.dtype:
    """The dtype of a tensor; a float is of PyTorch's default dtype, as in its own layers."""
    dtype: torch.dtype = getattr(torch, state.dtype)
    return torch.get_default_dtype() if dtype.is_floating_point else dtype


def _constant(call: StateCall, place: torch.device) -> torch.Tensor:
    if place.type == "meta":
        return torch.empty(call.state.shape, dtype=_dtype(call.state), device=place)
    return torch.tensor(call.values, dtype=_dtype(call.state), device=place).expand(call.state.shape).clone()


def _fill(tensor: torch.Tensor, initializer: Initializer) -> None:
    """Fill a new tensor. Where a cut never acts, `trunc_normal_` draws the same in three times the time."""
    if isinstance(initializer, TruncNormal) and not initializer.cuts:
        tensor.normal_(initializer.mean, initializer.std)
    else:
        _initialize(tensor, initializer)
    if isinstance(initializer, NormalTable):
        tensor[initializer.zero_row] = 0


def _initialize(tensor: torch.Tensor, initializer: Initializer) -> None:
    getattr(nn.init, initializer.function)(tensor, **initializer.arguments())
