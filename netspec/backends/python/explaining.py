"""Bodies of one kind in, the class of the file that they are instances of out.

Where the numbers of the instances differ, a formula over the arguments of the class explains them; where one of them
lacks a node, a condition does. What nothing explains becomes an argument of its own. Every formula has been checked
against every instance.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Literal, NamedTuple

from netspec.backends.python.blueprints import Argument, Branch, Class
from netspec.backends.python.lines import literal
from netspec.backends.python.merging import Recipe, merge, merge_dense, tokens
from netspec.backends.python.recipes import (
    Chain,
    Make,
    Module,
    Optional,
    Slot,
    Tensor,
    module_recipe,
    tensor_recipe,
    unify,
)
from netspec.formulas import (
    HOLE,
    Column,
    DifferentError,
    Formula,
    agrees,
    atom,
    condition,
    constant,
    number_formula,
    present,
)
from netspec.graph import Body, Node
from netspec.ops.base import FunctionCall, ModuleCall
from netspec.shapes import TensorType

_WIDTHS = frozenset({
    "in_channels", "out_channels", "in_features", "out_features", "num_features", "num_channels", "normalized_shape",
    "embed_dim", "num_heads", "hidden_size", "input_size", "embedding_dim", "groups", "num_layers", "growth",
})  # fmt: skip
"""Places in which a number that is the same in all instances may still be an argument."""

_LEAST_WIDTH = 8  # a smaller number that never changes is a constant


class Family(NamedTuple):
    """Bodies that may be instances of one class.

    A `part` is a group without a name of its own, an `op` one that a chain needs a module for. With `plain`, numbers
    stay numbers. `classes` is the number of classes that the network gives, by its name.
    """

    bodies: list[Body]
    role: Literal["network", "block", "part", "op"]
    recipe: Recipe
    channels_first: bool
    plain: bool = False
    classes: tuple[str, int] | None = None


def plan(family: Family) -> Class:
    """The class of a family. Raises `DifferentError` where its bodies have no common form."""
    first = family.bodies[0]
    result = Class(family.bodies, of_op=family.role == "op")
    if family.role == "op" and _inherit(result):
        return result
    planner = _Planner(family, result)
    planner.find_atoms()
    if first.form == "chain":
        result.base = "nn.Sequential"
        chains = [Chain(tuple((n.name, family.recipe(body, n)) for n in body.nodes)) for body in family.bodies]
        result.children = [("", unify(chains))]
    else:
        result.copies = merge_dense(family.bodies, family.recipe)
        if result.copies is None:
            merged = merge(family.bodies, family.recipe)
            result.merged, planner.presence = merged.body, merged.presence
            result.functions, result.children, result.over = merged.functions, merged.children, merged.over
    planner.explain()
    return result


def _inherit(result: Class) -> bool:
    """Whether the class is that of an op's module, with code around its `forward`, as where channels are to be last."""
    calls = [node.target.torch(*node.input_types) for body in result.bodies for node in _ops(body)]
    modules = [call for call in calls if isinstance(call, ModuleCall)]
    if not modules:
        return False
    first = modules[0]
    way = (first.target, first.takes, first.gives)
    if len(modules) < len(calls) or any((call.target, call.takes, call.gives) != way for call in modules):
        raise DifferentError
    result.base = first.target
    result.inherited = first.gives[0].format(f"super().forward({first.takes.format('x')})")
    return True


def _ops(body: Body) -> Iterator[Any]:
    return (node for node in body.nodes if not isinstance(node.target, Body))


@dataclass(eq=False)
class _Planner:
    family: Family
    result: Class
    atoms: dict[str, Column] = field(default_factory=dict)
    widths: set[str] = field(default_factory=set)  # atoms that are whole numbers, such as channels
    lengths: dict[str, Column] = field(default_factory=dict)  # atoms that layers do not depend on, such as a height
    formulas: dict[Slot, Formula] = field(default_factory=dict)
    labels: dict[Slot, str] = field(default_factory=dict)
    presence: dict[str, Column] = field(default_factory=dict)
    postponed: list[tuple[Slot, str]] = field(default_factory=list)
    passed_on: set[Slot] = field(default_factory=set)  # arguments of other classes of the file
    used: set[str] = field(default_factory=set)

    @property
    def bodies(self) -> list[Body]:
        return self.family.bodies

    # Atoms -----------------------------------------------------------------------------------------------------------

    def find_atoms(self) -> None:
        """What formulas may be made of: the widths of the inputs, and the parameters of the block."""
        if self.family.plain:
            return
        if self.family.role != "network" and (len(self.bodies) > 1 or self.family.role == "block"):
            self.find_input_atoms()
            self.find_parameter_atoms()
        if self.family.classes is not None:
            name, number = self.family.classes
            if name not in self.atoms and any(set(_roles(body, number)) for body in self.bodies):
                self.atoms[name] = (number,) * len(self.bodies)
                self.widths.add(name)
                if self.family.role == "network":
                    self.result.arguments = [Argument(name, "int", number)]

    def find_input_atoms(self) -> None:
        first = self.bodies[0]
        for number, value in enumerate(first.inputs):
            shapes = [body.inputs[number].type.shape for body in self.bodies]
            if any(len(shape) != len(shapes[0]) for shape in shapes):
                raise DifferentError
            for axis, name in enumerate(_axis_names(value.type, self.family.channels_first)):
                name_here = name if len(first.inputs) == 1 else f"{value.name}_{name.removeprefix('in_')}"
                column = tuple(shape[axis] for shape in shapes)
                if name.startswith("in_"):
                    self.atoms[name_here] = column
                    self.widths.add(name_here)
                else:
                    self.lengths[name_here if name_here not in first.arguments else f"input_{name_here}"] = column

    def find_parameter_atoms(self) -> None:
        for parameter in self.bodies[0].arguments:
            name = _identifier(parameter)
            column = tuple(body.arguments.get(parameter, HOLE) for body in self.bodies)
            if all(isinstance(value, int | float | tuple) for value in column):
                self.atoms[name] = column
                if all(isinstance(value, int) and not isinstance(value, bool) for value in column):
                    self.widths.add(name)

    # Explaining ------------------------------------------------------------------------------------------------------

    def explain(self) -> None:
        """Find a text for every slot, a condition for whatever is optional, and the arguments that these need."""
        result = self.result
        for name, part in result.children:
            self.explain_part(part, name)
        if result.copies is not None:
            for slot in (result.copies.number, *result.copies.make.options.values(), *result.copies.steps.values()):
                self.explain_slot(slot, "layer")
        for slot, label in self.postponed:
            self.explain_slot(slot, label)
        if self.atoms:
            self.find_locals()
        for name, part in result.children:
            self.explain_conditions(part, name)
        self.find_branches()
        result.texts = {slot: formula.text for slot, formula in self.formulas.items()}
        self.explain_functions()
        self.settle_arguments()

    def explain_part(self, part: Any, label: str) -> None:
        """Find a formula for every slot of a recipe; `label` is the name of the child that it makes."""
        if isinstance(part, Optional):
            if not self.explain_choice(part, label):
                self.explain_part(part.part, label)
        elif isinstance(part, Chain):
            for name, item in part.items:
                self.explain_part(item, label if name.isdigit() else name)
        elif isinstance(part, Slot):
            self.explain_module(part, label)
        elif isinstance(part, Tensor):
            for slot in part.shape:
                self.explain_later(slot, label)
        else:
            slots = (*part.args, *part.options.values())
            if not part.target.startswith(("nn.", "torchvision.")):
                self.passed_on |= set(slots)
            for slot in slots:
                self.explain_later(slot, label)

    def explain_choice(self, part: Optional, label: str) -> bool:
        """Whether a module that needs no arguments is there by an argument, which is its class or none."""
        slot = part.part
        if isinstance(slot, Make):
            if not slot.bare or not slot.target.startswith("nn."):
                return False
            kind = Module(slot.target)
            slot = Slot(tuple(kind for _ in part.present), in_place="inplace" in slot.options)
            names = self.parameters_that_are_none(part.present)
            if not names:
                return False
        elif not isinstance(slot, Slot):
            return False
        else:
            names = self.parameters_that_are_none(part.present)
        column = tuple(
            HOLE if there is HOLE else kind if there else None
            for there, kind in zip(part.present, slot.values, strict=True)
        )
        formula = self.known(column) or self.new(column, names[0] if names else _module_name(label))
        self.formulas[slot] = _instance(formula, slot)
        self.result.conditions[part] = f"{formula.text} is not None"
        self.result.choices[part] = slot
        return True

    def parameters_that_are_none(self, present: Column) -> list[str]:
        """Parameters of the block that are none in just those instances that lack something."""
        return [
            name
            for name in self.bodies[0].arguments
            if all(
                there is HOLE or (body.arguments.get(name, HOLE) is None) is not there
                for there, body in zip(present, self.bodies, strict=True)
            )
        ]

    def explain_module(self, slot: Slot, label: str) -> None:
        """A module whose class is an argument."""
        kinds = len(set(present(slot.values)))
        names = [
            name
            for name, value in self.bodies[0].arguments.items()
            if isinstance(value, str) and len(set(self.paired(name, slot.values))) == kinds
        ]
        formula = self.known(slot.values) or self.new(slot.values, names[0] if names else _module_name(label))
        self.formulas[slot] = _instance(formula, slot)

    def paired(self, parameter: str, column: Column) -> Iterator[Any]:
        for body, value in zip(self.bodies, column, strict=True):
            if value is not HOLE:
                yield body.arguments.get(parameter), value

    def explain_later(self, slot: Slot, label: str) -> None:
        """Places that only some instances have come last, when it is known how the others are explained."""
        if HOLE in slot.values and not constant(slot.values):
            self.postponed.append((slot, label))
        else:
            self.explain_slot(slot, label)

    def explain_slot(self, slot: Slot, label: str) -> None:
        self.labels[slot] = label
        column = slot.values
        if constant(column):
            self.formulas[slot] = self.constant_formula(slot, label)
            return
        ordered = dict(sorted(self.atoms.items(), key=lambda item: _distance(item[0], slot.role, label)))
        formula = None
        if HOLE in column:
            formula = next((f for f in self.formulas.values() if f.compound and agrees(f.values, column)), None)
        if formula is None:
            formula = number_formula(column, ordered | self.lengths if slot in self.passed_on else ordered)
        if formula is None and all(isinstance(value, bool) for value in present(column)):
            formula = condition(column, ordered)
        self.formulas[slot] = formula or self.new(column, _argument_name(slot.role, label))

    def constant_formula(self, slot: Slot, label: str) -> Formula:
        """A number that all instances agree on, or the argument that it is."""
        value = present(slot.values)[0]
        if HOLE in slot.values:
            names = [name for name in self.atoms if name == slot.role or (name in self.widths and slot.role in _WIDTHS)]
            names.sort(key=lambda name: _distance(name, slot.role, label))
            fitting = next((name for name in names if agrees(self.atoms[name], slot.values)), None)
            if fitting is not None:
                return atom(fitting, self.atoms[fitting])
        column = (value,) * len(self.bodies)
        plain = Formula(value.target if isinstance(value, Module) else literal(value), column, frozenset())
        if isinstance(value, bool) or not isinstance(value, int) or value < _LEAST_WIDTH:
            return plain
        wide = slot.role in _WIDTHS or slot.role in self.bodies[0].arguments
        if not wide and not slot.role.endswith(("_channels", "_features", "planes", "_dim")):
            return plain
        names = [name for name in self.atoms if name in self.widths]
        names.sort(key=lambda name: _distance(name, slot.role, label))
        equal = next((name for name in names if self.atoms[name] == column), None)
        if equal is not None:
            return atom(equal, column)
        known = [name for name in names if constant(self.atoms[name]) and not name.startswith("in_")]
        for a, b in combinations(sorted(known), 2):
            left, right = self.atoms[a][0], self.atoms[b][0]
            if left * right == value and min(left, right) > 1:
                return Formula(f"{a} * {b}", column, frozenset({a, b}), compound=True)
        for name in known:
            if value in (2 * self.atoms[name][0], 4 * self.atoms[name][0]) and self.atoms[name][0] >= _LEAST_WIDTH:
                return Formula(f"{value // self.atoms[name][0]} * {name}", column, frozenset({name}), compound=True)
        return plain

    def known(self, column: Column) -> Formula | None:
        """The argument that a column of classes is already."""
        for name, values in self.atoms.items():
            if all(wanted is HOLE or wanted == value for value, wanted in zip(values, column, strict=True)):
                return atom(name, column)
        return None

    def new(self, column: Column, name: str) -> Formula:
        """A further argument with the values of `column`; an instance that asks for none gets the usual one."""
        usual = Counter(present(column)).most_common(1)[0][0]
        column = tuple(usual if value is HOLE else value for value in column)
        name = _identifier(name)
        free, number = name, 1
        while free in self.atoms or free in self.lengths:
            number += 1
            free = f"{name}{number}"
        self.atoms[free] = column
        return atom(free, column)

    def find_locals(self) -> None:
        """Give a name to a formula that several places share."""
        uses = Counter(formula.text for formula in self.formulas.values() if formula.compound)
        slots = {formula.text: slot for slot, formula in reversed(self.formulas.items())}
        outputs = self.output_widths()
        for text, times in uses.items():
            slot = slots[text]
            values = self.formulas[slot].values
            is_output = HOLE not in values and values == outputs
            if times < (2 if is_output or text.count(" ") > _SIMPLE else 3):
                continue
            suffix = "features" if "features" in slot.role else "channels"
            names = [f"out_{suffix}"] * is_output + [f"hidden_{suffix}", f"{_identifier(self.labels[slot])}_{suffix}"]
            name = next((name for name in names if name not in self.atoms), None)
            if name is None:
                continue
            self.result.assigned.append((name, text))
            self.atoms[name] = values
            for other, formula in self.formulas.items():
                if formula.text == text:
                    self.formulas[other] = Formula(name, values, formula.names | {name})

    def output_widths(self) -> Column:
        axis = 0 if self.family.channels_first else -1
        shapes = [body.outputs[0].value.type.shape for body in self.bodies]
        return tuple(shape[axis] if shape else HOLE for shape in shapes)

    # Conditions ------------------------------------------------------------------------------------------------------

    def explain_conditions(self, part: Any, label: str) -> None:
        if isinstance(part, Optional):
            if part not in self.result.conditions:
                self.result.conditions[part] = self.condition(part.present, f"has_{label}").text
            self.explain_conditions(part.part, label)
        elif isinstance(part, Chain):
            for name, item in part.items:
                self.explain_conditions(item, label if name.isdigit() else name)

    def condition(self, column: Column, name: str) -> Formula:
        """A condition for a column of bools, on an argument of its own where nothing else explains it."""
        formula = condition(column, self.atoms) or self.new(column, name)
        self.used |= formula.names
        return formula

    def find_branches(self) -> None:
        """Bring together the nodes that the same instances have."""
        groups: dict[Column, list[Node]] = {}
        for node in self.result.merged.schedule if self.result.merged is not None else ():
            if not all(self.presence[node.name]):
                groups.setdefault(self.presence[node.name], []).append(node)
        taken = {child for child, _ in self.result.children}
        for column, nodes in groups.items():
            if any("." in node.name for node in nodes):
                raise DifferentError
            flag = "residual" if any(node.kind == "add" for node in nodes) else f"has_{_identifier(nodes[0].name)}"
            formula = self.condition(column, flag)
            attribute = ""
            if not all(map(_can_stand_in, nodes)):
                attribute = formula.text if formula.text.isidentifier() else flag
                while attribute in taken:
                    attribute += "_"
                taken.add(attribute)
            self.result.branches.append(Branch(tuple(node.name for node in nodes), formula.text, attribute))

    # Forward ---------------------------------------------------------------------------------------------------------

    def explain_functions(self) -> None:
        """What stands in the slots of code: attributes of the module."""
        children = {name for name, _ in self.result.children}
        for name, function in self.result.functions.items():
            around = ("(", *function.pieces, ")")
            for before, slot, behind in zip(around, around[1:], around[2:], strict=False):
                if not isinstance(slot, Slot):
                    continue
                formula = number_formula(slot.values, self.atoms | self.lengths)
                formula = formula or self.new(slot.values, "size" if self.family.role == "op" else name)
                self.used |= formula.names
                text = formula.text
                for used in sorted(formula.names):
                    if used not in self.result.stored:
                        self.result.stored.append(used)
                    attribute = f"{used}_" if used in children else used
                    text = re.sub(rf"(?<!\.)\b{used}\b", f"self.{attribute}", text)
                alone = str(before).endswith(("(", "[", ", ")) and str(behind).startswith((")", "]", ","))
                self.result.texts[slot] = f"({text})" if formula.compound and not alone else text

    def settle_arguments(self) -> None:
        """The arguments are the atoms that some text needs."""
        result = self.result
        everything = self.atoms | self.lengths
        self.used |= {name for formula in self.formulas.values() for name in formula.names}
        result.assigned = [(name, text) for name, text in result.assigned if name in self.used]
        for _, text in result.assigned:
            self.used |= set(re.findall(r"[A-Za-z_]\w*", text)) & everything.keys()
        if result.arguments:
            result.columns = {argument.name: everything[argument.name] for argument in result.arguments}
            return
        local = {name for name, _ in result.assigned}
        for name, column in everything.items():
            if name in self.used and name not in local:
                result.columns[name] = column
                result.arguments.append(Argument(name, _annotation(column)))


_SIMPLE = 2  # spaces in a formula that may be written twice


def _instance(formula: Formula, slot: Slot) -> Formula:
    """The construction of a module whose class is an argument."""
    return Formula(f"{formula.text}({'inplace=True' * slot.in_place})", formula.values, formula.names)


def _module_name(label: str) -> str:
    return "activation" if label.isdigit() or not label else label


def _argument_name(role: str, label: str) -> str:
    """The name of an argument for a place that nothing explains."""
    if role in ("in_channels", "out_channels", "in_features", "out_features", "num_features"):
        stem = re.sub(r"[\d_.]+$", "", label) or "hidden"
        return f"{stem}_{role.partition('_')[2]}"
    return role or "value"


def _can_stand_in(node: Node) -> bool:
    """True for a module that an `nn.Identity` may stand for."""
    if node.training_only or len(node.inputs) != 1 or len(node.outputs) != 1:
        return False
    if isinstance(node.target, Body):
        return node.target.returns != "dict"
    call = node.target.torch()
    return isinstance(call, ModuleCall) and call.plain


def _axis_names(type: TensorType, channels_first: bool) -> tuple[str, ...]:
    spatial = {0: (), 1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}.get(type.rank - 1)
    if spatial is None or not type.batched:
        return tuple(f"size{axis}" for axis in range(type.rank))
    if type.rank == 1:
        return ("in_features",)
    return ("in_channels", *spatial) if channels_first else (*spatial, "in_features")


def classes_of(network: Body) -> tuple[str, int] | None:
    """A parameter of the network that is the width of last layers, and nothing else: its name and its value."""
    for parameter, value in network.arguments.items():
        whole = isinstance(value, int) and not isinstance(value, bool)
        if whole and all(output.value.type.shape[-1:] == (value,) for output in network.outputs):
            roles = set(_roles(network, value))
            if roles and roles <= {"out_features", "out_channels"}:
                return _identifier(parameter), value
    return None


def _roles(body: Body, value: int) -> Iterator[str]:
    """The places of all modules and functions below that have this number, each body once."""
    seen: set[int] = set()
    pending = [body]
    while pending:
        for node in pending.pop().nodes:
            if isinstance(node.target, Body):
                if id(node.target) not in seen:
                    seen.add(id(node.target))
                    pending.append(node.target)
                continue
            call = node.target.torch(*node.input_types)
            if isinstance(call, ModuleCall):
                make = module_recipe(call, node.target)
                yield from (role for role, leaf in zip(make.roles, make.args, strict=True) if leaf == value)
                yield from (name for name, leaf in make.options.items() if leaf == value)
            elif isinstance(call, FunctionCall):
                yield from ("code" for token in tokens(call.code) if token == value)
            else:
                yield from ("shape" for length in tensor_recipe(call).shape if length == value)


def _distance(name: str, role: str, label: str) -> int:
    """How far the name of an atom is from that of the place it is to explain."""
    if name == role:
        return 0
    return 1 if label and name.startswith(label.rstrip("0123456789_")) else 2


def _identifier(name: str) -> str:
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", re.sub(r"\W", "_", name)).lower()
    return name if name.isidentifier() else f"x{name}"


def _annotation(column: Iterable[Any]) -> str:
    values = present(tuple(column))
    kinds = dict.fromkeys(_kind(value) for value in values if value is not None)
    if "float" in kinds:
        kinds.pop("int", None)
    return " | ".join((*kinds, *(("None",) if None in values else ())))


def _kind(value: Any) -> str:
    if isinstance(value, Module):
        return "Callable[..., nn.Module]"
    if isinstance(value, tuple):
        return f"tuple[{', '.join(map(_kind, value))}]"
    return type(value).__name__
