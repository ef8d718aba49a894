"""Small questions about the calls of modules and functions: which tensors are in them, and what they are called."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from netspec.diagnostics import Problem
from netspec.names import NAME
from netspec.ops.base import Op, StateCall
from netspec.ops.state import Constant, RelativePositionIndex, RelativePositionOffsets

DTYPES = {torch.float32: "float32", torch.int64: "int64", torch.bool: "bool"}
MOST_NUMBERS = 10_000  # of a constant that is written out


def tensors_in(data: Any) -> Iterator[Tensor]:
    """The tensors in nested lists, tuples and dicts, in order."""
    if isinstance(data, Tensor):
        yield data
    elif isinstance(data, list | tuple):
        for item in data:
            yield from tensors_in(item)
    elif isinstance(data, Mapping):
        yield from tensors_in(list(data.values()))


def arguments_of(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Tensor]:
    """The tensors that a module is called with, by the names that its `forward` has for them."""
    try:
        arguments = inspect.signature(module.forward).bind(*args, **kwargs).arguments
    except (TypeError, ValueError):
        arguments = {f"x{number}": value for number, value in enumerate((*args, *kwargs.values()))}
    found: dict[str, Tensor] = {}
    for name, value in arguments.items():
        tensors = list(tensors_in(value))
        names = [name] if len(tensors) == 1 else [f"{name}{number}" for number in range(len(tensors))]
        found |= dict(zip(names, tensors, strict=True))
    return found


def input_name(argument: str, number: int) -> str:
    """A name for an input of the network: that of the argument of `forward`, if it can be one."""
    name = argument.strip("_")
    return name if NAME.match(name) and name not in ("x", "input") else f"x{number}"


def kind_of(module: nn.Module) -> str:
    """What a body is called whose module has this class: `basic_block` for a `BasicBlock`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", type(module).__name__)
    name = words.lower().strip("_")
    return name if NAME.match(name) else "block"


def function_name(func: Any) -> str:
    """The name of a function of PyTorch without its module, such as `relu` or `__getitem__`."""
    return getattr(func, "__name__", type(func).__name__)


def constant(tensor: Tensor, persistent: bool) -> Constant:
    """The op of a tensor that is not learned. Raises `Problem` where it cannot be written down."""
    if tensor.dtype != torch.float32:
        message = f"a constant of dtype {str(tensor.dtype).removeprefix('torch.')} has no op"
        raise Problem("cannot-import", message)
    shape = tuple(tensor.shape)
    first = tensor.flatten()[0].item() if tensor.numel() else 0.0
    if bool((tensor == first).all()):
        fields = {"value": first} if not shape else {"shape": shape, "fill": first}
        return Constant(**fields, persistent=persistent)
    if tensor.numel() > MOST_NUMBERS:
        message = f"a constant of {tensor.numel():,} numbers is too long for a text"
        raise Problem("cannot-import", message)
    return Constant(value=_nested(tensor.tolist()), persistent=persistent)


def _nested(numbers: Any) -> Any:
    return tuple(map(_nested, numbers)) if isinstance(numbers, list) else numbers


def relative_positions(tensor: Tensor) -> tuple[Op, str] | None:
    """The op, and its name, of a table of relative positions in a square window; None where it is none."""
    found: list[tuple[Op, str]] = []
    if tensor.dtype == torch.int64 and tensor.dim() in (1, 2):
        size = round(tensor.numel() ** 0.25)
        index = RelativePositionIndex(window_size=(max(size, 1),), flatten=tensor.dim() == 1)
        found.append((index, "relative_position_index"))
    elif tensor.dtype == torch.float32 and tensor.dim() == 4 and min(tensor.shape[1:3]) > 2:
        window = tuple((size + 1) // 2 for size in tensor.shape[1:3])
        found.append((RelativePositionOffsets(window_size=window), "relative_position_offsets"))
    for op, kind in found:
        if op.outputs()[0].shape == tuple(tensor.shape):
            call = op.torch()
            assert isinstance(call, StateCall)
            if torch.equal(torch.tensor(call.values), tensor):
                return op, kind
    return None
