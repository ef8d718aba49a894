"""Nodes that stand one behind the other in, one `repeat` of them out, where they are copies but for a few numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from netspec.formulas import HOLE, DifferentError, constant, present
from netspec.importing.fold.laying import Slot, lay
from netspec.importing.fold.terms import Linear, Repeat, Share, Text, Varying, everything, mapped

_LEAST_TURNS = 4  # copies that show that something is so for every second one
LEAST_LINE = 3  # copies that show that a number grows by equal steps


def as_repeat(nodes: Sequence[Any], names: Sequence[str]) -> Repeat | None:
    """A chain of nodes with these names as copies of one node; None where they are no such thing."""
    name = "" if names == tuple(map(str, range(len(names)))) else template(names, "i")
    if len(nodes) < 2 or name is None or "." in name:  # which the name of a copy cannot have
        return None
    try:
        node = mapped(lay(nodes), _by_copy)
    except DifferentError:
        return None
    shares = sum(1 for part in everything(node) if isinstance(part, Share) and isinstance(part.number, Linear))
    varying = [part for part in everything(node) if isinstance(part, Varying | Linear | Text)][shares:]
    inner = [part for part in everything(node) if isinstance(part, Repeat)]
    if len(varying) > min(2, len(nodes) - 1) or ((varying or shares) and inner):
        return None
    return Repeat(len(nodes), node, name)


def _by_copy(part: Any) -> Any:
    """A slot for a value of each copy as what varies. Raises `DifferentError` where that takes a table."""
    if not isinstance(part, Slot):
        return part
    there = present(part.column)
    if all(isinstance(value, Share) for value in there):
        numbers = tuple(HOLE if value is HOLE else value.number for value in part.column)
        return replace(there[0], number=_growing(replace(part, column=numbers)))
    if _alternates(part.column):
        return Text("i % 2 == 1" if part.column[1] else "i % 2 == 0")
    first, *others = part.column
    if part.kind == "value" and constant(tuple(others)) and not isinstance(first, tuple):
        return Varying(first, others[0])
    line = steady(part.column, LEAST_LINE)
    if part.kind != "value" or line is None:
        raise DifferentError
    return Linear(*line)


def _alternates(column: Sequence[Any]) -> bool:
    """Whether something is so for every second copy."""
    turns = all(isinstance(value, bool) for value in column) and len(column) >= _LEAST_TURNS
    return turns and all(value is not before for before, value in pairwise(column))


def _growing(part: Slot) -> Any:
    """The number of a share, which grows from copy to copy: by 1 where it is known of a single one."""
    known = [(row, value) for row, value in enumerate(part.column) if value is not HOLE]
    line = (known[0][1] - known[0][0], 1) if len(known) == 1 else steady(part.column)
    return _by_copy(part) if line is None else Linear(*line)


def steady(column: Sequence[Any], least: int = 2) -> tuple[int, int] | None:
    """The start and the step of whole numbers that grow by equal steps from row to row, if so many are known."""
    known = [(row, value) for row, value in enumerate(column) if value is not HOLE]
    if len(known) < least or any(isinstance(value, bool) or not isinstance(value, int) for _, value in known):
        return None
    (first_row, first), (second_row, second) = known[:2]
    step = (second - first) // (second_row - first_row)
    start: int = first - first_row * step
    return (start, step) if all(value == start + row * step for row, value in known) else None


def template(names: Sequence[str], variable: str) -> str | None:
    """`layer{i + 1}` for the names `layer1`, `layer2` and so on: the number in them that counts the rows."""
    for number in re.finditer(r"\d+", names[0]):
        stem, start, tail = names[0][: number.start()], int(number[0]), names[0][number.end() :]
        if all(name == f"{stem}{start + row}{tail}" for row, name in enumerate(names)):
            return f"{stem}{{{variable} + {start}}}{tail}" if start else f"{stem}{{{variable}}}{tail}"
    return None
