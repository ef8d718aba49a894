"""The text of one class of the Python file: its constructor, its initialization and its `forward`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from netspec.backends.python.blueprints import Class
from netspec.backends.python.forward_text import forward_lines
from netspec.backends.python.init_code import InitCode, Initialization
from netspec.backends.python.lines import INDENT, Call, Code, Loop, Row, docstring, flat, lay, literal
from netspec.backends.python.recipes import Chain, Make, Module, Optional, Slot, Tensor
from netspec.backends.python.repeats import find_runs
from netspec.formulas import HOLE
from netspec.graph import Body, Graph, Node

_LONG_CHAIN = 5  # items that are worth comments
_LONG_ROW = 30  # numbers that are worth a shorter form


@dataclass(eq=False)
class ClassText:
    """Writes a class. `by_name` are the classes that it may construct."""

    graph: Graph
    made: Class
    by_name: Mapping[str, Class]
    initialization: Initialization
    init: InitCode = field(init=False)

    def __post_init__(self) -> None:
        self.init = self.initialization.of_class(self.made.bodies)

    def lines(self) -> list[str]:
        """The lines of the class, and before them those of the record that it returns."""
        made, body = self.made, self.made.bodies[0]
        outputs = f"{made.name}Outputs" if body is self.graph.root and _returns_several(body) else ""
        lines = [f"class {made.name}({made.base}):", *self.docstring()]
        buffers = [name for name, part in made.children if isinstance(part, Tensor) and not part.call.state.trainable]
        lines += [f"{INDENT}{name}: Tensor" for name in buffers if name.isidentifier()]
        lines += [""] * bool(buffers)
        methods = (self.constructor(), self.init_weights(), forward_lines(made, outputs))
        for number, method in enumerate(filter(None, methods)):
            lines += [""] * bool(number) + [f"{INDENT}{line}" for line in method]
        return [*_record(outputs, body), *lines] if outputs else lines

    def docstring(self) -> list[str]:
        """What a block says of itself, and its references but for those of the network."""
        body = self.made.bodies[0]
        if body is self.graph.root or not body.about:
            return []
        references = [reference for reference in body.reference if reference not in self.graph.reference]
        return [*(f"{INDENT}{line}" if line else "" for line in docstring(body.about, references, margin=4)), ""]

    def init_weights(self) -> list[str]:
        if not self.init.loop:
            return []
        return ["def _init_weights(self) -> None:", *(f"{INDENT}{line}" for line in self.init.loop)]

    # Constructor -----------------------------------------------------------------------------------------------------

    def constructor(self) -> list[str]:
        body = [*self.constructed(), *self.init.statements, *["self._init_weights()"] * bool(self.init.loop)]
        if not body:
            return []
        arguments = ["self"]
        for argument in self.made.arguments:
            default = "" if argument.default is HOLE else f" = {_value(argument.default)}"
            arguments.append(f"{argument.name}: {argument.annotation}{default}")
        head = lay(Call("def __init__(", tuple(arguments), ") -> None:"), margin=4)
        return [*head, *(f"{INDENT}{line}" for line in body)]

    def constructed(self) -> Iterator[str]:
        made = self.made
        if made.inherited:
            return
        if made.base == "nn.Sequential":
            yield from (f"{name} = {text}" for name, text in made.assigned)
            ((_, chain),) = made.children
            if _has_options(chain):
                yield from self.layers(chain)
                yield "super().__init__(*layers)"
            else:
                yield from lay(Call("super().__init__(", self.items(chain, self.chain_nodes(made.bodies[0]))))
            return
        lines = list(self.attributes())
        if lines:
            yield "super().__init__()"
            yield from lines

    def attributes(self) -> Iterator[str]:
        """What the constructor of a module puts into `self`."""
        made = self.made
        names = {name for name, _ in made.children}
        yield from (f"{name} = {text}" for name, text in made.assigned)
        yield from (f"self.{name}{'_' * (name in names)} = {name}" for name in made.stored)
        for flag, text in ((branch.attribute, branch.condition) for branch in made.branches):
            if flag and flag not in made.stored:
                yield f"self.{flag} = {text}"
        yield from self.copies()
        branches = {name: branch for branch in made.branches for name in branch.names}
        flag = ""
        for name, part in self.standing():
            branch = branches.get(name)
            if branch is None:
                flag = ""
                yield from self.child(name, part)
                continue
            if not branch.attribute:
                yield f"self.{name}: nn.Module = nn.Identity()"
                yield f"if {branch.condition}:"
            elif branch.attribute != flag:
                yield f"if self.{branch.attribute}:"
            flag = branch.attribute
            yield from (f"{INDENT}{line}" for line in self.child(name, part, margin=12))

    def standing(self) -> Iterator[tuple[str, Any]]:
        """The children by name; one with dots in its name stands in a holder, where the first of that stands."""
        held: set[str] = set()
        for name, part in self.made.children:
            holder, dot, _ = name.partition(".")
            if not dot:
                yield name, part
            elif holder not in held:
                held.add(holder)
                yield holder, self.holder(f"{holder}.")

    def holder(self, prefix: str) -> Code:
        """The module that only holds others, those whose names begin with `prefix`."""
        inside = {name.removeprefix(prefix): part for name, part in self.made.children if name.startswith(prefix)}
        names = list(dict.fromkeys(name.partition(".")[0] for name in inside))
        codes = [self.code(inside[name]) if name in inside else self.holder(f"{prefix}{name}.") for name in names]
        if names != [str(number) for number in range(len(names))]:
            items = tuple(f'"{name}": {flat(code)}' for name, code in zip(names, codes, strict=True))
            return Call("nn.ModuleDict(", (Call("{", items, "}"),))
        runs = find_runs(codes)
        if len(runs) == 1 and isinstance(loop := runs[0].code, Loop):
            return Call("nn.ModuleList(", (loop._replace(head="["),))
        return Call("nn.ModuleList(", (Call("[", tuple(run.code for run in runs), "]"),))

    def copies(self) -> Iterator[str]:
        """The loop that makes the children of a densely connected body."""
        copies = self.made.copies
        if copies is None:
            return
        options = {name: self.made.text(slot) for name, slot in copies.make.options.items()}
        for name, slot in copies.steps.items():
            options[name] += f" + i * {self.made.text(slot)}"
        yield f"for i in range({self.made.text(copies.number)}):"
        yield from lay(Call("self.add_module(", (f'f"{copies.name}"', self.call(copies.make.target, options))), INDENT)

    def child(self, name: str, part: Any, margin: int = 8) -> Iterator[str]:
        """The statements that make one child."""
        if isinstance(part, Tensor):
            yield from self.tensor(name, part)
        elif isinstance(part, Chain) and _has_options(part):
            yield from self.layers(part)
            yield f"self.{name} = nn.Sequential(*layers)"
        else:
            node = next((node for node in self.made.bodies[0].nodes if node.name == name), None)
            inner = node.target if node is not None and isinstance(node.target, Body) else None
            code = self.code(part, None if inner is None else self.chain_nodes(inner))
            if name.isidentifier():
                yield from lay(code, before=f"self.{name} = ", margin=margin)
            else:
                yield from lay(Call("self.add_module(", (f'"{name}"', code)), margin=margin)

    def tensor(self, name: str, part: Tensor) -> Iterator[str]:
        """The statements that make a learned parameter or a buffer."""
        state = part.call.state
        shape = ", ".join(self.made.text(slot) for slot in part.shape)
        if state.trainable:
            yield f"self.{name} = nn.Parameter(torch.zeros({shape}))"
            if filled := self.initialization.of_parameter(self.made, name):
                yield filled
            return
        dtype = [] if state.dtype == "float32" else [f"dtype=torch.{state.dtype}"]
        value: Code
        if part.call.code:
            *steps, value = part.call.code
            yield from steps
        elif isinstance(part.fill, int | float):
            number = literal(_with_point(part.fill, state.dtype))
            size = f"({shape}{',' * (len(part.shape) == 1)})"
            value = Call("torch.full(", (size, number, *dtype)) if shape else Call("torch.tensor(", (number, *dtype))
        else:
            value = Call("torch.tensor(", (_rows(_with_point(part.fill, state.dtype)), *dtype))
        options = () if state.persistent else ("persistent=False",)
        yield from lay(Call("self.register_buffer(", (f'"{name}"', value, *options)))

    # Recipes ---------------------------------------------------------------------------------------------------------

    def code(self, part: Any, nodes: Sequence[Node] | None = None) -> Code:
        """A recipe as an expression. `nodes` are those of a chain whose shapes are known."""
        if isinstance(part, str | Call | Loop):
            return part
        if isinstance(part, Slot):
            return self.made.text(part)
        if isinstance(part, Chain):
            items = self.items(part, nodes)
            return Call("nn.Sequential(", items if part.numbered else (Call("OrderedDict(", items),))
        assert isinstance(part, Make)
        options = {name: self.made.text(slot) for name, slot in part.options.items()}
        if part.target in self.by_name and not self.by_name[part.target].inherited:
            return self.call(part.target, options)
        texts = [self.made.text(slot) for slot in part.args]
        for name, text in options.items():
            if name not in part.defaults or text != literal(part.defaults[name]):
                texts.append(f"{name}={text}")
        return Call(f"{part.target.removeprefix('torchvision.ops.')}(", tuple(texts))

    def call(self, target: str, options: Mapping[str, str]) -> Call:
        """A call of a class of the file: an argument with a default is named, and left out where it is that."""
        known = self.by_name[target]
        texts = []
        for argument in known.arguments:
            text = options[argument.name]
            if argument.name in known.schedules:
                text = known.schedules[argument.name].text(text)
            if argument.default is HOLE:
                texts.append(text)
            elif text != _value(argument.default):
                texts.append(f"{argument.name}={text}")
        return Call(f"{target}(", tuple(texts))

    def chain_nodes(self, body: Body) -> Sequence[Node] | None:
        """The nodes of a chain whose shapes are known and worth comments."""
        return body.nodes if self.made.fixed and body.form == "chain" else None

    def items(self, chain: Chain, nodes: Sequence[Node] | None) -> tuple[Code, ...]:
        """The items of a Sequential, with comments where the shape changes."""
        codes = [self.code(item) for _, item in chain.items]
        if not chain.numbered:
            codes = [Call("(", (f'"{name}"', code)) for (name, _), code in zip(chain.items, codes, strict=True)]
            runs = find_runs(codes)
            if len(runs) == 1 and isinstance(loop := runs[0].code, Loop):
                return (loop._replace(head="", tail=""),)
            return (Call("[", tuple(run.code for run in runs), "]"),)
        runs = find_runs(codes)
        if nodes is None or (len(runs) < _LONG_CHAIN and self.made.base != "nn.Sequential"):
            return tuple(run.code for run in runs)
        result: list[Code] = []
        for run in runs:
            type = nodes[run.stop - 1].outputs[0].type
            result.append(Row(run.code, str(type)) if nodes[run.start].inputs[0].type != type else run.code)
        return tuple(result)

    def layers(self, chain: Chain) -> Iterator[str]:
        """Statements that collect the items of a Sequential, of which some are optional."""
        groups: list[tuple[str, list[Code]]] = []
        for _, item in chain.items:
            condition = self.made.conditions[item] if isinstance(item, Optional) else ""
            if not groups or groups[-1][0] != condition:
                groups.append((condition, []))
            part = self.made.choices.get(item, item.part) if isinstance(item, Optional) else item
            groups[-1][1].append(self.code(part))
        if groups[0][0]:
            yield "layers: list[nn.Module] = []"
        for number, (condition, codes) in enumerate(groups):
            if condition:
                yield f"if {condition}:"
            indent = INDENT if condition else ""
            if number == 0 and not condition:
                yield from lay(Call("[", tuple(codes), "]"), before="layers: list[nn.Module] = ")
            elif len(codes) == 1:
                yield from lay(Call("layers.append(", tuple(codes)), indent)
            else:
                yield from lay(Call("[", tuple(codes), "]"), indent, before="layers += ")


def _returns_several(body: Body) -> bool:
    return body.returns == "tuple" and len(body.outputs) > 1


def _record(name: str, body: Body) -> list[str]:
    """The named tuple that the network returns."""
    fields = [f"{INDENT}{output.name}: Tensor" for output in body.outputs]
    return [f"class {name}(NamedTuple):", *fields, "", ""]


def _has_options(chain: Chain) -> bool:
    return any(isinstance(item, Optional) for _, item in chain.items)


def _value(value: Any) -> str:
    return value.target if isinstance(value, Module) else literal(value)


def _with_point(value: Any, dtype: str) -> Any:
    """Nested numbers of a constant, with a point where the tensor has one."""
    if isinstance(value, tuple):
        return [_with_point(item, dtype) for item in value]
    return float(value) if dtype == "float32" else value


def _rows(value: Any) -> Code:
    """Nested lists of numbers; long rows of only two numbers are written as texts of digits."""
    if not isinstance(value, list):
        return literal(value)
    if all(isinstance(row, list) and len(row) > _LONG_ROW and not isinstance(row[0], list) for row in value):
        numbers = sorted({number for row in value for number in row})
        if len(numbers) == 2:
            low, high = map(literal, numbers)
            texts = tuple("".join("01"[number == numbers[1]] for number in row) for row in value)
            bits = Call("(", tuple(f'"{text}"' for text in texts))
            return Loop("[", f'[{high} if bit == "1" else {low} for bit in row]', f"for row in {flat(bits)}", "]")
    return Call("[", tuple(map(_rows, value)), "]")
