"""Fully connected layers."""

from __future__ import annotations

from typing import ClassVar

from netspec.diagnostics import Problem
from netspec.ops.base import ModuleCall, Op, Positive, State
from netspec.shapes import TensorType


class Linear(Op):
    """Affine map of the last axis: each output feature is a weighted sum of all input features.

    Shape: ... × features → ... × out_features.
    Cost: one multiply-accumulate per weight and position on the axes before the last.
    """

    category: ClassVar = "linear"

    out_features: Positive
    bias: bool = True

    def infer(self, x: TensorType) -> TensorType:
        if x.rank == 0:
            raise Problem("wrong-rank", "{op} takes at least one axis behind the batch, got a scalar")
        return x.with_shape((*x.shape[:-1], self.out_features))

    def state(self, x: TensorType) -> dict[str, State]:
        weight = {"weight": State((self.out_features, x.shape[-1]))}
        return weight | ({"bias": State((self.out_features,))} if self.bias else {})

    def macs(self, x: TensorType) -> int:
        return x.elements * self.out_features

    def torch(self, x: TensorType) -> ModuleCall:
        return ModuleCall("nn.Linear", (x.shape[-1], self.out_features), self.changed("bias"))
