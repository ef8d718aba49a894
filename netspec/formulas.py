"""Columns of values in, formulas out: what explains the numbers in which the instances of one class or block differ.

A column has one value for each instance. A formula is a short expression over named columns (the arguments of the
class or block) that gives the column exactly, for every instance; where none is found, the column becomes an argument
itself. Readable Python and imported specs both look for instances of one thing, and share this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from itertools import combinations, permutations
from typing import Any, NamedTuple

Column = tuple[Any, ...]


class DifferentError(Exception):
    """Instances that are not of one structure, so that one class or block cannot describe them all."""


class Hole(Enum):
    """The value of an instance that has none in a column: whatever a formula gives there is right."""

    HOLE = "hole"


HOLE = Hole.HOLE

FACTORS = (2, 3, 4, 6, 8, 16)
"""The whole numbers that a formula may multiply or divide by."""


_FEW = 2  # different rates that decide whether something is there; more are a schedule


class Formula(NamedTuple):
    """An expression and its value for each instance. `names` are the columns that it is made of."""

    text: str
    values: Column
    names: frozenset[str]
    compound: bool = False

    @property
    def operand(self) -> str:
        """The text as a part of another expression."""
        return f"({self.text})" if self.compound else self.text


def present(column: Column) -> list[Any]:
    """The values of a column, without its holes."""
    return [value for value in column if value is not HOLE]


def constant(column: Column) -> bool:
    """True where all instances have the same value, of the same type."""
    values = present(column)
    return all(value == values[0] and type(value) is type(values[0]) for value in values)


def agrees(values: Column, column: Column) -> bool:
    """True where `values` are those of `column`, its holes aside."""
    return all(
        wanted is HOLE or (value is not HOLE and type(value) is type(wanted) and value == wanted)
        for value, wanted in zip(values, column, strict=True)
    )


def atom(name: str, values: Column) -> Formula:
    """The formula that is one name."""
    return Formula(name, values, frozenset({name}))


def common_order(sequences: list[list[str]]) -> list[str]:
    """One order that all sequences keep. Raises `DifferentError`."""
    result = max(sequences, key=len)
    for sequence in sequences:
        if sequence == result:
            continue
        result, place = list(result), 0
        for name in sequence:
            if name in result:
                found = result.index(name)
                if found < place:
                    raise DifferentError
                place = found + 1
            else:
                result.insert(place, name)
                place += 1
    return result


def number_formula(column: Column, atoms: Mapping[str, Column]) -> Formula | None:
    """An expression over numbers that gives `column`, the simplest first."""
    return next((formula for formula in _numbers(column, atoms) if agrees(formula.values, column)), None)


def condition(column: Column, atoms: Mapping[str, Column]) -> Formula | None:
    """A condition that is true where `column` is."""
    simple = list(_simple_conditions(atoms, len(column)))
    for formula in simple:
        if agrees(formula.values, column):
            return formula
    for word, join in (("and", all), ("or", any)):
        for left, right in combinations(simple, 2):
            if left.names == right.names:
                continue
            values = _map(lambda *pair, join=join: join(pair), left.values, right.values)
            if agrees(values, column):
                return Formula(f"{left.text} {word} {right.text}", values, left.names | right.names, compound=True)
    return None


# Candidates ----------------------------------------------------------------------------------------------------------


def _numbers(column: Column, atoms: Mapping[str, Column]) -> Iterator[Formula]:
    whole = {name: values for name, values in atoms.items() if _whole(values)}
    for name, values in atoms.items():
        yield atom(name, values)
    if not _whole(column):
        yield from _roots(column, whole)
        return
    for name, values in whole.items():
        yield from _scaled(atom(name, values))
    for (a, left), (b, right) in permutations(whole.items(), 2):
        names = frozenset({a, b})
        if (not _of_input(a), a) < (not _of_input(b), b):
            yield Formula(f"{a} + {b}", _map(lambda x, y: x + y, left, right), names, compound=True)
            product = Formula(f"{a} * {b}", _map(lambda x, y: x * y, left, right), names, compound=True)
            yield product
            yield from _scaled(product)
        yield Formula(f"{a} - {b}", _map(lambda x, y: x - y, left, right), names, compound=True)
        yield Formula(f"{a} // {b}", _map(_quotient, left, right), names, compound=True)
    yield from _squares(whole)


def _squares(whole: Mapping[str, Column]) -> Iterator[Formula]:
    """`(height // window) ** 2`, the number of windows."""
    for name, values in whole.items():
        yield Formula(f"{name}**2", _map(lambda x: x * x, values), frozenset({name}), compound=True)
    for (a, left), (b, right) in permutations(whole.items(), 2):
        ratios = _map(lambda x, y: (x // y) ** 2 if y else HOLE, left, right)
        yield Formula(f"({a} // {b}) ** 2", ratios, frozenset({a, b}), compound=True)


def _scaled(formula: Formula) -> Iterator[Formula]:
    for factor in FACTORS:
        times = _map(lambda x, factor=factor: x * factor, formula.values)
        yield Formula(f"{factor} * {formula.text}", times, formula.names, compound=True)
    for factor in FACTORS:
        over = _map(lambda x, factor=factor: x // factor, formula.values)
        yield Formula(f"{formula.text} // {factor}", over, formula.names, compound=True)
    for factor in FACTORS:
        least = _map(lambda x, factor=factor: max(1, x // factor), formula.values)
        yield Formula(f"max(1, {formula.text} // {factor})", least, formula.names)


def _roots(column: Column, whole: Mapping[str, Column]) -> Iterator[Formula]:
    """`(features // heads) ** -0.5`, the scale of attention."""
    if not all(isinstance(value, float) and value > 0 for value in present(column)):
        return
    squares = tuple(value if value is HOLE else round(value**-2) for value in column)
    inner = number_formula(squares, whole)
    if inner is not None:
        values = _map(lambda x: x**-0.5 if x > 0 else HOLE, inner.values)
        power = " ** " if inner.compound else "**"
        yield Formula(f"{inner.operand}{power}-0.5", values, inner.names, compound=True)


def _simple_conditions(atoms: Mapping[str, Column], count: int) -> Iterator[Formula]:
    for name, values in atoms.items():
        if all(isinstance(value, bool) for value in present(values)):
            yield atom(name, values)
            yield Formula(f"not {name}", _map(lambda x: not x, values), frozenset({name}))
        elif any(value is None for value in present(values)):
            yield Formula(f"{name} is not None", _map(lambda x: x is not None, values), frozenset({name}))
    numbers = {name: values for name, values in atoms.items() if _numeric(values)}
    for a, b in permutations(numbers, 2):
        if _of_input(a):
            names = frozenset({a, b})
            yield Formula(f"{a} != {b}", _map(lambda x, y: x != y, numbers[a], numbers[b]), names)
            yield Formula(f"{a} == {b}", _map(lambda x, y: x == y, numbers[a], numbers[b]), names)
    for name, values in numbers.items():
        schedule = len(set(values)) > _FEW and not _whole(values)
        for text, test in () if schedule else _NEUTRAL:
            yield Formula(f"{name} {text}", _map(test, values), frozenset({name}))


def _of_input(name: str) -> bool:
    """Whether a column is that of an axis of the input: `in_channels` in Python, `x.channels` in a spec."""
    return name.startswith("in_") or "." in name


_NEUTRAL: tuple[tuple[str, Callable[[Any], Any]], ...] = (
    ("!= 1", lambda x: x != 1),
    ("== 1", lambda x: x == 1),
    ("> 0", lambda x: x > 0),
    ("== 0", lambda x: x == 0),
)


def _map(function: Callable[..., Any], *columns: Column) -> Column:
    return tuple(HOLE if HOLE in row else function(*row) for row in zip(*columns, strict=True))


def _quotient(x: int, y: int) -> Any:
    return x // y if y else HOLE


def _whole(column: Iterable[Any]) -> bool:
    return all(isinstance(value, int) and not isinstance(value, bool) for value in column if value is not HOLE)


def _numeric(column: Iterable[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in column if value is not HOLE)
