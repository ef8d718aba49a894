"""An op in, the same op as a person would write it out: `3` for `[3, 3]`, `padding: same` for what that word means.

Two ops that run the same PyTorch call on inputs of the same types have one canonical form, and so one signature.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from netspec.diagnostics import Problem
from netspec.ops.base import ModuleCall, Op, StateCall
from netspec.ops.convolution import Conv
from netspec.ops.pooling import AvgPool, LPPool, MaxPool
from netspec.shapes import TensorType

_PER_AXIS = ("kernel_size", "stride", "padding", "dilation", "output_padding", "output_size")
"""Fields in which one number stands for equal numbers on all axes."""


@lru_cache(maxsize=4096)
def canonical(op: Op, inputs: tuple[TensorType, ...]) -> Op:
    """The op with each field written the shortest way that means the same for inputs of these types."""
    changed = {name: _compact(op.__dict__[name]) for name in _PER_AXIS if name in op.__dict__}
    if isinstance(op, MaxPool | AvgPool | LPPool) and changed["stride"] == changed["kernel_size"]:
        changed["stride"] = None
    if isinstance(op, Conv):
        changed["padding"] = _padding(op, changed, inputs)
    if all(op.__dict__[name] == value for name, value in changed.items()):
        return op
    return type(op)(**(op.__dict__ | changed))


def _compact(value: Any) -> Any:
    if isinstance(value, tuple) and value and len(set(value)) == 1:
        return value[0] if len(value) > 1 else value
    return value


def _padding(op: Conv, fields: dict[str, Any], inputs: tuple[TensorType, ...]) -> Any:
    """`same` where the margins are those of half the dilated kernel, and 0 where there are none."""
    margins = op.torch(*inputs).kwargs.get("padding", 0)
    if margins == 0:
        return 0
    try:
        same = (
            Conv(out_channels=op.out_channels, **fields | {"padding": "same"}).torch(*inputs).kwargs.get("padding", 0)
        )
    except Problem:
        return margins
    return "same" if same == margins else margins


@lru_cache(maxsize=4096)
def signature(op: Op, inputs: tuple[TensorType, ...]) -> str:
    """What two ops have in common that do the same: class, PyTorch call and state, as text."""
    call = canonical(op, inputs).torch(*inputs)
    if isinstance(call, ModuleCall):
        options = sorted(call.kwargs.items())
        return f"{call.target}{call.args}{options}{call.takes}{call.gives}"
    if isinstance(call, StateCall):
        return f"{call.state}{call.values}"
    return f"{call.code}{call.gives}"
