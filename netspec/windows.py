"""What happens along one axis: how the length of the output comes about, and which positions of the input it reads.

Ops put their shape rules together from windows. The arithmetic that `netspec explain` prints and the receptive fields
come from the same records as the lengths, so they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

from netspec.diagnostics import Problem

if TYPE_CHECKING:
    from fractions import Fraction


class Reach(NamedTuple):
    """Which positions of one axis of an input are read, for each position along `axis` of the output.

    The positions of one period are written out: the one at `r` reads `lows[r]` to `highs[r]`, and each period behind
    it moves on by `step`. A convolution has a period of 1; one that enlarges the map by 2 has a period of 2 and a
    step of 1. Positions may lie outside of the input, in its padding.
    """

    axis: int
    lows: tuple[int, ...] = (0,)
    highs: tuple[int, ...] = (0,)
    step: int = 1

    @property
    def size(self) -> int:
        """Number of positions from the first to the last that one position of the output reads, at most."""
        return max(high - low for low, high in zip(self.lows, self.highs, strict=True)) + 1

    @property
    def stride(self) -> Fraction:
        """How far neighbors are apart in the input on average: below 1 where the output is longer than the input."""
        from fractions import Fraction  # which imports `decimal`: only for who asks for receptive fields

        return Fraction(self.step, len(self.lows))

    @property
    def center(self) -> Fraction:
        """The middle of what the first position reads, 0 being the first of the input."""
        from fractions import Fraction

        return Fraction(self.lows[0] + self.highs[0], 2)

    def low(self, position: int) -> int:
        """The first position of the input that `position` of the output reads."""
        periods, within = divmod(position, len(self.lows))
        return self.lows[within] + periods * self.step

    def high(self, position: int) -> int:
        """The last position of the input that `position` of the output reads."""
        periods, within = divmod(position, len(self.highs))
        return self.highs[within] + periods * self.step


WHOLE: Literal["whole"] = "whole"
Part = Reach | Literal["whole"] | None
"""What is read of one axis of an input. None where that is no range that moves along one axis of the output."""
Reaches = tuple[Part, ...]
"""What is read of each axis of an input."""


class Window(NamedTuple):
    """A window that slides along one axis, as PyTorch counts it.

    With `ceil_mode` the last window may hang over the end, but must start inside the input or its left padding.
    """

    size: int
    kernel: int
    stride: int
    padding: int
    dilation: int = 1
    ceil_mode: bool = False

    @property
    def length(self) -> int:
        """Number of windows. Raises `Problem` when not even one fits."""
        return _length(self)

    @property
    def arithmetic(self) -> str:
        """The length as a sum: `(56 + 2·1 − 1·(3 − 1) − 1) / 2 + 1`."""
        size, kernel, stride, padding, dilation, _ = self
        quotient = f"({size} + 2·{padding} − {dilation}·({kernel} − 1) − 1) / {stride}"
        if self._span % stride:
            quotient = f"⌈{quotient}⌉" if self.ceil_mode else f"⌊{quotient}⌋"
        return f"{quotient} + 1{' − 1' if self._too_far else ''}"

    def reach(self, axis: int) -> Reach:
        return Reach(axis, (-self.padding,), (self.dilation * (self.kernel - 1) - self.padding,), self.stride)

    @property
    def _span(self) -> int:
        """How far the window can move."""
        return self.size + 2 * self.padding - self.dilation * (self.kernel - 1) - 1

    @property
    def _rounded(self) -> int:
        return (-(-self._span // self.stride) if self.ceil_mode else self._span // self.stride) + 1

    @property
    def _too_far(self) -> bool:
        """Whether the last window of `ceil_mode` would start behind the input."""
        return self.ceil_mode and (self._rounded - 1) * self.stride >= self.size + self.padding

    def _too_large(self) -> Problem:
        size, kernel, _, padding, dilation, _ = self
        padded = f"{size} + 2 × {padding} padding" if padding else f"{size}"
        dilated = f" (dilation {dilation} makes it {dilation * (kernel - 1) + 1})" if dilation > 1 else ""
        message = f"kernel of size {kernel}{dilated} does not fit into {padded}"
        help = (f"a kernel of at most {(size + 2 * padding - 1) // dilation + 1} fits",)
        return Problem("kernel-too-large", message, argument="kernel_size", help=help)


@lru_cache(maxsize=4096)
def _length(window: Window) -> int:
    """The length of a window, kept since one network asks for the same few over and over."""
    length = window._rounded - window._too_far
    if length < 1:
        raise window._too_large()
    return length


class TransposedWindow(NamedTuple):
    """A window that each position of the input spreads over one axis of the output."""

    size: int
    kernel: int
    stride: int
    padding: int
    output_padding: int
    dilation: int

    @property
    def length(self) -> int:
        reach = self.dilation * (self.kernel - 1)
        return (self.size - 1) * self.stride - 2 * self.padding + reach + self.output_padding + 1

    @property
    def arithmetic(self) -> str:
        """The length as a sum: `(7 − 1)·2 − 2·1 + 1·(4 − 1) + 0 + 1`."""
        size, kernel, stride, padding, output_padding, dilation = self
        return f"({size} − 1)·{stride} − 2·{padding} + {dilation}·({kernel} − 1) + {output_padding} + 1"

    def reach(self, axis: int) -> Reach | None:
        """The positions whose windows cover each of `stride` positions; where there is none, those around it."""
        if self.stride * self.kernel > LONGEST_PERIOD:
            return None
        lows, highs = [], []
        for position in range(self.padding, self.padding + self.stride):
            taps = [position - self.dilation * tap for tap in range(self.kernel)]
            sources = [tap // self.stride for tap in taps if tap % self.stride == 0] or [position // self.stride]
            lows.append(min(sources))
            highs.append(max(sources))
        return Reach(axis, tuple(lows), tuple(highs))


def resized(axis: int, ratio: Fraction, length: int, bounds: Callable[[int], tuple[int, int]]) -> Reach | None:
    """The reach of an axis of which each of `length` positions is `ratio` positions of the input long.

    `bounds` says which positions of the input one of the output reads, first and last.
    """
    period = min(ratio.denominator, length)
    if period > LONGEST_PERIOD:
        return None
    lows, highs = zip(*map(bounds, range(period)), strict=True)
    return Reach(axis, lows, highs, round(ratio * period))


def divided(axis: int, size: int, length: int) -> Part:
    """The reach of an axis of `size` that is divided into `length` windows, which may overlap."""

    from fractions import Fraction

    def bounds(position: int) -> tuple[int, int]:
        return position * size // length, -(-(position + 1) * size // length) - 1

    return WHOLE if length == 1 else resized(axis, Fraction(size, length), length, bounds)


def same_place(rank: int, *, whole: Container[int] = (), mixed: Container[int] = ()) -> Reaches:
    """Each position reads its own, but all along the axes `whole`, and no range along those that are `mixed`."""
    return tuple(None if axis in mixed else WHOLE if axis in whole else Reach(axis) for axis in range(rank))


def product(numbers: Iterable[int]) -> str:
    """`128·128·3·3`."""
    return "·".join(map(str, numbers))


LONGEST_PERIOD = 2**16  # a guard against specs whose positions take minutes to write out
