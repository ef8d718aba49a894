"""Terms that may be instances of one block in, the block with its parameters out.

The terms are laid over each other. Where their numbers differ, a formula over the input and the parameters explains
them; where some lack a node, a condition does. What nothing explains becomes a parameter. Every formula is checked
against every instance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from netspec.expressions import divisible
from netspec.formulas import (
    HOLE,
    Column,
    DifferentError,
    Formula,
    agrees,
    condition,
    constant,
    number_formula,
    present,
)
from netspec.importing.fold.laying import RESHAPED, Slot, kind_of_node, lay
from netspec.importing.fold.terms import Group, Step, Text, Use, everything, mapped, parts
from netspec.names import NAME
from netspec.ops import OP_NAMES, op_class
from netspec.shapes import TensorType
from netspec.spec import NODE_WORDS

_MOST_CHOICES = 2  # parameters that say whether a part of a block is there
_LEAST_EXPANSION = 3  # times the width of the input that a block widens it to
_FEW = 3  # different values that show a formula of two names to be more than chance

_CHANNELS_FIRST = {"convolution", "pooling", "conv_norm_act", "basic_conv", "squeeze_excitation"}
_CHANNELS_LAST = {"linear", "attention", "mlp", "transformer_block"}

Types = tuple[TensorType, ...]


@dataclass(eq=False)
class Definition:
    """A block that was found: its parameters with a value for each instance, and its node."""

    name: str
    parameters: dict[str, Column]
    node: Any


class Explainer:
    """The block that some terms are instances of, for inputs of the given types."""

    def __init__(self, terms: list[Any], types: list[Types]) -> None:
        self.template = lay(terms)
        self.count = len(terms)
        self.inputs, self.lengths = _input_atoms(self.template, types)
        self.taken = _names_inside(self.template) | {"x", "input"}
        self.parameters: dict[str, Column] = {}
        self.values: dict[Slot, Any] = {}
        self.choices = 0
        presences = [slot.column for slot, _ in _slots(self.template) if slot.kind == "presence"]
        self.together = {column for column in presences if presences.count(column) > 1}  # several nodes, or none

    def definition(self) -> Definition:
        """Find a value for every slot. Raises `DifferentError` where too much is there in some instances alone."""
        slots = list(_slots(self.template))
        for slot, nested in sorted(slots, key=lambda pair: (pair[0].kind == "presence", HOLE in pair[0].column)):
            if slot.role == "name":
                raise DifferentError
            if slot.kind == "value":
                self.values[slot] = self.explained(slot, nested)
        node = mapped(self.template, self.settled_step)
        return Definition("", self.parameters, mapped(node, self.settled))

    def settled_step(self, part: Any) -> Any:
        """A step whose node, or whether it is there, differs."""
        if not isinstance(part, Step):
            return part
        node, presence = part.node, part.condition
        if isinstance(node, Slot):
            column = node.column
            if isinstance(presence, Slot):
                column = _with_absence(column, presence.column)
            return replace(part, node=Use(Text(self.node_parameter(column, node))), condition="")
        if isinstance(presence, Slot):
            return self.optional(part, presence)
        return part

    def optional(self, step: Step, presence: Slot) -> Step:
        """A node that only some instances have."""
        atoms = {name: column for name, column in self.parameters.items() if _is_plain(column)}
        found = condition(presence.column, atoms | self.inputs)
        if found is not None:
            return replace(step, condition=Text(found.text))
        node = step.node
        one = isinstance(node, Use) and not (node.merges or node.aside) and presence.column not in self.together
        if one and not list(_slots(node)):
            column = _with_absence((node,) * self.count, presence.column)
            return replace(step, node=Use(Text(self.node_parameter(column, presence))), condition="")
        self.choices += 1
        if self.choices > _MOST_CHOICES:
            raise DifferentError
        what = step.name or (node.head if isinstance(node, Use) and isinstance(node.head, str) else presence.label)
        return replace(step, condition=Text(self.new(presence.column, f"with_{what}", "")))

    def settled(self, part: Any) -> Any:
        if not isinstance(part, Slot):
            return part
        return Use(Text(self.node_parameter(part.column, part))) if part.kind == "node" else self.values[part]

    def explained(self, slot: Slot, nested: bool) -> Any:
        """An expression for the values of a slot; `nested` in a group, where `x` is another value."""
        column = slot.column
        if constant(column):
            return present(column)[0]
        by_role = sorted(self.parameters.items(), key=lambda item: item[0] != slot.role)
        for name, values in by_role:
            if agrees(values, column):
                return Text(name)
        atoms = {name: values for name, values in self.parameters.items() if _is_plain(values)}
        ordered = dict(sorted(atoms.items(), key=lambda item: item[0] != slot.role))
        ordered |= {} if nested else self.inputs
        if all(isinstance(value, tuple) for value in present(column)):
            return self.listed(slot, ordered, nested)
        for name, values in ordered.items():
            if agrees(values, column):
                return Text(name)
        if all(isinstance(value, bool) for value in present(column)):
            found = condition(column, ordered)
        elif all(isinstance(value, int | float) for value in present(column)):
            found = _single_formula(column, ordered) or self.expansion(column, {} if nested else self.inputs)
            if found is None and len(set(present(column))) >= _FEW:
                found = number_formula(column, ordered)
        else:
            found = None
        return Text(found.text if found is not None else self.new(column, slot.role, slot.label))

    def expansion(self, column: Column, inputs: Mapping[str, Column]) -> Formula | None:
        """A width that is a multiple of that of the input, by a factor that differs less often than it does itself."""
        if any(not isinstance(wide, int) for wide in present(column)):
            return None
        for name, values in inputs.items():
            pairs = list(zip(column, values, strict=True))
            if any(wide is not HOLE and wide % narrow for wide, narrow in pairs):
                continue
            factors = tuple(HOLE if wide is HOLE else wide // narrow for wide, narrow in pairs)
            known = next((own for own, values in self.parameters.items() if agrees(values, factors)), None)
            if known is not None:
                return Formula(f"{name} * {known}", column, frozenset({name, known}))
            if len(set(factors)) < len(set(column)) and max(present(factors)) >= _LEAST_EXPANSION:
                parameter = self.new(factors, "expand_ratio", "")
                return Formula(f"{name} * {parameter}", column, frozenset({name, parameter}))
        return None

    def listed(self, slot: Slot, atoms: Mapping[str, Column], nested: bool) -> Any:
        """A list of expressions for lists of one length, or else a parameter for the whole list."""
        there = present(slot.column)
        if len({len(value) for value in there}) > 1:
            return Text(self.new(slot.column, slot.role, slot.label))
        columns = [
            tuple(HOLE if value is HOLE else value[place] for value in slot.column) for place in range(len(there[0]))
        ]
        atoms = {**atoms, **({} if nested else self.lengths)}
        found = [_item(values, atoms, last=place == len(columns) - 1) for place, values in enumerate(columns)]
        unknown = dict.fromkeys(values for values, item in zip(columns, found, strict=True) if item is None)
        if len(unknown) == 1 == found.count(None) and slot.role == RESHAPED and all(-1 not in row for row in there):
            return tuple(-1 if item is None else item for item in found)
        if all(isinstance(number, int) for values in unknown for number in present(values)):
            for values in unknown:
                items = [_item(other, {**atoms, "size": values}, last=False) for other in columns]
                if None not in items:
                    return self.sized(values, columns, atoms, slot.label)
        return Text(self.new(slot.column, slot.role, slot.label)) if unknown else tuple(found)

    def sized(self, size: Column, columns: list[Column], atoms: Mapping[str, Column], label: str) -> tuple[Any, ...]:
        """A list of expressions that needs a parameter more."""
        more = {self.new(size, "size", label): size, **atoms}
        return tuple(_item(column, more, last=place == len(columns) - 1) for place, column in enumerate(columns))

    def node_parameter(self, column: Column, slot: Slot) -> str:
        """The parameter that holds the nodes of a column."""
        for name, values in self.parameters.items():
            if values == column:
                return name
        role = slot.role if slot.kind == "node" else _role_of(column)
        return self.new(column, slot.label if role == "layer" and NAME.match(slot.label) else role, slot.label)

    def new(self, column: Column, role: str, label: str) -> str:
        """A parameter of its own for a column, named after the argument, and after the node where that is taken."""
        stem = role if NAME.match(role) else "value"
        name = stem
        if name in self.taken and NAME.match(f"{label}_{stem}"):
            name = f"{label}_{stem}"
        number = 1
        free = name
        while free in self.taken or free in NODE_WORDS or free in OP_NAMES:
            number += 1
            free = f"{name}_{number}"
        self.taken.add(free)
        self.parameters[free] = column
        return free


def _item(column: Column, atoms: Mapping[str, Column], *, last: bool) -> Any:
    """What stands for an item of a list: its value where that never differs, a formula, or None."""
    if constant(column):
        return present(column)[0]
    if last:
        atoms = {**{name: values for name, values in atoms.items() if name.endswith(".width")}, **atoms}
    found = _single_formula(column, atoms)
    if found is None and len(set(present(column))) >= _FEW:
        found = number_formula(column, atoms)
    return None if found is None else Text(found.text)


def _single_formula(column: Column, atoms: Mapping[str, Column]) -> Formula | None:
    """A formula over one of the atoms, the first of them that will do."""
    if constant(column):
        return None
    for name, values in atoms.items():
        formula = number_formula(column, {name: values})
        if formula is not None:
            return formula
        rounded = tuple(divisible(value // 4, 8) if isinstance(value, int) else HOLE for value in values)
        if agrees(rounded, column):
            return Formula(f"divisible({name} // 4, 8)", rounded, frozenset({name}))
    return None


def _input_atoms(template: Any, types: list[Types]) -> tuple[dict[str, Column], dict[str, Column]]:
    """What formulas may be made of besides parameters: the widths of the inputs, and other lengths for shapes."""
    names = template.inputs if isinstance(template, Group) else ("x",)
    first = _channels_first(template)
    widths: dict[str, Column] = {}
    lengths: dict[str, Column] = {}
    for number, name in enumerate(names):
        shapes = [row[number].shape for row in types]
        rank = len(shapes[0])
        if rank == 0 or any(len(shape) != rank for shape in shapes):
            continue
        width = 0 if rank > 1 and first else rank - 1
        widths[f"{name}.{'features' if width else 'channels'}"] = tuple(shape[width] for shape in shapes)
        others = [axis for axis in range(rank) if axis != width]
        spatial = {2: ("length",), 3: ("height", "width")}.get(rank, ()) if first else ()
        for axis, called in zip(others, spatial or (f"shape[{axis}]" for axis in others), strict=True):
            lengths[f"{name}.{called}"] = tuple(shape[axis] for shape in shapes)
    return widths, lengths


def _channels_first(template: Any) -> bool:
    """Whether the channels are the first axis of what goes in, as for convolutions, and not the last."""
    heads = {part.head for part in everything(template) if isinstance(part, Use)}
    kinds = {op_class(head).category if head in OP_NAMES else head for head in heads}
    return bool(kinds & _CHANNELS_FIRST) or not kinds & _CHANNELS_LAST


def _slots(term: Any, nested: bool = False) -> Iterator[tuple[Slot, bool]]:
    """The slots of a term in order, each with whether it stands in a group inside, which reads another value."""
    if isinstance(term, Slot):
        yield term, nested
    for part in parts(term):
        inside = part.node if isinstance(part, Step) else part
        other = isinstance(inside, Group) and not isinstance(term, Step)
        same = isinstance(part, Step) and isinstance(term, Group) and part.sources == term.inputs == ("x",)
        yield from _slots(part, nested or (other and not same))


def _names_inside(template: Any) -> set[str]:
    """Names that a parameter may not take: those of inputs, and of what counts copies."""
    found: set[str] = {"i", "first", "last"}
    for part in everything(template):
        if isinstance(part, Group):
            found |= set(part.inputs)
    return found


def _with_absence(column: Column, presence: Column) -> Column:
    """Nodes, and None for each that is absent."""
    return tuple(
        HOLE if there is HOLE else node if there else None for node, there in zip(column, presence, strict=True)
    )


def _role_of(column: Column) -> str:
    return kind_of_node([value for value in present(column) if value is not None])


def _is_plain(column: Column) -> bool:
    return all(isinstance(value, int | float) for value in column)
