"""Items of a Sequential in, the same with comprehensions for what repeats out.

Items repeat if they are equal, or if they differ in numbers alone that count on from one to the next.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from netspec.backends.python.lines import Code, Loop, flat, parsed

_NUMBERS = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w.])|(?<=[A-Za-z_-])\d+(?=\")")
_LEAST_COUNTED = 3  # items that count on and are worth a comprehension


class Run(NamedTuple):
    """Consecutive items, and the code of all of them."""

    start: int
    stop: int
    code: Code


def find_runs(codes: Sequence[Code]) -> list[Run]:
    """The items in runs as long as possible; an item that repeats nothing is a run of its own."""
    texts = [flat(code) for code in codes]
    pieces = [_NUMBERS.split(text) for text in texts]
    numbers = [_NUMBERS.findall(text) for text in texts]
    runs: list[Run] = []
    start = 0
    while start < len(codes):
        same = start + 1
        while same < len(codes) and texts[same] == texts[start]:
            same += 1
        counted = start + 1
        while counted < len(codes) and pieces[counted] == pieces[start] and _counts_on(numbers, start, counted):
            counted += 1
        if counted - start >= _LEAST_COUNTED and counted > same:
            loop = _counting(pieces[start], numbers[start], numbers[start + 1], counted - start)
            runs.append(Run(start, counted, loop))
        elif same > start + 1:
            runs.append(Run(start, same, Loop("*[", codes[start], f"for _ in range({same - start})", "]")))
        else:
            runs.append(Run(start, same, codes[start]))
        start = runs[-1].stop
    return runs


def _counts_on(numbers: list[list[str]], start: int, place: int) -> bool:
    """Whether the numbers of an item go on as those of the items from `start` do: equal, or all counting from one."""
    first, second, these = numbers[start], numbers[start + 1], numbers[place]
    counters = {a for a, b in zip(first, second, strict=True) if a != b}
    if len(counters) != 1:
        return False
    (counter,) = counters
    if not counter.isdigit():
        return False
    expected = str(int(counter) + place - start)
    return all(c == (a if a == b else expected) for a, b, c in zip(first, second, these, strict=True))


def _counting(pieces: list[str], first: list[str], second: list[str], count: int) -> Loop:
    """A comprehension over `i`, in place of the numbers in which the first two items differ."""
    start = next(int(a) for a, b in zip(first, second, strict=True) if a != b)
    text = pieces[0]
    for a, b, piece in zip(first, second, pieces[1:], strict=True):
        if a == b:
            text += a
        elif text.count('"') % 2:  # within a text, which becomes an f-string
            opening = text.rindex('"')
            text = f"{text[:opening]}f{text[opening:]}{{i}}"
        else:
            text += "i"
        text += piece
    numbers = f"range({start}, {start + count})" if start else f"range({count})"
    return Loop("*[", parsed(text), f"for i in {numbers}", "]")
