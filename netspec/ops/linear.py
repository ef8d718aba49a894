"""Fully connected layers."""

from __future__ import annotations

from typing import ClassVar

from netspec.diagnostics import Problem
from netspec.initializers import Initializer, weighted_sum
from netspec.ops.base import FunctionCall, Memory, ModuleCall, Op, Positive, State
from netspec.shapes import Shape, TensorType, mismatch
from netspec.windows import Reaches, same_place


class Linear(Op):
    """Affine map of the last axis: each output feature is a weighted sum of all input features.

    Shape: ... × features → ... × out_features.
    Cost: one multiply-accumulate per weight and position on the axes before the last.
    """

    category: ClassVar = "linear"
    unbatched: ClassVar = True

    out_features: Positive
    bias: bool = True

    def infer(self, x: TensorType) -> TensorType:
        if x.rank == 0:
            raise Problem("wrong-rank", "{op} takes at least one axis behind the batch, got a scalar")
        return x.with_shape((*x.shape[:-1], self.out_features))

    def state(self, x: TensorType) -> dict[str, State]:
        weight = {"weight": State((self.out_features, x.shape[-1]))}
        return weight | ({"bias": State((self.out_features,))} if self.bias else {})

    def initial(self, x: TensorType) -> dict[str, Initializer]:
        return weighted_sum(fan_in=x.shape[-1])

    def products(self, x: TensorType) -> tuple[Shape, ...]:
        return ((*x.shape, self.out_features),)

    def arithmetic(self, x: TensorType) -> tuple[str, ...]:
        return ("",) * (x.rank - 1) + ("out_features",)

    def reach(self, x: TensorType) -> tuple[Reaches, ...]:
        return (same_place(x.rank, whole=[x.rank - 1]),)

    def torch(self, x: TensorType) -> ModuleCall:
        return ModuleCall("nn.Linear", (x.shape[-1], self.out_features), self.changed("bias"))


class Affine(Op):
    """Affine map of the last axis by a weight, and a bias if there is one, that are values of the network.

    Inputs are x, weight and bias. It is a `linear` whose weight is computed, shared or a `parameter` of your own.

    Shape: ... × features, whole out × features, and whole out → ... × out.
    Cost: one multiply-accumulate per weight and position on the axes before the last.
    """

    category: ClassVar = "linear"
    arity: ClassVar[tuple[int, int | None]] = (2, 3)
    merges: ClassVar = True
    unbatched: ClassVar = True

    def infer(self, x: TensorType, weight: TensorType, *bias: TensorType) -> TensorType:
        if x.rank == 0:
            raise Problem("wrong-rank", "{op} takes at least one axis behind the batch, got a scalar")
        for learned, rank, what in ((weight, 2, "weight"), *((b, 1, "bias") for b in bias)):
            if learned.batched or learned.rank != rank:
                axes = "out × features" if rank == 2 else "one axis"
                message = f"the {what} of {{op}} is a parameter or constant, {axes}, got {learned}"
                raise Problem("wrong-rank", message)
        if weight.shape[1] != x.shape[-1]:
            raise mismatch("needs a weight with as many columns as x has features", (x, weight))
        if bias and bias[0].shape != weight.shape[:1]:
            raise mismatch("needs a bias with one number for each row of the weight", (weight, *bias))
        return x.with_shape((*x.shape[:-1], weight.shape[0]))

    def products(self, x: TensorType, weight: TensorType, *bias: TensorType) -> tuple[Shape, ...]:
        return ((*x.shape, weight.shape[0]),)

    def reach(self, x: TensorType, weight: TensorType, *bias: TensorType) -> tuple[Reaches, ...]:
        learned = ((None,) * parameter.rank for parameter in (weight, *bias))
        return (same_place(x.rank, whole=[x.rank - 1]), *learned)

    def memory(self, x: TensorType, weight: TensorType, *bias: TensorType) -> Memory:
        return Memory(inputs=(0, 1))

    def torch(self, x: TensorType, weight: TensorType, *bias: TensorType) -> FunctionCall:
        return FunctionCall(f"F.linear({{0}}, {{1}}{', {2}' if bias else ''})")
