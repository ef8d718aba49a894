"""What netspec knows of a tensor before it exists, and the shape rules that several ops share.

A shape leaves the batch axis out: it is always there, in front, and of unknown length. Axis numbers are PyTorch's, so
axis 0 is the batch and axis 1 the channels.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from netspec.diagnostics import Problem

Shape = tuple[int, ...]

AXIS_NAMES: dict[int, tuple[str, ...]] = {
    1: ("features",),
    2: ("channels", "length"),
    3: ("channels", "height", "width"),
    4: ("channels", "depth", "height", "width"),
}

BYTES = {"float32": 4, "int64": 8, "bool": 1}


@dataclass(frozen=True, slots=True)
class TensorType:
    """Shape and dtype of a value. `batched` is false for learned parameters and constants, whose shape is whole."""

    shape: Shape
    dtype: str = "float32"
    batched: bool = True

    def __str__(self) -> str:
        text = "×".join(map(str, self.shape)) or "scalar"
        return text if self.dtype == "float32" else f"{text} {self.dtype}"

    @property
    def rank(self) -> int:
        """Number of axes without the batch axis."""
        return len(self.shape)

    @property
    def spatial(self) -> Shape:
        """The axes behind the channels."""
        return self.shape[1:]

    @property
    def channels(self) -> int:
        return self.shape[0]

    @property
    def elements(self) -> int:
        """Number of elements, of one sample where there is a batch axis."""
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.elements * BYTES[self.dtype]

    def with_shape(self, shape: Iterable[int]) -> TensorType:
        return TensorType(tuple(shape), self.dtype, self.batched)

    def axis(self, dim: int, argument: str = "dim") -> int:
        """The position in `shape` of PyTorch's axis `dim`, which counts the batch axis and may be negative."""
        rank = len(self.shape) + 1 if self.batched else len(self.shape)
        position = dim + rank if dim < 0 else dim
        if not 0 <= position < rank:
            included = ", batch included" if self.batched else ""
            message = f"axis {dim} does not exist: the input {self} has {rank} axes{included}"
            raise Problem("invalid-axis", message, argument=argument)
        if self.batched and position == 0:
            message = "axis 0 is the batch axis, which an op leaves alone"
            raise Problem("invalid-axis", message, argument=argument, help=("axis 1 is the first behind it",))
        return position - 1 if self.batched else position


def broadcast(types: Iterable[TensorType]) -> TensorType:
    """The type of an elementwise op on `types`: axes align from the right, and an axis of 1 stretches."""
    types = tuple(types)
    first = types[0]
    batched = any(t.batched for t in types)
    whole = [_whole(t) for t in types]
    rank = max(map(len, whole))
    result: list[int] = []
    for position in range(-rank, 0):
        lengths = {shape[position] for shape in whole if len(shape) >= -position and shape[position] != 1}
        if len(lengths) > 1:
            raise mismatch("needs equal shapes", types)
        result.append(lengths.pop() if lengths else 1)
    if batched and (result[0] != _BATCH or _BATCH in result[1:]):
        raise mismatch("would broadcast over the batch axis", types)
    return TensorType(tuple(result[1:] if batched else result), first.dtype, batched)


_DIVISOR_SEARCH = 65_536  # look for divisors to suggest up to here
_BATCH = -1  # stands for the unknown length of the batch axis while shapes are aligned


def _whole(type: TensorType) -> Shape:
    return (_BATCH, *type.shape) if type.batched else type.shape


def mismatch(complaint: str, types: Iterable[TensorType]) -> Problem:
    """The problem of inputs whose shapes do not go together."""
    shapes = [str(t) for t in types]
    return Problem("shape-mismatch", f"{{op}} {complaint}, got {', '.join(shapes[:-1])} and {shapes[-1]}")


def divides(divisor: int, number: int, what: str, argument: str) -> None:
    """Raise a `Problem` unless `divisor` divides `number`; `what` says whose number it is."""
    if number % divisor:
        fitting = [d for d in range(1, min(number, _DIVISOR_SEARCH) + 1) if number % d == 0]
        near = sorted(sorted(fitting, key=lambda d: abs(d - divisor))[:4])
        raise Problem(
            "does-not-divide",
            f"`{argument}` is {divisor}, which does not divide {what} ({number})",
            argument=argument,
            help=(f"divisors of {number} near it: {', '.join(map(str, near))}",),
        )
