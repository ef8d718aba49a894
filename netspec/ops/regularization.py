"""Layers that set parts of their input to zero at random in training, and do nothing in evaluation mode."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from netspec.diagnostics import Problem
from netspec.ops.base import Memory, ModuleCall, Op, Probability, spatial_rank
from netspec.shapes import TensorType
from netspec.windows import Reaches, same_place


class _Drop(Op):
    """Base of the ops that drop with probability `p` and keep the shape."""

    category: ClassVar = "regularization"

    if TYPE_CHECKING:  # each subclass declares it, with a default or without
        p: float

    def infer(self, x: TensorType) -> TensorType:
        return x

    def reach(self, x: TensorType) -> tuple[Reaches, ...]:
        return (same_place(x.rank),)

    def memory(self, x: TensorType) -> Memory:
        return Memory(own=(self.drawn(x),)) if self.p else Memory(passes=(0,))

    def is_view(self, training: bool) -> bool:
        return not (training and self.p)

    def drawn(self, x: TensorType) -> TensorType:
        """The random numbers that decide what is dropped."""
        return x


class _Dropout(_Drop):
    """Base of the modules of `torch.nn`."""

    target: ClassVar[str]

    p: Probability = 0.5

    def torch(self, x: TensorType) -> ModuleCall:
        return ModuleCall(self.target, (self.p,))


class Dropout(_Dropout):
    """Drops single elements and scales the others up.

    Shape: unchanged.
    Cost: no multiply-accumulates.
    Source: Srivastava et al., Dropout: a simple way to prevent neural networks from overfitting, 2014.
    """

    target: ClassVar = "nn.Dropout"


class SpatialDropout(_Dropout):
    """Drops whole channels and scales the others up: `nn.Dropout1d`, `2d` or `3d`.

    Shape: channels × 1 to 3 spatial axes; unchanged.
    Cost: no multiply-accumulates.
    Source: Tompson et al., Efficient object localization using convolutional networks, 2014.
    """

    def infer(self, x: TensorType) -> TensorType:
        spatial_rank(x)
        return x

    def drawn(self, x: TensorType) -> TensorType:
        return x.with_shape(x.shape[:1])

    def torch(self, x: TensorType) -> ModuleCall:
        return ModuleCall(f"nn.Dropout{spatial_rank(x)}d", (self.p,))


class AlphaDropout(_Dropout):
    """Drops single elements to the value that keeps mean and variance, for use with SELU.

    Shape: unchanged.
    Cost: no multiply-accumulates.
    Source: Klambauer et al., Self-normalizing neural networks, 2017.
    """

    target: ClassVar = "nn.AlphaDropout"


class FeatureAlphaDropout(_Dropout):
    """Drops whole channels to the value that keeps mean and variance, for use with SELU.

    Shape: channels × any axes; unchanged.
    Cost: no multiply-accumulates.
    Source: Klambauer et al., Self-normalizing neural networks, 2017.
    """

    target: ClassVar = "nn.FeatureAlphaDropout"

    def infer(self, x: TensorType) -> TensorType:
        if x.rank == 0:
            raise Problem("wrong-rank", "{op} takes channels and any number of axes, got a scalar")
        return x

    def drawn(self, x: TensorType) -> TensorType:
        return x.with_shape(x.shape[:1])


class StochasticDepth(_Drop):
    """Drops whole samples, or with `mode: batch` the whole batch, at the end of a residual branch.

    Shape: unchanged.
    Cost: no multiply-accumulates.
    Source: Huang et al., Deep networks with stochastic depth, 2016.
    """

    p: Probability
    mode: Literal["row", "batch"] = "row"

    def drawn(self, x: TensorType) -> TensorType:
        return TensorType((), batched=self.mode == "row")

    def torch(self, x: TensorType) -> ModuleCall:
        return ModuleCall("torchvision.ops.StochasticDepth", (self.p, self.mode))
