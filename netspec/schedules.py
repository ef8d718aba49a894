"""Conditions on loop variables that are the same for every row or copy: schedules that never apply, or always do.

Only what no parameter can change is told: loops over rows, and counts of copies, that are written out as numbers.
"""

from __future__ import annotations

import ast
import keyword
from collections.abc import Iterator
from typing import Any, NamedTuple

from netspec.diagnostics import Problem, Span
from netspec.expressions import (
    CONSTANTS,
    FUNCTIONS,
    MAX_LENGTH,
    evaluate,
    loop_names,
    loop_targets,
    names_in,
    show,
    unpack,
)
from netspec.limits import TooLarge
from netspec.source import Scalar
from netspec.spec import BodySpec, Loop, NodeSpec, scalars

_MANY_ROWS = 100  # that are looked at; longer loops are left alone
_SHOWN = 4  # values of a variable in a message
_COPY_NAMES = ("i", "first", "last")

Rows = list[dict[str, Any]]
"""The loop variables whose values are known, for each row and copy. All rows have the same names."""


class ConstantCondition(NamedTuple):
    """A condition that is always true, or never, and the values of the variables that it is about."""

    text: str
    span: Span
    value: bool
    reason: str


def constant_conditions(body: BodySpec) -> Iterator[ConstantCondition]:
    """The constant conditions of a body, and of all groups in it."""
    pending: list[tuple[BodySpec, Rows]] = [(body, [{}])]
    while pending:
        body, rows = pending.pop()
        for entry in body.entries:
            own, inner = _of_node(entry.node, rows)
            yield from own
            pending.extend((body, inner) for body in (entry.node.body, entry.node.splice) if body is not None)


def _of_node(node: NodeSpec, rows: Rows) -> tuple[list[ConstantCondition], Rows]:
    """The constant conditions of a node, its body aside, and the rows that its body sees."""
    found: list[ConstantCondition] = []
    loop_variables = loop_names(node.loop.targets) if node.loop is not None else ()
    if node.loop is not None:
        rows = _looped(rows, node.loop) or _without(rows, loop_variables)
    if node.condition is not None:
        found += _judged(node.condition, rows)
    if node.repeat is not None:
        names = tuple(name for name in _COPY_NAMES if name not in loop_variables)
        rows = _repeated(rows, node.repeat, names) or _without(rows, names)
    arguments = [value for _, value in node.named]
    for argument in (node.positional, *arguments):
        for scalar in scalars(argument) if argument is not None else ():
            for test in _tests(scalar):
                found += _judged(test, rows)
    return found, rows


def _values(source: Scalar, rows: Rows) -> list[Any]:
    """The value of an expression in each row; none where it needs more than loop variables, is wrong, or too much."""
    if not rows or not _variables(source.text) <= rows[0].keys():
        return []
    try:
        return [evaluate(source.text, row) for row in rows]
    except (Problem, TooLarge):
        return []


def _variables(text: str) -> set[str]:
    return set(names_in(text)).difference(FUNCTIONS, CONSTANTS, keyword.kwlist)


def _without(rows: Rows, names: tuple[str, ...]) -> Rows:
    return [{name: value for name, value in row.items() if name not in names} for row in rows]


def _looped(rows: Rows, loop: Loop) -> Rows:
    """The rows with the variables of a loop; none where they are not known, too many, or wrong."""
    tables = _values(loop.table, rows)
    if any(not isinstance(table, tuple) for table in tables) or sum(map(len, tables)) > _MANY_ROWS:
        return []
    targets = loop_targets(loop.targets)
    try:
        return [
            {**row, **dict(unpack(targets, item))} for row, table in zip(rows, tables, strict=False) for item in table
        ]
    except Problem:
        return []


def _repeated(rows: Rows, repeat: Scalar, names: tuple[str, ...]) -> Rows:
    """The rows with the variables of each copy; none where they are not known, too many, or wrong."""
    counts = _values(repeat, rows)
    if any(type(count) is not int for count in counts) or sum(counts) > _MANY_ROWS:
        return []
    return [
        {**row, **{name: value for name, value in copy.items() if name in names}}
        for row, count in zip(rows, counts, strict=False)
        for copy in ({"i": i, "first": i == 0, "last": i == count - 1} for i in range(count))
    ]


def _tests(scalar: Scalar) -> Iterator[Scalar]:
    """The conditions in an expression: `first` in `2 if first else 1`."""
    if " if " not in scalar.text or len(scalar.text) > MAX_LENGTH:
        return
    try:
        tree = ast.parse(scalar.text, mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.IfExp):
            test = node.test
            text = ast.get_source_segment(scalar.text, test) or ""
            yield Scalar(text, scalar.inner.within(test.col_offset, test.end_col_offset or 0))


def _judged(condition: Scalar, rows: Rows) -> Iterator[ConstantCondition]:
    variables = _variables(condition.text)
    values = {bool(value) for value in _values(condition, rows)} if variables else set()
    if len(values) == 1:
        yield ConstantCondition(condition.text, condition.span, values.pop(), _reason(sorted(variables), rows))


def _reason(variables: list[str], rows: Rows) -> str:
    """What the variables are: `i` is 0, 1, 2."""
    parts = []
    for name in variables:
        shown = list(dict.fromkeys(show(row[name]) for row in rows))
        more = ["…"] if len(shown) > _SHOWN else []
        parts.append(f"`{name}` is {', '.join([*shown[:_SHOWN], *more])}")
    return ", ".join(parts)
