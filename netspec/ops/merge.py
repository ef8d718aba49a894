"""Ops that bring several values together."""

from __future__ import annotations

from typing import ClassVar

from netspec.diagnostics import Problem
from netspec.ops.base import ANY_DTYPE, Axis, FunctionCall, Memory, Number, Op
from netspec.shapes import Shape, TensorType, broadcast, mismatch
from netspec.windows import WHOLE, Reach, Reaches, same_place


class _Elementwise(Op):
    """Base of the ops that combine values element by element, stretching axes of length 1."""

    category: ClassVar = "merge"
    arity: ClassVar[tuple[int, int | None]] = (2, None)
    merges: ClassVar = True
    unbatched: ClassVar = True
    symbol: ClassVar[str]

    def infer(self, *inputs: TensorType) -> TensorType:
        return broadcast(inputs)

    def reach(self, *inputs: TensorType) -> tuple[Reaches, ...]:
        rank = self.infer(*inputs).rank
        return tuple(_stretched(x, rank) for x in inputs)

    def torch(self, *inputs: TensorType) -> FunctionCall:
        return FunctionCall(f" {self.symbol} ".join(f"{{{i}}}" for i in range(len(inputs))))


class Add(_Elementwise):
    """Sum of two or more values, as at the end of a residual block.

    Shape: equal shapes, or axes of length 1 that stretch.
    Cost: no multiply-accumulates.
    Source: He et al., Deep residual learning for image recognition, 2015.
    """

    symbol: ClassVar = "+"

    def torch(self, *inputs: TensorType) -> FunctionCall:
        call = super().torch(*inputs)
        return call._replace(in_place=("{0} += {1}", "{1} += {0}")) if len(inputs) == 2 else call

    def memory(self, *inputs: TensorType) -> Memory:
        total = self.infer(*inputs)
        return Memory(passes=tuple(number for number, x in enumerate(inputs) if x == total))


class Mul(_Elementwise):
    """Product of two or more values, as where squeeze-and-excitation scales channels.

    Shape: equal shapes, or axes of length 1 that stretch.
    Cost: no multiply-accumulates: a product without a sum.
    Source: Hu et al., Squeeze-and-excitation networks, 2017.
    """

    symbol: ClassVar = "*"

    def memory(self, *inputs: TensorType) -> Memory:
        between = tuple(self.infer(*inputs[:count]) for count in range(2, len(inputs)))
        product = self.infer(*inputs)
        stretched = tuple(product for x in inputs if x != product)  # whose gradients are added up in the end
        return Memory(inputs=tuple(range(len(inputs))), own=between, undoing=stretched)


class Sub(_Elementwise):
    """Difference of two values.

    Shape: equal shapes, or axes of length 1 that stretch.
    Cost: no multiply-accumulates.
    """

    arity: ClassVar = (2, 2)
    symbol: ClassVar = "-"

    def memory(self, *inputs: TensorType) -> Memory:
        return Memory(passes=(0,) if inputs[0] == self.infer(*inputs) else ())


class Concat(Op):
    """Values joined along one axis, the channels unless `dim` says otherwise.

    Next to values with a batch axis, a parameter or constant has a first axis of 1 and is repeated for each sample,
    as the class token of a vision transformer.

    Shape: equal on all axes but `dim`, whose lengths add up.
    Cost: none.
    Source: Szegedy et al., Going deeper with convolutions, 2014.
    """

    category: ClassVar = "merge"
    arity: ClassVar[tuple[int, int | None]] = (1, None)
    merges: ClassVar = True
    dtypes: ClassVar = ANY_DTYPE
    unbatched: ClassVar = True

    dim: Axis = 1

    def infer(self, *inputs: TensorType) -> TensorType:
        batched = any(x.batched for x in inputs)
        types = [_for_each_sample(x) if batched and not x.batched else x for x in inputs]
        first = types[0]
        axis = first.axis(self.dim)
        for other in types[1:]:
            same_rank = other.rank == first.rank and other.dtype == first.dtype
            if not same_rank or _without(other, axis) != _without(first, axis):
                raise mismatch(f"needs shapes that are equal but for axis {self.dim}", types)
        length = sum(x.shape[axis] for x in types)
        return first.with_shape((*first.shape[:axis], length, *first.shape[axis + 1 :]))

    def arithmetic(self, *inputs: TensorType) -> tuple[str, ...]:
        joined = self.infer(*inputs)
        axis = joined.axis(self.dim)
        lengths = (x.shape[axis + joined.batched - x.batched] for x in inputs)
        return tuple(" + ".join(map(str, lengths)) if position == axis else "" for position in range(joined.rank))

    def reach(self, *inputs: TensorType) -> tuple[Reaches, ...]:
        joined = self.infer(*inputs)
        axis = joined.axis(self.dim)
        return tuple(
            same_place(x.rank, mixed=[axis]) if x.batched == joined.batched else (None,) * x.rank for x in inputs
        )

    def memory(self, *inputs: TensorType) -> Memory:
        batched = self.infer(*inputs).batched
        return Memory(passes=tuple(number for number, x in enumerate(inputs) if x.batched == batched))

    def torch(self, *inputs: TensorType) -> FunctionCall:
        values = [f"{{{i}}}" for i in range(len(inputs))]
        batch = next((value for value, x in zip(values, inputs, strict=True) if x.batched), None)
        if batch is not None:
            for i, x in enumerate(inputs):
                if not x.batched:
                    values[i] += f".expand({batch}.shape[0]{', -1' * (x.rank - 1)})"
        return FunctionCall(f"torch.cat([{', '.join(values)}], {self.dim})")


def _stretched(x: TensorType, rank: int) -> Reaches:
    """What an elementwise op on `rank` axes reads of `x`: axes align from the right, and one of 1 is read by all."""
    return tuple(WHOLE if length == 1 else Reach(axis + rank - x.rank) for axis, length in enumerate(x.shape))


def _for_each_sample(x: TensorType) -> TensorType:
    """A parameter or constant as one sample sees it. Raises `Problem` unless its first axis can be the batch."""
    if x.rank == 0 or x.shape[0] != 1:
        message = f"{{op}} repeats a parameter or constant for each sample if its first axis is 1, got {x}"
        raise Problem("shape-mismatch", message)
    return TensorType(x.shape[1:], x.dtype)


def _without(x: TensorType, axis: int) -> tuple[int, ...]:
    return x.shape[:axis] + x.shape[axis + 1 :]


class Matmul(Op):
    """Matrix product of two values over their last two axes; earlier axes broadcast.

    Shape: ... × n × k and ... × k × m → ... × n × m.
    Cost: n · k · m multiply-accumulates for each pair of matrices.
    """

    category: ClassVar = "linear"
    arity: ClassVar = (2, 2)
    merges: ClassVar = True
    unbatched: ClassVar = True

    def infer(self, a: TensorType, b: TensorType) -> TensorType:
        for x in (a, b):
            if x.rank < 2:
                raise Problem("wrong-rank", f"{{op}} takes matrices, so at least two axes behind the batch, got {x}")
        if a.shape[-1] != b.shape[-2]:
            raise mismatch("needs the last axis of the first to equal the last but one of the second", (a, b))
        outer = broadcast(x.with_shape(x.shape[:-2]) for x in (a, b))
        return TensorType((*outer.shape, a.shape[-2], b.shape[-1]), a.dtype, outer.batched)

    def products(self, a: TensorType, b: TensorType) -> tuple[Shape, ...]:
        return ((*self.infer(a, b).shape, a.shape[-1]),)

    def reach(self, a: TensorType, b: TensorType) -> tuple[Reaches, ...]:
        rank = self.infer(a, b).rank
        first, second = _stretched(a, rank), _stretched(b, rank)
        return (*first[:-1], WHOLE), (*second[:-2], WHOLE, Reach(rank - 1))

    def memory(self, a: TensorType, b: TensorType) -> Memory:
        """A stretched value is copied; but a plain matrix meets the whole other, transposed if that is on the right."""
        if b.rank + b.batched == 2 or a.rank + a.batched == b.rank + b.batched == 2:
            return Memory(inputs=(0, 1))
        if a.rank + a.batched == 2:
            return Memory(inputs=(0,), own=(b,))
        whole = self.infer(a, b)
        stretched = [TensorType((*whole.shape[:-2], *x.shape[-2:]), x.dtype, whole.batched) for x in (a, b)]
        kept = tuple(number for number, x in enumerate((a, b)) if x == stretched[number])
        return Memory(inputs=kept, own=tuple(copy for copy in stretched if copy not in (a, b)))

    def torch(self, a: TensorType, b: TensorType) -> FunctionCall:
        return FunctionCall("{0} @ {1}")


class Times(Op):
    """Each element times one number.

    Shape: unchanged.
    Cost: no multiply-accumulates: a product without a sum.
    """

    category: ClassVar = "merge"
    unbatched: ClassVar = True

    factor: Number

    def infer(self, x: TensorType) -> TensorType:
        return x

    def reach(self, x: TensorType) -> tuple[Reaches, ...]:
        return (same_place(x.rank),)

    def memory(self, x: TensorType) -> Memory:
        return Memory()

    def torch(self, x: TensorType) -> FunctionCall:
        return FunctionCall(f"{{0}} * {self.factor!r}")


class Lookup(Op):
    """Entries of the first input along axis `dim`, at the positions that the second input holds.

    A table may be a parameter; the positions are int64, and stand in place of the axis. Only one of the two may have a
    batch axis, and positions that have one look along axis 0.

    Shape: before × length × behind, and int64 of any shape → before × shape × behind.
    Cost: no multiply-accumulates: a lookup.
    """

    category: ClassVar = "merge"
    arity: ClassVar[tuple[int, int | None]] = (2, 2)
    merges: ClassVar = True
    dtypes: ClassVar = ANY_DTYPE
    unbatched: ClassVar = True

    dim: Axis = 0

    def infer(self, table: TensorType, index: TensorType) -> TensorType:
        if index.dtype != "int64":
            raise Problem("wrong-dtype", f"{{op}} takes int64 positions as its second input, got {index}")
        axis = table.axis(self.dim)
        if index.batched and (table.batched or axis):
            message = f"positions that differ from sample to sample need a parameter or constant, got {table}"
            if not table.batched:
                message = f"positions that differ from sample to sample look along axis 0, not {self.dim}"
            raise Problem("shape-mismatch", message, argument="dim")
        shape = (*table.shape[:axis], *index.shape, *table.shape[axis + 1 :])
        return TensorType(shape, table.dtype, table.batched or index.batched)

    def memory(self, table: TensorType, index: TensorType) -> Memory:
        return Memory(inputs=(1,))

    def torch(self, table: TensorType, index: TensorType) -> FunctionCall:
        return FunctionCall(f"{{0}}[{':, ' * (table.axis(self.dim) + table.batched)}{{1}}]")
