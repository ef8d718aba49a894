"""A function call as the recognizers see it, and what an op computes, so that both can be compared."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  the name that the code of ops has for it

from netspec.diagnostics import Problem
from netspec.graph import Value
from netspec.importing.capture.layout import Layout
from netspec.ops import op_class
from netspec.ops.base import Call as OpCall
from netspec.ops.base import ModuleCall, StateCall

if TYPE_CHECKING:
    from netspec.importing.capture.record import Recorder


class Unknown(Exception):
    """A call with a tensor that could not be imported, which has been reported."""


class Term(NamedTuple):
    """A value of the graph, how its tensor lies in the code, and the tensor as the graph has it."""

    value: Value
    layout: Layout
    tensor: Tensor | None

    @property
    def rank(self) -> int:
        """Number of axes of the tensor in the code."""
        return self.value.type.rank - self.layout.merged + (self.layout.batch is not None)


class Call(NamedTuple):
    """A call of a function of PyTorch under its plain name, such as `add` for `+` and `add_`."""

    recorder: Recorder
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def bind(self, names: str) -> dict[str, Any]:
        """The arguments by `names`, separated by spaces; what is not given is missing."""
        return dict(zip(names.split(), self.args, strict=False)) | self.kwargs

    def term(self, tensor: Any) -> Term:
        """A tensor or number as a value of the graph. Raises `Problem` where it is neither."""
        if isinstance(tensor, bool | int | float):
            return self.emit("constant", [], value=float(tensor), persistent=False)
        if not isinstance(tensor, Tensor):
            raise Problem("cannot-import", f"`{self.name}` is called with a {type(tensor).__name__} for a tensor")
        term = self.recorder.term(tensor)
        if term is None:
            raise Unknown
        return term

    def emit_all(self, kind: str, terms: list[Term], layout: Layout | None = None, **fields: Any) -> list[Term]:
        """Record an op; returns its outputs. Raises `Problem` where it does not take these inputs or fields."""
        op = op_class(kind)(**{name: _plain(value) for name, value in fields.items()})
        return self.recorder.emit(op, kind, terms, layout)

    def emit(self, kind: str, terms: list[Term], layout: Layout | None = None, **fields: Any) -> Term:
        """Record an op with one output."""
        (term,) = self.emit_all(kind, terms, layout, **fields)
        return term


def _plain(value: Any) -> Any:
    """A list as a tuple: fields are immutable."""
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else value


def computed(call: OpCall, tensors: list[Tensor | None]) -> list[Tensor | None]:
    """What the code of an op gives for tensors that lie as in the graph."""
    if isinstance(call, StateCall):
        return [torch.tensor(call.values).expand(call.state.shape)]
    scope: dict[str, Any] = {"torch": torch, "F": F}
    scope |= {f"x{number}": tensor for number, tensor in enumerate(tensors)}
    names = [f"x{number}" for number in range(len(tensors))]
    if isinstance(call, ModuleCall):
        scope["module"] = module_class(call.target)(*call.args, **call.kwargs).eval()
        code = f"module({call.takes.format(*names)})"
    else:
        code = call.code.format(*names, training=False)
    scope["result"] = eval(code, scope)  # noqa: S307  the code of an op, whose fields are validated
    return [eval(give.format("result"), scope) for give in call.gives]  # noqa: S307


def functional(call: OpCall, held: Mapping[str, Tensor], x: Tensor | None) -> Tensor:
    """What the module of an op computes with the tensors `held`."""
    assert isinstance(call, ModuleCall)
    with torch.device("meta"):
        module = module_class(call.target)(*call.args, **call.kwargs).eval()
    result: Tensor = torch.func.functional_call(module, dict(held), (x,))
    return result


def module_class(target: str) -> type[nn.Module]:
    """The class that a call of an op names."""
    package, _, name = target.rpartition(".")
    found: type[nn.Module] = getattr(nn if package == "nn" else import_module(package), name)
    return found


def same_bits(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors are equal, NaN like NaN."""
    if first.shape != second.shape:
        return False
    return torch.equal(first, second) or bool(((first == second) | (first.isnan() & second.isnan())).all())
