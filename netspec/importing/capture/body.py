"""A recorded run to a graph: scopes become bodies, and each step a node under the name that its weights have.

A value that is used outside of the scope where it was made passes through inputs and outputs of the bodies between.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Literal

from netspec.diagnostics import Problem, SourceFile
from netspec.graph import Body, Graph, Node, Output, Value
from netspec.importing.capture.mistakes import Report
from netspec.importing.capture.steps import Run, Scope, Step
from netspec.names import check_name, check_node_name
from netspec.recursion import deep_recursion
from netspec.verify import verify

Returns = Literal["bare", "tuple", "dict"]


@deep_recursion
def to_graph(run: Run, name: str, max_depth: int | None, report: Report) -> Graph | None:
    """The graph of a run, in which modules deeper than `max_depth` are written in line; None where there is none."""
    return _Assembler(run, name, report).graph(max_depth)


@dataclass(eq=False, repr=False)
class _Frame:
    """A body in the making: its own values by those that they stand for, and its nodes."""

    scope: Scope
    around: _Frame | None
    steps: list[Step | Scope]
    depth: int
    inputs: dict[Value, Value] = field(default_factory=dict)  # own ones by those outside
    outputs: dict[Value, Value] = field(default_factory=dict)  # those outside by own ones
    frames: dict[Scope, _Frame] = field(default_factory=dict)  # of the bodies in it
    reads: dict[Step, tuple[Value, ...]] = field(default_factory=dict)
    names: dict[Step | Scope, str] = field(default_factory=dict)
    shares: dict[Step | Scope, str] = field(default_factory=dict)


class _Assembler:
    def __init__(self, run: Run, name: str, report: Report) -> None:
        self.run = run
        self.report = report
        self.span = SourceFile(f"{name}.py", "").start
        self.name = name
        self.frames: dict[Scope, _Frame] = {}

    def graph(self, max_depth: int | None) -> Graph | None:
        _drop_unread(self.run.root, set(self.run.root.results))
        root = self.frame(self.run.root, None, 0, max_depth)
        self.connect(root)
        returned = [self.local(value, root) for value in self.run.root.results]
        if not returned:
            return None
        self.name_nodes(root)
        aside = {value for step in root.steps if step.training_only for value in self.given(step, root)}
        fields = zip(self.run.fields, returned, strict=True)
        outputs = tuple(Output(name, value, value in aside) for name, value in fields)
        return verify(Graph(self.name, self.body(root, outputs, self.run.root.arguments.values(), self.run.returns)))

    def given(self, step: Step | Scope, frame: _Frame) -> Iterable[Value]:
        """The values that a step gives to the body that it is in."""
        return step.outputs if isinstance(step, Step) else frame.frames[step].outputs.values()

    # Scopes ----------------------------------------------------------------------------------------------------------

    def frame(self, scope: Scope, around: _Frame | None, depth: int, max_depth: int | None) -> _Frame:
        """A frame for a scope, and for all in it; a scope that is too deep is open."""
        for step in scope.steps:
            self.open(step, depth, max_depth)
        frame = _Frame(scope, around, list(scope.inside()), depth)
        self.frames[scope] = frame
        for step in frame.steps:
            if isinstance(step, Scope):
                frame.frames[step] = self.frame(step, frame, depth + 1, max_depth)
        return frame

    def open(self, step: Step | Scope, depth: int, max_depth: int | None) -> None:
        if isinstance(step, Scope):
            step.open |= max_depth is not None and depth >= max_depth
            if step.open:
                for inner in step.steps:
                    self.open(inner, depth, max_depth)

    def home(self, value: Value) -> _Frame:
        """The frame of the body in which a value was made."""
        return self.frames[self.run.homes[value].body]

    # Values ----------------------------------------------------------------------------------------------------------

    def connect(self, frame: _Frame) -> None:
        """Find what each step reads, in the order they ran; inputs and outputs of bodies come about by the way."""
        for step in frame.steps:
            if isinstance(step, Scope):
                inner = frame.frames[step]
                self.connect(inner)
                if not inner.inputs:  # it gives what it holds, whatever its input
                    first = list(step.arguments.values())[:1]
                    inner.inputs = {self.local(value, frame): Value("", value.type) for value in first}
            else:
                frame.reads[step] = tuple(self.local(value, frame) for value in step.inputs)

    def local(self, value: Value, frame: _Frame) -> Value:
        """What stands for a value in a body. Lets it pass through the bodies between, where it does not yet."""
        home = self.home(value)
        if home is frame:
            return value
        inner = _within(home, frame)
        if inner is not None:
            own = self.local(value, inner)
            return inner.outputs.setdefault(own, Value("", own.type))
        assert frame.around is not None
        outside = self.local(value, frame.around)
        return frame.inputs.setdefault(outside, Value("", value.type))

    def known(self, value: Value, frame: _Frame) -> Value | None:
        """What stands for a value in a body, or None where nothing in it reads the value."""
        home = self.home(value)
        if home is frame:
            return value
        inner = _within(home, frame)
        if inner is not None:
            own = self.known(value, inner)
            return None if own is None else inner.outputs.get(own)
        assert frame.around is not None
        outside = self.known(value, frame.around)
        return None if outside is None else frame.inputs.get(outside)

    # Names -----------------------------------------------------------------------------------------------------------

    def name_nodes(self, frame: _Frame) -> None:
        """Name the nodes of a body, those with a state first: their names are keys."""
        frame.steps = [step for step in frame.steps if isinstance(step, Step) or self.has_effect(frame.frames[step])]
        names = _Names([])
        callers: dict[str, str] = {}
        for step in frame.steps:
            if step.stateful:
                self.name_with_state(step, frame, names, callers)
        self.name_inputs(frame, names)
        for step in frame.steps:
            if step not in frame.names:
                wanted = frame.shares.get(step) or _below(step.path, frame.scope.path) or step.kind
                frame.names[step] = names.free(wanted, step.kind)
        for step in frame.steps:
            if isinstance(step, Scope):
                self.name_nodes(frame.frames[step])

    def has_effect(self, frame: _Frame) -> bool:
        """Whether anything reads what a body computes; one with weights is kept even so."""
        if not frame.outputs and frame.scope.stateful:
            for value in frame.scope.results[:1]:
                assert frame.around is not None
                self.local(value, frame.around)
        return bool(frame.outputs)

    def name_with_state(self, step: Step | Scope, frame: _Frame, names: _Names, callers: dict[str, str]) -> None:
        if step.path in callers:
            frame.shares[step] = callers[step.path]
            return
        name = _below(step.path, frame.scope.path)
        try:
            if not name:
                message = f"`{frame.scope.path}` uses `{step.path}`, which belongs to another part of the network"
                raise Problem("cannot-import", message)
            _check_key(name)
            if not names.take(name):
                raise Problem("cannot-import", f"`{step.path}` stands in a module that is one layer or is called, too")
        except Problem as problem:
            self.report.add(problem, step.path)
            return
        callers[step.path] = frame.names[step] = name

    def name_inputs(self, frame: _Frame, names: _Names) -> None:
        """Name the inputs of a body: `x`, or as the arguments of `forward` where there are several."""
        arguments = frame.scope.arguments
        if frame.around is None:
            for value in arguments.values() if len(arguments) > 1 else ():
                value.name = names.free(value.name, "value")
            return
        given = {self.known(value, frame.around): name for name, value in arguments.items()}
        order: dict[Value | None, int] = {value: position for position, value in enumerate(given)}
        frame.inputs = {v: frame.inputs[v] for v in sorted(frame.inputs, key=lambda v: order.get(v, len(order)))}
        for outside, own in frame.inputs.items():
            wanted = given.get(outside, "input")
            own.name = "x" if len(frame.inputs) == 1 else names.free(wanted if _can_name(wanted) else "value", "value")

    # Bodies ----------------------------------------------------------------------------------------------------------

    def body(self, frame: _Frame, outputs: tuple[Output, ...], inputs: Iterable[Value], returns: Returns) -> Body:
        """The body of a frame, whose values have names already, but for those that its own nodes give."""
        schedule = tuple(self.node(step, frame) for step in frame.steps)
        inputs = tuple(inputs)
        form: Literal["chain", "graph"] = (
            "chain" if returns == "bare" and _is_chain(inputs, schedule, outputs) else "graph"
        )
        return Body(
            frame.scope.kind,
            form,
            inputs,
            self.as_registered(frame, schedule),
            schedule,
            outputs,
            self.span,
            returns,
        )

    def node(self, step: Step | Scope, frame: _Frame) -> Node:
        name = frame.names[step]
        shares = frame.shares.get(step)
        if isinstance(step, Step):
            labels = step.op.output_names or tuple(map(str, range(len(step.outputs))))
            _label(name, step.outputs, labels)
            return Node(
                name, step.kind, step.op, frame.reads[step], step.outputs, self.span, step.training_only, shares
            )
        inner = frame.frames[step]
        own = self.in_order(inner)
        body = self.body(inner, tuple(Output("", value) for value in own), inner.inputs.values(), "bare")
        names = _Names([])
        labels = tuple(names.free(value.name.replace(".", "_"), "out") for value in own)
        body.outputs = tuple(map(Output, labels, own))
        body.returns = "bare" if len(own) == 1 else "tuple"
        outputs = tuple(inner.outputs[value] for value in own)
        _label(name, outputs, labels)
        return Node(name, step.kind, body, tuple(inner.inputs), outputs, self.span, step.training_only, shares)

    def in_order(self, frame: _Frame) -> list[Value]:
        """The values that leave a body, in the order in which its module returns them."""
        returned = [self.known(value, frame) for value in frame.scope.results]
        return sorted(frame.outputs, key=lambda value: returned.index(value) if value in returned else len(returned))

    def as_registered(self, frame: _Frame, schedule: tuple[Node, ...]) -> tuple[Node, ...]:
        """The nodes in the order of their weights in the `state_dict`, each with those that follow it.

        Tensors that a body holds itself come before its children there, so they may stand where they are used.
        """
        keys: list[tuple[tuple[int, int], int]] = []
        place = (-1, -1)
        held = [step for step in frame.steps if _is_held(step, frame)]
        own = sorted(held, key=lambda step: step.kind != "parameter")  # buffers come behind parameters, whatever runs
        places = [self.run.order[step.path] for step in own]
        free = set(held) if places == sorted(places) else set()
        for position, step in enumerate(frame.steps):
            if step.stateful and step not in frame.shares and step not in free:
                place = self.run.order[step.path]
            keys.append((place, position))
        return tuple(node for _, node in sorted(zip(keys, schedule, strict=True), key=lambda pair: pair[0]))


def _within(frame: _Frame, around: _Frame) -> _Frame | None:
    """The body directly in `around` that a frame is or is in; None where it is not in there."""
    while frame.around is not None and frame.around is not around:
        frame = frame.around
    return frame if frame.around is around else None


def _drop_unread(scope: Scope, read: set[Value]) -> None:
    """Drop the steps without weights whose outputs nobody reads; `read` are those that what comes later does."""
    kept: list[Step | Scope] = []
    for step in reversed(scope.steps):
        if isinstance(step, Scope):
            if step.stateful:
                read.update(step.results[:1])
            _drop_unread(step, read)
            kept.append(step)
        elif step.stateful or not read.isdisjoint(step.outputs):
            read.update(step.inputs)
            kept.append(step)
    scope.steps = kept[::-1]


def _is_held(step: Step | Scope, frame: _Frame) -> bool:
    """Whether a step is a tensor that the module of the body holds itself."""
    is_tensor = isinstance(step, Step) and step.stateful and not step.inputs
    return is_tensor and "." not in _below(step.path, frame.scope.path)


def _label(name: str, values: tuple[Value, ...], labels: tuple[str, ...]) -> None:
    """Name the outputs of a node."""
    for value, label in zip(values, labels, strict=True):
        value.name = name if len(values) == 1 else f"{name}.{label}"


def _is_chain(inputs: tuple[Value, ...], schedule: tuple[Node, ...], outputs: tuple[Output, ...]) -> bool:
    """Whether nodes are what a list makes: numbered, each reading the one before it."""
    current = inputs
    for number, node in enumerate(schedule):
        if node.name != str(number) or node.inputs != current or node.shares or node.training_only:
            return False
        current = node.outputs
    return len(current) == 1 and bool(schedule) and [output.value for output in outputs] == list(current)


def _below(path: str, around: str) -> str:
    """The path of what is in a module, seen from there; empty where it is not in it."""
    if not around:
        return path
    return path.removeprefix(f"{around}.") if path.startswith(f"{around}.") else ""


def _check_key(name: str) -> None:
    """Raise a `Problem` unless what has this name in its module can have it in a spec."""
    try:
        check_node_name(name)
    except Problem as problem:
        rename = "rename it in the module: nodes have the names of its attributes, and of the keys of its dicts"
        raise Problem(problem.code, problem.message, help=(*problem.help, rename)) from None


def _can_name(name: str) -> bool:
    try:
        check_name(name, "input")
    except Problem:
        return False
    return name != "input"


class _Names:
    """The names of one body. None is the beginning of another one up to a dot."""

    def __init__(self, taken: Iterable[str]) -> None:
        self.names = set(taken)
        self.holders: set[str] = set()

    def take(self, name: str) -> bool:
        """Take a name, if it is free."""
        parts = name.split(".")
        holders = {".".join(parts[:count]) for count in range(1, len(parts))}
        if name in self.names or name in self.holders or not self.names.isdisjoint(holders):
            return False
        self.names.add(name)
        self.holders |= holders
        return True

    def free(self, wanted: str, kind: str) -> str:
        """Take `wanted`, or a name that is like it, or one like `kind` where it cannot name a node."""
        flat = wanted.replace(".", "_")
        for name in (wanted, flat):
            if _can_name_node(name) and self.take(name):
                return name
        base = next(name for name in (flat, kind, "node") if _can_name_node(f"{name}2"))
        if base != flat and _can_name_node(base) and self.take(base):
            return base
        for number in count(2):
            name = f"{base}_{number}" if base[-1].isdigit() else f"{base}{number}"
            if self.take(name):
                return name
        raise AssertionError("numbers do not end")


def _can_name_node(name: str) -> bool:
    try:
        check_node_name(name)
    except Problem:
        return False
    return True
