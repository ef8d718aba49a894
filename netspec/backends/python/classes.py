"""Graph in, the classes that a person would write for it out: one for each kind of block, with its arguments.

Bodies of one kind make a family. A family is one class if its bodies have a common form, else as few as possible;
classes are made from the inside out, so what a body holds is known when its turn comes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from math import lcm
from typing import Any, Literal, NamedTuple

from netspec.backends.class_names import class_name
from netspec.backends.in_place import modules_in_place
from netspec.backends.python.blueprints import Argument, Class, Schedule
from netspec.backends.python.explaining import Family, classes_of, plan
from netspec.backends.python.recipes import Chain, Make, module_recipe, tensor_recipe
from netspec.formulas import HOLE, DifferentError
from netspec.graph import Body, Graph, Node, Output, Value
from netspec.ops.base import ModuleCall, StateCall

_UNNAMED = ("graph", "branches", "repeat", "chain")
"""Kinds of bodies that are no blocks."""

_SHORT = 3  # letters of a name that says little by itself
_MOST_TRIES = 64  # bodies of one family that are tried one by one
_LEAST_SCHEDULE = 4  # numbers that make a schedule
_MOST_STEPS = 1000  # of a schedule


class Classes(NamedTuple):
    """The classes of a file, those that others use before them; the last one is the network."""

    all: tuple[Class, ...]
    of_body: dict[int, Class]


def find_classes(graph: Graph, *, fold: bool = True) -> Classes:
    """The classes of a graph. Without `fold`, each body has one of its own, with its numbers as constants.

    Raises `DifferentError` where blocks hold each other in a circle, which cannot happen without `fold`.
    """
    finder = _Finder(graph, fold)
    finder.collect(graph.root, graph.name)
    finder.define(finder.keys[id(graph.root)])
    finder.settle_calls()
    return Classes(tuple(finder.classes), finder.of_body)


@dataclass(eq=False)
class _Finder:
    graph: Graph
    fold: bool
    families: dict[Any, list[Body]] = field(default_factory=dict)
    names: dict[Any, str] = field(default_factory=dict)  # of families
    keys: dict[int, Any] = field(default_factory=dict)  # of the family of a body
    channels_first: dict[int, bool] = field(default_factory=dict)
    of_ops: dict[Any, Body] = field(default_factory=dict)  # bodies around ops that need a class
    op_bodies: set[int] = field(default_factory=set)
    classes: list[Class] = field(default_factory=list)
    of_body: dict[int, Class] = field(default_factory=dict)
    made: dict[int, Make] = field(default_factory=dict)
    open: list[Any] = field(default_factory=list)
    classes_given: tuple[str, int] | None = field(init=False)
    initializing: set[int] = field(init=False)  # bodies with initialization rules of their own
    taken: set[str] = field(init=False)

    def __post_init__(self) -> None:
        self.classes_given = classes_of(self.graph.root) if self.fold else None
        owners = {assignment.owner for assignment in self.graph.initializers}
        self.initializing = {id(node.target) for path, node in self.graph.walk() if path in owners}
        self.taken = {"Callable", "NamedTuple", "OrderedDict", "StochasticDepth", "Tensor", class_name(self.graph.name)}

    # Families --------------------------------------------------------------------------------------------------------

    def collect(self, body: Body, name: str, around: Any = (), channels_first: bool = True) -> None:
        """Sort the bodies that need a class into families: by the kind of block, or else by where they stand."""
        if id(body) in self.keys:
            return
        self.keys[id(body)] = key = self.key(body, name, around)
        self.channels_first[id(body)] = channels_first = _channels_first(body, channels_first)
        if body is self.graph.root or not self.inline(body):
            self.families.setdefault(key, []).append(body)
            unnamed = body.kind in _UNNAMED or body is self.graph.root
            short = unnamed and len(name) < _SHORT and around in self.names
            own_name = f"{self.names[around]}_{name}" if short else name
            self.names.setdefault(key, own_name if unnamed else body.kind)
        for node in body.nodes:
            if isinstance(node.target, Body):
                inner = f"{name}_{node.name}" if node.name[0].isdigit() else node.name
                self.collect(node.target, inner, key, channels_first)
            elif body.form == "chain" and (own := self.body_of_op(node)) is not None:
                self.collect(own, node.kind, (), channels_first)

    def key(self, body: Body, name: str, around: Any) -> Any:
        if not self.fold or body is self.graph.root:
            return id(body)
        if body.kind in _UNNAMED:
            return body.form, re.sub(r"[\d_]+$", "", name), around
        return body.form, body.kind

    def body_of_op(self, node: Node) -> Body | None:
        """A body around an op of a chain that is no module by itself, or does more than call one."""
        assert not isinstance(node.target, Body)
        call = node.target.torch(*node.input_types)
        if isinstance(call, ModuleCall) and call.plain:
            return None
        key = (node.target, node.input_types)
        if key not in self.of_ops:
            x, y = Value("x", node.inputs[0].type), Value("y", node.outputs[0].type)
            only = Node("y", node.kind, node.target, (x,), (y,), node.span)
            arguments = dict(node.target.__dict__)
            outputs = (Output("y", y),)
            own = Body(node.kind, "graph", (x,), (only,), (only,), outputs, node.span, arguments=arguments)
            self.of_ops[key] = own
            self.op_bodies.add(id(own))
        return self.of_ops[key]

    def inline(self, body: Body) -> bool:
        """True for a body that is an `nn.Sequential` where it stands, without a class of its own."""
        return body.form == "chain" and (body.repeated or body.kind in _UNNAMED) and id(body) not in self.initializing

    # Classes ---------------------------------------------------------------------------------------------------------

    def define(self, key: Any) -> None:
        """Make the classes of a family, after those of all that its bodies hold."""
        bodies = self.families[key]
        if id(bodies[0]) in self.of_body:
            return
        if key in self.open:
            raise DifferentError
        self.open.append(key)
        for body in bodies:
            self.define_below(body)
        self.open.pop()
        for made in self.plans(bodies):
            made.name = self.free_name(class_name(self.names[key])) if bodies[0] is not self.graph.root else made.name
            self.classes.append(made)
            for index, body in enumerate(made.bodies):
                self.of_body[id(body)] = made
                self.made[id(body)] = made.make(index)

    def define_below(self, body: Body) -> None:
        for node in body.nodes:
            if isinstance(node.target, Body):
                if self.inline(node.target):
                    self.define_below(node.target)
                else:
                    self.define(self.keys[id(node.target)])
            elif body.form == "chain" and (own := self.body_of_op(node)) is not None:
                self.define(self.keys[id(own)])

    def plans(self, bodies: list[Body]) -> list[Class]:
        try:
            return [self.plan(bodies)]
        except DifferentError:
            if len(bodies) == 1:
                raise
        groups: list[list[Body]] = []
        for body in bodies:
            for group in groups if len(bodies) <= _MOST_TRIES else ():
                try:
                    self.plan([*group, body])
                except DifferentError:
                    continue
                group.append(body)
                break
            else:
                groups.append([body])
        return [self.plan(group) for group in groups]

    def plan(self, bodies: list[Body]) -> Class:
        first = bodies[0]
        role: Literal["network", "block", "part", "op"] = "part" if first.kind in _UNNAMED else "block"
        if first is self.graph.root:
            role = "network"
        elif id(first) in self.op_bodies:
            role = "op"
        first_axis = self.channels_first[id(first)]
        made = plan(Family(bodies, role, self.recipe, first_axis, not self.fold, self.classes_given))
        if role == "network":
            made.name = class_name(self.graph.name)
        return made

    def free_name(self, name: str) -> str:
        free, number = name, 1
        while free in self.taken:
            number += 1
            free = f"{name}{number}"
        self.taken.add(free)
        return free

    def recipe(self, body: Body, node: Node) -> Any:
        """What a node of a body constructs; `HOLE` for a function, which constructs nothing."""
        if isinstance(node.target, Body):
            if self.inline(node.target):
                inner = node.target
                return Chain(tuple((item.name, self.recipe(inner, item)) for item in inner.nodes))
            return self.made[id(node.target)]
        call = node.target.torch(*node.input_types)
        if isinstance(call, ModuleCall):
            make = module_recipe(call, node.target, in_place=node.name in modules_in_place(body))
            own = self.body_of_op(node) if body.form == "chain" else None
            return make if own is None else make.renamed(self.made[id(own)].target)
        if isinstance(call, StateCall):
            return tensor_recipe(call)
        return self.made[id(self.body_of_op(node))] if body.form == "chain" else HOLE

    # Calls -----------------------------------------------------------------------------------------------------------

    def settle_calls(self) -> None:
        """Give a default to each argument with one usual value, and put those that have none first."""
        calls: dict[str, list[Make]] = {}
        for body in self.reached():
            for node in body.nodes:
                if isinstance(node.target, Body) and id(node.target) in self.made:
                    made = self.made[id(node.target)]
                    calls.setdefault(made.target, []).append(made)
        for known in self.classes:
            columns = {
                argument.name: [made.options[argument.name] for made in calls.get(known.name, ())]
                for argument in known.arguments
            }
            known.schedules = {
                name: schedule for name, values in columns.items() if (schedule := self.schedule(values)) is not None
            }
            known.arguments = [_with_default(argument, columns[argument.name]) for argument in known.arguments]
            known.arguments.sort(key=lambda argument: argument.default is not HOLE)

    def reached(self) -> Iterator[Body]:
        """Every body of the graph, each once."""
        seen = {id(self.graph.root)}
        pending = [self.graph.root]
        while pending:
            body = pending.pop()
            yield body
            for node in body.nodes:
                if isinstance(node.target, Body) and id(node.target) not in seen:
                    seen.add(id(node.target))
                    pending.append(node.target)

    def schedule(self, values: list[Any]) -> Schedule | None:
        """The schedule that all the values of an argument lie on, up to a rate that the network has as parameter."""
        numbers = set(values)
        if len(numbers) < _LEAST_SCHEDULE or not all(isinstance(number, float) for number in numbers):
            return None
        for rate in self.graph.root.arguments.values():
            if isinstance(rate, float) and rate:
                parts = (Fraction(number / rate).limit_denominator(_MOST_STEPS).denominator for number in numbers)
                steps = lcm(*parts)
                if steps <= _MOST_STEPS and all(rate * round(n / rate * steps) / steps == n for n in numbers):
                    return Schedule(rate, steps)
        return None


def _channels_first(body: Body, otherwise: bool) -> bool:
    """True where the channels are the first axis of what goes in, as for convolutions; else they are the last."""
    kinds = set(_categories(body))
    if kinds & {"convolution", "pooling", "batch_norm"}:
        return True
    return otherwise and not kinds & {"linear", "layer_norm", "attention"}


def _categories(body: Body) -> Iterator[str]:
    """The ops below a body by name and by category."""
    for node in body.nodes:
        if isinstance(node.target, Body):
            yield from _categories(node.target)
        else:
            yield node.target.category
            yield node.kind


def _with_default(argument: Argument, values: list[Any]) -> Argument:
    if len(values) < 2 or argument.default is not HOLE:
        return argument
    (value, times), *_ = Counter(values).most_common(1)
    if isinstance(value, str | tuple):
        return argument
    kernel = argument.name == "kernel_size"
    usual = kernel or not isinstance(value, int) or value in (0, 1)
    often = 3 * times >= 2 * len(values) if kernel else 2 * times >= len(values)
    return argument._replace(default=value) if usual and often else argument
