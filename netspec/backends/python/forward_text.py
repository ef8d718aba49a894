"""The `forward` of a class of the Python file, from the body that describes all its instances.

The statements are those of the running module, typed and in the style of code written by hand: a flag around what only
some instances have, shapes as comments where they are known, and no line too long.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from netspec.backends.forward import _Writer, child, registers
from netspec.backends.python.blueprints import Class
from netspec.backends.python.lines import INDENT, WIDTH, lay, parsed, steps_of
from netspec.backends.python.merging import Recorded
from netspec.graph import Body, Node
from netspec.ops.base import FunctionCall

_MARGIN = 8  # of a statement in a method
_ROOM = 20  # for the margin, the indentation of a branch, and a type
_ASSIGNED = re.compile(r"(\w+) = ([^#]*?)(  # .*)?")
_SLICE = re.compile(r"(?<=[\[ ])([^\[\],:]*):([^\[\],:]*)(?=[\],])")


def forward_lines(made: Class, outputs: str = "") -> list[str]:
    """The method, or nothing for a class that has that of its base. `outputs` names what several outputs come in."""
    if made.inherited:
        ignored = "  # type: ignore[override]" if made.base in ("nn.GRU", "nn.LSTM", "nn.RNN") else ""
        statements = [f"out: Tensor = {made.inherited}", "return out"]
        return [f"def forward(self, x: Tensor) -> Tensor:{ignored}", *(INDENT + line for line in statements)]
    if made.copies is not None:
        statements = ["for layer in self.children():", f"{INDENT}x = torch.cat([x, layer(x)], 1)", "return x"]
        return ["def forward(self, x: Tensor) -> Tensor:", *(INDENT + line for line in statements)]
    if made.merged is None:
        return []
    return _Forward(made, made.merged, outputs).lines()


class _Forward:
    def __init__(self, made: Class, merged: Body, outputs: str) -> None:
        self.made = made
        self.body = merged
        self.outputs = outputs
        for node in merged.schedule:
            self.complete(node)
        self.writer = _Writer(merged, frozenset())
        self.writer.over = made.over
        self.writer.registers = registers(merged, made.over)
        self.writer.name_registers()
        self.rename()

    def complete(self, node: Node) -> None:
        """Put the texts of its slots into the code of a function."""
        if node.name in self.made.functions and not isinstance(node.target, Body):
            call = node.target.torch()
            assert isinstance(call, FunctionCall)
            node.target = Recorded(call._replace(code=self.made.functions[node.name].code(self.made.text)))

    def rename(self) -> None:
        """Variables in the style of Python: `aux_logits` for what the module `AuxLogits` makes."""
        taken = {"out"}
        for register in {id(register): register for register in self.writer.registers.values()}.values():
            name = "y" if register.name == "out" else re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", register.name).lower()
            while name in taken:
                name += "_"
            taken.add(name)
            register.name = name

    def lines(self) -> list[str]:
        names = [self.writer.variable(value) for value in self.body.inputs]
        arguments = ", ".join(f"{name}: Tensor" for name in names)
        results = [re.sub(r"\b(?:Eval)?Outputs\((.*)\)", self.several, line) for line in self.writer.result()]
        statements, results = _typed(_direct(list(self.statements())), results, names)
        lines = [f"{INDENT}{part}" for line in (*statements, *results) for part in _fitted(line)]
        return [f"def forward(self, {arguments}) -> {self.returned_type()}:", *lines]

    def several(self, match: re.Match[str]) -> str:
        return f"{self.outputs}({match[1]})" if self.outputs else match[1]

    def returned_type(self) -> str:
        body = self.body
        if body.returns == "dict":
            return "dict[str, Tensor]"
        if len(body.outputs) == 1:
            return "Tensor"
        if not self.outputs:
            return f"tuple[{', '.join('Tensor' for _ in body.outputs)}]"
        return f"Tensor | {self.outputs}" if len(body.eval_outputs) == 1 else self.outputs

    # Statements ------------------------------------------------------------------------------------------------------

    def statements(self) -> Iterator[str]:
        flagged = (branch for branch in self.made.branches if branch.attribute)
        flags = {name: f"self.{branch.attribute}" for branch in flagged for name in branch.names}
        open_flag = ""
        for node in self.body.schedule:
            flag = "self.training" if node.training_only else flags.get(node.name, "")
            statements = list(self.of_node(node))
            others = list(self.otherwise(node)) if node.name in flags else []
            if others:
                open_flag = ""
                yield from _either(flag, statements, others)
                continue
            if flag and flag != open_flag:
                yield f"if {flag}:"
            open_flag = flag
            yield from (f"{INDENT}{line}" if flag else line for line in statements)

    def of_node(self, node: Node) -> Iterator[str]:
        """The statements of a node, the last with a comment where the shape changes."""
        lines = [
            part
            for line in self.writer.node(node)
            for part in _broken(_SLICE.sub(_spaced, re.sub(r"\bF\.", "nn.functional.", self.reached(line, node))))
        ]
        if self.made.fixed and node.outputs and node.input_types[:1] != node.output_types[:1]:
            lines[-1] += f"  # {node.outputs[0].type}"
        return iter(lines)

    def reached(self, line: str, node: Node) -> str:
        """The line with `self.convs[0]` for a module in a list, where the record has `getattr`."""
        name = node.shares or node.name
        if "." not in name:
            return line.replace("e+", "e")
        holder, *parts = name.split(".")
        keys = "".join(f"[{part}]" if part.isdigit() else f'["{part}"]' for part in parts)
        return line.replace(child(name), f"self.{holder}{keys}")

    def otherwise(self, node: Node) -> Iterator[str]:
        """What an optional node gives where it is absent: its first input, under the names of its outputs."""
        source = self.writer.variable(node.inputs[0])
        for value in node.outputs:
            if value in self.writer.registers and self.writer.variable(value) != source:
                yield f"{self.writer.variable(value)} = {source}"


def _either(flag: str, statements: list[str], others: list[str]) -> Iterator[str]:
    if len(statements) == len(others) == 1:
        (name, value), (other, absent) = statements[0].split(" = ", 1), others[0].split(" = ", 1)
        short = f"{name} = {value} if {flag} else {absent}"
        if name == other and "#" not in short and len(short) <= WIDTH - _MARGIN:
            yield short
            return
    yield f"if {flag}:"
    yield from (f"{INDENT}{line}" for line in statements)
    yield "else:"
    yield from (f"{INDENT}{line}" for line in others)


def _spaced(match: re.Match[str]) -> str:
    """A slice with spaces around its colon where a side of it is more than a number."""
    return f"{match[1]} : {match[2]}".strip() if "self." in match[0] else match[0]


def _broken(line: str) -> Iterator[str]:
    """A statement that is too long as several, one for each step."""
    name, _, value = line.partition(" = ")
    steps = steps_of(value) if len(line) > WIDTH - _ROOM and value else []
    if len(steps) < 2:
        yield line
    elif any(re.search(rf"(?<!\.)\b{name}\b", step) for step in steps[1:]):
        for number, step in enumerate(steps[:-1]):
            yield from _broken(f"partial = {'partial' * bool(number)}{step}")
        yield f"{name} = partial{steps[-1]}"
    else:
        for number, step in enumerate(steps):
            yield from _broken(f"{name} = {name * bool(number)}{step}")


def _direct(statements: list[str]) -> list[str]:
    """The statements with `self.table` itself where a variable does nothing but stand for it."""
    result = list(statements)
    for position, line in enumerate(statements):
        match = re.fullmatch(r"(\w+) = (self\.[\w.]+)(  # .*)?", line)
        if match is None:
            continue
        name, attribute = match[1], match[2]
        changed = {position: ""}
        for later in range(position + 1, len(result)):
            target, equals, value = result[later].partition(" = ")
            if target != name and re.search(rf"(?<![\w.]){name}\b", target):
                changed = {}
                break
            changed[later] = target + equals + re.sub(rf"(?<![\w.]){name}\b", attribute, value)
            if target == name:
                break
        result = [changed.get(place, text) for place, text in enumerate(result)]
    return [line for line in result if line]


def _typed(statements: list[str], results: list[str], inputs: list[str]) -> tuple[list[str], list[str]]:
    """Statements whose result is known to be a tensor, although the call of a module promises nothing."""
    returned = results[-1].removeprefix("return ")
    if not returned.isidentifier():
        return statements, results
    last = _ASSIGNED.fullmatch(statements[-1]) if statements and len(results) == 1 else None
    if last is None or last[1] != returned:
        return statements if returned in inputs else _annotated(statements, returned), results
    before, comment = statements[:-1], last[3] or ""
    assigned = {match[1] for line in before if (match := re.match(r"\s*(\w+) = ", line))}
    tensors = (f"{name}." for name in inputs if name not in assigned)
    if last[2].startswith(("torch.", "nn.functional.", *tensors)):
        return before, [f"return {last[2]}{comment}"]
    name = "out" if returned in inputs or returned in assigned else returned
    return [*before, f"{name}: Tensor = {last[2]}{comment}"], [f"return {name}"]


def _annotated(statements: list[str], name: str) -> list[str]:
    """The statements with a type where the variable gets its first value."""
    for position, line in enumerate(statements):
        if match := re.match(rf"(\s*){name} = (.*)", line):
            return [*statements[:position], f"{match[1]}{name}: Tensor = {match[2]}", *statements[position + 1 :]]
    return statements


def _fitted(line: str) -> list[str]:
    """The lines of a statement, which are several where one would be too long."""
    match = re.fullmatch(r"( *)((?:[\w, ]+(?:: Tensor)? = |return ))?([^#]*?)(?:  # (.*))?", line)
    if match is None or len(line) <= WIDTH - _MARGIN:
        return [line]
    return lay(parsed(match[3]), match[1], match[2] or "", comment=match[4] or "")
