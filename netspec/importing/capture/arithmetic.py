"""Functions that compute element by element, and products of matrices, to ops."""

from __future__ import annotations

from math import frexp, isqrt
from typing import Any

import torch
from torch import Tensor

from netspec.diagnostics import Problem
from netspec.importing.capture.axes import permuted
from netspec.importing.capture.calls import Call, Term
from netspec.importing.capture.layout import Layout
from netspec.importing.capture.modules import compact
from netspec.ops import op_class


def _pair(call: Call, kind: str, first: Any, second: Any) -> Term:
    """An elementwise op on two terms, which must lie alike."""
    terms = [term if isinstance(term, Term) else call.term(term) for term in (first, second)]
    layouts = {term.layout for term in terms if term.value.type.batched}
    if len(layouts) > 1:
        raise Problem("cannot-import", "the batch is another axis of the one tensor than of the other")
    return call.emit(kind, terms)


def _operands(call: Call) -> tuple[Any, Any]:
    given = call.bind("input other")
    if given.get("alpha", 1) != 1 or given.get("rounding_mode") is not None:
        raise Problem("cannot-import", f"`{call.name}` with these options has no op")
    return given["input"], given["other"]


def add(call: Call) -> Term:
    first, second = _operands(call)
    masked = _masked(call, first, second)
    return masked if masked is not None else _pair(call, "add", first, second)


def _masked(call: Call, scores: Any, mask: Any) -> Term | None:
    """Scores of attention plus a constant mask of windows that lie across the seam of a roll; None where it is none."""
    rolled = call.recorder.rolled
    if rolled is None or not isinstance(mask, Tensor) or call.recorder.depends(mask) or mask.dim() < 3:
        return None
    length = mask.shape[-1]
    apart = (mask != 0).reshape(-1, mask.shape[-2], length)
    window, penalty = isqrt(length), float(mask.min())
    if window**2 != length or mask.shape[-2] != length or not torch.equal(mask, penalty * (mask != 0)):
        return None
    x, shifts, dims = rolled
    segments = call.emit("roll_segments", [x], Layout(None), shifts=shifts, dims=dims)
    if any(side % window for side in segments.value.type.shape):
        return None
    numbers = call.emit("window_partition", [segments], window_size=(window, window))
    found = numbers.tensor
    if found is None or not torch.equal(found.unsqueeze(-1) != found.unsqueeze(-2), apart):
        return None
    heads = call.emit("unsqueeze", [numbers], dim=1)
    return call.emit("mask_segments", [call.term(scores), heads], penalty=-penalty)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def subtract(call: Call, reverse: bool = False) -> Term:
    first, second = _operands(call)
    if reverse:
        first, second = second, first
    if _is_number(second):
        return _pair(call, "add", first, -second)
    if _is_number(first):
        negative = call.emit("times", [call.term(second)], factor=-1.0)
        return call.emit("add", [negative, call.term(first)])
    return _pair(call, "sub", first, second)


def multiply(call: Call) -> Term:
    first, second = _operands(call)
    if _is_number(first):
        first, second = second, first
    if _is_number(second):
        return call.emit("times", [call.term(first)], factor=float(second))
    return _pair(call, "mul", first, second)


def divide(call: Call) -> Term:
    first, second = _operands(call)
    if not _is_number(second) or abs(frexp(second)[0]) != 0.5:
        raise Problem(
            "cannot-import",
            "a division has no op, unless it is by a power of two",
            help=("multiply by the reciprocal",),
        )
    return call.emit("times", [call.term(first)], factor=1.0 / second)


def add_product(call: Call) -> Term:
    given = call.bind("input tensor1 tensor2")
    if given.get("value", 1) != 1:
        raise Problem("cannot-import", f"`{call.name}` with a `value` has no op")
    return _pair(call, "add", given["input"], _pair(call, "mul", given["tensor1"], given["tensor2"]))


def negate(call: Call) -> Term:
    return call.emit("times", [call.term(call.args[0])], factor=-1.0)


def power(call: Call) -> Term:
    given = call.bind("input exponent")
    if given["exponent"] != 2:
        raise Problem("cannot-import", f"the power {given['exponent']} has no op")
    x = call.term(given["input"])
    return call.emit("mul", [x, x])


def clamp(call: Call) -> Term:
    given = call.bind("input min max")
    limits = {name: given.get(name) for name in ("min", "max")}
    if any(isinstance(limit, Tensor) for limit in limits.values()):
        raise Problem("cannot-import", "limits that are tensors have no op")
    limits = {name: None if limit is None else float(limit) for name, limit in limits.items()}
    return call.emit("clamp", [call.term(given["input"])], **limits)


def pointwise(call: Call, kind: str, names: str) -> Term:
    """A function of one tensor whose other arguments are fields; how it is carried out is none."""
    given = call.bind(f"input {names}")
    x = call.term(given.pop("input"))
    known = op_class(kind).fields()
    fields = {name: compact(value) for name, value in given.items() if name in known and value is not None}
    if "dim" in known:
        dim = given.get("dim", known["dim"].default)
        if dim is None:
            raise Problem("cannot-import", f"`{call.name}` without `dim` has no op")
        fields["dim"] = x.layout.axis(dim, x.rank)
    if given.get("dtype") is not None and given["dtype"] is not call.args[0].dtype:
        raise Problem("cannot-import", "a change of dtype has no op")
    return call.emit(kind, [x], **fields)


def dropout(call: Call) -> Term:
    """Dropout, which does nothing where no numbers are dropped."""
    given = call.bind("input p")
    return pointwise(call, "dropout", "p") if given.get("p", 0.5) else call.term(given["input"])


def matmul(call: Call) -> Term:
    given = call.bind("input other")
    first, second = call.term(given["input"]), call.term(given.get("other", given.get("mat2")))
    if first.layout != second.layout and first.value.type.batched and second.value.type.batched:
        raise Problem("cannot-import", "the batch is another axis of the one tensor than of the other")
    return call.emit("matmul", [first, second])


def einsum(call: Call) -> Term:
    """A product of matrices in the notation of `einsum`, all of whose other axes the operands and the result share."""
    equation, *operands = call.args
    names, result = equation.replace(" ", "").split("->")
    first, second = (list(letters) for letters in names.split(","))
    terms = [call.term(tensor) for tensor in (operands[0] if isinstance(operands[0], list | tuple) else operands)]
    outer = list(result[:-2])
    (inner,) = set(first) & set(second) - set(outer)
    if first != [*outer, result[-2], inner] or sorted(second[-2:]) != sorted([inner, result[-1]]):
        raise Problem("cannot-import", f"`einsum` as `{equation}` has no op", help=("write it as a `matmul`",))
    if second[-1] == inner:
        axes = range(len(second))
        terms[1] = permuted(call, terms[1], (*axes[:-2], axes[-1], axes[-2]))
    return call.emit("matmul", terms)
