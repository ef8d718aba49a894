"""Resampling of the spatial axes to another size."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor
from typing import Annotated, ClassVar, Literal

from netspec.diagnostics import Problem
from netspec.fields import Expects, Limits
from netspec.ops.base import Memory, ModuleCall, Op, per_axis, spatial_rank
from netspec.shapes import TensorType
from netspec.windows import Part, Reach, Reaches, divided, resized

_Positive = Annotated[int, Limits(gt=0)]
_Scale = Annotated[float, Limits(gt=0)]
OptionalSize = Annotated[
    _Positive | tuple[_Positive, ...] | None, Expects("a positive integer or a list with one for each spatial axis")
]
OptionalScale = Annotated[
    _Scale | tuple[_Scale, ...] | None, Expects("a positive number or a list with one for each spatial axis")
]

_RANKS = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}  # the other modes take any number of axes
_HALF = Fraction(1, 2)


class Upsample(Op):
    """Spatial axes brought to `size`, or to `scale_factor` times their size, by interpolation.

    Shape: channels × spatial → channels × size, or channels × floor(spatial · scale_factor).
    Cost: no multiply-accumulates, as PyTorch counts none.
    """

    category: ClassVar = "resample"

    size: OptionalSize = None
    scale_factor: OptionalScale = None
    mode: Literal["nearest", "linear", "bilinear", "bicubic", "trilinear", "area", "nearest-exact"] = "nearest"
    align_corners: Annotated[bool | None, Expects("`true`, `false` or `none`")] = None

    def infer(self, x: TensorType) -> TensorType:
        rank = spatial_rank(x)
        needed = _RANKS.get(self.mode, rank)
        if rank != needed:
            fitting = next(mode for mode, axes in _RANKS.items() if axes == rank)
            message = f"`mode: {self.mode}` takes {needed} spatial ax{'is' if needed == 1 else 'es'}, got {x}"
            raise Problem("wrong-rank", message, argument="mode", help=(f"use `{fitting}` or `nearest`",))
        if self.align_corners is not None and self.mode not in _RANKS:
            message = f"`align_corners` does not go with `mode: {self.mode}`"
            raise Problem("wrong-value", message, argument="align_corners", help=("leave it out",))
        return x.with_shape((x.channels, *self._sizes(x)))

    def arithmetic(self, x: TensorType) -> tuple[str, ...]:
        if self.scale_factor is None:
            return ("", *map(str, self._sizes(x)))
        factors = per_axis(self.scale_factor, spatial_rank(x), "scale_factor")
        return ("", *(f"⌊{size}·{factor}⌋" for size, factor in zip(x.spatial, factors, strict=True)))

    def reach(self, x: TensorType) -> tuple[Reaches, ...]:
        sizes = zip(range(1, x.rank), x.spatial, self._sizes(x), self._ratios(x), strict=True)
        return ((Reach(0), *(self._reach(*axis) for axis in sizes)),)

    def memory(self, x: TensorType) -> Memory:
        return Memory(inputs=(0,) if self.mode == "area" else ())

    def torch(self, x: TensorType) -> ModuleCall:
        return ModuleCall("nn.Upsample", (), self.changed("size", "scale_factor", "mode", "align_corners"))

    def _sizes(self, x: TensorType) -> tuple[int, ...]:
        if self.size is not None and self.scale_factor is not None:
            message = "`size` and `scale_factor` exclude each other"
            raise Problem("wrong-value", message, argument="scale_factor", help=("leave one of the two out",))
        if self.size is not None:
            return per_axis(self.size, spatial_rank(x), "size")
        if self.scale_factor is None:
            help = ("write `upsample: {scale_factor: 2}` for twice the size",)
            raise Problem("missing-argument", "{op} needs `size` or `scale_factor`", help=help)
        factors = per_axis(self.scale_factor, spatial_rank(x), "scale_factor")
        sizes = tuple(floor(size * factor) for size, factor in zip(x.spatial, factors, strict=True))
        if not all(sizes):
            message = f"`scale_factor` leaves nothing of the input {x}"
            raise Problem("wrong-value", message, argument="scale_factor")
        return sizes

    def _ratios(self, x: TensorType) -> list[Fraction]:
        """How many positions of the input one of the output is long, on each axis."""
        if self.align_corners:
            ends = zip(x.spatial, self._sizes(x), strict=True)
            return [Fraction(size - 1, max(length - 1, 1)) for size, length in ends]
        if self.scale_factor is None:
            return [Fraction(size, length) for size, length in zip(x.spatial, self._sizes(x), strict=True)]
        return [1 / Fraction(factor) for factor in per_axis(self.scale_factor, spatial_rank(x), "scale_factor")]

    def _reach(self, axis: int, size: int, length: int, ratio: Fraction) -> Part:
        """The positions between which the numbers of one axis are interpolated."""
        if self.mode == "area":
            return divided(axis, size, length)

        def bounds(position: int) -> tuple[int, int]:
            if self.mode == "nearest":
                return (floor(position * ratio),) * 2
            if self.mode == "nearest-exact":
                return (floor((position + _HALF) * ratio),) * 2
            place = position * ratio if self.align_corners else (position + _HALF) * ratio - _HALF
            beyond = self.mode == "bicubic" and place != floor(place)
            return floor(place) - beyond, ceil(place) + beyond

        return resized(axis, ratio, length, bounds)
