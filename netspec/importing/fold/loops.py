"""Steps of a list or mapping in, fewer of them out: runs that follow one pattern become a loop over a table.

A run is a few steps that come back, again and again, with other numbers. A number that follows from the place of its
row becomes an expression over `i`; the others become columns of a table. A run that is not shorter as a loop stays.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any, NamedTuple

from netspec.formulas import HOLE, DifferentError, constant, present
from netspec.importing.fold.laying import Slot, lay
from netspec.importing.fold.repeats import LEAST_LINE, steady, template
from netspec.importing.fold.terms import (
    ByRow,
    Chain,
    Group,
    Linear,
    Loop,
    Repeat,
    Share,
    Step,
    Text,
    Use,
    Word,
    everything,
    mapped,
)
from netspec.spec import NODE_WORDS

_VARIABLES = {
    "out_channels": "channels",
    "out_features": "features",
    "kernel_size": "kernel",
    "expand_ratio": "expand",
    "start": "before",
}
"""What a loop calls the argument of an op that its table gives."""

_LONGEST_PERIOD = 8  # steps in each row of a loop
_MOST_TRIES = 24  # candidates for a loop in one list or mapping
_LEAST_ROWS = 3  # of a loop whose rows differ
_WORTH = 0.8  # the most words of a loop for each word of its steps

Tables = dict[str, tuple[Any, ...]]


class _Run(NamedTuple):
    """Where steps come back: from which one on, how many in a row, and in how many rows."""

    start: int
    period: int
    rows: int


@dataclass(eq=False)
class LoopFinder:
    """Finds the loops of one block, and the tables that they run over."""

    taken: set[str]
    blocks: Collection[str] = ()  # those of the spec, whose parameters can be words
    tables: Tables = field(default_factory=dict)

    def fold(self, term: Any) -> Any:
        """The term with loops in its lists and mappings, from the inside out."""
        return mapped(term, self.folded)

    def folded(self, part: Any) -> Any:
        if isinstance(part, Chain):
            return replace(part, steps=self.shortest(part.steps))
        if isinstance(part, Group):
            steps = self.shortened(part.steps)
            gone = {step.name for step in part.steps} - {step.name for step in steps}
            read = {name for _, name in part.outputs} | {step.call for step in part.steps}
            return part if {name.partition(".")[0] for name in read} & gone else replace(part, steps=steps)
        return part

    def shortest(self, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        """The nodes of a list with loops, with or without such for copies of the very same in them."""
        taken, tables = set(self.taken), dict(self.tables)
        found = []
        for first in (steps, self.shortened(steps, exact=True)):
            self.taken, self.tables = set(taken), dict(tables)
            short = tuple(_unrolled(self.shortened(first)))
            length = sum(map(_words, short)) + sum(_numbers(rows) for rows in self.tables.values()) / 2
            found.append((length, short, self.taken, self.tables))
        _, short, self.taken, self.tables = min(found, key=lambda reading: reading[0])
        return short

    def shortened(self, steps: tuple[Step, ...], exact: bool = False) -> tuple[Step, ...]:
        """The steps with the runs that save most as loops; only copies of the very same if `exact`."""
        for run in _candidates(steps, exact):
            loop = self.loop(steps, run, exact)
            if loop is not None:
                before, after = steps[: run.start], steps[run.start + run.period * run.rows :]
                return (*self.shortened(before, exact), loop, *self.shortened(after, exact))
        return steps

    def loop(self, steps: tuple[Step, ...], run: _Run, exact: bool) -> Step | None:
        """A run as a loop, or None where that is no shorter."""
        rows = [steps[run.start + row * run.period :][: run.period] for row in range(run.rows)]
        flat = [step for row in rows for step in row]
        variable = _variable(flat)
        try:
            names = [_common_name([row[place].name for row in rows], variable) for place in range(run.period)]
            sources = _common_sources(rows, names)
            unnamed = [Chain(tuple(replace(step, name="", sources=None) for step in row)) for row in rows]
            common = lay(unnamed)
        except DifferentError:
            return None
        if exact and any(isinstance(part, Slot) for part in everything(common)):
            return None
        table = _Table(variable, run.rows, self.taken | {"i", "k", "first", "last", "x", "input"})
        try:
            inside = mapped(common, table.value).steps
        except DifferentError:
            return None
        inner = tuple(
            replace(step, name=name, sources=source) for step, name, source in zip(inside, names, sources, strict=True)
        )
        if any(self.takes_no_word(part) for part in everything(Chain(inner))):
            return None
        columns = len(table.columns)
        differs = columns or any(isinstance(part, ByRow) for part in everything(Chain(inner)))
        if differs and run.rows < _LEAST_ROWS:
            return None
        cost = sum(map(_words, inner)) + 2 + columns * (1 + run.rows / 2)
        if cost > _WORTH * sum(map(_words, flat)):
            return None
        targets, over = self.header(table, any("{" in name for name in names))
        return Step(Loop(targets, over, inner, counted=not table.columns))

    def takes_no_word(self, part: Any) -> bool:
        """Whether a word of the table stands where a node has to: in the place of one, or given to a library block."""
        if isinstance(part, Step | Repeat):
            return isinstance(part.node, Word)
        if not isinstance(part, Use) or part.head in self.blocks:
            return False
        return any(isinstance(value, Word) for _, value in part.arguments)

    def header(self, table: _Table, counted: bool) -> tuple[str, Any]:
        """What a loop runs over: its variables, and its table."""
        counted = counted or table.counted
        if not table.columns:
            return (table.variable if counted else "_", table.rows)
        names = list(table.columns)
        rows = tuple(zip(*table.columns.values(), strict=True)) if len(names) > 1 else table.columns[names[0]]
        name = self.kept(rows, "stages" if len(names) > 1 else _plural(names[0]))
        targets = ", ".join(names)
        if not counted:
            return targets, Text(name)
        targets = f"({targets})" if len(names) > 1 else targets
        return f"{table.variable}, {targets}", Text(f"enumerate({name})")

    def kept(self, rows: tuple[Any, ...], name: str) -> str:
        """The name under which the block keeps a table."""
        free, number = name, 1
        while free in self.taken:
            number += 1
            free = f"{name}_{number}"
        self.taken.add(free)
        self.tables[free] = rows
        return free


def _unrolled(steps: tuple[Step, ...]) -> Iterator[Step]:
    """The steps without loops that are there only to say a thing twice."""
    for step in steps:
        if isinstance(step.node, Loop) and step.node.targets == "_" and step.node.table in (1, 2):
            yield from step.node.steps * step.node.table
        else:
            yield step


@dataclass(eq=False)
class _Table:
    """The columns that a loop needs, as they are found."""

    variable: str
    rows: int
    reserved: set[str]  # names that mean something else
    columns: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    counted: bool = False

    def value(self, part: Any) -> Any:
        """What stands for a slot in the loop. Raises `DifferentError` where nothing does."""
        if not isinstance(part, Slot):
            return part
        column = part.column
        if part.kind == "presence" or any(isinstance(value, Chain | Group | Repeat | Loop) for value in column):
            raise DifferentError
        there = present(column)
        if all(isinstance(value, Share) for value in there):
            numbers = tuple(HOLE if value is HOLE else value.number for value in column)
            return replace(there[0], number=self.number(numbers, "start"))
        if part.role == "name":
            return _common_name(list(column), self.variable)
        if any(isinstance(value, Use) for value in column):
            return Word(self.column(tuple(_word(value) for value in column), part.role))
        return self.number(column, "depth" if part.role == "repeat" else part.role)

    def number(self, column: tuple[Any, ...], role: str) -> Any:
        """What gives the values of a column: a rule, or a variable. Raises `DifferentError` for what varies inside."""
        if any(isinstance(value, Text | Linear | ByRow) for value in column):
            raise DifferentError
        if constant(column):
            return present(column)[0]
        there = present(column)
        if all(isinstance(value, tuple) for value in there) and len({len(value) for value in there}) == 1:
            places = range(len(there[0]))
            return tuple(
                self.number(tuple(HOLE if value is HOLE else value[place] for value in column), role)
                for place in places
            )
        first, *others = column
        if role == "stride" and constant(tuple(others)) and self.rows > 1:
            self.counted = True
            return ByRow(first, others[0], self.variable)
        rule = self.rule(column)
        if rule is not None:
            self.counted = True
            return Text(rule)
        filler = present(column)[0]
        return Text(self.column(tuple(filler if value is HOLE else value for value in column), role))

    def rule(self, column: tuple[Any, ...]) -> str | None:
        """`64 * 2**i` for 64, 128, 256 and so on."""
        line = steady(column, LEAST_LINE)
        if line is not None:
            start, step = line
            term = self.variable if step == 1 else f"{step} * {self.variable}"
            return term if start == 0 else f"{start} + {term}"
        if len(column) < LEAST_LINE or any(
            isinstance(value, bool) or not isinstance(value, int) or value < 1 for value in column
        ):
            return None
        ratio = column[1] // column[0]
        if ratio > 1 and all(value == column[0] * ratio**row for row, value in enumerate(column)):
            power = f"{ratio}**{self.variable}"
            return power if column[0] == 1 else f"{column[0]} * {power}"
        return None

    def column(self, values: tuple[Any, ...], role: str) -> str:
        """The variable of a column of the table."""
        equal = next((name for name, known in self.columns.items() if _identical(known, values)), None)
        if equal is not None:
            return equal
        name = _VARIABLES.get(role, role) or "value"
        free, number = name, 1
        while free in self.columns or free in self.reserved or free in NODE_WORDS:
            number += 1
            free = f"{name}_{number}"
        self.columns[free] = values
        return free


def _plural(name: str) -> str:
    """The name of a table with one column."""
    return {"depth": "layers", "channels": "widths", "features": "widths"}.get(
        name, name if name.endswith("s") else f"{name}s"
    )


def _identical(first: tuple[Any, ...], second: tuple[Any, ...]) -> bool:
    return [(type(value), value) for value in first] == [(type(value), value) for value in second]


def _word(value: Any) -> str:
    """A node of a table: a bare word. Raises `DifferentError` for one with arguments, and for none."""
    if not isinstance(value, Use) or value.arguments or not isinstance(value.head, str):
        raise DifferentError
    return value.head


# Runs ----------------------------------------------------------------------------------------------------------------


def _candidates(steps: Sequence[Step], exact: bool) -> Iterator[_Run]:
    """Runs that may be loops: those of copies the shortest period first, the others by how much they may save."""
    kinds = [_pattern(step) if not exact else step for step in steps]
    until = [0, *accumulate(map(_words, steps))]
    found: list[tuple[Any, _Run]] = []
    for period in range(1, min(_LONGEST_PERIOD, len(steps) // 2) + 1):
        alike = 0
        for start in range(len(steps) - period - 1, -1, -1):
            alike = alike + 1 if kinds[start] == kinds[start + period] else 0
            rows = alike // period + 1
            begins = start == 0 or kinds[start - 1] != kinds[start + period - 1] or alike % period == 0
            if rows > 1 and begins:
                saved = (until[start + rows * period] - until[start]) * (rows - 1) // rows
                found.append(((period, start) if exact else (-saved, period, start), _Run(start, period, rows)))
    found.sort(key=lambda pair: pair[0])
    yield from (run for _, run in found[:_MOST_TRIES])


def _pattern(step: Step) -> Any:
    """What steps of one run have in common, their names but for the numbers in them."""
    node = step.node
    if isinstance(node, Use):
        kind: Any = ("use", node.head)
    elif isinstance(node, Repeat):
        kind = ("repeat", _pattern(Step(node.node)))
    elif isinstance(node, Chain | Group) and len(node.steps) == 1 and not isinstance(node.steps[0].node, Loop):
        kind = ("repeat", _pattern(Step(node.steps[0].node)))
    elif isinstance(node, Chain | Group | Loop):
        kind = (type(node).__name__, tuple(_pattern(inner) for inner in node.steps))
    else:
        kind = ""
    return kind, re.sub(r"\d+", "#", step.name), step.sources is None, step.call, step.training_only


def _words(part: Any) -> int:
    """How much a person has to read of a term."""
    return sum(1 for inner in everything(part) if not isinstance(inner, Step | Chain) and inner not in ("", True))


def _numbers(rows: Any) -> int:
    """How many numbers a table has."""
    return sum(map(_numbers, rows)) if isinstance(rows, tuple) else 1


def _variable(steps: Sequence[Step]) -> str:
    """The variable that counts rows: `i`, unless what is inside has an `i` of its own."""
    for step in steps:
        for part in everything(step):
            text = part.text if isinstance(part, Text) else part.name if isinstance(part, Repeat) else ""
            if isinstance(part, Linear | Loop | ByRow) or re.search(r"\bi\b", text):
                return "k"
    return "i"


def _common_name(names: list[str], variable: str) -> str:
    """The template of names. Raises `DifferentError`."""
    if not any(names):
        return ""
    found = template(names, variable)
    if found is None:
        raise DifferentError
    return found


def _common_sources(rows: list[tuple[Step, ...]], names: list[str]) -> list[tuple[str, ...] | None]:
    """What each step of a row reads, in the words of the loop. Raises `DifferentError`."""
    found: list[tuple[str, ...] | None] = []
    own = [{step.name: name for step, name in zip(row, names, strict=True)} for row in rows]
    everywhere = {name for known in own for name in known}
    for place in range(len(names)):
        column = [row[place].sources for row in rows]
        if all(sources is None for sources in column):
            found.append(None)
            continue
        said = {
            None if sources is None else tuple(_renamed(source, known) for source in sources)
            for sources, known in zip(column, own, strict=True)
        }
        common = said.pop()
        if said or common is None or any(source.partition(".")[0] in everywhere for source in common):
            raise DifferentError
        found.append(common)
    return found


def _renamed(source: str, known: dict[str, str]) -> str:
    if source in known:
        return known[source]
    name, dot, output = source.rpartition(".")
    return f"{known[name]}{dot}{output}" if name in known else source
