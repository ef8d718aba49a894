"""Whether one module can do the work of two nodes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netspec.graph import Body
from netspec.limits import charge
from netspec.ops.base import Op
from netspec.shapes import TensorType

_COST_OF_CALL = 20  # steps of work to compare one PyTorch call with another


def interchangeable(
    first: Op | Body, inputs: tuple[TensorType, ...], second: Op | Body, others: tuple[TensorType, ...]
) -> bool:
    """Whether a module made for `inputs` can do the work of one made for `others`."""
    if first is second and inputs == others:
        return True
    charge(sum(_COST_OF_CALL * target.size for target in (first, second) if isinstance(target, Body)))
    return list(calls(first, inputs)) == list(calls(second, others))


def calls(target: Op | Body, inputs: tuple[TensorType, ...]) -> Iterator[Any]:
    """What makes two modules interchangeable: the PyTorch call of every op in them, with names, in order."""
    pending = [("", target, inputs)]
    while pending:
        name, target, inputs = pending.pop()
        if isinstance(target, Body):
            yield name
            pending.extend((node.name, node.target, node.input_types) for node in reversed(target.schedule))
        else:
            yield name, target.torch(*inputs)
