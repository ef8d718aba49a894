"""Ops that name, merge, split or reorder axes without touching a number."""

from __future__ import annotations

from math import prod
from typing import Annotated, ClassVar

from netspec.diagnostics import Problem
from netspec.fields import Expects, Limits
from netspec.ops.base import Axes, Axis, FunctionCall, ModuleCall, View, listed
from netspec.shapes import Shape, TensorType
from netspec.windows import WHOLE, Reach, Reaches, product, same_place

Lengths = Annotated[
    tuple[int, ...], Limits(min_length=1), Expects("a list of positive integers, one of which may be -1")
]


class Identity(View):
    """Its input, unchanged: a name for a place in the network.

    Shape: unchanged, whatever it is.
    Cost: none.
    """

    def infer(self, x: TensorType) -> TensorType:
        return x

    def reach(self, x: TensorType) -> tuple[Reaches, ...]:
        return (same_place(x.rank),)

    def torch(self, x: TensorType) -> ModuleCall:
        return ModuleCall("nn.Identity")


class Flatten(View):
    """Axes `start_dim` to `end_dim` merged into one: all axes behind the batch, unless told otherwise.

    Shape: one axis in place of several, as long as their product.
    Cost: none.
    """

    start_dim: Axis = 1
    end_dim: Axis = -1

    def infer(self, x: TensorType) -> TensorType:
        start, end = x.axis(self.start_dim, "start_dim"), x.axis(self.end_dim, "end_dim")
        if start > end:
            message = f"`start_dim` {self.start_dim} comes after `end_dim` {self.end_dim} in the input {x}"
            raise Problem("invalid-axis", message, argument="start_dim")
        return x.with_shape((*x.shape[:start], prod(x.shape[start : end + 1]), *x.shape[end + 1 :]))

    def arithmetic(self, x: TensorType) -> tuple[str, ...]:
        start, end = x.axis(self.start_dim, "start_dim"), x.axis(self.end_dim, "end_dim")
        return ("",) * start + (product(x.shape[start : end + 1]),) + ("",) * (x.rank - 1 - end)

    def reach(self, x: TensorType) -> tuple[Reaches, ...]:
        start, end = x.axis(self.start_dim, "start_dim"), x.axis(self.end_dim, "end_dim")
        merged = end - start
        behind = (Reach(axis - merged) for axis in range(end + 1, x.rank))
        return ((*map(Reach, range(start)), *([None] * (merged + 1) if merged else [Reach(start)]), *behind),)

    def torch(self, x: TensorType) -> ModuleCall:
        return ModuleCall("nn.Flatten", (), self.changed("start_dim", "end_dim"))


class Reshape(View):
    """The same elements in another `shape`, written without the batch axis. One length may be -1: what is left over.

    Shape: any → shape, with as many elements.
    Cost: none.
    """

    variadic: ClassVar = "shape"

    shape: Lengths

    def infer(self, x: TensorType) -> TensorType:
        return x.with_shape(self._lengths(x))

    def arithmetic(self, x: TensorType) -> tuple[str, ...]:
        known = [length for length in self.shape if length != -1]
        rest = f"{x.elements} / ({product(known)})" if known else product(x.shape)
        return tuple(rest if length == -1 else str(length) for length in self.shape)

    def torch(self, x: TensorType) -> FunctionCall:
        lengths = ((-1,) if x.batched else ()) + self._lengths(x)
        return FunctionCall(f"{{0}}.reshape({listed(lengths)})")

    def _lengths(self, x: TensorType) -> Shape:
        known = [length for length in self.shape if length != -1]
        if any(length < 1 for length in known) or len(known) < len(self.shape) - 1:
            message = f"`shape` must be positive integers and at most one -1, got [{listed(self.shape)}]"
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


class Permute(View):
    """Axes in the order `dims`, in PyTorch's numbers; axis 0, the batch, comes first.

    Shape: the axes in their new order.
    Cost: none.
    """

    variadic: ClassVar = "dims"

    dims: Axes

    def infer(self, x: TensorType) -> TensorType:
        whole = (0, *x.shape) if x.batched else x.shape  # the batch axis stands in as a 0, which no other axis can be
        rank = len(whole)
        if sorted(dim % rank for dim in self.dims) != list(range(rank)) or not all(
            -rank <= d < rank for d in self.dims
        ):
            message = f"`dims` must name each of the axes 0 to {rank - 1} once, got [{listed(self.dims)}]"
            help = ("axis 0 is the batch",) if x.batched else ()
            raise Problem("invalid-axis", message, argument="dims", help=help)
        moved = tuple(whole[dim] for dim in self.dims)
        if not x.batched:
            return x.with_shape(moved)
        if moved[0]:
            message = f"`dims` must keep the batch axis 0 in front, got [{listed(self.dims)}]"
            raise Problem("invalid-axis", message, argument="dims")
        return x.with_shape(moved[1:])

    def reach(self, x: TensorType) -> tuple[Reaches, ...]:
        sources = [dim % (x.rank + x.batched) - x.batched for dim in self.dims]
        return (tuple(Reach(sources.index(axis) - x.batched) for axis in range(x.rank)),)

    def torch(self, x: TensorType) -> FunctionCall:
        return FunctionCall(f"{{0}}.permute({listed(self.dims)})")


class Transpose(View):
    """Two axes exchanged.

    Shape: the lengths of `dim0` and `dim1` change places.
    Cost: none.
    """

    dim0: Axis
    dim1: Axis

    def infer(self, x: TensorType) -> TensorType:
        first, second = x.axis(self.dim0, "dim0"), x.axis(self.dim1, "dim1")
        shape = list(x.shape)
        shape[first], shape[second] = shape[second], shape[first]
        return x.with_shape(shape)

    def reach(self, x: TensorType) -> tuple[Reaches, ...]:
        first, second = x.axis(self.dim0, "dim0"), x.axis(self.dim1, "dim1")
        return (tuple(Reach({first: second, second: first}.get(axis, axis)) for axis in range(x.rank)),)

    def torch(self, x: TensorType) -> FunctionCall:
        return FunctionCall(f"{{0}}.transpose({self.dim0}, {self.dim1})")


class Squeeze(View):
    """Axis `dim`, which must have length 1, removed.

    Shape: all axes but `dim`.
    Cost: none.
    """

    dim: Axis

    def infer(self, x: TensorType) -> TensorType:
        axis = x.axis(self.dim)
        if x.shape[axis] != 1:
            message = f"axis {self.dim} has length {x.shape[axis]}, and only an axis of length 1 can go"
            help = ("`mean`, `max`, `select` and `flatten` remove a longer axis",)
            raise Problem("shape-mismatch", message, argument="dim", help=help)
        return x.with_shape(x.shape[:axis] + x.shape[axis + 1 :])

    def reach(self, x: TensorType) -> tuple[Reaches, ...]:
        gone = x.axis(self.dim)
        return (tuple(WHOLE if axis == gone else Reach(axis - (axis > gone)) for axis in range(x.rank)),)

    def torch(self, x: TensorType) -> FunctionCall:
        return FunctionCall(f"{{0}}.squeeze({self.dim})")


class Unsqueeze(View):
    """New axis of length 1, which gets the number `dim`.

    Shape: one more axis.
    Cost: none.
    """

    dim: Axis

    def infer(self, x: TensorType) -> TensorType:
        axis = x.with_shape((*x.shape, 1)).axis(self.dim)  # axis numbers are those of the output
        return x.with_shape((*x.shape[:axis], 1, *x.shape[axis:]))

    def reach(self, x: TensorType) -> tuple[Reaches, ...]:
        new = x.with_shape((*x.shape, 1)).axis(self.dim)
        return (tuple(Reach(axis + (axis >= new)) for axis in range(x.rank)),)

    def torch(self, x: TensorType) -> FunctionCall:
        return FunctionCall(f"{{0}}.unsqueeze({self.dim})")
