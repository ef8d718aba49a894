"""Convolutions over 1, 2 or 3 spatial axes."""

from __future__ import annotations

from math import prod
from typing import Annotated, ClassVar, Literal

from netspec.diagnostics import Problem
from netspec.fields import Expects, Limits
from netspec.initializers import Initializer, weighted_sum
from netspec.ops.base import Margin, Memory, ModuleCall, Op, Positive, Size, State, compact, per_axis, spatial_rank
from netspec.shapes import Shape, TensorType, divides
from netspec.windows import WHOLE, Reaches, TransposedWindow, Window

Padding = Annotated[
    Annotated[int, Limits(ge=0)] | tuple[Annotated[int, Limits(ge=0)], ...] | Literal["same", "valid"],
    Expects("an integer of at least 0, a list with one for each spatial axis, `same` or `valid`"),
]


class Conv(Op):
    """Convolution: slides `out_channels` kernels over the spatial axes.

    `padding: same` pads both sides by half of the dilated kernel, which keeps the size at stride 1 and, unlike
    PyTorch's word, may go with a stride; it needs an odd kernel.

    Shape: channels × spatial → out_channels × windows.
    Cost: one multiply-accumulate per weight and output position.
    Source: LeCun et al., Gradient-based learning applied to document recognition, 1998.
    """

    category: ClassVar = "convolution"

    out_channels: Positive
    kernel_size: Size
    stride: Size = 1
    padding: Padding = 0
    dilation: Size = 1
    groups: Positive = 1
    bias: bool = True
    padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros"

    def infer(self, x: TensorType) -> TensorType:
        rank = spatial_rank(x)
        divides(self.groups, x.channels, "the channels of the input", "groups")
        divides(self.groups, self.out_channels, "`out_channels`", "groups")
        windows = self._windows(x)
        if self.padding_mode in ("reflect", "circular"):
            for size, margin in zip(x.spatial, self._padding(rank), strict=True):
                if margin > size or (margin == size and self.padding_mode == "reflect"):
                    message = f"padding of {margin} is too wide for `{self.padding_mode}` on an axis of {size}"
                    raise Problem("padding-too-large", message, argument="padding")
        return x.with_shape((self.out_channels, *(window.length for window in windows)))

    def state(self, x: TensorType) -> dict[str, State]:
        kernel = per_axis(self.kernel_size, spatial_rank(x), "kernel_size")
        weight = {"weight": State((self.out_channels, x.channels // self.groups, *kernel))}
        return weight | ({"bias": State((self.out_channels,))} if self.bias else {})

    def initial(self, x: TensorType) -> dict[str, Initializer]:
        return weighted_sum(fan_in=prod(self.state(x)["weight"].shape[1:]))

    def products(self, x: TensorType) -> tuple[Shape, ...]:
        return ((*self.state(x)["weight"].shape, *self.infer(x).spatial),)

    def arithmetic(self, x: TensorType) -> tuple[str, ...]:
        return ("out_channels", *(window.arithmetic for window in self._windows(x)))

    def reach(self, x: TensorType) -> tuple[Reaches, ...]:
        channels = WHOLE if self.groups == 1 else None
        return ((channels, *(window.reach(axis) for axis, window in enumerate(self._windows(x), 1))),)

    def memory(self, x: TensorType) -> Memory:
        if self.padding_mode == "zeros" or not any(self._padding(spatial_rank(x))):
            return Memory(inputs=(0,))
        margins = self._padding(spatial_rank(x))
        padded = x.with_shape((x.channels, *(size + 2 * m for size, m in zip(x.spatial, margins, strict=True))))
        return Memory(inputs=() if self.padding_mode == "circular" else (0,), own=(padded,))

    def torch(self, x: TensorType) -> ModuleCall:
        rank = spatial_rank(x)
        padding = compact(self._padding(rank))
        options = self.changed("stride") | ({"padding": padding} if padding else {})
        options |= self.changed("dilation", "groups", "bias", "padding_mode")
        return ModuleCall(f"nn.Conv{rank}d", (x.channels, self.out_channels, self.kernel_size), options)

    def _windows(self, x: TensorType) -> list[Window]:
        rank = spatial_rank(x)
        kernel = per_axis(self.kernel_size, rank, "kernel_size")
        stride = per_axis(self.stride, rank, "stride")
        dilation = per_axis(self.dilation, rank, "dilation")
        return list(map(Window, x.spatial, kernel, stride, self._padding(rank), dilation))

    def _padding(self, rank: int) -> tuple[int, ...]:
        if self.padding == "valid":
            return (0,) * rank
        if self.padding != "same":
            return per_axis(self.padding, rank, "padding")
        kernel = per_axis(self.kernel_size, rank, "kernel_size")
        reach = [d * (k - 1) for k, d in zip(kernel, per_axis(self.dilation, rank, "dilation"), strict=True)]
        if any(r % 2 for r in reach):
            message = f"`padding: same` needs an odd kernel, got `kernel_size` {self.kernel_size}"
            help = ("use an odd kernel, or a `pad` node with different margins before it",)
            raise Problem("even-kernel", message, argument="padding", help=help)
        return tuple(r // 2 for r in reach)


class ConvTranspose(Op):
    """Transposed convolution: the gradient of a convolution, used to enlarge a feature map.

    Shape: channels × spatial → out_channels × ((size − 1) · stride − 2 · padding + dilation · (kernel − 1)
    + output_padding + 1) on each spatial axis.
    Cost: one multiply-accumulate per weight and input position.
    Source: Zeiler et al., Deconvolutional networks, 2010.
    """

    category: ClassVar = "convolution"

    out_channels: Positive
    kernel_size: Size
    stride: Size = 1
    padding: Margin = 0
    output_padding: Margin = 0
    groups: Positive = 1
    bias: bool = True
    dilation: Size = 1

    def infer(self, x: TensorType) -> TensorType:
        divides(self.groups, x.channels, "the channels of the input", "groups")
        divides(self.groups, self.out_channels, "`out_channels`", "groups")
        windows = self._windows(x)
        for window in windows:
            if window.output_padding >= max(window.stride, window.dilation):
                message = f"`output_padding` of {window.output_padding} must be smaller than the stride or the dilation"
                raise Problem("padding-too-large", message, argument="output_padding")
            if window.length < 1:
                whole = window.length + 2 * window.padding
                message = f"padding of {window.padding} leaves nothing of an output of {whole}"
                raise Problem("padding-too-large", message, argument="padding")
        return x.with_shape((self.out_channels, *(window.length for window in windows)))

    def state(self, x: TensorType) -> dict[str, State]:
        kernel = per_axis(self.kernel_size, spatial_rank(x), "kernel_size")
        weight = {"weight": State((x.channels, self.out_channels // self.groups, *kernel))}
        return weight | ({"bias": State((self.out_channels,))} if self.bias else {})

    def initial(self, x: TensorType) -> dict[str, Initializer]:
        return weighted_sum(fan_in=prod(self.state(x)["weight"].shape[1:]))

    def products(self, x: TensorType) -> tuple[Shape, ...]:
        return ((*self.state(x)["weight"].shape, *x.spatial),)

    def arithmetic(self, x: TensorType) -> tuple[str, ...]:
        return ("out_channels", *(window.arithmetic for window in self._windows(x)))

    def reach(self, x: TensorType) -> tuple[Reaches, ...]:
        channels = WHOLE if self.groups == 1 else None
        return ((channels, *(window.reach(axis) for axis, window in enumerate(self._windows(x), 1))),)

    def torch(self, x: TensorType) -> ModuleCall:
        arguments = (x.channels, self.out_channels, self.kernel_size)
        options = self.changed("stride", "padding", "output_padding", "groups", "bias", "dilation")
        return ModuleCall(f"nn.ConvTranspose{spatial_rank(x)}d", arguments, options)

    def _windows(self, x: TensorType) -> list[TransposedWindow]:
        names = ("kernel_size", "stride", "padding", "output_padding", "dilation")
        axes = (per_axis(getattr(self, name), spatial_rank(x), name) for name in names)
        return list(map(TransposedWindow, x.spatial, *axes))
