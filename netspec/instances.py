"""Name, arguments and input types of an op in, a validated op and what it gives out: the part of elaborating a node
that no spec has a say in.

So it is kept for as long as the process runs, up to a bound, and every network has it for nothing that has such a node
again: the copies of a block, the next variant of a network, the next network of its family.
"""

from __future__ import annotations

from functools import lru_cache
from math import inf
from operator import attrgetter
from typing import Any, NamedTuple

from netspec.expressions import types_of
from netspec.fields import create
from netspec.ops import op_class
from netspec.ops.base import Op
from netspec.scope import Instance
from netspec.shapes import TensorType

MAX_AXIS = 2**31 - 1  # length of an axis
KEPT = 8192  # ops, and instances of them, that the process remembers; an instance takes about a kilobyte

Arguments = tuple[tuple[str, Any, Any], ...]
"""Name, types and value of each argument."""


class OpInstance(NamedTuple):
    """An op for inputs of given types, and what it asks of a machine."""

    instance: Instance
    state: int  # bytes of its parameters and buffers
    largest: TensorType  # of its outputs
    demand: float  # bytes of the state or of the largest output, and infinite where an axis is too long for any


def op_instance(name: str, values: dict[str, Any], inputs: tuple[TensorType, ...]) -> OpInstance:
    """The op called `name` with these arguments, for inputs of these types. Raises `Problem`, without a place."""
    return _instance(name, tuple([(key, types_of(value), value) for key, value in values.items()]), inputs)


@lru_cache(maxsize=KEPT)
def _instance(name: str, arguments: Arguments, inputs: tuple[TensorType, ...]) -> OpInstance:
    op = _op(name, arguments)
    outputs = op.outputs(*inputs)
    state = sum([state.bytes for state in op.state(*inputs).values()])
    largest = max(outputs, key=attrgetter("bytes"))
    too_long = any(length > MAX_AXIS for type in outputs for length in type.shape)
    demand = inf if too_long else max(state, largest.bytes)
    return OpInstance(Instance(name, op, outputs, op.output_names), state, largest, demand)


@lru_cache(maxsize=KEPT)
def _op(name: str, arguments: Arguments) -> Op:
    return create(op_class(name), name, {key: value for key, _, value in arguments})
