"""Ops that take parts out of a value, or add margins around it."""

from __future__ import annotations

from math import ceil
from typing import Annotated, ClassVar, Literal

from netspec.diagnostics import Problem
from netspec.fields import Expects, Limits
from netspec.ops.base import (
    Axis,
    FunctionCall,
    Memory,
    Number,
    Op,
    Positive,
    Size,
    View,
    per_axis,
    spatial_rank,
    unlisted,
)
from netspec.shapes import TensorType
from netspec.windows import Reach, Reaches, same_place

_Positive = Annotated[int, Limits(gt=0)]
Pieces = Annotated[
    _Positive | Annotated[tuple[_Positive, ...], Limits(min_length=1)], Expects("a positive integer or a list of them")
]
Margins = Annotated[int | tuple[int, ...], Expects("an integer, or a list with two for each axis, the last axis first")]
OptionalEnd = Annotated[int | None, Expects("an integer or `none`")]
_MOST_PIECES = 1024  # a guard against specs that ask for millions of outputs


class Pad(Op):
    """Margins around the spatial axes, or with a list around the last axes.

    A list has two numbers for each axis, before and behind, and starts at the last axis, as in PyTorch's `F.pad`.
    Negative numbers cut off, with `mode: constant`.

    Shape: each axis grows by its two margins.
    Cost: none.
    """

    category: ClassVar = "reshape"
    dtypes: ClassVar = frozenset({"float32", "int64"})
    variadic: ClassVar = "padding"

    padding: Margins
    mode: Literal["constant", "reflect", "replicate", "circular"] = "constant"
    value: Number = 0.0

    def infer(self, x: TensorType) -> TensorType:
        margins = self._margins(x)
        if self.mode != "constant" and self.value:
            message = f"`value` does not go with `mode: {self.mode}`"
            raise Problem("wrong-value", message, argument="value", help=("leave it out",))
        shape = list(x.shape)
        for axis, (before, behind) in zip(reversed(range(x.rank)), margins, strict=False):
            self._check(shape[axis], before, behind)
            shape[axis] += before + behind
        return x.with_shape(shape)

    def arithmetic(self, x: TensorType) -> tuple[str, ...]:
        return tuple(
            f"{length} + {before} + {behind}".replace("+ -", "− ") if before or behind else ""
            for length, (before, behind) in zip(x.shape, self._of_axes(x), strict=True)
        )

    def reach(self, x: TensorType) -> tuple[Reaches, ...]:
        return (tuple(Reach(axis, (-before,), (-before,)) for axis, (before, _) in enumerate(self._of_axes(x))),)

    def memory(self, x: TensorType) -> Memory:
        return Memory(inputs=(0,) if self.mode in ("reflect", "replicate") else ())

    def torch(self, x: TensorType) -> FunctionCall:
        numbers = tuple(number for pair in self._margins(x) for number in pair)
        options = "".join(f", {name}={value!r}" for name, value in self.changed("mode", "value").items())
        return FunctionCall(f"F.pad({{0}}, {numbers}{options})")

    def _check(self, length: int, before: int, behind: int) -> None:
        widest = max(before, behind)
        if self.mode != "constant" and min(before, behind) < 0:
            message = f"`padding` must not be negative with `mode: {self.mode}`, got {min(before, behind)}"
            raise Problem("wrong-value", message, argument="padding")
        if length + before + behind < 1:
            message = f"`padding` of {before} and {behind} leaves nothing of an axis of {length}"
            raise Problem("padding-too-large", message, argument="padding")
        if widest > length - (self.mode == "reflect") and self.mode in ("reflect", "circular"):
            message = f"padding of {widest} is too wide for `{self.mode}` on an axis of {length}"
            raise Problem("padding-too-large", message, argument="padding")

    def _of_axes(self, x: TensorType) -> list[tuple[int, int]]:
        """Margins before and behind each axis."""
        margins = self._margins(x)
        return [(0, 0)] * (x.rank - len(margins)) + margins[::-1]

    def _margins(self, x: TensorType) -> list[tuple[int, int]]:
        """Margins before and behind, the last axis first.

        The modes but `constant` want all spatial axes mentioned, and PyTorch has them for three axes at most.
        """
        padding = unlisted(self.padding)
        if isinstance(padding, int):
            return [(padding, padding)] * spatial_rank(x)
        if len(padding) % 2:
            message = f"`padding` must have two numbers for each axis, got {len(padding)}"
            raise Problem("wrong-value", message, argument="padding")
        margins = list(zip(padding[::2], padding[1::2], strict=True))
        most = x.rank if self.mode == "constant" else min(x.rank, 3)
        if len(margins) > most:
            message = f"`padding` has numbers for {len(margins)} axes, but {{op}} pads {most} of the input {x}"
            raise Problem("wrong-rank", message, argument="padding")
        if self.mode != "constant":
            if x.rank > 4:
                raise Problem("wrong-rank", f"`mode: {self.mode}` takes at most 4 axes, got {x}", argument="mode")
            margins += [(0, 0)] * (x.rank - 1 - len(margins))
        return margins


class Crop(View):
    """Middle of the spatial axes, cut out to `size`; the odd element is left off behind.

    Shape: channels × spatial → channels × size.
    Cost: none.
    Source: Ronneberger et al., U-Net, 2015.
    """

    unbatched: ClassVar = False
    variadic: ClassVar = "size"

    size: Size

    def infer(self, x: TensorType) -> TensorType:
        sizes = self._sizes(x)
        for length, size in zip(x.spatial, sizes, strict=True):
            if size > length:
                message = f"`size` of {size} is larger than the axis of {length} in the input {x}"
                raise Problem("shape-mismatch", message, argument="size")
        return x.with_shape((x.channels, *sizes))

    def arithmetic(self, x: TensorType) -> tuple[str, ...]:
        return ("", *map(str, self._sizes(x)))

    def reach(self, x: TensorType) -> tuple[Reaches, ...]:
        starts = [(length - size) // 2 for length, size in zip(x.spatial, self._sizes(x), strict=True)]
        return ((Reach(0), *(Reach(axis, (start,), (start,)) for axis, start in enumerate(starts, 1))),)

    def torch(self, x: TensorType) -> FunctionCall:
        starts = [(length - size) // 2 for length, size in zip(x.spatial, self._sizes(x), strict=True)]
        parts = [f"{start}:{start + size}" for start, size in zip(starts, self._sizes(x), strict=True)]
        return FunctionCall(f"{{0}}[:, :, {', '.join(parts)}]")

    def _sizes(self, x: TensorType) -> tuple[int, ...]:
        return per_axis(unlisted(self.size), spatial_rank(x), "size")


class Slice(View):
    """Part of axis `dim`, from `start` to before `end`, every `step`-th element; counted from the end if negative.

    Shape: axis `dim` becomes shorter.
    Cost: none.
    """

    dim: Axis
    start: int = 0
    end: OptionalEnd = None
    step: Positive = 1

    def infer(self, x: TensorType) -> TensorType:
        axis = x.axis(self.dim)
        length = len(range(x.shape[axis])[self.start : self.end : self.step])
        if not length:
            end = x.shape[axis] if self.end is None else self.end
            message = f"nothing lies between {self.start} and {end} on an axis of {x.shape[axis]}"
            raise Problem("wrong-value", message, argument="start" if self.end is None else "end")
        return x.with_shape((*x.shape[:axis], length, *x.shape[axis + 1 :]))

    def reach(self, x: TensorType) -> tuple[Reaches, ...]:
        axis = x.axis(self.dim)
        start = range(x.shape[axis])[self.start : self.end : self.step].start
        moved = Reach(axis, (start,), (start,), self.step)
        return (tuple(moved if reach == Reach(axis) else reach for reach in same_place(x.rank)),)

    def torch(self, x: TensorType) -> FunctionCall:
        end = "" if self.end is None else self.end
        step = "" if self.step == 1 else f":{self.step}"
        return FunctionCall(_index(x, self.dim, f"{self.start or ''}:{end}{step}"))


class Select(View):
    """One element of axis `dim`, which is gone afterwards, such as the class token of a sequence.

    Shape: all axes but `dim`.
    Cost: none.
    """

    dim: Axis
    index: int

    def infer(self, x: TensorType) -> TensorType:
        axis = x.axis(self.dim)
        if not -x.shape[axis] <= self.index < x.shape[axis]:
            message = f"`index` {self.index} does not exist on an axis of {x.shape[axis]}"
            raise Problem("wrong-value", message, argument="index")
        return x.with_shape(x.shape[:axis] + x.shape[axis + 1 :])

    def reach(self, x: TensorType) -> tuple[Reaches, ...]:
        return (_without(x.axis(self.dim), x.rank),)

    def torch(self, x: TensorType) -> FunctionCall:
        return FunctionCall(_index(x, self.dim, str(self.index)))


def _without(gone: int, rank: int) -> Reaches:
    """What is read where one element of an axis is taken out, and the axis goes."""
    return tuple(None if axis == gone else Reach(axis - (axis > gone)) for axis in range(rank))


def _index(x: TensorType, dim: int, part: str) -> str:
    """Code that takes `part` of one axis and all of those before it."""
    before = x.axis(dim) + x.batched
    return f"{{0}}[{', '.join([':'] * before + [part])}]"


class Split(View):
    """Pieces of axis `dim`: all of length `split_size` but a shorter last one, or of the lengths in a list.

    The pieces are outputs, named by their number: `name.0`, `name.1` and so on.

    Shape: axis `dim` is cut, once for each output.
    Cost: none.
    """

    split_size: Pieces
    dim: Axis = 1

    def infer(self, x: TensorType) -> tuple[TensorType, ...]:
        length = x.shape[x.axis(self.dim)]
        if isinstance(self.split_size, int):
            return _pieces(x, self.dim, _equal_pieces(length, self.split_size, "split_size"))
        if sum(self.split_size) != length:
            message = f"`split_size` adds up to {sum(self.split_size)}, but axis {self.dim} has length {length}"
            raise Problem("shape-mismatch", message, argument="split_size")
        return _pieces(x, self.dim, list(self.split_size))

    def reach(self, x: TensorType) -> tuple[Reaches, ...]:
        return (same_place(x.rank, mixed=[x.axis(self.dim)]),)

    def torch(self, x: TensorType) -> FunctionCall:
        return FunctionCall(f"{{0}}.split({self.split_size}, {self.dim})", _each(self.infer(x)))


class Chunk(View):
    """Axis `dim` cut into at most `chunks` equal pieces, of which the last may be shorter.

    As in PyTorch, there are fewer pieces where rounding up the length of one leaves nothing for the last. They are
    outputs, named by their number: `name.0`, `name.1` and so on.

    Shape: axis `dim` is cut, once for each output.
    Cost: none.
    """

    chunks: Positive
    dim: Axis = 1

    def infer(self, x: TensorType) -> tuple[TensorType, ...]:
        length = x.shape[x.axis(self.dim)]
        return _pieces(x, self.dim, _equal_pieces(length, ceil(length / self.chunks), "chunks"))

    def reach(self, x: TensorType) -> tuple[Reaches, ...]:
        return (same_place(x.rank, mixed=[x.axis(self.dim)]),)

    def torch(self, x: TensorType) -> FunctionCall:
        return FunctionCall(f"{{0}}.chunk({self.chunks}, {self.dim})", _each(self.infer(x)))


class Unbind(View):
    """Every element of axis `dim` by itself, such as the query, key and value of one projection.

    They are outputs, named by their number: `name.0`, `name.1` and so on.

    Shape: all axes but `dim`, once for each output.
    Cost: none.
    """

    dim: Axis = 1

    def infer(self, x: TensorType) -> tuple[TensorType, ...]:
        axis = x.axis(self.dim)
        _equal_pieces(x.shape[axis], 1, "dim")
        return (x.with_shape(x.shape[:axis] + x.shape[axis + 1 :]),) * x.shape[axis]

    def reach(self, x: TensorType) -> tuple[Reaches, ...]:
        return (_without(x.axis(self.dim), x.rank),)

    def torch(self, x: TensorType) -> FunctionCall:
        return FunctionCall(f"{{0}}.unbind({self.dim})", _each(self.infer(x)))


def _equal_pieces(length: int, size: int, argument: str) -> list[int]:
    whole, rest = divmod(length, size)
    if whole > _MOST_PIECES:
        message = f"`{argument}` would cut an axis of {length} into {whole} pieces, more than {_MOST_PIECES}"
        raise Problem("wrong-value", message, argument=argument)
    return [size] * whole + [rest] * (rest > 0)


def _pieces(x: TensorType, dim: int, lengths: list[int]) -> tuple[TensorType, ...]:
    axis = x.axis(dim)
    return tuple(x.with_shape((*x.shape[:axis], length, *x.shape[axis + 1 :])) for length in lengths)


def _each(pieces: tuple[TensorType, ...]) -> tuple[str, ...]:
    """How each piece is taken from the tuple that PyTorch returns."""
    return tuple(f"{{}}[{index}]" for index in range(len(pieces)))
