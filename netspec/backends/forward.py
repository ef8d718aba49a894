"""The `forward` of a body as Python source: straight-line code, one line a node, in the order of the schedule.

A value keeps its variable until it is dead, then the next value takes the variable over, as in code written by hand;
so no tensor outlives its last use. The text holds nothing of the spec but names and numbers that have been validated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from netspec.graph import Body, Node, Output, Value
from netspec.ops.base import Call, ModuleCall, StateCall

_RESERVED = frozenset({"self", "torch", "nn", "F", "Outputs", "EvalOutputs"})


class Forward(NamedTuple):
    """Source of a `forward` method, and the fields of the named tuples `Outputs` and `EvalOutputs` that it returns."""

    source: str
    fields: tuple[str, ...] = ()
    eval_fields: tuple[str, ...] = ()


def body_forward(body: Body) -> Forward:
    """The `forward` of a body with names."""
    return _Writer(body).write()


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


@dataclass(eq=False, repr=False)
class _Register:
    """A variable: the values that take turns in it."""

    values: list[Value] = field(default_factory=list)
    name: str = ""


@dataclass(eq=False, repr=False)
class _Writer:
    body: Body
    registers: dict[Value, _Register] = field(default_factory=dict)
    last_use: dict[Value, int] = field(default_factory=dict)

    def write(self) -> Forward:
        self.allocate()
        self.name_registers()
        arguments = ", ".join(self.variable(value) for value in self.body.inputs)
        lines = [f"def forward(self, {arguments}):"]
        for node in self.body.schedule:
            statements = [
                f"{line}  # {node.span.file.name.rpartition('/')[2]}:{node.span.line}" for line in self.node(node)
            ]
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

    def allocate(self) -> None:
        """Give each value a register: that of an input which dies there, else a new one."""
        schedule = self.body.schedule
        for position, node in enumerate(schedule):
            self.last_use |= dict.fromkeys(node.inputs, position)
        self.last_use |= {output.value: len(schedule) for output in self.body.outputs}
        for value in self.body.inputs:
            self.registers[value] = _Register([value])
        for position, node in enumerate(schedule):
            dying = [value for value in node.inputs if self.last_use[value] == position]
            for index, value in enumerate(node.outputs):
                if value not in self.last_use:
                    continue
                takes_over = index == 0 and dying and len(node.outputs) == 1 and not node.training_only
                register = self.registers[dying[0]] if takes_over else _Register()
                register.values.append(value)
                self.registers[value] = register

    def name_registers(self) -> None:
        """Inputs keep their names; a variable is named after the last value in it, or `out` when it is returned."""
        taken = {"torch", "nn", "F", "self"}
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
        module = child(node.shares or node.name)
        inputs = [self.variable(value) for value in node.inputs]
        if isinstance(node.target, Body):
            gives = _body_gives(node.target)
            result = f"{module}({', '.join(inputs)})"
        else:
            call = node.target.torch(*node.input_types)
            gives = getattr(call, "gives", ("{}",))
            if isinstance(call, ModuleCall):
                result = f"{module}({call.takes.format(*inputs)})"
            elif isinstance(call, StateCall):
                result = module
            else:
                result = call.code.format(*inputs, training="self.training")
        used = [(value, give) for value, give in zip(node.outputs, gives, strict=True) if value in self.last_use]
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


def _free(name: str, taken: set[str]) -> str:
    while name in taken or name in _RESERVED:
        name += "_"
    taken.add(name)
    return name
