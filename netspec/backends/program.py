"""Graph and module in, a program that PyTorch exported out: `.pt2`, for any batch size, in eval mode.

Whoever loads it needs PyTorch and nothing else, so what a network returns as a named tuple is a plain tuple there.
"""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

from netspec.diagnostics import Problem, SpecError, first_line
from netspec.files import whole

if TYPE_CHECKING:
    from netspec.graph import Graph
    from netspec.shapes import TensorType

BATCH = "batch"  # what the axis of free length is called


class Example(NamedTuple):
    """A module in eval mode, inputs that its program is traced with, and which of their axes have any length."""

    module: nn.Module
    inputs: tuple[torch.Tensor, ...]
    free: tuple[dict[int, Any], ...]


def example(graph: Graph, module: nn.Module) -> Example:
    """What PyTorch needs to export the module of a graph. The module itself stays as it is."""
    traced = copy.copy(module)
    if graph.root.returns == "tuple":
        traced.__class__ = type(type(module).__name__, (type(module),), {"forward": _plain_forward(type(module))})
    device = next((parameter.device for parameter in module.parameters()), None)
    inputs = tuple(sample(type, 2, device) for type in graph.inputs.values())  # 1 would be taken for a fixed length
    axis = torch.export.Dim(BATCH)
    return Example(traced, inputs, tuple({0: axis} for _ in inputs))


def _plain_forward(cls: type[nn.Module]) -> Callable[..., Any]:
    """The `forward` of a class, with a plain tuple in place of a named one."""

    @wraps(cls.forward)  # PyTorch asks for the names of its arguments
    def forward(self: nn.Module, *inputs: torch.Tensor) -> Any:
        result = cls.forward(self, *inputs)
        return tuple(result) if isinstance(result, tuple) else result

    return forward


def sample(type: TensorType, batch: int, device: torch.device | None = None) -> torch.Tensor:
    """Noise of an input's type, for `batch` samples; an index into an embedding is 0."""
    shape = (batch, *type.shape)
    if type.dtype == "float32":
        return torch.randn(shape, device=device)
    return torch.zeros(shape, dtype=getattr(torch, type.dtype), device=device)


def save_program(graph: Graph, module: nn.Module, path: Path) -> None:
    """Write the program of a module to a `.pt2` file. Raises `SpecError` where PyTorch refuses it."""
    data = io.BytesIO()
    with refusals(graph, path), evaluated(module):
        traced, inputs, free = example(graph, module)
        torch.export.save(torch.export.export(traced, inputs, dynamic_shapes=free), data)
    with whole(path) as temporary:
        temporary.write_bytes(data.getbuffer())


@contextmanager
def evaluated(module: nn.Module) -> Iterator[None]:
    """The module in eval mode, and then in the mode that it had."""
    training = {child: child.training for child in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for child, mode in training.items():
            child.training = mode


@contextmanager
def refusals(graph: Graph, path: Path) -> Iterator[None]:
    """Report what PyTorch refuses to export, which it does by exceptions of any kind, without its warnings."""
    try:
        with warnings.catch_warnings(action="ignore"), torch.no_grad():
            yield
    except SpecError:
        raise
    except Exception as error:
        message = f"PyTorch cannot export `{graph.name}` to `{path}`"
        raise SpecError([Problem("export-failed", message, notes=(f"it says: {_reason(error)}",)).at(None)]) from error


def _reason(error: BaseException) -> str:
    """What an error goes back to, in a line; what lies between is PyTorch's own account of how it tried."""
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error)
