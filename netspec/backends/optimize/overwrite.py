"""A result takes the memory of an input that nothing reads any more, where the program's order allows it.

New memory is not free: pages of a large tensor are handed out by the operating system and filled with zeros first.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx
from torch.nn import functional

from netspec.backends.optimize.fusion import ACTIVATIONS, overwriting
from netspec.backends.optimize.tracing import Program, makes_new

OVER_FIRST = {operator.add: operator.iadd, operator.mul: operator.imul}
"""Functions that write the result of another over its first input."""


def overwrite(program: Program) -> None:
    """Let sums, products, activations and fused residuals write over an input where its memory is free."""
    order = {node: position for position, node in enumerate(program.graph.nodes)}
    own: set[fx.Node] = set()  # values that have memory to themselves
    for node in program.graph.nodes:
        if node.op not in ("call_function", "call_method"):
            continue
        if makes_new(node) or (_is_over_first(node) and node.args[0] in own):
            own.add(node)
        over = next((term for term in _candidates(node) if term in own and _dies(term, node, order)), None)
        if over is not None and _same(over, node):
            _write_over(node, over)


def _is_over_first(node: fx.Node) -> bool:
    """Whether a node writes over its first input already."""
    functions = (*OVER_FIRST.values(), torch.sigmoid_, torch.tanh_)
    return node.target in functions or node.kwargs.get("inplace") is True


def _candidates(node: fx.Node) -> list[fx.Node]:
    """The inputs that a node's function could write its result over."""
    terms: Any = ()
    if node.kwargs:
        return []
    if node.target in OVER_FIRST and len(node.args) == 2:
        terms = node.args
    elif node.target in ACTIVATIONS and node.target is not functional.gelu:
        terms = node.args[:1]
    elif node.target is torch.ops.mkldnn._convolution_pointwise.binary and node.args[1] is not node.args[0]:
        terms = node.args[1:2]  # what a convolution reads itself it needs until the end
    return [term for term in terms if isinstance(term, fx.Node)]


def _dies(value: fx.Node, node: fx.Node, order: dict[fx.Node, int]) -> bool:
    """Whether `node` is the last to read a value, and no other reader has handed out its memory."""
    others = (user for user in value.users if user is not node)
    return all(order[user] < order[node] and makes_new(user) for user in others)


def _same(value: fx.Node, node: fx.Node) -> bool:
    """Whether a result has the type of a value for whatever input the network takes."""
    shape = value.meta.get("shape", ())
    equal = shape == node.meta.get("shape") and value.meta.get("dtype") == node.meta.get("dtype")
    return bool(equal and 1 not in shape[2:])  # an axis of length 1 may be broadcast for another input


def _write_over(node: fx.Node, over: fx.Node) -> None:
    if node.target in OVER_FIRST:
        first, second = node.args
        node.args = (over, second if first is over else first)
        node.target = OVER_FIRST[node.target]
    elif node.target in ACTIVATIONS:
        node.target, node.kwargs = overwriting(node.target)
    else:
        x, other, *rest = node.args
        node.target, node.args = torch.ops.mkldnn._convolution_pointwise_.binary, (other, x, *rest)
