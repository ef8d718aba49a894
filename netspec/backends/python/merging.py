"""Bodies of one kind in, the one body that describes them all out.

A node that only some of them have is optional: where it is absent, whoever reads it reads its first input, as in the
language itself. Numbers in the code of functions become slots where they differ. What cannot be laid over each other
raises `DifferentError`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from netspec.backends.in_place import in_place
from netspec.backends.pictures.folds import dense_copies
from netspec.backends.python.blueprints import Copies, Function
from netspec.backends.python.recipes import Make, Slot, unify
from netspec.formulas import HOLE, Column, DifferentError, common_order, constant, present
from netspec.graph import Body, Node, Output, Value
from netspec.ops.base import Call, FunctionCall, ModuleCall, Op
from netspec.shapes import TensorType

Recipe = Callable[[Body, Node], Any]
"""What a node of a body constructs, or `HOLE`."""

Reference = tuple[str, int]
"""A value by the name of its node and the number of its output; an input of the body has the name ``."""


class Recorded(Op):
    """An op whose call is known, whatever its inputs are."""

    category: ClassVar = ""

    def __init__(self, call: Call) -> None:
        self.__dict__["call"] = call

    def torch(self, *inputs: TensorType) -> Call:
        call: Call = self.__dict__["call"]
        return call


class Merged(NamedTuple):
    """The common form of some bodies."""

    body: Body
    presence: dict[str, Column]  # which instances have a node
    functions: dict[str, Function]
    children: list[tuple[str, Any]]
    over: dict[Node, int]


def merge(bodies: Sequence[Body], recipe: Recipe) -> Merged:
    """Lay bodies with names over each other."""
    first = bodies[0]
    for body in bodies:
        if (body.returns, len(body.inputs), len(body.outputs)) != (
            first.returns,
            len(first.inputs),
            len(first.outputs),
        ):
            raise DifferentError
    return _Merger(bodies, recipe).merge()


@dataclass(eq=False)
class _Merger:
    bodies: Sequence[Body]
    recipe: Recipe
    nodes: list[dict[str, Node]] = field(init=False)
    functions: dict[str, Function] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.nodes = [{node.name: node for node in body.nodes} for body in self.bodies]

    def merge(self) -> Merged:
        first = self.bodies[0]
        written = common_order([[node.name for node in body.nodes] for body in self.bodies])
        order = common_order([[node.name for node in body.schedule] for body in self.bodies])
        wiring = _Wiring(self.bodies, self.nodes, order)
        values = {("", number): Value(value.name, value.type) for number, value in enumerate(first.inputs)}
        inputs = tuple(values.values())
        merged: dict[str, Node] = {}
        for name in order:
            node = self.node(name, tuple(values[reference] for reference in wiring.inputs[name]))
            values |= {(name, number): value for number, value in enumerate(node.outputs)}
            merged[name] = node
        outputs = tuple(
            Output(output.name, values[reference], output.training_only)
            for output, reference in zip(first.outputs, wiring.outputs, strict=True)
        )
        nodes, schedule = tuple(merged[name] for name in written), tuple(merged[name] for name in order)
        body = Body(first.kind, "graph", inputs, nodes, schedule, outputs, first.span, first.returns)
        presence = {name: tuple(name in known for known in self.nodes) for name in order}
        over = {merged[name]: number for name in order for number in self.written_over(name)}
        return Merged(body, presence, self.functions, list(self.children(written)), over)

    def column(self, name: str) -> list[Node | None]:
        return [known.get(name) for known in self.nodes]

    def node(self, name: str, inputs: tuple[Value, ...]) -> Node:
        """The node that stands for those of this name."""
        there = [node for node in self.column(name) if node is not None]
        model = there[0]
        for node in there:
            if (node.training_only, node.shares, len(node.outputs)) != (
                model.training_only,
                model.shares,
                len(model.outputs),
            ):
                raise DifferentError
        outputs = tuple(Value(value.name, value.type) for value in model.outputs)
        target = self.target(name, there)
        return Node(name, model.kind, target, inputs, outputs, model.span, model.training_only, model.shares)

    def target(self, name: str, there: list[Node]) -> Op | Body:
        """What runs in place of the nodes of a name."""
        bodies = [node.target for node in there if isinstance(node.target, Body)]
        if bodies:
            if len(bodies) < len(there) or len({_contract(body) for body in bodies}) > 1:
                raise DifferentError
            return bodies[0]
        calls = [None if node is None else _call(node) for node in self.column(name)]
        known = [call for call in calls if call is not None]
        first = known[0]
        if isinstance(first, FunctionCall):
            functions = [call for call in known if isinstance(call, FunctionCall)]
            if len(functions) < len(known) or any(call.gives != first.gives for call in functions):
                raise DifferentError
            codes = [call.code if isinstance(call, FunctionCall) else None for call in calls]
            self.functions[name] = Function(_unify_codes(codes), first.gives)
        elif isinstance(first, ModuleCall):
            modules = [call for call in known if isinstance(call, ModuleCall)]
            way = (first.takes, first.gives)
            if len(modules) < len(known) or any((call.takes, call.gives) != way for call in modules):
                raise DifferentError
        return Recorded(first)

    def written_over(self, name: str) -> Iterator[int]:
        """The input that a function writes over, if it may do so in every instance that has it."""
        if name in self.functions:
            pairs = zip(self.bodies, self.column(name), strict=True)
            found = {in_place(body).get(node) for body, node in pairs if node is not None}
            if len(found) == 1 and (number := found.pop()) is not None:
                yield number

    def children(self, written: list[str]) -> Iterator[tuple[str, Any]]:
        for name in written:
            column = self.column(name)
            shared = any(node is not None and node.shares for node in column)
            recipes = [
                HOLE if node is None else self.recipe(body, node)
                for body, node in zip(self.bodies, column, strict=True)
            ]
            if not shared and any(recipe is not HOLE for recipe in recipes):
                yield name, unify(recipes)


@dataclass(eq=False)
class _Wiring:
    """What each node of a merged body reads, and what the body returns."""

    bodies: Sequence[Body]
    nodes: Sequence[dict[str, Node]]
    order: Sequence[str]
    inputs: dict[str, list[Reference]] = field(default_factory=dict)
    outputs: list[Reference] = field(init=False)
    place: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.place = {name: place for place, name in enumerate(self.order)}
        references = [
            {id(value): ("", number) for number, value in enumerate(body.inputs)}
            | {id(value): (node.name, number) for node in body.nodes for number, value in enumerate(node.outputs)}
            for body in self.bodies
        ]
        for name in self.order:
            columns = [
                [known[id(value)] for value in nodes[name].inputs] if name in nodes else None
                for nodes, known in zip(self.nodes, references, strict=True)
            ]
            self.inputs[name] = self.latest(columns)
            if any(self.made_at(reference) >= self.place[name] for reference in self.inputs[name]):
                raise DifferentError
        self.outputs = self.latest(
            [
                [known[id(output.value)] for output in body.outputs]
                for body, known in zip(self.bodies, references, strict=True)
            ]
        )

    def made_at(self, reference: Reference) -> int:
        return self.place.get(reference[0], -1)

    def latest(self, columns: Sequence[list[Reference] | None]) -> list[Reference]:
        """The value that is made last, for each input, if all instances then read what they should."""
        there = [column for column in columns if column is not None]
        if any(len(column) != len(there[0]) for column in there):
            raise DifferentError
        chosen = [max(row, key=self.made_at) for row in zip(*there, strict=True)]
        for index, column in enumerate(columns):
            if column is not None and [self.resolved(reference, index) for reference in chosen] != column:
                raise DifferentError
        return chosen

    def resolved(self, reference: Reference, index: int) -> Reference:
        """What is read in an instance where the node of the reference may be absent."""
        while reference[0] and reference[0] not in self.nodes[index]:
            if not self.inputs[reference[0]]:
                raise DifferentError
            reference = self.inputs[reference[0]][0]
        return reference


def merge_dense(bodies: Sequence[Body], recipe: Recipe) -> Copies | None:
    """Densely connected bodies as a loop over their copies, or None where they are no such thing."""
    rows = [copies[0] for body in bodies if (copies := dense_copies(body)) is not None]
    if len(rows) < len(bodies):
        return None
    name = _template([[node.name for node in row] for row in rows])
    makes = [[recipe(body, node) for node in row] for body, row in zip(bodies, rows, strict=True)]
    first = makes[0][0]
    kinds = {make.target if isinstance(make, Make) and not make.args else "" for row in makes for make in row}
    if name is None or len(kinds) > 1 or "" in kinds:
        return None
    options: dict[str, Slot] = {}
    steps: dict[str, Slot] = {}
    for argument in first.options:
        columns = [[make.options[argument] for make in row] for row in makes]
        growth = tuple(map(_step, columns))
        if None in growth:
            return None
        options[argument] = Slot(tuple(row[0] for row in columns), argument)
        if any(growth):
            steps[argument] = Slot(growth, "growth")
    return Copies(name, Slot(tuple(map(len, rows)), "num_layers"), Make(first.target, (), options), steps)


def _step(row: list[Any]) -> int | None:
    """By how much a value grows from copy to copy; None where it does so in no equal steps."""
    if all(value == row[0] for value in row):
        return 0
    if any(isinstance(value, bool) or not isinstance(value, int) for value in row):
        return None
    step: int = row[1] - row[0]
    return step if all(value == row[0] + i * step for i, value in enumerate(row)) else None


def _template(rows: list[list[str]]) -> str | None:
    """`layer{i + 1}` for the names `layer1`, `layer2` and so on."""
    match = re.fullmatch(r"(.*?)(\d+)", rows[0][0])
    if match is None:
        return None
    stem, start = match[1], int(match[2])
    if any(name != f"{stem}{start + i}" for row in rows for i, name in enumerate(row)):
        return None
    return f"{stem}{{i + {start}}}" if start else f"{stem}{{i}}"


def _call(node: Node) -> Call:
    assert not isinstance(node.target, Body)
    return node.target.torch(*node.input_types)


def _contract(body: Body) -> tuple[str, Any]:
    """What the caller of a body sees of its result."""
    return body.returns, tuple(output.name for output in body.outputs) if body.returns == "dict" else len(body.outputs)


# Code ----------------------------------------------------------------------------------------------------------------

_NUMBER = re.compile(r"\{[^{}]*\}|(?<![\w.])(?:(?<=[(\[, ])-)?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w.])")


def _unify_codes(codes: list[str | None]) -> tuple[str | Slot, ...]:
    """The code of several instances, with slots for the numbers in which they differ."""
    split = [None if code is None else tokens(code) for code in codes]
    known = [row for row in split if row is not None]
    if any(len(row) != len(known[0]) for row in known):
        raise DifferentError
    pieces: list[str | Slot] = []
    for position, token in enumerate(known[0]):
        column = tuple(HOLE if row is None else row[position] for row in split)
        if constant(column):
            pieces.append(str(token))
        elif any(isinstance(value, str) for value in present(column)):
            raise DifferentError
        else:
            pieces.append(Slot(column, "code"))
    return tuple(pieces)


def tokens(code: str) -> list[Any]:
    """Code as texts and numbers in turn. Its places for inputs, such as `{0}`, are text."""
    found: list[Any] = []
    end = 0
    for match in _NUMBER.finditer(code):
        if not match[0].startswith("{"):
            number = float(match[0]) if re.search(r"[.e]", match[0]) else int(match[0])
            found += [code[end : match.start()], number]
            end = match.end()
    return [*found, code[end:]]
