"""A node with `repeat` in, the body of its copies out, in a chain or wired densely."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netspec.diagnostics import Problem
from netspec.expressions import Word, fill, loop_names, show, unknown_name
from netspec.graph import Body, Node, Output, Value
from netspec.instances import op_instance
from netspec.limits import limits
from netspec.names import check_copy_name, underscored
from netspec.scope import Context, Copy, Instance
from netspec.shapes import TensorType
from netspec.source import Scalar
from netspec.spec import NodeSpec

if TYPE_CHECKING:
    from netspec.elaborate import Elaborator


def copies(elaborator: Elaborator, repeat: Scalar, context: Context) -> int:
    """How many copies a node asks for. Raises `Problem`."""
    count = elaborator.value(repeat, context)
    if isinstance(count, Word):
        raise unknown_name(count, context.scope).place(repeat.span)
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        message = f"`repeat` must be an integer of at least 0, got `{show(count)}`"
        raise Problem("wrong-type", message).place(repeat.span)
    if count > (most := limits().copies):
        raise Problem("value-too-large", f"`repeat: {count}` is more than {most:,}").place(repeat.span)
    return count


def repeated(
    elaborator: Elaborator, spec: NodeSpec, context: Context, types: tuple[TensorType, ...]
) -> Instance | None:
    """A body of copies, wired as a chain, or densely: each sees the input and all copies before it, joined."""
    assert spec.repeat is not None
    if len(types) != 1:
        raise Problem("wrong-inputs", f"a repeated node takes one input, got {len(types)}").place(spec.repeat.span)
    count = copies(elaborator, spec.repeat, context)
    own = set(loop_names(spec.loop.targets)) if spec.loop else set()
    source = current = Value("x", types[0])
    nodes: list[Node] = []
    joins: list[Node] = []
    names: set[str] = set()
    for position in range(count):
        implicit = {"i": position, "first": position == 0, "last": position == count - 1}
        variables = {name: value for name, value in implicit.items() if name not in own}
        elaborator.admit(spec.span)
        inner = context.extended({**variables, "input": current.type})
        name = str(position)
        if spec.copy_name is not None:
            name = fill(spec.copy_name.text, inner.scope)
            check_copy_name(name)
            if name in names:
                message = f"two copies have the name `{name}`"
                raise Problem("name-taken", message, help=("use `{i}` in it",)).place(spec.copy_name.span)
        with elaborator.inside(name, Copy(position + 1, count)):
            instance = elaborator.instance(spec, inner, (current.type,))
        if instance is None:
            made = (*nodes, *joins, failing(elaborator, name, spec, (current,)))
            elaborator.sketch = Body("repeat", "graph", (source,), made, made, (), spec.span, repeated=True)
            return None
        outputs = tuple(Value(name, type) for type in instance.outputs)
        node = Node(name, instance.kind, instance.target, (current,), outputs, spec.span)
        if len(outputs) != 1 or not node.passes_one:
            raise Problem("wrong-inputs", "a repeated node has one output, which is no dict").place(spec.span)
        nodes.append(node)
        names.add(name)
        current = node.outputs[0]
        if spec.dense:
            joins.append(_joined(f"concat{position + 1}", node, spec))
            current = joins[-1].outputs[0]
    for join in joins:
        join.name = join.outputs[0].name = underscored(join.name, names)
    schedule = [step for pair in zip(nodes, joins, strict=True) for step in pair] if spec.dense else nodes
    body = Body(
        "repeat",
        "graph" if spec.dense else "chain",
        (source,),
        (*nodes, *joins),
        tuple(schedule),
        (Output("x", current),),
        spec.span,
        repeated=True,
    )
    return Instance("repeat", body, (current.type,))


def _joined(name: str, node: Node, spec: NodeSpec) -> Node:
    """What a densely wired copy saw, with what it made behind it."""
    seen = (node.inputs[0], node.outputs[0])
    concat = op_instance("concat", {}, (seen[0].type, seen[1].type)).instance
    return Node(name, "concat", concat.target, seen, (Value(name, *concat.outputs),), spec.span)


def failing(elaborator: Elaborator, name: str, spec: NodeSpec, inputs: tuple[Value, ...]) -> Node:
    """A node that failed: it has no outputs, and of its inside only what came before the mistake."""
    kind = spec.op.text if spec.op is not None else "repeat" if spec.repeat is not None else "graph"
    inside, elaborator.sketch = elaborator.sketch, None
    if inside is None:
        inputs_inside = tuple(Value(value.name, value.type) for value in inputs)
        inside = Body(kind, "graph", inputs_inside, (), (), (), spec.span)
    return Node(name, kind, inside, inputs, (), spec.span)
