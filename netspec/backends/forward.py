"""The `forward` of a body as Python source: straight-line code, one line a node, in the order of the schedule.

A value keeps its variable until it is dead, then the next value takes the variable over, as in code written by hand;
so no tensor outlives its last use. The text holds nothing of the spec but names and numbers that have been validated.

What is checkpointed goes through `checkpoint`, which computes it again in the backward pass. It would keep its input
until then; where that is a `concat`, it keeps the list of what is joined instead, and joins it again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from netspec.backends.in_place import in_place, statement
from netspec.diagnostics import Span
from netspec.graph import Body, Node, Output, Value
from netspec.ops.base import Call, ModuleCall, StateCall
from netspec.ops.merge import Concat

_RESERVED = frozenset({"self", "torch", "nn", "F", "checkpoint", "Outputs", "EvalOutputs"})


class Forward(NamedTuple):
    """Source of a `forward` method, and the fields of the named tuples `Outputs` and `EvalOutputs` that it returns."""

    source: str
    fields: tuple[str, ...] = ()
    eval_fields: tuple[str, ...] = ()


def body_forward(body: Body, checkpointed: frozenset[str] = frozenset()) -> Forward:
    """The `forward` of a body, whose nodes with the names `checkpointed` are computed again in the backward pass."""
    return _Writer(body, checkpointed).write()


def call_forward(call: Call, base: str) -> Forward:
    """The `forward` of a module for one op, where a chain needs a module and the call alone is none."""
    if isinstance(call, ModuleCall):
        result = call.gives[0].format(f"{base}.forward(self, {call.takes.format('x')})")
    else:
        assert not isinstance(call, StateCall), "a parameter has no input, so it is in no chain"
        result = call.gives[0].format(call.code.format("x", training="self.training"))
    return Forward(f"def forward(self, x):\n    return {result}\n")


def child(name: str) -> str:
    """How `forward` reaches the child called `name`."""
    code = "self"
    for part in name.split("."):
        code = f"{code}.{part}" if part.isidentifier() else f'getattr({code}, "{part}")'
    return code


def postponed_joins(body: Body, checkpointed: frozenset[str]) -> dict[Value, int]:
    """The results of `concat` that are never made, with their axis: lists, joined by those who read them."""
    readers: dict[Value, list[Node]] = {}
    for node in body.schedule if checkpointed else ():
        for value in node.inputs:
            readers.setdefault(value, []).append(node)
    returned = {output.value for output in body.outputs}
    found: dict[Value, int] = {}
    for node in body.schedule:
        if (
            isinstance(node.target, Concat)
            and node.name not in checkpointed
            and all(x.batched for x in node.input_types)
        ):
            (value,), axis = node.outputs, node.target.dim
            again = [reader for reader in readers.get(value, ()) if reader.name in checkpointed]
            others = [reader.target for reader in readers.get(value, ()) if reader.name not in checkpointed]
            joined_there = all(isinstance(other, Concat) and other.dim == axis for other in others)
            if again and joined_there and value not in returned and all(reader.inputs == (value,) for reader in again):
                found[value] = axis
    return found


@dataclass(eq=False, repr=False)
class Register:
    """A variable: the values that take turns in it."""

    values: list[Value] = field(default_factory=list)
    name: str = ""


def registers(body: Body, over: Mapping[Node, int]) -> dict[Value, Register]:
    """The variable of each value that is used: that of the input which dies there, or which is written over."""
    schedule = body.schedule
    last_use: dict[Value, int] = {}
    for position, node in enumerate(schedule):
        last_use |= dict.fromkeys(node.inputs, position)
    last_use |= {output.value: len(schedule) for output in body.outputs}
    found = {value: Register([value]) for value in body.inputs}
    for position, node in enumerate(schedule):
        dying = [value for value in node.inputs if last_use[value] == position]
        for index, value in enumerate(node.outputs):
            if value not in last_use:
                continue
            takes_over = index == 0 and dying and len(node.outputs) == 1 and not node.training_only
            register = found[node.inputs[over[node]] if node in over else dying[0]] if takes_over else Register()
            register.values.append(value)
            found[value] = register
    return found


@dataclass(eq=False, repr=False)
class _Writer:
    body: Body
    checkpointed: frozenset[str]
    over: Mapping[Node, int] = field(init=False)
    joins: dict[Value, int] = field(init=False)
    registers: dict[Value, Register] = field(init=False)

    def __post_init__(self) -> None:
        self.over = in_place(self.body, self.checkpointed)
        self.joins = postponed_joins(self.body, self.checkpointed)
        self.registers = registers(self.body, self.over)

    def write(self) -> Forward:
        self.name_registers()
        arguments = ", ".join(self.variable(value) for value in self.body.inputs)
        lines = [f"def forward(self, {arguments}):"]
        for node in self.body.schedule:
            statements = [f"{line}  # {_place(node.span)}" for line in self.node(node)]
            if node.training_only:
                lines.append("    if self.training:")
                lines.extend(f"        {line}" for line in statements)
            else:
                lines.extend(f"    {line}" for line in statements)
        lines.extend(f"    {line}" for line in self.result())
        body = self.body
        several = body.returns == "tuple"
        return Forward(
            "\n".join(lines) + "\n",
            tuple(output.name for output in body.outputs) if several else (),
            tuple(output.name for output in body.eval_outputs) if several else (),
        )

    # Variables -------------------------------------------------------------------------------------------------------

    def name_registers(self) -> None:
        """Inputs keep their names; a variable is named after the last value in it, or `out` when it is returned."""
        taken = {"torch", "nn", "F", "self", "checkpoint"}
        inputs = {id(self.registers[value]) for value in self.body.inputs}
        for value in self.body.inputs:
            self.registers[value].name = _free(value.name, taken)
        returned = {id(self.registers[output.value]) for output in self.body.outputs}
        for register in {id(r): r for r in self.registers.values()}.values():
            if id(register) in inputs:
                continue
            name = register.values[-1].name.replace(".", "_").replace("-", "_")
            if id(register) in returned and len(self.body.outputs) == 1 and len(register.values) > 1:
                name = "out"
            register.name = _free(name if name.isidentifier() else f"x{name}", taken)

    def variable(self, value: Value) -> str:
        return self.registers[value].name

    # Statements ------------------------------------------------------------------------------------------------------

    def node(self, node: Node) -> Iterator[str]:
        inputs = [self.variable(value) for value in node.inputs]
        joined = [f"*{name}" if value in self.joins else name for name, value in zip(inputs, node.inputs, strict=True)]
        if node.name in self.checkpointed:
            result, gives = self.again(node, inputs)
        elif node.outputs[0] in self.joins:
            result, gives = f"[{', '.join(joined)}]", ("{}",)
        elif node in self.over and (over := statement(node, self.over[node])):
            yield over.format(*inputs)
            return
        else:
            result, gives = self.call(node, joined)
        used = [(value, give) for value, give in zip(node.outputs, gives, strict=True) if value in self.registers]
        if not used:
            yield result
            return
        if len(used) == 1:
            value, give = used[0]
            yield f"{self.variable(value)} = {give.format(result)}"
            return
        if len(used) == len(gives) and all(give == f"{{}}[{index}]" for index, give in enumerate(gives)):
            yield f"{', '.join(self.variable(value) for value, _ in used)} = {result}"
            return
        whole = self.variable(used[-1][0])
        yield f"{whole} = {result}"
        for value, give in used:
            yield f"{self.variable(value)} = {give.format(whole)}"

    def call(self, node: Node, inputs: list[str]) -> tuple[str, tuple[str, ...]]:
        """The expression that runs a node, and how each output is taken from its value."""
        module = child(node.shares or node.name)
        if isinstance(node.target, Body):
            return f"{module}({', '.join(inputs)})", _body_gives(node.target)
        call = node.target.torch(*node.input_types)
        if isinstance(call, StateCall):
            return module, ("{}",)
        if self.body.form == "chain":  # everything in it is a module
            return f"{module}({inputs[0]})", ("{}",)
        if isinstance(call, ModuleCall):
            return f"{module}({call.takes.format(*inputs)})", call.gives
        return call.code.format(*inputs, training="self.training"), call.gives

    def again(self, node: Node, inputs: list[str]) -> tuple[str, tuple[str, ...]]:
        """The call of a node that is computed again in the backward pass."""
        names = list(dict.fromkeys(inputs))
        result, gives = self.call(node, inputs)
        module = child(node.shares or node.name)
        run = module if result == f"{module}({', '.join(names)})" else f"lambda {', '.join(names)}: {result}"
        join = next((f", join={self.joins[value]}" for value in node.inputs if value in self.joins), "")
        return f"checkpoint({run}, {', '.join(names)}{join}, training=self.training)", gives

    def result(self) -> Iterator[str]:
        outputs, kept = self.body.outputs, self.body.eval_outputs
        if len(kept) < len(outputs):
            yield "if self.training:"
            yield f"    return {self.returned(outputs, 'Outputs')}"
        yield f"return {self.returned(kept, 'EvalOutputs')}"

    def returned(self, outputs: tuple[Output, ...], record: str) -> str:
        if self.body.returns == "dict":
            items = ", ".join(f'"{output.name}": {self.variable(output.value)}' for output in outputs)
            return f"{{{items}}}"
        if len(outputs) == 1:
            return self.variable(outputs[0].value)
        return f"{record}({', '.join(self.variable(output.value) for output in outputs)})"


def _body_gives(body: Body) -> tuple[str, ...]:
    """How the outputs of a body are taken from what it returns, in training and in eval mode alike."""
    if body.returns == "dict":
        return tuple(f'{{}}["{output.name}"]' for output in body.outputs)
    if len(body.outputs) == 1:
        return ("{}",)
    return tuple(f"{{}}[{index}]" for index in range(len(body.outputs)))


def _place(span: Span) -> str:
    """File and line, for a comment. The file of a stranger may have any name, and one of two lines would be code."""
    name = span.file.name.rpartition("/")[2]
    return f"{name if name.isprintable() else ascii(name)}:{span.line}"


def _free(name: str, taken: set[str]) -> str:
    while name in taken or name in _RESERVED:
        name += "_"
    taken.add(name)
    return name
