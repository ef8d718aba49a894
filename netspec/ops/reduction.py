"""Ops that make one number of all along an axis."""

from __future__ import annotations

from typing import ClassVar

from netspec.diagnostics import Problem
from netspec.ops.base import ANY_DTYPE, Axes, FunctionCall, Memory, Op, listed
from netspec.shapes import TensorType
from netspec.windows import WHOLE, Reach, Reaches


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
            raise Problem("invalid-axis", f"`dim` names an axis twice: [{listed(self.dim)}]", argument="dim")
        if self.keepdim:
            return x.with_shape(1 if axis in axes else length for axis, length in enumerate(x.shape))
        return x.with_shape(length for axis, length in enumerate(x.shape) if axis not in axes)

    def reach(self, x: TensorType) -> tuple[Reaches, ...]:
        gone = {x.axis(dim) for dim in self.dim}
        before = [0 if self.keepdim else sum(other < axis for other in gone) for axis in range(x.rank)]
        return (tuple(WHOLE if axis in gone else Reach(axis - before[axis]) for axis in range(x.rank)),)

    def memory(self, x: TensorType) -> Memory:
        return Memory()

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

    def memory(self, x: TensorType) -> Memory:
        return Memory(inputs=(0,), output=True, undoing=(x, TensorType(x.shape, "bool", x.batched)))
