"""Runs the PyTorch call of one op, as data, on tensors: the smallest thing that the contract of the ops needs."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  PyTorch's own name for it
from torch import Tensor, nn

from netspec.ops.base import Call, ModuleCall, StateCall


def make_module(call: Call) -> nn.Module | None:
    """The module that a call constructs, if it is one."""
    if not isinstance(call, ModuleCall):
        return None
    package, _, name = call.target.rpartition(".")
    module: nn.Module = getattr(nn if package == "nn" else import_module(package), name)(*call.args, **call.kwargs)
    return module


def run(call: Call, module: nn.Module | None, inputs: list[Tensor], training: bool = True) -> tuple[Tensor, ...]:
    """The outputs of a call on the current default device."""
    if isinstance(call, StateCall):
        if isinstance(call.values, tuple):
            return (torch.tensor(call.values),)
        return (torch.empty(call.state.shape) if call.values is None else torch.full(call.state.shape, call.values),)
    # The code that is evaluated comes from the classes of the ops, never from a spec.
    scope: dict[str, Any] = {"torch": torch, "F": F, "module": module}
    scope |= {f"x{i}": tensor for i, tensor in enumerate(inputs)}
    code = f"module({call.takes})" if isinstance(call, ModuleCall) else call.code
    scope["value"] = eval(code.format(*(f"x{i}" for i in range(len(inputs))), training=training), scope)  # noqa: S307
    return tuple(eval(template.format("value"), scope) for template in call.gives)  # noqa: S307
