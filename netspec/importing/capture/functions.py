"""Functions of PyTorch to ops, a recognizer for each name: a call goes in, the terms that it gives come out.

A recognizer reads the arguments as PyTorch does and records ops that are to compute the same. Whether they do is
checked by its caller, so one that reads a rare argument wrongly leads to a message, and never to another network.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from math import frexp, isqrt, prod
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

Recognizer = Callable[[Call], "Term | list[Term]"]


# Elementwise ---------------------------------------------------------------------------------------------------------


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


def _add(call: Call) -> Term:
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


def _subtract(call: Call, reverse: bool = False) -> Term:
    first, second = _operands(call)
    if reverse:
        first, second = second, first
    if _is_number(second):
        return _pair(call, "add", first, -second)
    if _is_number(first):
        negative = call.emit("times", [call.term(second)], factor=-1.0)
        return call.emit("add", [negative, call.term(first)])
    return _pair(call, "sub", first, second)


def _multiply(call: Call) -> Term:
    first, second = _operands(call)
    if _is_number(first):
        first, second = second, first
    if _is_number(second):
        return call.emit("times", [call.term(first)], factor=float(second))
    return _pair(call, "mul", first, second)


def _divide(call: Call) -> Term:
    first, second = _operands(call)
    if not _is_number(second) or abs(frexp(second)[0]) != 0.5:
        raise Problem(
            "cannot-import",
            "a division has no op, unless it is by a power of two",
            help=("multiply by the reciprocal",),
        )
    return call.emit("times", [call.term(first)], factor=1.0 / second)


def _add_product(call: Call) -> Term:
    given = call.bind("input tensor1 tensor2")
    if given.get("value", 1) != 1:
        raise Problem("cannot-import", f"`{call.name}` with a `value` has no op")
    return _pair(call, "add", given["input"], _pair(call, "mul", given["tensor1"], given["tensor2"]))


def _negate(call: Call) -> Term:
    return call.emit("times", [call.term(call.args[0])], factor=-1.0)


def _power(call: Call) -> Term:
    given = call.bind("input exponent")
    if given["exponent"] != 2:
        raise Problem("cannot-import", f"the power {given['exponent']} has no op")
    x = call.term(given["input"])
    return call.emit("mul", [x, x])


def _clamp(call: Call) -> Term:
    given = call.bind("input min max")
    limits = {name: given.get(name) for name in ("min", "max")}
    if any(isinstance(limit, Tensor) for limit in limits.values()):
        raise Problem("cannot-import", "limits that are tensors have no op")
    limits = {name: None if limit is None else float(limit) for name, limit in limits.items()}
    return call.emit("clamp", [call.term(given["input"])], **limits)


def _pointwise(call: Call, kind: str, names: str) -> Term:
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


def _dropout(call: Call) -> Term:
    """Dropout, which does nothing where no numbers are dropped."""
    given = call.bind("input p")
    return _pointwise(call, "dropout", "p") if given.get("p", 0.5) else call.term(given["input"])


# Layers that are called as functions ---------------------------------------------------------------------------------


def _convolution(call: Call, kind: str = "conv") -> Term:
    given = call.bind("input weight bias stride padding dilation groups")
    if kind == "conv_transpose":
        given = call.bind("input weight bias stride padding output_padding groups dilation")
    x, weight = call.term(given["input"]), given["weight"]
    fields = {name: compact(value) for name, value in given.items() if name not in ("input", "weight", "bias")}
    channels = weight.shape[0] if kind == "conv" else weight.shape[1] * given.get("groups", 1)
    fields |= {"out_channels": channels, "kernel_size": compact(tuple(weight.shape[2:]))}
    op = op_class(kind)(**fields, bias=given.get("bias") is not None)
    return call.recorder.layer(op, kind, x, {"weight": weight, "bias": given.get("bias")})


def _linear(call: Call) -> Term:
    given = call.bind("input weight bias")
    x, weight, bias = call.term(given["input"]), given["weight"], given.get("bias")
    op = op_class("linear")(out_features=weight.shape[0], bias=bias is not None)
    if call.recorder.owner(op, x, {"weight": weight, "bias": bias}) is not None:
        return call.recorder.layer(op, "linear", x, {"weight": weight, "bias": bias})
    others = [call.term(tensor) for tensor in (weight, bias) if tensor is not None]
    return call.emit("affine", [x, *others])


def _batch_norm(call: Call) -> Term:
    given = call.bind("input running_mean running_var weight bias training momentum eps")
    states = {name: given.get(name) for name in ("weight", "bias", "running_mean", "running_var")}
    fields = {"eps": given.get("eps", 1e-5), "momentum": given.get("momentum", 0.1)}
    fields |= {"affine": states["weight"] is not None, "track_running_stats": states["running_mean"] is not None}
    return call.recorder.layer(op_class("batch_norm")(**fields), "batch_norm", call.term(given["input"]), states)


def _layer_norm(call: Call) -> Term:
    given = call.bind("input normalized_shape weight bias eps")
    states = {name: given.get(name) for name in ("weight", "bias")}
    axes = len(tuple(given["normalized_shape"]))
    op = op_class("layer_norm")(
        axes=axes,
        eps=given.get("eps", 1e-5),
        elementwise_affine=states["weight"] is not None,
        bias=states["bias"] is not None,
    )
    x = call.term(given["input"])
    if states["weight"] is None:
        return call.recorder.emit(op, "layer_norm", [x])[0]
    return call.recorder.layer(op, "layer_norm", x, states)


def _group_norm(call: Call) -> Term:
    given = call.bind("input num_groups weight bias eps")
    states = {name: given.get(name) for name in ("weight", "bias")}
    fields = {"num_groups": given["num_groups"], "eps": given.get("eps", 1e-5), "affine": states["weight"] is not None}
    op, x = op_class("group_norm")(**fields), call.term(given["input"])
    if states["weight"] is None:
        return call.recorder.emit(op, "group_norm", [x])[0]
    return call.recorder.layer(op, "group_norm", x, states)


def _embedding(call: Call) -> Term:
    given = call.bind("input weight padding_idx")
    count, width = given["weight"].shape
    op = op_class("embedding")(num_embeddings=count, embedding_dim=width, padding_idx=given.get("padding_idx"))
    return call.recorder.layer(op, "embedding", call.term(given["input"]), {"weight": given["weight"]})


def _prelu(call: Call) -> Term:
    given = call.bind("input weight")
    op = op_class("prelu")(num_parameters=given["weight"].numel())
    return call.recorder.layer(op, "prelu", call.term(given["input"]), {"weight": given["weight"]})


def _pad(call: Call) -> Term:
    given = call.bind("input pad mode value")
    if not any(given["pad"]):
        return call.term(given["input"])
    fields = {"mode": given.get("mode", "constant"), "value": float(given.get("value") or 0.0)}
    return call.emit("pad", [call.term(given["input"])], padding=tuple(given["pad"]), **fields)


def _interpolate(call: Call) -> Term:
    given = call.bind("input size scale_factor mode align_corners recompute_scale_factor antialias")
    if given.get("antialias") or given.get("recompute_scale_factor"):
        raise Problem("cannot-import", "`interpolate` with these options has no op")
    names = ("size", "scale_factor", "mode", "align_corners")
    fields = {name: compact(given[name]) for name in names if given.get(name) is not None}
    return call.emit("upsample", [call.term(given["input"])], **fields)


def _attention(call: Call) -> Term:
    given = call.bind("query key value attn_mask dropout_p is_causal scale")
    if given.get("attn_mask") is not None or given.get("enable_gqa"):
        raise Problem("cannot-import", "`scaled_dot_product_attention` with a mask has no op")
    fields = {name: given[name] for name in ("dropout_p", "is_causal", "scale") if given.get(name) is not None}
    terms = [call.term(given[name]) for name in ("query", "key", "value")]
    return call.emit("scaled_dot_product_attention", terms, **fields)


# Axes ----------------------------------------------------------------------------------------------------------------


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


def _reshape(call: Call) -> Term:
    shape = call.kwargs.get("shape", call.args[1:])
    return _shaped(call, call.term(call.args[0]), _dims(shape if isinstance(shape, tuple) else (shape,)))


def _flatten(call: Call) -> Term:
    given = call.bind("input start_dim end_dim")
    x = call.term(given["input"])
    shape = x.layout.physical(x.value.type, call.recorder.batch)
    start, end = given.get("start_dim", 0) % len(shape), given.get("end_dim", -1) % len(shape)
    if x.layout.plain and start > 0:
        options = {name: given[name] for name, default in (("end_dim", -1),) if given.get(name, default) != default}
        return call.emit("flatten", [x], start_dim=start, **options)
    return _shaped(call, x, (*shape[:start], prod(shape[start : end + 1]), *shape[end + 1 :]))


def _unflatten(call: Call) -> Term:
    given = call.bind("input dim sizes")
    x = call.term(given["input"])
    shape = x.layout.physical(x.value.type, call.recorder.batch)
    dim = given["dim"] % len(shape)
    sizes = tuple(given["sizes"])
    if -1 in sizes:
        rest = shape[dim] // -prod(sizes)
        sizes = tuple(rest if size == -1 else size for size in sizes)
    return _shaped(call, x, (*shape[:dim], *sizes, *shape[dim + 1 :]))


def _permuted(call: Call, x: Term, dims: tuple[int, ...]) -> Term:
    layout, order = x.layout.permuted(dims)
    if order == tuple(range(len(order))):
        return x._replace(layout=layout)
    moved = [axis for axis, source in enumerate(order) if axis != source]
    if len(moved) == 2:
        return call.emit("transpose", [x], layout, dim0=moved[0], dim1=moved[1])
    return call.emit("permute", [x], layout, dims=order)


def _permute(call: Call) -> Term:
    dims = call.kwargs.get("dims", call.args[1:])
    return _permuted(call, call.term(call.args[0]), _dims(dims if isinstance(dims, tuple) else (dims,)))


def _transpose(call: Call, dim0: int = 0, dim1: int = 1) -> Term:
    given = call.bind("input dim0 dim1")
    x = call.term(given["input"])
    first, second = given.get("dim0", dim0) % x.rank, given.get("dim1", dim1) % x.rank
    order = list(range(x.rank))
    order[first], order[second] = second, first
    return _permuted(call, x, tuple(order))


def _movedim(call: Call) -> Term:
    given = call.bind("input source destination")
    x = call.term(given["input"])
    if not isinstance(given["source"], int):
        raise Problem("cannot-import", "`movedim` of several axes has no op", help=("use `permute`",))
    order = [axis for axis in range(x.rank) if axis != given["source"] % x.rank]
    order.insert(given["destination"] % x.rank, given["source"] % x.rank)
    return _permuted(call, x, tuple(order))


def _squeeze(call: Call) -> Term:
    given = call.bind("input dim")
    x = call.term(given["input"])
    if not isinstance(given.get("dim"), int):
        raise Problem("cannot-import", "`squeeze` without one `dim` has no op")
    dim = given["dim"]
    if x.layout.physical(x.value.type, call.recorder.batch)[dim] != 1:
        return x
    return call.emit("squeeze", [x], x.layout.without((dim,), x.rank), dim=x.layout.axis(dim, x.rank))


def _unsqueezed(call: Call, x: Term, dim: int) -> Term:
    dim %= x.rank + 1
    layout = x.layout
    if layout.expanded or (layout.batch is not None and dim <= layout.batch and layout.merged):
        raise Problem("cannot-import", "a new axis before the batch has no op")
    if layout.batch is not None and dim <= layout.batch:
        layout = layout._replace(batch=layout.batch + 1)
    return call.emit("unsqueeze", [x], layout, dim=layout.axis(dim, x.rank + 1))


def _unsqueeze(call: Call) -> Term:
    given = call.bind("input dim")
    return _unsqueezed(call, call.term(given["input"]), given["dim"])


def _expand(call: Call) -> Term:
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


def _reduced(call: Call, kind: str) -> Term:
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


# Cutting and joining -------------------------------------------------------------------------------------------------


def _concat(call: Call) -> Term:
    given = call.bind("tensors dim")
    terms = [call.term(tensor) for tensor in given["tensors"]]
    first = next((term for term in terms if term.layout.batch is not None), terms[0])
    return call.emit("concat", terms, dim=first.layout.axis(given.get("dim", 0), first.rank))


def _stack(call: Call) -> Term:
    given = call.bind("tensors dim")
    terms = [call.term(tensor) for tensor in given["tensors"]]
    dim = given.get("dim", 0) % (terms[0].rank + 1)
    raised = [_unsqueezed(call, term, dim) for term in terms]
    return call.emit("concat", raised, dim=raised[0].layout.axis(dim, raised[0].rank))


def _split(call: Call) -> list[Term]:
    given = call.bind("tensor split_size_or_sections dim")
    size = given.get("split_size_or_sections", given.get("split_size"))
    x = call.term(given["tensor"])
    return call.emit_all("split", [x], x.layout, split_size=size, dim=x.layout.axis(given.get("dim", 0), x.rank))


def _chunk(call: Call) -> list[Term]:
    given = call.bind("input chunks dim")
    x = call.term(given["input"])
    dim = x.layout.axis(given.get("dim", 0), x.rank)
    return call.emit_all("chunk", [x], x.layout, chunks=given["chunks"], dim=dim)


def _unbind(call: Call) -> list[Term]:
    given = call.bind("input dim")
    x, dim = call.term(given["input"]), given.get("dim", 0)
    return call.emit_all("unbind", [x], x.layout.without((dim,), x.rank), dim=x.layout.axis(dim, x.rank))


def _selected(call: Call, x: Term, dim: int, index: int) -> Term:
    return call.emit("select", [x], x.layout.without((dim,), x.rank), dim=x.layout.axis(dim, x.rank), index=index)


def _select(call: Call) -> Term:
    given = call.bind("input dim index")
    return _selected(call, call.term(given["input"]), given["dim"], given["index"])


def _sliced(call: Call, x: Term, dim: int, part: slice) -> Term:
    length = x.layout.physical(x.value.type, call.recorder.batch)[dim]
    if range(length)[part] == range(length):
        return x
    end = {} if part.stop is None else {"end": part.stop}
    fields = {"start": part.start or 0, "step": part.step or 1, **end}
    return call.emit("slice", [x], x.layout, dim=x.layout.axis(dim, x.rank), **fields)


def _narrow(call: Call) -> Term:
    given = call.bind("input dim start length")
    part = slice(given["start"], given["start"] + given["length"])
    return _sliced(call, call.term(given["input"]), given["dim"], part)


def _item(call: Call) -> Term:
    """`x[...]`: each part of the index in turn, an axis at a time."""
    x, index = call.term(call.args[0]), call.args[1]
    parts = index if isinstance(index, tuple) else (index,)
    if ... in parts:
        place = parts.index(...)
        taken = sum(part is not None for part in parts) - 1
        parts = (*parts[:place], *[slice(None)] * (x.rank - taken), *parts[place + 1 :])
    dim = 0
    for part in parts:
        if part is None:
            x, dim = _unsqueezed(call, x, dim), dim + 1
        elif isinstance(part, slice):
            x, dim = _sliced(call, x, dim, part), dim + 1
        elif isinstance(part, int) and not isinstance(part, bool):
            x = _selected(call, x, dim, part)
        elif isinstance(part, Tensor):
            at = call.term(part)
            x, dim = call.emit("lookup", [x, at], dim=x.layout.axis(dim, x.rank)), dim + at.rank
        else:
            raise Problem("cannot-import", f"an index of type {type(part).__name__} has no op")
    return x


def _roll(call: Call) -> Term:
    given = call.bind("input shifts dims")
    x = call.term(given["input"])
    shifts, dims = given["shifts"], given["dims"]
    axes = x.layout.axis(dims, x.rank) if isinstance(dims, int) else tuple(x.layout.axis(dim, x.rank) for dim in dims)
    rolled = call.emit("roll", [x], shifts=shifts, dims=axes)
    call.recorder.rolled = (rolled, shifts, axes)
    return rolled


def _zero(call: Call) -> Term:
    """A stretch of a row set to zero, in place: the row becomes its parts joined, of which one is times 0."""
    part = call.args[0]
    row = part._base
    if row is None or row.dim() != 1 or part.dim() != 1 or part.stride() != (1,) or not row.is_contiguous():
        raise Problem("cannot-import", "the function `zero_` has no op, but for a stretch of a row")
    whole, start = call.term(row), part.storage_offset() - row.storage_offset()
    zeros = call.emit("times", [_sliced(call, whole, 0, slice(start, start + len(part)))], factor=0.0)
    before = [_sliced(call, whole, 0, slice(0, start))] if start else []
    behind = [_sliced(call, whole, 0, slice(start + len(part), None))] if start + len(part) < len(row) else []
    call.recorder.rewritten = (row, call.emit("concat", [*before, zeros, *behind], dim=0))
    return zeros


def _matmul(call: Call) -> Term:
    given = call.bind("input other")
    first, second = call.term(given["input"]), call.term(given.get("other", given.get("mat2")))
    if first.layout != second.layout and first.value.type.batched and second.value.type.batched:
        raise Problem("cannot-import", "the batch is another axis of the one tensor than of the other")
    return call.emit("matmul", [first, second])


def _einsum(call: Call) -> Term:
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
        terms[1] = _permuted(call, terms[1], (*axes[:-2], axes[-1], axes[-2]))
    return call.emit("matmul", terms)


# The table -----------------------------------------------------------------------------------------------------------

_POINTWISE = {
    "relu": ("relu", ""),
    "relu6": ("relu6", ""),
    "silu": ("silu", ""),
    "gelu": ("gelu", "approximate"),
    "mish": ("mish", ""),
    "selu": ("selu", ""),
    "elu": ("elu", "alpha"),
    "celu": ("celu", "alpha"),
    "leaky_relu": ("leaky_relu", "negative_slope"),
    "rrelu": ("rrelu", "lower upper"),
    "hardswish": ("hardswish", ""),
    "hardsigmoid": ("hardsigmoid", ""),
    "hardtanh": ("hardtanh", "min_val max_val"),
    "sigmoid": ("sigmoid", ""),
    "logsigmoid": ("log_sigmoid", ""),
    "tanh": ("tanh", ""),
    "tanhshrink": ("tanhshrink", ""),
    "softplus": ("softplus", "beta threshold"),
    "softsign": ("softsign", ""),
    "softshrink": ("softshrink", "lambd"),
    "hardshrink": ("hardshrink", "lambd"),
    "threshold": ("threshold", "threshold value"),
    "exp": ("exp", ""),
    "glu": ("glu", "dim"),
    "softmax": ("softmax", "dim"),
    "log_softmax": ("log_softmax", "dim"),
    "softmin": ("softmin", "dim"),
    "alpha_dropout": ("alpha_dropout", "p"),
    "feature_alpha_dropout": ("feature_alpha_dropout", "p"),
    "dropout1d": ("spatial_dropout", "p"),
    "dropout2d": ("spatial_dropout", "p"),
    "dropout3d": ("spatial_dropout", "p"),
    "max_pool1d": ("max_pool", "kernel_size stride padding dilation ceil_mode"),
    "max_pool2d": ("max_pool", "kernel_size stride padding dilation ceil_mode"),
    "max_pool3d": ("max_pool", "kernel_size stride padding dilation ceil_mode"),
    "avg_pool1d": ("avg_pool", "kernel_size stride padding ceil_mode count_include_pad"),
    "avg_pool2d": ("avg_pool", "kernel_size stride padding ceil_mode count_include_pad divisor_override"),
    "avg_pool3d": ("avg_pool", "kernel_size stride padding ceil_mode count_include_pad divisor_override"),
    "adaptive_avg_pool1d": ("adaptive_avg_pool", "output_size"),
    "adaptive_avg_pool2d": ("adaptive_avg_pool", "output_size"),
    "adaptive_avg_pool3d": ("adaptive_avg_pool", "output_size"),
    "adaptive_max_pool1d": ("adaptive_max_pool", "output_size"),
    "adaptive_max_pool2d": ("adaptive_max_pool", "output_size"),
    "adaptive_max_pool3d": ("adaptive_max_pool", "output_size"),
    "local_response_norm": ("local_response_norm", "size alpha beta k"),
    "pixel_shuffle": ("pixel_shuffle", "upscale_factor"),
    "pixel_unshuffle": ("pixel_unshuffle", "downscale_factor"),
    "channel_shuffle": ("channel_shuffle", "groups"),
    "normalize": ("normalize", "p dim eps"),
}
"""Functions of one tensor: the op, and the names of the other arguments in PyTorch's order."""

FUNCTIONS: dict[str, Recognizer] = {
    **{name: partial(_pointwise, kind=kind, names=names) for name, (kind, names) in _POINTWISE.items()},
    "add": _add,
    "iadd": _add,
    "radd": _add,
    "sub": _subtract,
    "subtract": _subtract,
    "isub": _subtract,
    "rsub": partial(_subtract, reverse=True),
    "mul": _multiply,
    "multiply": _multiply,
    "imul": _multiply,
    "rmul": _multiply,
    "div": _divide,
    "truediv": _divide,
    "true_divide": _divide,
    "divide": _divide,
    "addcmul": _add_product,
    "neg": _negate,
    "pow": _power,
    "square": lambda call: call.emit("mul", [call.term(call.args[0])] * 2),
    "dropout": _dropout,
    "clamp": _clamp,
    "clip": _clamp,
    "conv1d": _convolution,
    "conv2d": _convolution,
    "conv3d": _convolution,
    "conv_transpose1d": partial(_convolution, kind="conv_transpose"),
    "conv_transpose2d": partial(_convolution, kind="conv_transpose"),
    "conv_transpose3d": partial(_convolution, kind="conv_transpose"),
    "linear": _linear,
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "group_norm": _group_norm,
    "embedding": _embedding,
    "prelu": _prelu,
    "pad": _pad,
    "interpolate": _interpolate,
    "scaled_dot_product_attention": _attention,
    "reshape": _reshape,
    "view": _reshape,
    "flatten": _flatten,
    "unflatten": _unflatten,
    "permute": _permute,
    "transpose": _transpose,
    "swapaxes": _transpose,
    "swapdims": _transpose,
    "t": _transpose,
    "mT": lambda call: _transpose(call, -2, -1),
    "movedim": _movedim,
    "squeeze": _squeeze,
    "unsqueeze": _unsqueeze,
    "expand": _expand,
    "expand_as": _expand,
    "repeat": _expand,
    "mean": partial(_reduced, kind="mean"),
    "sum": partial(_reduced, kind="sum"),
    "amax": partial(_reduced, kind="max"),
    "cat": _concat,
    "concat": _concat,
    "concatenate": _concat,
    "stack": _stack,
    "split": _split,
    "split_with_sizes": _split,
    "chunk": _chunk,
    "unbind": _unbind,
    "select": _select,
    "narrow": _narrow,
    "getitem": _item,
    "roll": _roll,
    "zero": _zero,
    "matmul": _matmul,
    "bmm": _matmul,
    "einsum": _einsum,
    "mm": _matmul,
    "rmatmul": lambda call: _matmul(call._replace(args=call.args[::-1])),
}
"""What recognizes a function, by its plain name."""
