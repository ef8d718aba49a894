"""Functions that cut tensors, join them or move what is in them to ops."""

from __future__ import annotations

from torch import Tensor

from netspec.diagnostics import Problem
from netspec.importing.capture.axes import unsqueezed
from netspec.importing.capture.calls import Call, Term


def concat(call: Call) -> Term:
    given = call.bind("tensors dim")
    terms = [call.term(tensor) for tensor in given["tensors"]]
    first = next((term for term in terms if term.layout.batch is not None), terms[0])
    return call.emit("concat", terms, dim=first.layout.axis(given.get("dim", 0), first.rank))


def stack(call: Call) -> Term:
    given = call.bind("tensors dim")
    terms = [call.term(tensor) for tensor in given["tensors"]]
    dim = given.get("dim", 0) % (terms[0].rank + 1)
    raised = [unsqueezed(call, term, dim) for term in terms]
    return call.emit("concat", raised, dim=raised[0].layout.axis(dim, raised[0].rank))


def split(call: Call) -> list[Term]:
    given = call.bind("tensor split_size_or_sections dim")
    size = given.get("split_size_or_sections", given.get("split_size"))
    x = call.term(given["tensor"])
    return call.emit_all("split", [x], x.layout, split_size=size, dim=x.layout.axis(given.get("dim", 0), x.rank))


def chunk(call: Call) -> list[Term]:
    given = call.bind("input chunks dim")
    x = call.term(given["input"])
    dim = x.layout.axis(given.get("dim", 0), x.rank)
    return call.emit_all("chunk", [x], x.layout, chunks=given["chunks"], dim=dim)


def unbind(call: Call) -> list[Term]:
    given = call.bind("input dim")
    x, dim = call.term(given["input"]), given.get("dim", 0)
    return call.emit_all("unbind", [x], x.layout.without((dim,), x.rank), dim=x.layout.axis(dim, x.rank))


def _selected(call: Call, x: Term, dim: int, index: int) -> Term:
    return call.emit("select", [x], x.layout.without((dim,), x.rank), dim=x.layout.axis(dim, x.rank), index=index)


def select(call: Call) -> Term:
    given = call.bind("input dim index")
    return _selected(call, call.term(given["input"]), given["dim"], given["index"])


def _sliced(call: Call, x: Term, dim: int, part: slice) -> Term:
    length = x.layout.physical(x.value.type, call.recorder.batch)[dim]
    if range(length)[part] == range(length):
        return x
    end = {} if part.stop is None else {"end": part.stop}
    fields = {"start": part.start or 0, "step": part.step or 1, **end}
    return call.emit("slice", [x], x.layout, dim=x.layout.axis(dim, x.rank), **fields)


def narrow(call: Call) -> Term:
    given = call.bind("input dim start length")
    part = slice(given["start"], given["start"] + given["length"])
    return _sliced(call, call.term(given["input"]), given["dim"], part)


def item(call: Call) -> Term:
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
            x, dim = unsqueezed(call, x, dim), dim + 1
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


def roll(call: Call) -> Term:
    given = call.bind("input shifts dims")
    x = call.term(given["input"])
    shifts, dims = given["shifts"], given["dims"]
    axes = x.layout.axis(dims, x.rank) if isinstance(dims, int) else tuple(x.layout.axis(dim, x.rank) for dim in dims)
    rolled = call.emit("roll", [x], shifts=shifts, dims=axes)
    call.recorder.rolled = (rolled, shifts, axes)
    return rolled


def zero(call: Call) -> Term:
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
