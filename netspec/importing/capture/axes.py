"""Functions that reorder, join, part or reduce axes to ops."""

from __future__ import annotations

from contextlib import suppress
from math import prod
from typing import Any

import torch
from torch import Tensor

from netspec.diagnostics import Problem
from netspec.importing.capture.calls import Call, Term, computed
from netspec.importing.capture.layout import Layout
from netspec.importing.capture.modules import compact
from netspec.ops import op_class
from netspec.ops.base import Op
from netspec.ops.reshape import Permute, Transpose
from netspec.shapes import Shape


def _dims(value: Any) -> tuple[int, ...]:
    """The numbers of arguments such as `*dims`, which may also be one list."""
    values = value[0] if len(value) == 1 and isinstance(value[0], list | tuple) else value
    return tuple(int(number) for number in values)


def _shaped(call: Call, x: Term, shape: tuple[int, ...]) -> Term:
    """A tensor of `shape`, in the numbers of the code."""
    old = x.layout.physical(x.value.type, call.recorder.batch)
    if -1 in shape:
        rest = prod(old) // prod(length for length in shape if length != -1)
        shape = tuple(rest if length == -1 else length for length in shape)
    layout, lengths = x.layout.reshaped(old, shape, call.recorder.batch)
    if lengths == x.value.type.shape:
        return x._replace(layout=layout)
    rearranged = _rearranged(call, x, lengths)
    if rearranged is not None:
        return rearranged._replace(layout=layout)
    merged = _merged(x.value.type.shape, lengths) if x.value.type.batched else None
    if merged is not None:
        start, end = merged
        behind = {"end_dim": end} if end < x.value.type.rank else {}
        return call.emit("flatten", [x], layout, start_dim=start, **behind)
    return call.emit("reshape", [x], layout, shape=lengths)


def _merged(old: Shape, new: Shape) -> tuple[int, int] | None:
    """The first and the last axis, in PyTorch's numbers, that a reshape makes one of; None where it does more."""
    start = next((axis for axis, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]), len(new))
    end = start + len(old) - len(new)
    if start < len(new) < len(old) and new == (*old[:start], prod(old[start : end + 1]), *old[end + 1 :]):
        return start + 1, end + 1
    return None


def _rearranged(call: Call, x: Term, lengths: Shape) -> Term | None:
    """The op that a reshape to `lengths` completes, behind another reshape and a permutation; None where it is none."""
    permuted = call.recorder.makers.get(x.value)
    split = call.recorder.makers.get(permuted.inputs[0]) if permuted is not None else None
    if permuted is None or split is None or split.kind != "reshape" or permuted.kind not in ("permute", "transpose"):
        return None
    source, parts = split.inputs[0], split.outputs[0].type.shape
    fitting: list[tuple[str, dict[str, Any]]] = []
    if len(parts) == source.type.rank + 1 and parts[2:] == source.type.shape[1:]:
        fitting.append(("channel_shuffle", {"groups": parts[0]}))
    if len(parts) == 5 and source.type.rank == len(lengths) == 3:
        first = {"channels_first": True}
        windows = compact((parts[2], parts[3]))
        fitting.append(("window_reverse", {"window_size": windows, "size": lengths[:2]}))
        fitting.append(("window_reverse", {"window_size": windows, "size": lengths[1:]} | first))
        fitting.append(("window_partition", {"window_size": compact((parts[1], parts[3]))}))
        fitting.append(("window_partition", {"window_size": compact((parts[2], parts[4]))} | first))
    assert x.tensor is not None
    whole = x.tensor.reshape(-1, *lengths)
    before = _unpermuted(x.tensor, permuted.op).reshape(-1, *source.type.shape)
    for kind, fields in fitting:
        with suppress(Problem):
            op = op_class(kind)(**fields)
            (result,) = computed(op.torch(source.type), [before])
            if op.outputs(source.type)[0].shape == lengths and result is not None and torch.equal(result, whole):
                return call.recorder.emit(op, kind, [Term(source, Layout(), before)])[0]
    return None


def _unpermuted(tensor: Tensor, op: Op) -> Tensor:
    """A tensor before its axes were permuted by an op."""
    if isinstance(op, Transpose):
        return tensor.transpose(op.dim0, op.dim1)
    assert isinstance(op, Permute)
    return tensor.permute(sorted(range(tensor.dim()), key=lambda axis: op.dims[axis]))


def reshape(call: Call) -> Term:
    shape = call.kwargs.get("shape", call.args[1:])
    return _shaped(call, call.term(call.args[0]), _dims(shape if isinstance(shape, tuple) else (shape,)))


def flatten(call: Call) -> Term:
    given = call.bind("input start_dim end_dim")
    x = call.term(given["input"])
    shape = x.layout.physical(x.value.type, call.recorder.batch)
    start, end = given.get("start_dim", 0) % len(shape), given.get("end_dim", -1) % len(shape)
    if x.layout.plain and start > 0:
        options = {name: given[name] for name, default in (("end_dim", -1),) if given.get(name, default) != default}
        return call.emit("flatten", [x], start_dim=start, **options)
    return _shaped(call, x, (*shape[:start], prod(shape[start : end + 1]), *shape[end + 1 :]))


def unflatten(call: Call) -> Term:
    given = call.bind("input dim sizes")
    x = call.term(given["input"])
    shape = x.layout.physical(x.value.type, call.recorder.batch)
    dim = given["dim"] % len(shape)
    sizes = tuple(given["sizes"])
    if -1 in sizes:
        rest = shape[dim] // -prod(sizes)
        sizes = tuple(rest if size == -1 else size for size in sizes)
    return _shaped(call, x, (*shape[:dim], *sizes, *shape[dim + 1 :]))


def permuted(call: Call, x: Term, dims: tuple[int, ...]) -> Term:
    layout, order = x.layout.permuted(dims)
    if order == tuple(range(len(order))):
        return x._replace(layout=layout)
    moved = [axis for axis, source in enumerate(order) if axis != source]
    if len(moved) == 2:
        return call.emit("transpose", [x], layout, dim0=moved[0], dim1=moved[1])
    return call.emit("permute", [x], layout, dims=order)


def permute(call: Call) -> Term:
    dims = call.kwargs.get("dims", call.args[1:])
    return permuted(call, call.term(call.args[0]), _dims(dims if isinstance(dims, tuple) else (dims,)))


def transpose(call: Call, dim0: int = 0, dim1: int = 1) -> Term:
    given = call.bind("input dim0 dim1")
    x = call.term(given["input"])
    first, second = given.get("dim0", dim0) % x.rank, given.get("dim1", dim1) % x.rank
    order = list(range(x.rank))
    order[first], order[second] = second, first
    return permuted(call, x, tuple(order))


def movedim(call: Call) -> Term:
    given = call.bind("input source destination")
    x = call.term(given["input"])
    if not isinstance(given["source"], int):
        raise Problem("cannot-import", "`movedim` of several axes has no op", help=("use `permute`",))
    order = [axis for axis in range(x.rank) if axis != given["source"] % x.rank]
    order.insert(given["destination"] % x.rank, given["source"] % x.rank)
    return permuted(call, x, tuple(order))


def squeeze(call: Call) -> Term:
    given = call.bind("input dim")
    x = call.term(given["input"])
    if not isinstance(given.get("dim"), int):
        raise Problem("cannot-import", "`squeeze` without one `dim` has no op")
    dim = given["dim"]
    if x.layout.physical(x.value.type, call.recorder.batch)[dim] != 1:
        return x
    return call.emit("squeeze", [x], x.layout.without((dim,), x.rank), dim=x.layout.axis(dim, x.rank))


def unsqueezed(call: Call, x: Term, dim: int) -> Term:
    dim %= x.rank + 1
    layout = x.layout
    if layout.expanded or (layout.batch is not None and dim <= layout.batch and layout.merged):
        raise Problem("cannot-import", "a new axis before the batch has no op")
    if layout.batch is not None and dim <= layout.batch:
        layout = layout._replace(batch=layout.batch + 1)
    return call.emit("unsqueeze", [x], layout, dim=layout.axis(dim, x.rank + 1))


def unsqueeze(call: Call) -> Term:
    given = call.bind("input dim")
    return unsqueezed(call, call.term(given["input"]), given["dim"])


def expand(call: Call) -> Term:
    """A learned tensor repeated for each sample stays what it is: the ops that join it with others repeat it."""
    x = call.term(call.args[0])
    sizes = call.kwargs.get("size", call.args[1:])
    if call.name == "expand_as":
        sizes = tuple(call.args[1].shape)
    sizes = _dims(sizes)
    shape = x.value.type.shape
    kept = 1 if call.name == "repeat" else -1
    once = all(size in (kept, length) for size, length in zip(sizes[1:], shape[1:], strict=False))
    if x.value.type.batched or len(sizes) != len(shape) or sizes[0] != call.recorder.batch or shape[0] != 1 or not once:
        raise Problem("cannot-import", f"`{call.name}` has no op, but for a learned tensor and the batch axis")
    return x._replace(layout=Layout(None, expanded=True))


def reduced(call: Call, kind: str) -> Term:
    given = call.bind("input dim keepdim")
    x = call.term(given["input"])
    dim = given.get("dim")
    if dim is None or given.get("dtype") is not None:
        raise Problem("cannot-import", f"`{call.name}` over all axes is over the batch, too, which an op leaves alone")
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    axes = tuple(x.layout.axis(number, x.rank) for number in dims)
    keepdim = bool(given.get("keepdim", False))
    layout = x.layout if keepdim else x.layout.without(dims, x.rank)
    return call.emit(kind, [x], layout, dim=axes, keepdim=keepdim)
