"""Ops that move, cut, pad or reduce axes without any weights."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil, prod
from typing import Annotated, ClassVar, Literal

from netspec.diagnostics import Problem
from netspec.fields import Expects, Limits
from netspec.ops.base import (
    ANY_DTYPE,
    Axes,
    Axis,
    FunctionCall,
    ModuleCall,
    Number,
    Op,
    Positive,
    Size,
    per_axis,
    spatial_rank,
    unlisted,
)
from netspec.shapes import Shape, TensorType, divides

_Positive = Annotated[int, Limits(gt=0)]
Lengths = Annotated[
    tuple[int, ...], Limits(min_length=1), Expects("a list of positive integers, one of which may be -1")
]
Pieces = Annotated[
    _Positive | Annotated[tuple[_Positive, ...], Limits(min_length=1)], Expects("a positive integer or a list of them")
]
Margins = Annotated[int | tuple[int, ...], Expects("an integer, or a list with two for each axis, the last axis first")]
Shifts = Annotated[int | tuple[int, ...], Expects("an integer, or a list with one for each of `dims`")]
AxisOrAxes = Annotated[int | tuple[int, ...], Expects("an axis number or a list of them")]
OptionalEnd = Annotated[int | None, Expects("an integer or `none`")]

_MOST_PIECES = 1024  # a guard against specs that ask for millions of outputs


class Identity(Op):
    """Its input, unchanged: a name for a place in the network.

    Shape: unchanged, whatever it is.
    Cost: none.
    """

    category: ClassVar = "reshape"
    dtypes: ClassVar = ANY_DTYPE
    unbatched: ClassVar = True

    def infer(self, x: TensorType) -> TensorType:
        return x

    def torch(self, x: TensorType) -> ModuleCall:
        return ModuleCall("nn.Identity")


class Flatten(Op):
    """Axes `start_dim` to `end_dim` merged into one: all axes behind the batch, unless told otherwise.

    Shape: one axis in place of several, as long as their product.
    Cost: none.
    """

    category: ClassVar = "reshape"
    dtypes: ClassVar = ANY_DTYPE
    unbatched: ClassVar = True

    start_dim: Axis = 1
    end_dim: Axis = -1

    def infer(self, x: TensorType) -> TensorType:
        start, end = x.axis(self.start_dim, "start_dim"), x.axis(self.end_dim, "end_dim")
        if start > end:
            message = f"`start_dim` {self.start_dim} comes after `end_dim` {self.end_dim} in the input {x}"
            raise Problem("invalid-axis", message, argument="start_dim")
        return x.with_shape((*x.shape[:start], prod(x.shape[start : end + 1]), *x.shape[end + 1 :]))

    def torch(self, x: TensorType) -> ModuleCall:
        return ModuleCall("nn.Flatten", (), self.changed("start_dim", "end_dim"))


class Reshape(Op):
    """The same elements in another `shape`, written without the batch axis. One length may be -1: what is left over.

    Shape: any → shape, with as many elements.
    Cost: none.
    """

    category: ClassVar = "reshape"
    dtypes: ClassVar = ANY_DTYPE
    unbatched: ClassVar = True
    variadic: ClassVar = "shape"

    shape: Lengths

    def infer(self, x: TensorType) -> TensorType:
        return x.with_shape(self._lengths(x))

    def torch(self, x: TensorType) -> FunctionCall:
        lengths = ((-1,) if x.batched else ()) + self._lengths(x)
        return FunctionCall(f"{{0}}.reshape({_listed(lengths)})")

    def _lengths(self, x: TensorType) -> Shape:
        known = [length for length in self.shape if length != -1]
        if any(length < 1 for length in known) or len(known) < len(self.shape) - 1:
            message = f"`shape` must be positive integers and at most one -1, got [{_listed(self.shape)}]"
            raise Problem("wrong-value", message, argument="shape")
        elements = prod(known)
        if len(known) < len(self.shape):
            if x.elements % elements:
                message = f"the input {x} of {x.elements} elements cannot be divided into pieces of {elements}"
                raise Problem("does-not-divide", message, argument="shape")
            return tuple(x.elements // elements if length == -1 else length for length in self.shape)
        if elements != x.elements:
            message = f"the input {x} has {x.elements} elements, but `shape` has room for {elements}"
            help = ("leave the batch axis out of `shape`, and write -1 for a length to be inferred",)
            raise Problem("shape-mismatch", message, argument="shape", help=help)
        return self.shape


class Permute(Op):
    """Axes in the order `dims`, in PyTorch's numbers; axis 0, the batch, comes first.

    Shape: the axes in their new order.
    Cost: none.
    """

    category: ClassVar = "reshape"
    dtypes: ClassVar = ANY_DTYPE
    unbatched: ClassVar = True
    variadic: ClassVar = "dims"

    dims: Axes

    def infer(self, x: TensorType) -> TensorType:
        whole = (0, *x.shape) if x.batched else x.shape  # the batch axis stands in as a 0, which no other axis can be
        rank = len(whole)
        if sorted(dim % rank for dim in self.dims) != list(range(rank)) or not all(
            -rank <= d < rank for d in self.dims
        ):
            message = f"`dims` must name each of the axes 0 to {rank - 1} once, got [{_listed(self.dims)}]"
            help = ("axis 0 is the batch",) if x.batched else ()
            raise Problem("invalid-axis", message, argument="dims", help=help)
        moved = tuple(whole[dim] for dim in self.dims)
        if not x.batched:
            return x.with_shape(moved)
        if moved[0]:
            message = f"`dims` must keep the batch axis 0 in front, got [{_listed(self.dims)}]"
            raise Problem("invalid-axis", message, argument="dims")
        return x.with_shape(moved[1:])

    def torch(self, x: TensorType) -> FunctionCall:
        return FunctionCall(f"{{0}}.permute({_listed(self.dims)})")


class Transpose(Op):
    """Two axes exchanged.

    Shape: the lengths of `dim0` and `dim1` change places.
    Cost: none.
    """

    category: ClassVar = "reshape"
    dtypes: ClassVar = ANY_DTYPE
    unbatched: ClassVar = True

    dim0: Axis
    dim1: Axis

    def infer(self, x: TensorType) -> TensorType:
        first, second = x.axis(self.dim0, "dim0"), x.axis(self.dim1, "dim1")
        shape = list(x.shape)
        shape[first], shape[second] = shape[second], shape[first]
        return x.with_shape(shape)

    def torch(self, x: TensorType) -> FunctionCall:
        return FunctionCall(f"{{0}}.transpose({self.dim0}, {self.dim1})")


class Roll(Op):
    """Elements moved along the axes `dims`, each by its number in `shifts`; what leaves at the end enters in front.

    Shape: unchanged.
    Cost: none.
    """

    category: ClassVar = "reshape"
    dtypes: ClassVar = ANY_DTYPE
    unbatched: ClassVar = True

    shifts: Shifts
    dims: AxisOrAxes

    def infer(self, x: TensorType) -> TensorType:
        _rolled(x, self.shifts, self.dims)
        return x

    def torch(self, x: TensorType) -> FunctionCall:
        return FunctionCall(f"{{0}}.roll({self.shifts}, {self.dims})")


class RollSegments(Op):
    """Number of the segment that each position of a rolled input is in: one number for all that stayed together.

    Takes the output of a `roll` with the same arguments, of which only the lengths matter. Attention in windows that
    lie across the seam is masked by these numbers.

    Shape: any → int64, the axes `dims` alone, without a batch axis.
    Cost: none.
    Source: Liu et al., Swin Transformer, 2021.
    """

    category: ClassVar = "reshape"
    dtypes: ClassVar = ANY_DTYPE
    unbatched: ClassVar = True

    shifts: Shifts
    dims: AxisOrAxes

    def infer(self, x: TensorType) -> TensorType:
        lengths = (length for _, length in _rolled(x, self.shifts, self.dims))
        return TensorType(tuple(lengths), "int64", batched=False)

    def torch(self, x: TensorType) -> FunctionCall:
        rolled = _rolled(x, self.shifts, self.dims)
        terms = []
        for axis, (shift, length) in enumerate(rolled):
            index = "[:" + ", None" * (len(rolled) - 1 - axis) + "]"
            terms.append(f"(torch.arange({length}, device={{0}}.device) >= {shift % length}){index} * {2**axis}")
        return FunctionCall(" + ".join(terms))


def _rolled(x: TensorType, shifts: int | tuple[int, ...], dims: int | tuple[int, ...]) -> list[tuple[int, int]]:
    """The shift and the length of each axis that is rolled. Raises `Problem`."""
    shifts = shifts if isinstance(shifts, tuple) else (shifts,)
    dims = dims if isinstance(dims, tuple) else (dims,)
    if len(shifts) != len(dims):
        message = f"`shifts` has {len(shifts)} numbers, but `dims` names {len(dims)} axes"
        raise Problem("wrong-rank", message, argument="shifts")
    axes = [x.axis(dim, "dims") for dim in dims]
    if len(set(axes)) < len(axes):
        raise Problem("invalid-axis", f"`dims` names an axis twice: [{_listed(dims)}]", argument="dims")
    return [(shift, x.shape[axis]) for shift, axis in zip(shifts, axes, strict=True)]


class WindowPartition(Op):
    """Windows that tile the spatial axes without overlap, in rows, each with its positions in one axis.

    One number is the window's length on every axis but the channels, which are last, or first with `channels_first`.
    A list has a length for each of the first axes; whatever axes follow are kept.

    Shape: height × width × channels → windows × positions × channels, where a window has h · w positions.
    Cost: none.
    Source: Liu et al., Swin Transformer, 2021.
    """

    category: ClassVar = "reshape"
    dtypes: ClassVar = ANY_DTYPE
    unbatched: ClassVar = True
    variadic: ClassVar = "window_size"

    window_size: Size
    channels_first: bool = False

    def infer(self, x: TensorType) -> TensorType:
        window, lengths, rest = self._axes(x)
        for size, length in zip(window, lengths, strict=True):
            divides(size, length, "the length of the axis", "window_size")
        return x.with_shape((prod(lengths) // prod(window), prod(window), *rest))

    def torch(self, x: TensorType) -> FunctionCall:
        window, lengths, rest = self._axes(x)
        tiles = [part for size, length in zip(window, lengths, strict=True) for part in (length // size, size)]
        batch, first = ((-1,), 1) if x.batched else ((), 0)
        start = first + len(rest) * self.channels_first
        end = start + len(tiles)
        others = range(first, start) if self.channels_first else range(end, end + len(rest))
        split = [*batch, *rest, *tiles] if self.channels_first else [*batch, *tiles, *rest]
        order = [*range(first), *range(start, end, 2), *range(start + 1, end, 2), *others]
        joined = [*batch, *self.infer(x).shape]
        return FunctionCall(f"{{0}}.reshape({_listed(split)}).permute({_listed(order)}).reshape({_listed(joined)})")

    def _axes(self, x: TensorType) -> tuple[Shape, Shape, Shape]:
        """The window, the lengths of the axes it tiles, and the other axes."""
        size = unlisted(self.window_size)
        axes = len(size) if isinstance(size, tuple) else x.rank - 1
        if axes < 1 or axes > x.rank or (self.channels_first and axes != x.rank - 1):
            message = f"`window_size` has {axes} numbers, which does not fit the input {x}"
            if not isinstance(size, tuple):
                message = f"{{op}} takes at least one spatial axis and channels, got {x}"
            raise Problem("wrong-rank", message, argument="window_size")
        window = size if isinstance(size, tuple) else (size,) * axes
        if self.channels_first:
            return window, x.shape[1:], x.shape[:1]
        return window, x.shape[:axes], x.shape[axes:]


class WindowReverse(Op):
    """Windows put back in their places: the reverse of `window_partition`, into spatial axes of length `size`.

    Shape: windows × positions × channels → size × channels, or channels × size with `channels_first`.
    Cost: none.
    Source: Liu et al., Swin Transformer, 2021.
    """

    category: ClassVar = "reshape"
    dtypes: ClassVar = ANY_DTYPE
    unbatched: ClassVar = True

    window_size: Size
    size: Annotated[tuple[_Positive, ...], Limits(min_length=1), Expects("a list of positive integers")]
    channels_first: bool = False

    def infer(self, x: TensorType) -> TensorType:
        window = self._window()
        for size, length in zip(window, self.size, strict=True):
            divides(size, length, "one of the lengths in `size`", "window_size")
        if x.rank < 2 or (self.channels_first and x.rank != 3):
            raise Problem("wrong-rank", f"{{op}} takes windows, positions and channels, got {x}")
        tiles = (prod(self.size) // prod(window), prod(window))
        if x.shape[:2] != tiles:
            of = f"{tiles[0]} windows of {tiles[1]} positions"
            message = f"`size` [{_listed(self.size)}] takes {of}, got {x}"
            raise Problem("shape-mismatch", message, argument="size")
        return x.with_shape((*x.shape[2:], *self.size) if self.channels_first else (*self.size, *x.shape[2:]))

    def torch(self, x: TensorType) -> FunctionCall:
        window, axes = self._window(), len(self.size)
        counts = [length // size for size, length in zip(window, self.size, strict=True)]
        batch, first = ((-1,), 1) if x.batched else ((), 0)
        tiles = [place for axis in range(first, first + axes) for place in (axis, axis + axes)]
        others = range(first + 2 * axes, first + 2 * axes + x.rank - 2)
        order = [*range(first), *others, *tiles] if self.channels_first else [*range(first), *tiles, *others]
        split, joined = [*batch, *counts, *window, *x.shape[2:]], [*batch, *self.infer(x).shape]
        return FunctionCall(f"{{0}}.reshape({_listed(split)}).permute({_listed(order)}).reshape({_listed(joined)})")

    def _window(self) -> Shape:
        window, axes = unlisted(self.window_size), len(self.size)
        if isinstance(window, tuple) and len(window) != axes:
            message = f"`window_size` has {len(window)} numbers, but `size` has {axes}"
            raise Problem("wrong-rank", message, argument="window_size")
        return window if isinstance(window, tuple) else (window,) * axes


class ChannelShuffle(Op):
    """Channels of `groups` groups dealt out in turn, so that the next grouped convolution sees all of them.

    Shape: channels × at least one axis; unchanged.
    Cost: none.
    Source: Zhang et al., ShuffleNet, 2017.
    """

    category: ClassVar = "reshape"
    dtypes: ClassVar = ANY_DTYPE

    groups: Positive

    def infer(self, x: TensorType) -> TensorType:
        if x.rank < 2:
            raise Problem("wrong-rank", f"{{op}} takes channels and at least one more axis, got {x}")
        divides(self.groups, x.channels, "the channels of the input", "groups")
        return x

    def torch(self, x: TensorType) -> ModuleCall:
        return ModuleCall("nn.ChannelShuffle", (self.groups,))


class PixelShuffle(Op):
    """Channels laid out as pixels: a map enlarged by `upscale_factor` without interpolation.

    Shape: ... × (channels · r²) × height × width → ... × channels × (height · r) × (width · r), where r is
    upscale_factor.
    Cost: none.
    Source: Shi et al., Real-time single image and video super-resolution, 2016.
    """

    category: ClassVar = "reshape"
    dtypes: ClassVar = ANY_DTYPE

    upscale_factor: Positive

    def infer(self, x: TensorType) -> TensorType:
        *outer, channels, height, width = _image(x)
        factor = self.upscale_factor
        if channels % factor**2:
            message = f"`upscale_factor` is {factor}, whose square does not divide the {channels} channels of the input"
            help = (f"{factor}² = {factor**2} channels make one",)
            raise Problem("does-not-divide", message, argument="upscale_factor", help=help)
        return x.with_shape((*outer, channels // factor**2, height * factor, width * factor))

    def torch(self, x: TensorType) -> ModuleCall:
        return ModuleCall("nn.PixelShuffle", (self.upscale_factor,))


class PixelUnshuffle(Op):
    """Pixels stacked as channels: the reverse of a pixel shuffle.

    Shape: ... × channels × (height · r) × (width · r) → ... × (channels · r²) × height × width, where r is
    downscale_factor.
    Cost: none.
    Source: Shi et al., Real-time single image and video super-resolution, 2016.
    """

    category: ClassVar = "reshape"
    dtypes: ClassVar = ANY_DTYPE

    downscale_factor: Positive

    def infer(self, x: TensorType) -> TensorType:
        *outer, channels, height, width = _image(x)
        factor = self.downscale_factor
        divides(factor, height, "the height of the input", "downscale_factor")
        divides(factor, width, "the width of the input", "downscale_factor")
        return x.with_shape((*outer, channels * factor**2, height // factor, width // factor))

    def torch(self, x: TensorType) -> ModuleCall:
        return ModuleCall("nn.PixelUnshuffle", (self.downscale_factor,))


def _image(x: TensorType) -> Shape:
    if x.rank < 3:
        raise Problem("wrong-rank", f"{{op}} takes channels, height and width, got {x}")
    return x.shape


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


class Crop(Op):
    """Middle of the spatial axes, cut out to `size`; the odd element is left off behind.

    Shape: channels × spatial → channels × size.
    Cost: none.
    Source: Ronneberger et al., U-Net, 2015.
    """

    category: ClassVar = "reshape"
    dtypes: ClassVar = ANY_DTYPE
    variadic: ClassVar = "size"

    size: Size

    def infer(self, x: TensorType) -> TensorType:
        sizes = self._sizes(x)
        for length, size in zip(x.spatial, sizes, strict=True):
            if size > length:
                message = f"`size` of {size} is larger than the axis of {length} in the input {x}"
                raise Problem("shape-mismatch", message, argument="size")
        return x.with_shape((x.channels, *sizes))

    def torch(self, x: TensorType) -> FunctionCall:
        starts = [(length - size) // 2 for length, size in zip(x.spatial, self._sizes(x), strict=True)]
        parts = [f"{start}:{start + size}" for start, size in zip(starts, self._sizes(x), strict=True)]
        return FunctionCall(f"{{0}}[:, :, {', '.join(parts)}]")

    def _sizes(self, x: TensorType) -> tuple[int, ...]:
        return per_axis(unlisted(self.size), spatial_rank(x), "size")


class Slice(Op):
    """Part of axis `dim`, from `start` to before `end`, every `step`-th element; counted from the end if negative.

    Shape: axis `dim` becomes shorter.
    Cost: none.
    """

    category: ClassVar = "reshape"
    dtypes: ClassVar = ANY_DTYPE
    unbatched: ClassVar = True

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

    def torch(self, x: TensorType) -> FunctionCall:
        end = "" if self.end is None else self.end
        step = "" if self.step == 1 else f":{self.step}"
        return FunctionCall(_index(x, self.dim, f"{self.start or ''}:{end}{step}"))


class Select(Op):
    """One element of axis `dim`, which is gone afterwards, such as the class token of a sequence.

    Shape: all axes but `dim`.
    Cost: none.
    """

    category: ClassVar = "reshape"
    dtypes: ClassVar = ANY_DTYPE
    unbatched: ClassVar = True

    dim: Axis
    index: int

    def infer(self, x: TensorType) -> TensorType:
        axis = x.axis(self.dim)
        if not -x.shape[axis] <= self.index < x.shape[axis]:
            message = f"`index` {self.index} does not exist on an axis of {x.shape[axis]}"
            raise Problem("wrong-value", message, argument="index")
        return x.with_shape(x.shape[:axis] + x.shape[axis + 1 :])

    def torch(self, x: TensorType) -> FunctionCall:
        return FunctionCall(_index(x, self.dim, str(self.index)))


def _index(x: TensorType, dim: int, part: str) -> str:
    """Code that takes `part` of one axis and all of those before it."""
    before = x.axis(dim) + x.batched
    return f"{{0}}[{', '.join([':'] * before + [part])}]"


class Split(Op):
    """Pieces of axis `dim`: all of length `split_size` but a shorter last one, or of the lengths in a list.

    The pieces are outputs, named by their number: `name.0`, `name.1` and so on.

    Shape: axis `dim` is cut, once for each output.
    Cost: none.
    """

    category: ClassVar = "reshape"
    dtypes: ClassVar = ANY_DTYPE
    unbatched: ClassVar = True

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

    def torch(self, x: TensorType) -> FunctionCall:
        gives = tuple(f"{{}}[{i}]" for i in range(len(self.infer(x))))
        return FunctionCall(f"{{0}}.split({self.split_size}, {self.dim})", gives)


class Chunk(Op):
    """Axis `dim` cut into at most `chunks` equal pieces, of which the last may be shorter.

    As in PyTorch, there are fewer pieces where rounding up the length of one leaves nothing for the last. They are
    outputs, named by their number: `name.0`, `name.1` and so on.

    Shape: axis `dim` is cut, once for each output.
    Cost: none.
    """

    category: ClassVar = "reshape"
    dtypes: ClassVar = ANY_DTYPE
    unbatched: ClassVar = True

    chunks: Positive
    dim: Axis = 1

    def infer(self, x: TensorType) -> tuple[TensorType, ...]:
        length = x.shape[x.axis(self.dim)]
        return _pieces(x, self.dim, _equal_pieces(length, ceil(length / self.chunks), "chunks"))

    def torch(self, x: TensorType) -> FunctionCall:
        gives = tuple(f"{{}}[{i}]" for i in range(len(self.infer(x))))
        return FunctionCall(f"{{0}}.chunk({self.chunks}, {self.dim})", gives)


class Unbind(Op):
    """Every element of axis `dim` by itself, such as the query, key and value of one projection.

    They are outputs, named by their number: `name.0`, `name.1` and so on.

    Shape: all axes but `dim`, once for each output.
    Cost: none.
    """

    category: ClassVar = "reshape"
    dtypes: ClassVar = ANY_DTYPE
    unbatched: ClassVar = True

    dim: Axis = 1

    def infer(self, x: TensorType) -> tuple[TensorType, ...]:
        axis = x.axis(self.dim)
        _equal_pieces(x.shape[axis], 1, "dim")
        return (x.with_shape(x.shape[:axis] + x.shape[axis + 1 :]),) * x.shape[axis]

    def torch(self, x: TensorType) -> FunctionCall:
        gives = tuple(f"{{}}[{i}]" for i in range(len(self.infer(x))))
        return FunctionCall(f"{{0}}.unbind({self.dim})", gives)


def _equal_pieces(length: int, size: int, argument: str) -> list[int]:
    whole, rest = divmod(length, size)
    if whole > _MOST_PIECES:
        message = f"`{argument}` would cut an axis of {length} into {whole} pieces, more than {_MOST_PIECES}"
        raise Problem("wrong-value", message, argument=argument)
    return [size] * whole + [rest] * (rest > 0)


def _pieces(x: TensorType, dim: int, lengths: list[int]) -> tuple[TensorType, ...]:
    axis = x.axis(dim)
    return tuple(x.with_shape((*x.shape[:axis], length, *x.shape[axis + 1 :])) for length in lengths)


class _Reduce(Op):
    """Base of the ops that reduce the axes `dim`, which are gone afterwards unless `keepdim`."""

    category: ClassVar = "reshape"
    unbatched: ClassVar = True
    variadic: ClassVar = "dim"
    method: ClassVar[str]

    dim: Axes
    keepdim: bool = False

    def infer(self, x: TensorType) -> TensorType:
        axes = [x.axis(dim) for dim in self.dim]
        if len(set(axes)) < len(axes):
            raise Problem("invalid-axis", f"`dim` names an axis twice: [{_listed(self.dim)}]", argument="dim")
        if self.keepdim:
            return x.with_shape(1 if axis in axes else length for axis, length in enumerate(x.shape))
        return x.with_shape(length for axis, length in enumerate(x.shape) if axis not in axes)

    def torch(self, x: TensorType) -> FunctionCall:
        dims = self.dim[0] if len(self.dim) == 1 else list(self.dim)
        keepdim = ", keepdim=True" if self.keepdim else ""
        return FunctionCall(f"{{0}}.{self.method}({dims}{keepdim})")


class Mean(_Reduce):
    """Mean over the axes `dim`.

    Shape: the axes are gone, or of length 1 with `keepdim`.
    Cost: no multiply-accumulates.
    """

    method: ClassVar = "mean"


class Sum(_Reduce):
    """Sum over the axes `dim`.

    Shape: the axes are gone, or of length 1 with `keepdim`.
    Cost: no multiply-accumulates.
    """

    dtypes: ClassVar = frozenset({"float32", "int64"})
    method: ClassVar = "sum"


class Max(_Reduce):
    """Greatest value over the axes `dim`.

    Shape: the axes are gone, or of length 1 with `keepdim`.
    Cost: no multiply-accumulates.
    """

    dtypes: ClassVar = ANY_DTYPE
    method: ClassVar = "amax"


class Squeeze(Op):
    """Axis `dim`, which must have length 1, removed.

    Shape: all axes but `dim`.
    Cost: none.
    """

    category: ClassVar = "reshape"
    dtypes: ClassVar = ANY_DTYPE
    unbatched: ClassVar = True

    dim: Axis

    def infer(self, x: TensorType) -> TensorType:
        axis = x.axis(self.dim)
        if x.shape[axis] != 1:
            message = f"axis {self.dim} has length {x.shape[axis]}, and only an axis of length 1 can go"
            help = ("`mean`, `max`, `select` and `flatten` remove a longer axis",)
            raise Problem("shape-mismatch", message, argument="dim", help=help)
        return x.with_shape(x.shape[:axis] + x.shape[axis + 1 :])

    def torch(self, x: TensorType) -> FunctionCall:
        return FunctionCall(f"{{0}}.squeeze({self.dim})")


class Unsqueeze(Op):
    """New axis of length 1, which gets the number `dim`.

    Shape: one more axis.
    Cost: none.
    """

    category: ClassVar = "reshape"
    dtypes: ClassVar = ANY_DTYPE
    unbatched: ClassVar = True

    dim: Axis

    def infer(self, x: TensorType) -> TensorType:
        axis = x.with_shape((*x.shape, 1)).axis(self.dim)  # axis numbers are those of the output
        return x.with_shape((*x.shape[:axis], 1, *x.shape[axis:]))

    def torch(self, x: TensorType) -> FunctionCall:
        return FunctionCall(f"{{0}}.unsqueeze({self.dim})")


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))
