"""The initialization rules of a graph as statements of PyTorch, in the order in which they draw random numbers.

A rule for all modules of a type becomes a loop over `modules()`; one for a few paths, a statement for each. What acts
when a block is built stands in the constructor of its class.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod, sqrt
from typing import Any, NamedTuple

from netspec.backends.python.blueprints import Class
from netspec.backends.python.classes import Classes
from netspec.backends.python.lines import INDENT, Call, flat, lay, literal, parsed
from netspec.formulas import DifferentError
from netspec.graph import Body, Graph, Node, node_state
from netspec.ops.base import ModuleCall

_FEW = 3  # modules that get a statement each
_MANY = 12  # exceptions that a loop names
_CONSTANT = ("zeros_", "ones_", "constant_", "dirac_")
_LONG = 60  # characters of a list of names in a condition
_ODD = 10  # characters of a number that is better calculated
_TYPED = ("weight", "bias")


Formulas = Mapping[tuple[type, str, str], str]
"""Formulas by initializer, parameter and argument."""

Way = tuple[str, ...]
"""The statements that fill the parameters of one module."""


class _Unit(NamedTuple):
    """A module below a body: its path, what it is an instance of, and its parameters with their initializers."""

    path: str
    type: str
    node: Node | None
    rules: tuple[tuple[str, Any], ...]
    straight: bool  # no Sequential on the way


class InitCode(NamedTuple):
    """Statements of a constructor, or of a method `_init_weights` where they are a loop."""

    statements: tuple[str, ...] = ()
    loop: tuple[str, ...] = ()


@dataclass(eq=False)
class Initialization:
    """What each class of a file has to initialize."""

    graph: Graph
    classes: Classes
    rules: dict[str, list[Any]] = field(default_factory=dict)
    places: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for assignment in self.graph.initializers:
            self.rules.setdefault(assignment.owner, []).append(assignment)
        self.places[id(self.graph.root)] = ""
        for path, node in self.graph.walk():
            if isinstance(node.target, Body):
                self.places.setdefault(id(node.target), path)

    def of_parameter(self, planned: Class, name: str) -> str:
        """The statement that fills a learned parameter as soon as it is made, or nothing.

        Raises `DifferentError` where the instances do not agree.
        """
        column = []
        for body in planned.bodies:
            place = self.places.get(id(body), "")
            path = f"{place}.{name}" if place else name
            column.append([rule.initializer for rule in self.rules.get(path, ()) if rule.owner == rule.path == path])
        if not any(column):
            return ""
        if any(len(found) != 1 or type(found[0]) is not type(column[0][0]) for found in column):
            raise DifferentError
        initializers = [found[0] for found in column]
        texts = {}
        for key in _changed(initializers[0]):
            values = [getattr(initializer, key) for initializer in initializers]
            texts[key] = literal(values[0]) if len(set(values)) == 1 else _argument_formula(values, planned)
        return _written(initializers[0].function, f"self.{name}", texts)

    def of_class(self, bodies: Sequence[Body]) -> InitCode:
        """What acts in the constructor of a class. Raises `DifferentError` where its instances do not agree."""
        codes = {self.of_body(body) for body in bodies if id(body) in self.places}
        if len(codes) > 1:
            raise DifferentError
        return next(iter(codes), InitCode())

    def of_body(self, body: Body) -> InitCode:
        place = self.places[id(body)]
        prefix = f"{place}." if place else ""
        found: dict[str, list[tuple[str, Any]]] = {}
        for rule in self.rules.get(place, ()):
            if rule.path != place or not place:
                found.setdefault(rule.path.removeprefix(prefix), []).append((rule.parameter, rule.initializer))
        if not found:
            return InitCode()
        units = list(self.units(body, "", found, True))
        assigned = [unit for unit in units if unit.rules]
        if len(assigned) <= _FEW and all(unit.straight for unit in assigned):
            return InitCode(tuple(_explicit(assigned)))
        loop = self.loop(units)
        return InitCode(tuple(_explicit(assigned))) if loop is None else InitCode(loop=tuple(loop))

    def units(
        self, body: Body, prefix: str, found: dict[str, list[tuple[str, Any]]], straight: bool
    ) -> Iterator[_Unit]:
        own = [
            (node.name, initializer)
            for node in body.nodes
            if not isinstance(node.target, Body) and node.kind == "parameter"
            for _, initializer in found.get(prefix + node.name, ())
        ]
        if id(body) in self.classes.of_body:
            yield _Unit(prefix.rstrip("."), self.classes.of_body[id(body)].name, None, tuple(own), straight)
        for node in body.nodes:
            path = prefix + node.name
            if node.shares or node.kind == "parameter":
                continue
            if isinstance(node.target, Body):
                named = node.name.isidentifier() and node.target.form == "graph"
                inner = straight and named and id(node.target) in self.classes.of_body
                yield from self.units(node.target, path + ".", found, inner)
                continue
            call = node.target.torch(*node.input_types)
            if isinstance(call, ModuleCall):
                rules = tuple(found.get(path, ()))
                yield _Unit(path, call.target, node, rules, straight and node.name.isidentifier())

    def loop(self, units: list[_Unit]) -> list[str] | None:
        """A loop over all modules that does what the rules say, with the exceptions by name; None if they are many."""
        kinds = list(dict.fromkeys(unit.type for unit in units if unit.rules))
        members = {kind: [unit for unit in units if unit.type == kind] for kind in kinds}
        formulas = {kind: _formulas(members[kind]) for kind in kinds}
        ways = {unit.path: tuple(_statements(unit, formulas[kind])) for kind in kinds for unit in members[kind]}
        popular = Counter(ways.values())
        by_type: dict[Way, list[str]] = {}
        by_name: dict[Way, list[_Unit]] = {}
        for kind in kinds:
            optional = _without_bias(members[kind], ways)
            rest = [unit for unit in members[kind] if unit.path not in optional]
            counts = Counter(ways[unit.path] for unit in rest)
            usual = max(counts, key=lambda way: (counts[way], popular[way], len(way)))
            guard = bool(optional) or kind.startswith(("nn.Conv", "nn.Linear"))
            for unit in rest:
                if ways[unit.path] != usual:
                    by_name.setdefault(_guarded(ways[unit.path], guard) or ("continue",), []).append(unit)
            if usual:
                by_type.setdefault(_guarded(usual, guard), []).append(kind)
        if sum(map(len, by_name.values())) > _MANY:
            return None
        exact = any(unit.type == "nn.MultiheadAttention" for unit in units)
        lines: list[str] = []
        branches: list[tuple[str, Way]] = []
        for number, (way, exceptions) in enumerate(by_name.items()):
            paths = Call("(", tuple(f'"{unit.path}"' for unit in exceptions))
            if len(exceptions) > 1 and len(flat(paths)) > _LONG:
                lines += lay(paths, before=f"names{number or ''} = ")
                paths = Call(f"names{number or ''}", (), "")
            branches.append((_named(exceptions, flat(paths)), way))
        branches += [(_of_types(types, exact), way) for way, types in by_type.items()]
        lines.append("for name, module in self.named_modules():" if by_name else "for module in self.modules():")
        for number, (test, way) in enumerate(map(_flattened, branches)):
            lines.append(f"{INDENT}{'elif' if number else 'if'} {test}:")
            lines += [part for statement in way for line in statement.split("\n") for part in _fitted(line)]
        return lines


def _fitted(line: str) -> list[str]:
    """The lines of a statement in a branch of the loop."""
    bare = line.lstrip()
    indent = INDENT * 2 + line[: len(line) - len(bare)]
    return [indent + bare] if bare.endswith(":") or bare == "continue" else lay(parsed(bare), indent)


def _named(units: list[_Unit], paths: str) -> str:
    """The test for a few modules."""
    kinds = dict.fromkeys(unit.type for unit in units)
    test = f'name == "{units[0].path}"' if len(units) == 1 else f"name in {paths}"
    return f"{test} and isinstance(module, {' | '.join(kinds)})"


def _of_types(kinds: list[str], exact: bool) -> str:
    """The test for all modules of some types. Attention has a linear layer of its own kind, which is left out."""
    alike = [kind for kind in kinds if not (exact and kind == "nn.Linear")]
    tests = [f"isinstance(module, {' | '.join(alike)})"] * bool(alike)
    tests += ["type(module) is nn.Linear"] * (len(alike) < len(kinds))
    return " or ".join(tests)


def _flattened(branch: tuple[str, Way]) -> tuple[str, Way]:
    """A branch with one condition where it does nothing but fill a bias that may be missing."""
    test, way = branch
    if len(way) > 1 or "\n" not in way[0]:
        return branch
    guard, line = way[0].split("\n")
    return f"{test} and {guard[3:-1]}", (line.strip(),)


def _without_bias(members: list[_Unit], ways: dict[str, Way]) -> set[str]:
    """Paths of members without a bias, which do what the others do but for it."""
    fullest = max((ways[unit.path] for unit in members), key=len)
    rest = tuple(line for line in fullest if "module.bias" not in line)
    return {
        unit.path
        for unit in members
        if rest != fullest and ways[unit.path] == rest and unit.node is not None and "bias" not in node_state(unit.node)
    }


def _guarded(way: Way, guard: bool) -> Way:
    """Statements in which a bias is filled if it is there."""
    return tuple(
        f"if module.bias is not None:\n{INDENT}{line}" if guard and "module.bias" in line else line for line in way
    )


def _explicit(units: list[_Unit]) -> Iterator[str]:
    for unit in units:
        for parameter, initializer in unit.rules:
            path = f"{unit.path}.{parameter}" if unit.path else parameter
            typed = unit.straight and (unit.node is None or parameter == "weight")
            target = f"self.{path}" if typed else f'self.get_parameter("{path}")'
            formulas = {
                name: formula.replace("module.weight", target).replace("module.", target.removesuffix("weight"))
                for (_, own, name), formula in _formulas([unit]).items()
                if own == parameter
            }
            texts = {name: formulas.get(name) or literal(value) for name, value in _changed(initializer).items()}
            yield _written(initializer.function, target, texts)


def _statements(unit: _Unit, formulas: Formulas) -> Iterator[str]:
    """The statements of one module in a loop."""
    for parameter, initializer in unit.rules:
        typed = unit.node is None or parameter in _TYPED
        target = f"module.{parameter}" if typed else f'module.get_parameter("{parameter}")'
        texts = {
            name: formulas.get((type(initializer), parameter, name)) or literal(value)
            for name, value in _changed(initializer).items()
        }
        yield _written(initializer.function, target, texts)


def _formulas(units: Sequence[_Unit]) -> Formulas:
    """What gives the numbers of the initializers of modules of one type, where they are better not written out."""
    columns: dict[tuple[type, str, str], list[tuple[_Unit, Any]]] = {}
    for unit in units:
        for parameter, initializer in unit.rules:
            for name, value in _changed(initializer).items():
                columns.setdefault((type(initializer), parameter, name), []).append((unit, value))
    found = {}
    for key, column in columns.items():
        values = {value for _, value in column}
        odd = any(isinstance(value, float) and len(repr(value)) > _ODD for value in values)
        if (odd or len(values) > 1) and (formula := _fan_formula(column, key[1])) is not None:
            found[key] = formula
    return found


def _argument_formula(values: list[float], planned: Class) -> str:
    """`1 / math.sqrt(in_features)` where that gives the number of every instance. Raises `DifferentError`."""
    for name, column in planned.columns.items():
        if not all(isinstance(number, int) and number > 0 for number in column):
            continue
        for sign in (1, -1):
            if all(sign / sqrt(number) == value for number, value in zip(column, values, strict=True)):
                return f"{'-' * (sign < 0)}1 / math.sqrt({name})"
    raise DifferentError


def _fan_formula(column: list[tuple[_Unit, float]], parameter: str) -> str | None:
    """`math.sqrt(2 / fan)` where that gives the number of every module."""
    nodes = [unit.node for unit, _ in column if unit.node is not None]
    if parameter != "weight" or len(nodes) < len(column):
        return None
    shapes = [node_state(node)["weight"].shape for node in nodes]
    if any(len(shape) < 2 for shape in shapes):
        return None
    values = [value for _, value in column]
    inner, outer = "module.weight[0].numel()", "module.weight[:, 0].numel()"
    if all(unit.type == "nn.Linear" for unit, _ in column):
        inner, outer = "module.in_features", "module.out_features"
    fans: list[tuple[str, list[float]]] = [
        (inner, [prod(shape[1:]) for shape in shapes]),
        (outer, [shape[0] * prod(shape[2:]) for shape in shapes]),
    ]
    groups = [getattr(node.target, "groups", 1) for node in nodes]
    if max(groups) > 1:
        fans.append(
            (f"({outer} / module.groups)", [fan / group for fan, group in zip(fans[1][1], groups, strict=True)])
        )
    for text, numbers in fans:
        for formula, calculate in _OF_FANS:
            if [calculate(fan) for fan in numbers] == values:
                return formula.format(text)
        scale = round(values[0] * numbers[0], 6)
        if scale and [scale / fan for fan in numbers] == values:
            return f"{literal(scale)} / {text}"
    return None


_OF_FANS: tuple[tuple[str, Callable[[float], float]], ...] = (
    ("math.sqrt(2 / {})", lambda fan: sqrt(2 / fan)),
    ("1 / math.sqrt({})", lambda fan: 1 / sqrt(fan)),
    ("-1 / math.sqrt({})", lambda fan: -1 / sqrt(fan)),
    ("math.sqrt(1 / {})", lambda fan: sqrt(1 / fan)),
)


def _changed(initializer: Any) -> dict[str, Any]:
    changed: dict[str, Any] = initializer.changed(*type(initializer).fields())
    return changed


def _call(initializer: Any, target: str) -> str:
    texts = {name: literal(value) for name, value in _changed(initializer).items()}
    return _written(initializer.function, target, texts)


def _written(function: str, target: str, texts: dict[str, str]) -> str:
    arguments = [text if name == "val" else f"{name}={text}" for name, text in texts.items()]
    return f"nn.init.{function}({', '.join([target, *arguments])})"
