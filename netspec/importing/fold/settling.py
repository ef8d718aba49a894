"""Blocks and the network as they were found in, as they are to be written out.

Arguments that are the default of a parameter go, and so do inputs that a node reads by itself; what varies from copy to
copy becomes an expression.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from typing import Any

from netspec.expressions import show
from netspec.formulas import HOLE, Column, present
from netspec.importing.fold.library_blocks import library_default
from netspec.importing.fold.loops import LoopFinder
from netspec.importing.fold.parameters import Definition
from netspec.importing.fold.reading import is_aside
from netspec.importing.fold.terms import ByRow, Group, Linear, Share, Text, Use, Varying, Word, everything, mapped
from netspec.importing.fold.yaml_text import Block, Parameter

_NETWORK = ""  # the name of the network among its blocks
_USUAL = (0, 1, 3)  # whole numbers that may be a default


def settle(network: Any, definitions: list[Definition], *, loops: bool = True) -> tuple[Block, tuple[Block, ...]]:
    """The network and the blocks that it uses, as they are written."""
    calls = _calls([network, *(definition.node for definition in definitions)])
    used = [definition for definition in definitions if definition.name in calls]
    nodes = {definition.name: definition.node for definition in used}
    finders = {definition.name: LoopFinder(set(definition.parameters), nodes.keys()) for definition in used}
    nodes[_NETWORK], finders[_NETWORK] = network, LoopFinder(set(), nodes.keys())
    for name, node in nodes.items():
        wired = mapped(node, _settled_group)
        nodes[name] = finders[name].fold(wired) if loops else wired
    words = set(_words(nodes.values(), nodes.keys()))
    parameters = {definition.name: _parameters(definition, calls[definition.name], words) for definition in used}
    fallbacks = {d.name: {name: present(column)[0] for name, column in d.parameters.items()} for d in used}

    def settled(part: Any) -> Any:
        return _settled_use(part, parameters, fallbacks) if isinstance(part, Use) else expression(part)

    blocks = {
        name: Block(parameters.get(name, ()), tuple(finders[name].tables.items()), mapped(node, settled), name)
        for name, node in nodes.items()
    }
    root = blocks.pop(_NETWORK)
    own = tuple(Parameter(name, "table" if isinstance(rows[0], tuple) else "list", rows) for name, rows in root.lets)
    return Block(own, (), root.node), tuple(blocks.values())


def _calls(terms: list[Any]) -> dict[str, list[Use]]:
    """The uses of each op and block."""
    found: dict[str, list[Use]] = {}
    for term in terms:
        for part in everything(term):
            if isinstance(part, Use) and isinstance(part.head, str):
                found.setdefault(part.head, []).append(part)
    return found


def _words(nodes: Iterable[Any], blocks: Collection[str]) -> Iterator[tuple[str, str]]:
    """Blocks and parameters of theirs that are given words of a table."""
    for node in nodes:
        for part in everything(node):
            if isinstance(part, Use) and part.head in blocks:
                yield from ((part.head, name) for name, value in part.arguments if isinstance(value, Word))


# Parameters ----------------------------------------------------------------------------------------------------------


def _parameters(definition: Definition, calls: list[Use], words: set[tuple[str, str]]) -> tuple[Parameter, ...]:
    """The parameters of a block, those without a default first; nodes are just names if `words` stand for them."""
    found = []
    for name, column in definition.parameters.items():
        kind, default = _kind(column), _default([use.argument(name) for use in calls])
        kind = "name" if kind == "node" and (definition.name, name) in words else kind
        found.append(Parameter(name, kind, default))
    return tuple(sorted(found, key=lambda parameter: not parameter.required))


def _kind(column: Column) -> str:
    values = present(column)
    if any(isinstance(value, Use) for value in values):
        return "node"
    if all(isinstance(value, bool) for value in values):
        return "bool"
    if all(isinstance(value, int) for value in values):
        return "int"
    if all(isinstance(value, int | float | Share) for value in values):
        return "number"
    if all(isinstance(value, int | tuple) for value in values):
        return "size"
    return "name"


def _default(values: list[Any]) -> Any:
    """The value that most uses give, where it is one that a default may have; else none, which is `...`."""
    counts = Counter((type(value), value) for value in values if value is not HOLE)
    for (_, value), times in counts.most_common(1):
        usual = value is None or isinstance(value, bool | Use) or value in _USUAL
        if usual and 2 * times >= counts.total():
            return value
    return ...


# Terms ---------------------------------------------------------------------------------------------------------------


def _settled_use(use: Use, parameters: dict[str, tuple[Parameter, ...]], fallbacks: dict[str, dict[str, Any]]) -> Use:
    """A use without the arguments that are defaults; one that makes no difference is that of another use."""
    if use.head not in parameters:
        kept = tuple(
            (name, _by_row(value))
            for name, value in use.arguments
            if value is not HOLE and not _same(value, library_default(use.head, name))
        )
        return replace(use, arguments=kept)
    known = parameters[use.head]
    values = {name: expression(fallbacks[use.head][name]) if value is HOLE else value for name, value in use.arguments}
    free = {name for name, value in use.arguments if value is HOLE}
    kept = tuple(
        (p.name, _by_row(values[p.name]))
        for p in known
        if p.required or not (p.name in free or _same(values[p.name], p.default))
    )
    return replace(use, arguments=kept, names=tuple(parameter.name for parameter in known))


def _same(value: Any, default: Any) -> bool:
    return type(value) is type(default) and bool(value == default)


def _settled_group(group: Any) -> Any:
    """A mapping without the inputs that its nodes read by themselves."""
    if not isinstance(group, Group):
        return group
    before = (group.inputs[0],) if group.inputs else ()
    steps = []
    for step in group.steps:
        merges = isinstance(step.node, Use) and step.node.merges and not step.call
        by_itself = step.sources in (before, ()) and not merges
        steps.append(replace(step, sources=None) if by_itself else step)
        if not is_aside(step):
            before = (step.name,)
    return replace(group, steps=tuple(steps))


def expression(value: Any) -> Any:
    """What varies from copy to copy, or from row to row, as an expression over `first` and `i`."""
    match value:
        case Varying(ByRow(start, others, variable), rest) if _same(start, rest):
            return Text(f"{_text(others)} if {variable} > 0 and first else {_text(rest)}")
        case Varying(bool(first), bool(others)) if first is not others:
            return Text("first" if first else "not first")
        case Varying(first, others):
            if others is HOLE:
                return first
            return first if _same(first, others) else Text(f"{_text(first)} if first else {_text(others)}")
        case Linear(start, step):
            if step == 0:
                return start
            term = "i" if step == 1 else f"{_text(step)} * i"
            return Text(term if start == 0 else f"{_text(start)} + {term}")
        case Share(number, rate, steps):
            inner = f"({number.text})" if isinstance(number, Text) and not number.text.isidentifier() else _text(number)
            return rate if number == steps else 0.0 if number == 0 else Text(f"{show(rate)} * {inner} / {steps}")
    return value


def _by_row(value: Any) -> Any:
    """What is another in the first row of a loop, as an expression."""
    if isinstance(value, ByRow):
        return Text(f"{_text(value.first)} if {value.variable} == 0 else {_text(value.others)}")
    return value


def _text(value: Any) -> str:
    value = _by_row(value)
    return value.text if isinstance(value, Text) else show(value)
