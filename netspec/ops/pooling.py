"""Pooling: windows of 1, 2 or 3 spatial axes, or the whole map, reduced to one value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from netspec.diagnostics import Problem
from netspec.fields import Expects, Limits
from netspec.ops.base import (
    FunctionCall,
    Margin,
    Memory,
    ModuleCall,
    Op,
    Size,
    compact,
    per_axis,
    spatial_rank,
    unlisted,
)
from netspec.shapes import TensorType
from netspec.windows import WHOLE, Reach, Reaches, Window, divided

_Positive = Annotated[int, Limits(gt=0)]
Stride = Annotated[
    _Positive | tuple[_Positive, ...] | None,
    Expects("a positive integer, a list with one for each spatial axis, or `none` for the size of the kernel"),
]
Divisor = Annotated[_Positive | None, Expects("a positive integer or `none`")]


class _Pool(Op):
    """Base of the ops that slide a window over the spatial axes."""

    category: ClassVar = "pooling"

    if TYPE_CHECKING:  # each subclass declares these, at the place that they have among PyTorch's arguments
        kernel_size: int | tuple[int, ...]
        stride: int | tuple[int, ...] | None
        ceil_mode: bool

    def infer(self, x: TensorType) -> TensorType:
        windows = self._windows(x)
        for window in windows:
            if window.padding > window.kernel // 2:
                message = f"`padding` of {window.padding} is more than half of the kernel of {window.kernel}"
                help = (f"pad by at most {window.kernel // 2}, or use a `pad` node before it",)
                raise Problem("padding-too-large", message, argument="padding", help=help)
        return x.with_shape((x.channels, *(window.length for window in windows)))

    def arithmetic(self, x: TensorType) -> tuple[str, ...]:
        return ("", *(window.arithmetic for window in self._windows(x)))

    def reach(self, x: TensorType) -> tuple[Reaches, ...]:
        return ((Reach(0), *(window.reach(axis) for axis, window in enumerate(self._windows(x), 1))),)

    def _windows(self, x: TensorType) -> list[Window]:
        rank = spatial_rank(x)
        kernel = per_axis(self.kernel_size, rank, "kernel_size")
        stride = kernel if self.stride is None else per_axis(self.stride, rank, "stride")
        padding = per_axis(getattr(self, "padding", 0), rank, "padding")
        dilation = per_axis(getattr(self, "dilation", 1), rank, "dilation")
        return list(map(Window, x.spatial, kernel, stride, padding, dilation, (self.ceil_mode,) * rank))


def _positions(x: TensorType) -> TensorType:
    """Where the greatest value of each window was found."""
    return TensorType(x.shape, "int64")


def _kernel_within(x: TensorType, kernel_size: int | tuple[int, ...]) -> None:
    """Raise a `Problem` where a 3d average window is larger than the input, which PyTorch rejects despite padding."""
    if spatial_rank(x) < 3:
        return
    for size, kernel in zip(x.spatial, per_axis(kernel_size, 3, "kernel_size"), strict=True):
        if kernel > size:
            message = f"kernel of size {kernel} is larger than the axis of {size}, padding left aside"
            help = (f"a kernel of at most {size} fits",)
            raise Problem("kernel-too-large", message, argument="kernel_size", help=help)


class MaxPool(_Pool):
    """Greatest value of each window.

    Shape: channels × spatial → channels × windows; with `ceil_mode` a last window may hang over the end.
    Cost: no multiply-accumulates.
    """

    kernel_size: Size
    stride: Stride = None
    padding: Margin = 0
    dilation: Size = 1
    ceil_mode: bool = False

    def memory(self, x: TensorType) -> Memory:
        return Memory(inputs=(0,), own=(_positions(self.infer(x)),))

    def torch(self, x: TensorType) -> ModuleCall:
        options = self.changed("stride", "padding", "dilation", "ceil_mode")
        return ModuleCall(f"nn.MaxPool{spatial_rank(x)}d", (self.kernel_size,), options)


class AvgPool(_Pool):
    """Mean of each window. `divisor_override` replaces the window's size in it, for 2 or 3 spatial axes.

    Shape: channels × spatial → channels × windows; with `ceil_mode` a last window may hang over the end.
    Cost: no multiply-accumulates.
    """

    kernel_size: Size
    stride: Stride = None
    padding: Margin = 0
    ceil_mode: bool = False
    count_include_pad: bool = True
    divisor_override: Divisor = None

    def infer(self, x: TensorType) -> TensorType:
        if self.divisor_override is not None and spatial_rank(x) == 1:
            message = f"`divisor_override` needs 2 or 3 spatial axes, got {x}"
            raise Problem("wrong-rank", message, argument="divisor_override")
        _kernel_within(x, self.kernel_size)
        return super().infer(x)

    def torch(self, x: TensorType) -> ModuleCall:
        options = self.changed("stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")
        return ModuleCall(f"nn.AvgPool{spatial_rank(x)}d", (self.kernel_size,), options)


class LPPool(_Pool):
    """Power mean of each window without the division: the `norm_type`-th root of the sum of the powers.

    Shape: channels × spatial → channels × windows; with `ceil_mode` a last window may hang over the end.
    Cost: no multiply-accumulates.
    Source: Sermanet et al., Convolutional neural networks applied to house numbers digit classification, 2012.
    """

    norm_type: Annotated[float, Limits(gt=0), Expects("a number above 0")]
    kernel_size: Size
    stride: Stride = None
    ceil_mode: bool = False

    def infer(self, x: TensorType) -> TensorType:
        _kernel_within(x, self.kernel_size)
        return super().infer(x)

    def memory(self, x: TensorType) -> Memory:
        return Memory(inputs=(0,), own=(x, *(self.infer(x),) * 4))  # powers, their mean, its sign, size and sum

    def torch(self, x: TensorType) -> ModuleCall:
        rank = spatial_rank(x)
        kernel = compact(per_axis(self.kernel_size, rank, "kernel_size"))
        return ModuleCall(f"nn.LPPool{rank}d", (self.norm_type, kernel), self.changed("stride", "ceil_mode"))


class _AdaptivePool(Op):
    """Base of the ops that choose their windows by the size of the output."""

    category: ClassVar = "pooling"
    variadic: ClassVar = "output_size"
    target: ClassVar[str]

    output_size: Size

    def infer(self, x: TensorType) -> TensorType:
        return x.with_shape((x.channels, *self._sizes(x)))

    def torch(self, x: TensorType) -> ModuleCall:
        return ModuleCall(f"{self.target}{spatial_rank(x)}d", (compact(self._sizes(x)),))

    def arithmetic(self, x: TensorType) -> tuple[str, ...]:
        return ("", *map(str, self._sizes(x)))

    def reach(self, x: TensorType) -> tuple[Reaches, ...]:
        sizes = enumerate(zip(x.spatial, self._sizes(x), strict=True), 1)
        return ((Reach(0), *(divided(axis, size, length) for axis, (size, length) in sizes)),)

    def _sizes(self, x: TensorType) -> tuple[int, ...]:
        return per_axis(unlisted(self.output_size), spatial_rank(x), "output_size")


class AdaptiveAvgPool(_AdaptivePool):
    """Means of as many windows as `output_size` asks for, whatever the size of the input.

    Shape: channels × spatial → channels × output_size.
    Cost: no multiply-accumulates.
    Source: He et al., Spatial pyramid pooling in deep convolutional networks, 2014.
    """

    target: ClassVar = "nn.AdaptiveAvgPool"

    def memory(self, x: TensorType) -> Memory:
        return Memory(inputs=() if set(self._sizes(x)) == {1} else (0,))  # a mean needs no more than its size


class AdaptiveMaxPool(_AdaptivePool):
    """Greatest values of as many windows as `output_size` asks for, whatever the size of the input.

    Shape: channels × spatial → channels × output_size.
    Cost: no multiply-accumulates.
    Source: He et al., Spatial pyramid pooling in deep convolutional networks, 2014.
    """

    target: ClassVar = "nn.AdaptiveMaxPool"

    def memory(self, x: TensorType) -> Memory:
        return Memory(inputs=(0,), own=(_positions(self.infer(x)),))


class _GlobalPool(Op):
    """Base of the ops that reduce each channel to one value."""

    category: ClassVar = "pooling"
    method: ClassVar[str]

    def infer(self, x: TensorType) -> TensorType:
        spatial_rank(x)
        return x.with_shape((x.channels,))

    def torch(self, x: TensorType) -> FunctionCall:
        return FunctionCall(f"{{0}}.{self.method}({list(range(2, x.rank + 1))})")

    def reach(self, x: TensorType) -> tuple[Reaches, ...]:
        return ((Reach(0), *(WHOLE for _ in x.spatial)),)


class GlobalAvgPool(_GlobalPool):
    """Mean of each channel; the spatial axes are gone afterwards.

    Shape: channels × spatial → channels.
    Cost: no multiply-accumulates.
    Source: Lin et al., Network in network, 2013.
    """

    method: ClassVar = "mean"

    def memory(self, x: TensorType) -> Memory:
        return Memory()


class GlobalMaxPool(_GlobalPool):
    """Greatest value of each channel; the spatial axes are gone afterwards.

    Shape: channels × spatial → channels.
    Cost: no multiply-accumulates.
    """

    method: ClassVar = "amax"

    def memory(self, x: TensorType) -> Memory:
        return Memory(inputs=(0,), output=True, undoing=(x, TensorType(x.shape, "bool", x.batched)))
