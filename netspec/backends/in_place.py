"""Which nodes of a body write their result over an input, as code written by hand does: memory is touched once less.

A body in, nodes with the number of that input out. The input is a tensor that a layer made, which nothing else reads
and no derivative needs, so values and gradients are those of a new result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from netspec.graph import Body, Node, Value
from netspec.ops.base import FunctionCall, ModuleCall

MAKERS = frozenset({"convolution", "linear", "merge", "normalization", "pooling"})
"""Categories of ops whose result never lies in the memory of an input."""

FOLLOWERS = frozenset({"activation", "merge", "regularization"})
"""Categories of ops whose result has its axes in the order in memory that their first input has."""


@lru_cache(maxsize=4096)
def in_place(body: Body, checkpointed: frozenset[str] = frozenset()) -> Mapping[Node, int]:
    """The nodes that write over an input, each with its number; those `checkpointed` need it again in the end."""
    found: dict[Node, int] = {}
    for node in body.schedule:
        number = _writes_over(node, body)
        if number is not None and node.name not in checkpointed:
            found[node] = number
    calls = Counter(node.shares or node.name for node in body.nodes)
    agreed = Counter(node.shares or node.name for node in found)
    return {node: number for node, number in found.items() if agreed[name := node.shares or node.name] == calls[name]}


@lru_cache(maxsize=4096)
def modules_in_place(body: Body, checkpointed: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """Names of the children that are to have `inplace`."""
    found = in_place(body, checkpointed)
    return tuple(node.name for node in found if not node.shares and isinstance(_call(node), ModuleCall))


def statement(node: Node, over: int) -> str | None:
    """The statement over the inputs `{0}`, `{1}` ... of a function that writes `over` the input of that number."""
    call = _call(node)
    return call.in_place[over] if isinstance(call, FunctionCall) else None


def _call(node: Node) -> object:
    return None if isinstance(node.target, Body) else node.target.torch(*node.input_types)


def _writes_over(node: Node, body: Body) -> int | None:
    call = _call(node)
    if node.training_only or not isinstance(call, ModuleCall | FunctionCall):
        return None
    for number in range(len(call.in_place)) if isinstance(call, FunctionCall) else range(call.in_place):
        value = node.inputs[number]
        if number and _is_rearranged(node.inputs[0], body):
            return None
        if value.type == node.outputs[0].type and _is_free(value, body):
            return number
    return None


def _is_rearranged(value: Value, body: Body) -> bool:
    """Whether an op has moved its axes: memory of a new sum would be in that order, as it follows the first input."""
    while (maker := _traffic(body).makers.get(value)) is not None:
        target = maker.target
        if isinstance(target, Body):
            body, value = target, target.outputs[0].value
        elif target.category in FOLLOWERS and maker.inputs:
            value = maker.inputs[0]
        else:
            return target.category == "reshape"
    return False


def _is_free(value: Value, body: Body) -> bool:
    """Whether a layer made the tensor, nothing but one reader gets it, and no derivative needs it."""
    while True:
        traffic = _traffic(body)
        maker = traffic.makers.get(value)
        if maker is None or traffic.uses[value] != 1:
            return False
        target = maker.target
        if isinstance(target, Body):
            if target.returns != "bare" or len(target.outputs) != 1:
                return False
            body, value = target, target.outputs[0].value
        elif target.category == "regularization":  # in eval mode it returns its input
            value = maker.inputs[0]
        else:
            return target.category in MAKERS and not target.memory(*maker.input_types).output


class _Traffic(NamedTuple):
    """Who makes each value of a body, and how many read it, those outside the body included."""

    makers: Mapping[Value, Node]
    uses: Counter[Value]


@lru_cache(maxsize=4096)
def _traffic(body: Body) -> _Traffic:
    uses = Counter(value for node in body.schedule for value in node.inputs)
    uses.update(output.value for output in body.outputs)
    return _Traffic({value: node for node in body.schedule for value in node.outputs}, uses)
