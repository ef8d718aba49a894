"""Ops that move positions or channels to other places: rolls, windows and shuffles."""

from __future__ import annotations

from math import prod
from typing import Annotated, ClassVar

from netspec.diagnostics import Problem
from netspec.fields import Expects, Limits
from netspec.ops.base import ANY_DTYPE, FunctionCall, Memory, ModuleCall, Op, Positive, Size, listed, unlisted
from netspec.shapes import Shape, TensorType, divides
from netspec.windows import Reach, Reaches, product, same_place

_Positive = Annotated[int, Limits(gt=0)]
Shifts = Annotated[int | tuple[int, ...], Expects("an integer, or a list with one for each of `dims`")]
AxisOrAxes = Annotated[int | tuple[int, ...], Expects("an axis number or a list of them")]


class _Rearrange(Op):
    """Base of the ops that copy elements to other places, which takes no more than the shapes to undo."""

    category: ClassVar = "reshape"
    dtypes: ClassVar = ANY_DTYPE

    def memory(self, x: TensorType) -> Memory:
        return Memory()


class Roll(_Rearrange):
    """Elements moved along the axes `dims`, each by its number in `shifts`; what leaves at the end enters in front.

    Shape: unchanged.
    Cost: none.
    """

    unbatched: ClassVar = True

    shifts: Shifts
    dims: AxisOrAxes

    def infer(self, x: TensorType) -> TensorType:
        _rolled(x, self.shifts, self.dims)
        return x

    def reach(self, x: TensorType) -> tuple[Reaches, ...]:
        dims = self.dims if isinstance(self.dims, tuple) else (self.dims,)
        return (same_place(x.rank, mixed=[x.axis(dim, "dims") for dim in dims]),)

    def torch(self, x: TensorType) -> FunctionCall:
        return FunctionCall(f"{{0}}.roll({self.shifts}, {self.dims})")


class RollSegments(_Rearrange):
    """Number of the segment that each position of a rolled input is in: one number for all that stayed together.

    Takes the output of a `roll` with the same arguments, of which only the lengths matter. Attention in windows that
    lie across the seam is masked by these numbers.

    Shape: any → int64, the axes `dims` alone, without a batch axis.
    Cost: none.
    Source: Liu et al., Swin Transformer, 2021.
    """

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
        raise Problem("invalid-axis", f"`dims` names an axis twice: [{listed(dims)}]", argument="dims")
    return [(shift, x.shape[axis]) for shift, axis in zip(shifts, axes, strict=True)]


class WindowPartition(_Rearrange):
    """Windows that tile the spatial axes without overlap, in rows, each with its positions in one axis.

    One number is the window's length on every axis but the channels, which are last, or first with `channels_first`.
    A list has a length for each of the first axes; whatever axes follow are kept.

    Shape: height × width × channels → windows × positions × channels, where a window has h · w positions.
    Cost: none.
    Source: Liu et al., Swin Transformer, 2021.
    """

    unbatched: ClassVar = True
    variadic: ClassVar = "window_size"

    window_size: Size
    channels_first: bool = False

    def infer(self, x: TensorType) -> TensorType:
        window, lengths, rest = self._axes(x)
        for size, length in zip(window, lengths, strict=True):
            divides(size, length, "the length of the axis", "window_size")
        return x.with_shape((prod(lengths) // prod(window), prod(window), *rest))

    def arithmetic(self, x: TensorType) -> tuple[str, ...]:
        window, lengths, rest = self._axes(x)
        return (f"{product(lengths)} / ({product(window)})", product(window), *("" for _ in rest))

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
        return FunctionCall(f"{{0}}.reshape({listed(split)}).permute({listed(order)}).reshape({listed(joined)})")

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


class WindowReverse(_Rearrange):
    """Windows put back in their places: the reverse of `window_partition`, into spatial axes of length `size`.

    Shape: windows × positions × channels → size × channels, or channels × size with `channels_first`.
    Cost: none.
    Source: Liu et al., Swin Transformer, 2021.
    """

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
            message = f"`size` [{listed(self.size)}] takes {of}, got {x}"
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
        return FunctionCall(f"{{0}}.reshape({listed(split)}).permute({listed(order)}).reshape({listed(joined)})")

    def _window(self) -> Shape:
        window, axes = unlisted(self.window_size), len(self.size)
        if isinstance(window, tuple) and len(window) != axes:
            message = f"`window_size` has {len(window)} numbers, but `size` has {axes}"
            raise Problem("wrong-rank", message, argument="window_size")
        return window if isinstance(window, tuple) else (window,) * axes


class ChannelShuffle(_Rearrange):
    """Channels of `groups` groups dealt out in turn, so that the next grouped convolution sees all of them.

    Shape: channels × at least one axis; unchanged.
    Cost: none.
    Source: Zhang et al., ShuffleNet, 2017.
    """

    groups: Positive

    def infer(self, x: TensorType) -> TensorType:
        if x.rank < 2:
            raise Problem("wrong-rank", f"{{op}} takes channels and at least one more axis, got {x}")
        divides(self.groups, x.channels, "the channels of the input", "groups")
        return x

    def reach(self, x: TensorType) -> tuple[Reaches, ...]:
        return (same_place(x.rank, mixed=[0]),)

    def torch(self, x: TensorType) -> ModuleCall:
        return ModuleCall("nn.ChannelShuffle", (self.groups,))


class PixelShuffle(_Rearrange):
    """Channels laid out as pixels: a map enlarged by `upscale_factor` without interpolation.

    Shape: ... × (channels · r²) × height × width → ... × channels × (height · r) × (width · r), where r is
    upscale_factor.
    Cost: none.
    Source: Shi et al., Real-time single image and video super-resolution, 2016.
    """

    upscale_factor: Positive

    def infer(self, x: TensorType) -> TensorType:
        *outer, channels, height, width = _image(x)
        factor = self.upscale_factor
        if channels % factor**2:
            message = f"`upscale_factor` is {factor}, whose square does not divide the {channels} channels of the input"
            help = (f"{factor}² = {factor**2} channels make one",)
            raise Problem("does-not-divide", message, argument="upscale_factor", help=help)
        return x.with_shape((*outer, channels // factor**2, height * factor, width * factor))

    def arithmetic(self, x: TensorType) -> tuple[str, ...]:
        *outer, channels, height, width = x.shape
        factor = self.upscale_factor
        return (*("" for _ in outer), f"{channels} / {factor}²", f"{height}·{factor}", f"{width}·{factor}")

    def reach(self, x: TensorType) -> tuple[Reaches, ...]:
        *outer, height, width = range(x.rank)
        zeros = (0,) * self.upscale_factor
        pixels = (Reach(axis, zeros, zeros, 1) for axis in (height, width))
        return ((*same_place(x.rank - 2, mixed=outer[-1:]), *pixels),)

    def torch(self, x: TensorType) -> ModuleCall:
        return ModuleCall("nn.PixelShuffle", (self.upscale_factor,))


class PixelUnshuffle(_Rearrange):
    """Pixels stacked as channels: the reverse of a pixel shuffle.

    Shape: ... × channels × (height · r) × (width · r) → ... × (channels · r²) × height × width, where r is
    downscale_factor.
    Cost: none.
    Source: Shi et al., Real-time single image and video super-resolution, 2016.
    """

    downscale_factor: Positive

    def infer(self, x: TensorType) -> TensorType:
        *outer, channels, height, width = _image(x)
        factor = self.downscale_factor
        divides(factor, height, "the height of the input", "downscale_factor")
        divides(factor, width, "the width of the input", "downscale_factor")
        return x.with_shape((*outer, channels * factor**2, height // factor, width // factor))

    def arithmetic(self, x: TensorType) -> tuple[str, ...]:
        *outer, channels, height, width = x.shape
        factor = self.downscale_factor
        return (*("" for _ in outer), f"{channels}·{factor}²", f"{height} / {factor}", f"{width} / {factor}")

    def reach(self, x: TensorType) -> tuple[Reaches, ...]:
        *outer, height, width = range(x.rank)
        pixels = (Reach(axis, (0,), (self.downscale_factor - 1,), self.downscale_factor) for axis in (height, width))
        return ((*same_place(x.rank - 2, mixed=outer[-1:]), *pixels),)

    def torch(self, x: TensorType) -> ModuleCall:
        return ModuleCall("nn.PixelUnshuffle", (self.downscale_factor,))


def _image(x: TensorType) -> Shape:
    if x.rank < 3:
        raise Problem("wrong-rank", f"{{op}} takes channels, height and width, got {x}")
    return x.shape
