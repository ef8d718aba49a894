"""Ops and bodies of a graph in, the terms that say the same out, before anything is shortened.

Inputs are named in full and arguments are all that differ from the defaults of an op. What a block is made of becomes a
list where it is a plain chain, else a mapping of names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from netspec.arguments import op_signature
from netspec.graph import Body, Node, Value
from netspec.importing.fold.canonical import canonical
from netspec.importing.fold.terms import Chain, Group, Step, Use
from netspec.names import NAME
from netspec.ops import op_class
from netspec.ops.base import Op

Written = Callable[[Body], Any]
"""What a body inside another is written as."""


def read_op(node: Node) -> Use:
    """An op with the arguments that are not defaults."""
    assert isinstance(node.target, Op)
    op = canonical(node.target, node.input_types)
    return replace(bare_use(node.kind), arguments=tuple(op.changed(*type(op).fields()).items()))


def bare_use(op: str) -> Use:
    """The op of that name, without arguments."""
    takes = op_signature(op)
    return Use(op, (), takes.names, takes.variadic, takes.merges, op_class(op).arity[1] == 0)


def read_body(body: Body, written: Written, *, own_names: bool = False) -> Chain | Group | Use:
    """What a body is made of; one without nodes passes its input on. A network keeps the names of its inputs."""
    if not body.nodes:
        return _passing(body) if own_names else Use("identity")
    normalized = _normalized(body)
    if _is_chain(body) and all(node.name == str(place) for place, node in enumerate(body.nodes)):
        return Chain(tuple(Step(_read_node(node, normalized, written)) for node in body.nodes))
    names = _value_names(body, own_names)
    steps = tuple(
        Step(
            _read_node(node, normalized, written),
            node.name,
            tuple(names[value] for value in node.inputs),
            node.shares if node.shares and _has_module(node) else "",
            node.training_only,
        )
        for node in _reading_order(body)
    )
    inputs = tuple(names[value] for value in body.inputs)
    outputs = tuple((output.name, names[output.value]) for output in body.outputs)
    if body.returns == "bare" and outputs[0][1] == _last(steps):
        outputs = ()
    return Group(inputs, steps, body.returns, outputs)


def _passing(body: Body) -> Group:
    """A network that returns its inputs as they are, through a node, as a graph has at least one."""
    names = _value_names(body, own=True)
    passed = body.outputs[0].value
    free = ("identity", *(f"identity{number}" for number in range(2, len(names) + 3)))
    name = next(name for name in free if name not in names.values())
    step = Step(Use("identity"), name, (names[passed],))
    outputs = tuple((output.name, name if output.value is passed else names[output.value]) for output in body.outputs)
    return Group(tuple(names.values()), (step,), body.returns, () if body.returns == "bare" else outputs)


def input_names(body: Body) -> tuple[str, ...]:
    """The names of the inputs of a network."""
    names = _value_names(body, own=True)
    return tuple(names[value] for value in body.inputs)


def is_straight(body: Body) -> bool:
    """Whether each node reads just the one before it, and the last is what the body returns."""
    return _is_chain(body)


def _is_chain(body: Body) -> bool:
    if len(body.inputs) != 1 or len(body.outputs) != 1 or body.returns != "bare":
        return False
    before = body.inputs[0]
    for node in body.nodes:
        if node.inputs != (before,) or node.training_only or (node.shares and _has_module(node)):
            return False
        if len(node.outputs) > 1 and (isinstance(node.target, Body) or not node.target.output_names):
            return False
        if not isinstance(node.target, Body) and node.target.merges:
            return False
        before = node.outputs[0]
    return body.outputs[0].value is before


def _reading_order(body: Body) -> Iterator[Node]:
    """The nodes with keys in the order of these, each other one just before the first that reads it."""
    makers = {value: node for node in body.nodes for value in node.outputs}
    held = {node for node in body.nodes if _has_module(node) and not node.shares}
    returned = [makers[output.value] for output in body.outputs if output.value in makers]
    passed: set[Node] = set()
    for wanted in (*(node for node in body.nodes if node in held), *returned, *body.nodes):
        pending = [] if wanted in passed else [wanted]
        while pending:
            node = pending[-1]
            sources = (makers[value] for value in node.inputs if value in makers)
            missing = next((maker for maker in sources if maker not in passed and maker not in held), None)
            if missing is None:
                passed.add(pending.pop())
                yield node
            else:
                pending.append(missing)


def _has_module(node: Node) -> bool:
    """Whether it matters that a node calls a module again, because that has a state."""
    if isinstance(node.target, Body):
        return any(_has_module(inner) for inner in node.target.nodes)
    return bool(node.target.state(*node.input_types))


def _read_node(node: Node, normalized: set[Value], written: Written) -> Any:
    if isinstance(node.target, Body):
        return written(node.target)
    use = read_op(node)
    if getattr(node.target, "bias", False) is True and node.outputs[0] in normalized:
        # Written out, since the norm subtracts it again and a warning would ask whether it is meant.
        use = replace(use, arguments=(*use.arguments, ("bias", True)))
    return use


def _normalized(body: Body) -> set[Value]:
    """The values of a body that a norm reads which subtracts their mean."""
    return {value for node in body.nodes if node.kind in ("batch_norm", "instance_norm") for value in node.inputs}


def _last(steps: tuple[Step, ...]) -> str:
    """The node that a mapping returns by itself: the last one, those left aside that are no part of the main path."""
    on_path = [step for step in steps if not is_aside(step)]
    return on_path[-1].name if on_path else ""


def is_aside(step: Step) -> bool:
    """Whether a node is never the default input of the next one."""
    return step.training_only or (isinstance(step.node, Use) and step.node.aside)


def _value_names(body: Body, own: bool) -> dict[Value, str]:
    """The name of each value of a body in `from`. With `own` names, one input is not just `x`."""
    taken = {node.name for node in body.nodes}
    names: dict[Value, str] = {}
    for place, value in enumerate(body.inputs):
        wanted = value.name if own or len(body.inputs) > 1 else "x"
        free = (name for name in (wanted, "x", *(f"x{number}" for number in range(place, 9999))) if name not in taken)
        name = next(name for name in free if name != "input" and NAME.match(name))
        taken.add(name)
        names[value] = name
    for node in body.nodes:
        for value, label in zip(node.outputs, _labels(node), strict=True):
            names[value] = f"{node.name}.{label}" if label else node.name
    return names


def _labels(node: Node) -> tuple[str, ...]:
    """What tells the outputs of a node apart."""
    count = len(node.outputs)
    if count == 1:
        return ("",)
    if isinstance(node.target, Body):
        return tuple(output.name for output in node.target.outputs)
    return node.target.output_names or tuple(map(str, range(count)))
