"""How a tensor of the running network lies against its value in the graph, where the batch is always the first axis.

Code written by hand moves the batch behind other axes, or merges it with windows, for as long as it suits. A layout
says where the batch is, so that the value keeps it in front and axis numbers of the code become those of the graph.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import NamedTuple

from torch import Tensor

from netspec.diagnostics import Problem
from netspec.shapes import Shape, TensorType


class Layout(NamedTuple):
    """Axis `batch` of the tensor is the batch, joined with the first `merged` axes of a sample.

    All other axes are in the order of the graph. `batch` is None for a learned tensor or a constant. One that is
    `expanded` was repeated for each sample, and is still one in the graph.
    """

    batch: int | None = 0
    merged: int = 0
    expanded: bool = False

    @property
    def plain(self) -> bool:
        """Whether the tensor is as in the graph."""
        return not (self.batch or self.merged or self.expanded)

    def physical(self, type: TensorType, batch: int) -> Shape:
        """The shape of the tensor of a value, in a batch of that size."""
        if self.expanded:
            return (batch, *type.shape[1:])
        if self.batch is None:
            return type.shape
        merged, others = type.shape[: self.merged], type.shape[self.merged :]
        return (*others[: self.batch], batch * prod(merged), *others[self.batch :])

    def axis(self, dim: int, rank: int) -> int:
        """The number that the graph has for axis `dim` of a tensor with `rank` axes. Raises `Problem`."""
        position = dim % rank
        if self.batch is None:
            return dim
        if position == self.batch:
            raise Problem("cannot-import", "this works along the batch axis, which an op leaves alone")
        return dim if self.plain or (dim < 0 and self.batch == 0) else position + self.merged + (position < self.batch)

    def without(self, dims: Iterable[int], rank: int) -> Layout:
        """The layout after the axes `dims` are gone."""
        if self.batch is None:
            return self
        return self._replace(batch=self.batch - sum(dim % rank < self.batch for dim in dims))

    def permuted(self, dims: tuple[int, ...]) -> tuple[Layout, tuple[int, ...]]:
        """The layout behind a permutation of the tensor, and the permutation of the value that goes with it."""
        rank = len(dims)
        dims = tuple(dim % rank for dim in dims)
        if self.batch is None:
            return self, dims
        kept = tuple(range(1 + self.merged))
        others = tuple(dim + self.merged + (dim < self.batch) for dim in dims if dim != self.batch)
        return self._replace(batch=dims.index(self.batch)), (*kept, *others)

    def reshaped(self, old: Shape, new: Shape, batch: int) -> tuple[Layout, Shape]:
        """The layout behind a reshape of the tensor from `old` to `new`, and the new shape of a sample.

        Raises `Problem` where elements of different samples would come into one row.
        """
        if self.batch is None:
            return self, new
        place = self.batch
        if old[:place] != new[:place] or len(new) <= place or new[place] % batch:
            raise Problem("cannot-import", "this reshape mixes the samples of the batch")
        inner = new[place] // batch
        merged = (inner,) if inner > 1 else ()
        if place and (merged or self.merged):
            raise Problem("cannot-import", "this reshape joins samples with axes before the batch")
        return Layout(place, len(merged)), (*merged, *new[:place], *new[place + 1 :])

    def logical(self, tensor: Tensor, type: TensorType, batch: int) -> Tensor:
        """The tensor as the graph has it."""
        if self.expanded:
            return tensor[:1]
        if self.batch is None:
            return tensor
        return tensor.movedim(self.batch, 0).reshape((batch, *type.shape))
