"""Values that a network owns: learned parameters, constants and tables of embeddings."""

from __future__ import annotations

from functools import lru_cache
from itertools import chain, product
from math import copysign, isfinite, log2, prod
from struct import pack, unpack
from typing import Annotated, Any, ClassVar

from netspec.diagnostics import Problem
from netspec.fields import Expects, Limits
from netspec.initializers import Initializer, Normal, NormalTable
from netspec.ops.base import ModuleCall, Number, Op, Positive, State, StateCall, buffer
from netspec.shapes import Shape, TensorType
from netspec.windows import Reaches, same_place

_Shape = tuple[Annotated[int, Limits(gt=0)], ...]
WholeShape = Annotated[_Shape, Expects("a list of positive integers")]
OptionalShape = Annotated[_Shape | None, Expects("a list of positive integers")]


class Parameter(Op):
    """A learned tensor that belongs to no layer, such as a class token or a scale per channel.

    Its `shape` is whole: there is no batch axis. The node's own path is the parameter's name.

    Shape: no input → shape.
    Cost: none.
    """

    category: ClassVar = "state"
    arity: ClassVar[tuple[int, int | None]] = (0, 0)
    variadic: ClassVar = "shape"

    shape: WholeShape

    def infer(self) -> TensorType:
        return TensorType(self.shape, batched=False)

    def state(self) -> dict[str, State]:
        return {"": State(self.shape)}

    def torch(self) -> StateCall:
        return StateCall(State(self.shape))


class Constant(Op):
    """A tensor that is not learned: a `value` written out, or a `shape` filled with one number.

    It is saved with the weights unless `persistent` is false. The node's own path is the buffer's name.

    Shape: no input → the shape of `value`, or `shape`; there is no batch axis.
    Cost: none.
    """

    category: ClassVar = "state"
    arity: ClassVar[tuple[int, int | None]] = (0, 0)

    value: Annotated[float | tuple[Any, ...] | None, Expects("a number or a nested list of numbers")] = None
    shape: OptionalShape = None
    fill: Number = 0.0
    persistent: bool = True

    def infer(self) -> TensorType:
        if self.value is not None and (self.shape is not None or self.fill):
            at_fault = "shape" if self.shape is not None else "fill"
            message = f"`value` and `{at_fault}` exclude each other"
            raise Problem("wrong-value", message, argument=at_fault, help=("leave one of the two out",))
        if self.value is not None:
            return TensorType(_nested_shape(self.value), batched=False)
        if self.shape is None:
            help = ("write `constant: 0.5`, or `{constant: , shape: [8, 1, 1], fill: 1.0}`",)
            raise Problem("missing-argument", "{op} needs `value` or `shape`", help=help)
        return TensorType(self.shape, batched=False)

    def state(self) -> dict[str, State]:
        return {"": State(self.infer().shape, trainable=False, persistent=self.persistent)}

    def torch(self) -> StateCall:
        return StateCall(self.state()[""], self.fill if self.value is None else self.value)


def _nested_shape(value: Any) -> Shape:
    """The shape of a nested list. Raises `Problem` where it is ragged or holds something that is not a number."""
    if isinstance(value, tuple):
        shapes = {_nested_shape(item) for item in value}
        if len(shapes) != 1:
            message = "`value` is ragged: its lists differ in length" if shapes else "`value` has an empty list"
            raise Problem("shape-mismatch", message, argument="value")
        return (len(value), *shapes.pop())
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise Problem("wrong-type", f"`value` must hold numbers alone, got `{value}`", argument="value")
    return ()


class Embedding(Op):
    """A learned vector for each of `num_embeddings` words, looked up by whole numbers.

    The vector at `padding_idx` starts at zero and is not trained.

    Shape: int64 of any shape → the same with a last axis of embedding_dim.
    Cost: no multiply-accumulates: a lookup.
    """

    category: ClassVar = "state"
    dtypes: ClassVar = frozenset({"int64"})

    num_embeddings: Positive
    embedding_dim: Positive
    padding_idx: Annotated[int | None, Expects("an integer or `none`")] = None

    def infer(self, x: TensorType) -> TensorType:
        if self.padding_idx is not None and not -self.num_embeddings <= self.padding_idx < self.num_embeddings:
            message = f"`padding_idx` of {self.padding_idx} is not one of the {self.num_embeddings} embeddings"
            help = (f"they are numbered 0 to {self.num_embeddings - 1}",)
            raise Problem("wrong-value", message, argument="padding_idx", help=help)
        return TensorType((*x.shape, self.embedding_dim))

    def state(self, x: TensorType) -> dict[str, State]:
        return {"weight": State((self.num_embeddings, self.embedding_dim))}

    def initial(self, x: TensorType) -> dict[str, Initializer]:
        return {"weight": Normal() if self.padding_idx is None else NormalTable(zero_row=self.padding_idx)}

    def arithmetic(self, x: TensorType) -> tuple[str, ...]:
        return ("",) * x.rank + ("embedding_dim",)

    def reach(self, x: TensorType) -> tuple[Reaches, ...]:
        return (same_place(x.rank),)

    def torch(self, x: TensorType) -> ModuleCall:
        arguments = (self.num_embeddings, self.embedding_dim)
        return ModuleCall("nn.Embedding", arguments, self.changed("padding_idx"))


_MOST_NUMBERS = 2**22  # a guard against specs whose constants take minutes to write out


class _RelativePosition(Op):
    """Base of the constants that describe two positions in one window of the size `window_size`."""

    category: ClassVar = "state"
    arity: ClassVar[tuple[int, int | None]] = (0, 0)
    variadic: ClassVar = "window_size"

    window_size: Annotated[
        tuple[Annotated[int, Limits(gt=0)], ...],
        Limits(min_length=1),
        Expects("a positive integer for a square window, or a list with one for each axis"),
    ]

    def infer(self) -> TensorType:
        state = self.state()[""]
        if state.elements > _MOST_NUMBERS:
            message = f"a window of {'×'.join(map(str, self._window()))} needs more than {_MOST_NUMBERS:,} numbers"
            raise Problem("wrong-value", message, argument="window_size")
        return TensorType(state.shape, state.dtype, batched=False)

    def _window(self) -> tuple[int, ...]:
        return self.window_size * 2 if len(self.window_size) == 1 else self.window_size


class RelativePositionIndex(_RelativePosition):
    """For each two positions of a window the number of the offset between them, to look up a bias by.

    Offsets are counted row by row from the most negative one; a window of h × w has (2h − 1) · (2w − 1). It is saved
    with the weights.

    Shape: no input → int64, positions × positions, or with `flatten` one axis; there is no batch axis.
    Cost: none.
    Source: Liu et al., Swin Transformer, 2021.
    """

    flatten: bool = False

    def state(self) -> dict[str, State]:
        positions = prod(self._window())
        return {"": buffer(*([positions**2] if self.flatten else [positions] * 2), dtype="int64")}

    def torch(self) -> StateCall:
        rows = _pairs(self._window())
        grid = f"torch.arange({self._window()[0]})"
        for size in self._window()[1:]:
            grid = f"({2 * size - 1} * {grid}[:, None] + torch.arange({size})).flatten()"
        pairs = "grid[:, None] - grid + grid[-1]"
        code = (f"grid = {grid}", f"({pairs}).flatten()" if self.flatten else pairs)
        return StateCall(self.state()[""], tuple(chain(*rows)) if self.flatten else rows, code)


@lru_cache(maxsize=16)
def _pairs(window: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """A row for each position of a window, with the number of its offset from every position."""
    positions = list(product(*map(range, window)))
    return tuple(tuple(_offset(query, key, window) for key in positions) for query in positions)


def _offset(query: tuple[int, ...], key: tuple[int, ...], window: tuple[int, ...]) -> int:
    """The number of the offset from `key` to `query`."""
    number = 0
    for to, start, size in zip(query, key, window, strict=True):
        number = number * (2 * size - 1) + to - start + size - 1
    return number


class RelativePositionOffsets(_RelativePosition):
    """All offsets between two positions of a window, spaced by logarithm: the farthest is log2(9) / 3 away.

    A small network turns them into a bias, for windows of any size alike. The constant is saved with the weights.

    Shape: no input → 1 × (2h − 1) × (2w − 1) × 2 for a window of h × w, which are at least 2; there is no batch axis.
    Cost: none.
    Source: Liu et al., Swin Transformer V2, 2022.
    """

    def infer(self) -> TensorType:
        if min(self.window_size) < 2:
            message = f"`window_size` must be at least 2, got {min(self.window_size)}"
            raise Problem("wrong-value", message, argument="window_size")
        return super().infer()

    def state(self) -> dict[str, State]:
        window = self._window()
        return {"": buffer(1, *(2 * size - 1 for size in window), len(window))}

    def torch(self) -> StateCall:
        axes = [[_log_spaced(offset, size) for offset in range(1 - size, size)] for size in self._window()]
        code = []
        for axis, size in enumerate(self._window()):
            code.append(f"offsets{axis} = torch.arange({1 - size}, {size}) / {size - 1} * 8")
            code.append(f"offsets{axis} = offsets{axis}.sign() * torch.log2(offsets{axis}.abs() + 1) / 3")
        names = ", ".join(f"offsets{axis}" for axis in range(len(self._window())))
        code.append(f'torch.stack(torch.meshgrid({names}, indexing="ij"), dim=-1)[None]')
        return StateCall(self.state()[""], (_table(axes),), tuple(code))


def _table(axes: list[list[float]], chosen: tuple[float, ...] = ()) -> Any:
    """Nested rows of every choice of one number from each list."""
    return tuple(_table(axes[1:], (*chosen, number)) for number in axes[0]) if axes else chosen


def _log_spaced(offset: int, size: int) -> float:
    """An offset in a window, in the steps of the reference and rounded to float32 after each."""
    scaled = _float32(_float32(offset / (size - 1)) * 8)  # 8 and 3 = log2(8): the paper's constants
    return _float32(copysign(_float32(log2(_float32(abs(scaled) + 1))), offset) / 3)


def _float32(number: float) -> float:
    result: float = unpack("f", pack("f", number))[0]
    return result
