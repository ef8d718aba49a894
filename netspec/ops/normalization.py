"""Layers that bring values to mean 0 and variance 1, over the batch, the channels, groups of them or the pixels."""

from __future__ import annotations

from math import prod
from typing import Annotated, ClassVar

from netspec.diagnostics import Problem
from netspec.fields import Expects, Limits
from netspec.initializers import Initializer, Ones
from netspec.ops.base import (
    Axis,
    FunctionCall,
    Memory,
    ModuleCall,
    Number,
    Op,
    Positive,
    State,
    buffer,
    spatial_rank,
)
from netspec.shapes import TensorType, divides
from netspec.windows import WHOLE, Reaches, same_place

Epsilon = Annotated[float, Limits(ge=0), Expects("a number of at least 0")]
PositiveEpsilon = Annotated[float, Limits(gt=0), Expects("a number above 0")]
Momentum = Annotated[float | None, Expects("a number, or `none` for a plain average")]


def _affine(*shape: int, bias: bool = True) -> dict[str, State]:
    return {"weight": State(shape)} | ({"bias": State(shape)} if bias else {})


def _running_statistics(channels: int) -> dict[str, State]:
    return {
        "running_mean": buffer(channels),
        "running_var": buffer(channels),
        "num_batches_tracked": buffer(dtype="int64"),
    }


class BatchNorm(Op):
    """Normalizes each channel over the batch and the spatial axes; in evaluation mode by running statistics.

    Shape: features, or channels × 1 to 3 spatial axes; unchanged.
    Cost: no multiply-accumulates.
    Source: Ioffe and Szegedy, Batch normalization, 2015.
    """

    category: ClassVar = "normalization"

    eps: PositiveEpsilon = 1e-5
    momentum: Momentum = 0.1
    affine: bool = True
    track_running_stats: bool = True

    def infer(self, x: TensorType) -> TensorType:
        if not 1 <= x.rank <= 4:
            raise Problem("wrong-rank", f"{{op}} takes channels and 0 to 3 spatial axes, got {x}")
        return x

    def state(self, x: TensorType) -> dict[str, State]:
        affine = _affine(x.channels) if self.affine else {}
        return affine | (_running_statistics(x.channels) if self.track_running_stats else {})

    def initial(self, x: TensorType) -> dict[str, Initializer]:
        return {"weight": Ones(), "running_var": Ones()}

    def reach(self, x: TensorType) -> tuple[Reaches, ...]:
        return (same_place(x.rank, whole=() if self.track_running_stats else range(1, x.rank)),)

    def memory(self, x: TensorType) -> Memory:
        statistics = TensorType((x.channels,), batched=False)
        return Memory(inputs=(0,), own=(statistics,) * 2)

    def torch(self, x: TensorType) -> ModuleCall:
        options = self.changed("eps", "momentum", "affine", "track_running_stats")
        return ModuleCall(f"nn.BatchNorm{max(1, x.rank - 1)}d", (x.channels,), options)


class LayerNorm(Op):
    """Normalizes each sample over its last axes or, with `channels_first`, each position over its channels.

    `axes` says how many of the last axes are normalized together. PyTorch has no `channels_first`: the channels are
    moved to the end and back, as in ConvNeXt.

    Shape: unchanged.
    Cost: no multiply-accumulates.
    Source: Ba et al., Layer normalization, 2016.
    """

    category: ClassVar = "normalization"

    axes: Positive = 1
    eps: Epsilon = 1e-5
    elementwise_affine: bool = True
    bias: bool = True
    channels_first: bool = False

    def infer(self, x: TensorType) -> TensorType:
        if self.axes > x.rank:
            message = f"`axes` is {self.axes}, but the input {x} has {x.rank} behind the batch"
            raise Problem("wrong-rank", message, argument="axes")
        if self.channels_first and self.axes > 1:
            message = "`axes` must be 1 with `channels_first`, which normalizes over the channels alone"
            raise Problem("wrong-value", message, argument="axes", help=("leave one of the two out",))
        return x

    def state(self, x: TensorType) -> dict[str, State]:
        return _affine(*self._normalized(x), bias=self.bias) if self.elementwise_affine else {}

    def initial(self, x: TensorType) -> dict[str, Initializer]:
        return {"weight": Ones()}

    def reach(self, x: TensorType) -> tuple[Reaches, ...]:
        whole = [0] if self.channels_first else range(x.rank - self.axes, x.rank)
        return (same_place(x.rank, whole=whole),)

    def memory(self, x: TensorType) -> Memory:
        statistics = x.with_shape(x.spatial if self.channels_first else x.shape[: -self.axes])
        return Memory(inputs=(0,), own=(statistics,) * 2)

    def torch(self, x: TensorType) -> ModuleCall:
        normalized = self._normalized(x)
        arguments = (normalized[0] if len(normalized) == 1 else normalized,)
        options = self.changed("eps", "elementwise_affine", "bias")
        if not self.channels_first or x.rank == 1:
            return ModuleCall("nn.LayerNorm", arguments, options)
        last, first = (0, *range(2, x.rank + 1), 1), (0, x.rank, *range(1, x.rank))
        takes, gives = f"{{0}}.permute{last}", (f"{{}}.permute{first}",)
        return ModuleCall("nn.LayerNorm", arguments, options, takes, gives)

    def _normalized(self, x: TensorType) -> tuple[int, ...]:
        return x.shape[:1] if self.channels_first else x.shape[-self.axes :]


class GroupNorm(Op):
    """Normalizes each sample over groups of its channels and the spatial axes.

    Shape: channels × any axes; unchanged.
    Cost: no multiply-accumulates.
    Source: Wu and He, Group normalization, 2018.
    """

    category: ClassVar = "normalization"

    num_groups: Positive
    eps: Epsilon = 1e-5
    affine: bool = True

    def infer(self, x: TensorType) -> TensorType:
        if x.rank == 0:
            raise Problem("wrong-rank", "{op} takes channels and any number of axes, got a scalar")
        divides(self.num_groups, x.channels, "the channels of the input", "num_groups")
        return x

    def state(self, x: TensorType) -> dict[str, State]:
        return _affine(x.channels) if self.affine else {}

    def initial(self, x: TensorType) -> dict[str, Initializer]:
        return {"weight": Ones()}

    def reach(self, x: TensorType) -> tuple[Reaches, ...]:
        return ((WHOLE if self.num_groups == 1 else None, *(WHOLE for _ in x.spatial)),)

    def memory(self, x: TensorType) -> Memory:
        return Memory(inputs=(0,), own=(x.with_shape((self.num_groups,)),) * 2)

    def torch(self, x: TensorType) -> ModuleCall:
        return ModuleCall("nn.GroupNorm", (self.num_groups, x.channels), self.changed("eps", "affine"))


class InstanceNorm(Op):
    """Normalizes each channel of each sample over the spatial axes, which must hold more than one position.

    Shape: channels × 1 to 3 spatial axes; unchanged.
    Cost: no multiply-accumulates.
    Source: Ulyanov et al., Instance normalization, 2016.
    """

    category: ClassVar = "normalization"

    eps: Epsilon = 1e-5
    momentum: Number = 0.1
    affine: bool = False
    track_running_stats: bool = False

    def infer(self, x: TensorType) -> TensorType:
        spatial_rank(x)
        if prod(x.spatial) == 1:
            message = f"{{op}} needs more than one position on the spatial axes to normalize over, got {x}"
            raise Problem("shape-mismatch", message, help=("move this node ahead of the pooling",))
        return x

    def state(self, x: TensorType) -> dict[str, State]:
        affine = _affine(x.channels) if self.affine else {}
        return affine | (_running_statistics(x.channels) if self.track_running_stats else {})

    def initial(self, x: TensorType) -> dict[str, Initializer]:
        return {"weight": Ones(), "running_var": Ones()}

    def reach(self, x: TensorType) -> tuple[Reaches, ...]:
        return (same_place(x.rank, whole=() if self.track_running_stats else range(1, x.rank)),)

    def memory(self, x: TensorType) -> Memory:
        repeated = self.affine + 2 * self.track_running_stats  # the weight and the running statistics, for each sample
        return Memory(inputs=(0,), own=(x.with_shape((x.channels,)),) * (2 + repeated))

    def torch(self, x: TensorType) -> ModuleCall:
        options = self.changed("eps", "momentum", "affine", "track_running_stats")
        return ModuleCall(f"nn.InstanceNorm{spatial_rank(x)}d", (x.channels,), options)


class LocalResponseNorm(Op):
    """Divides each value by the energy of its position in the `size` channels around it.

    Shape: channels × at least one axis; unchanged.
    Cost: no multiply-accumulates.
    Source: Krizhevsky et al., ImageNet classification with deep convolutional neural networks, 2012.
    """

    category: ClassVar = "normalization"

    size: Positive
    alpha: Number = 1e-4
    beta: Number = 0.75
    k: Number = 1.0

    def infer(self, x: TensorType) -> TensorType:
        if x.rank < 2:
            raise Problem("wrong-rank", f"{{op}} takes channels and at least one more axis, got {x}")
        return x

    def reach(self, x: TensorType) -> tuple[Reaches, ...]:
        return (same_place(x.rank, mixed=[0]),)

    def memory(self, x: TensorType) -> Memory:
        padded = x.with_shape((x.channels + self.size - 1, *x.spatial))
        return Memory(inputs=(0,), own=(x, x, padded))

    def torch(self, x: TensorType) -> ModuleCall:
        return ModuleCall("nn.LocalResponseNorm", (self.size,), self.changed("alpha", "beta", "k"))


class Normalize(Op):
    """Divides by the norm along axis `dim`, so that it becomes 1, as the query and key of cosine attention.

    `p` is the exponent of the norm; a norm below `eps` counts as `eps`.

    Shape: unchanged.
    Cost: no multiply-accumulates.
    """

    category: ClassVar = "normalization"
    unbatched: ClassVar = True

    p: Number = 2.0
    dim: Axis = 1
    eps: Epsilon = 1e-12

    def infer(self, x: TensorType) -> TensorType:
        x.axis(self.dim)
        return x

    def reach(self, x: TensorType) -> tuple[Reaches, ...]:
        return (same_place(x.rank, whole=[x.axis(self.dim)]),)

    def memory(self, x: TensorType) -> Memory:
        norm = x.with_shape(1 if axis == x.axis(self.dim) else length for axis, length in enumerate(x.shape))
        return Memory(inputs=(0,), own=(norm, norm))

    def torch(self, x: TensorType) -> FunctionCall:
        options = "".join(f", {name}={value!r}" for name, value in self.changed("p", "dim", "eps").items())
        return FunctionCall(f"F.normalize({{0}}{options})")
