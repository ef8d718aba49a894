"""An ONNX file in, a graph and its weights out: the network that the file holds, in the names that it uses.

Operators become ops of netspec, one node after the other; those that cannot are reported all at once. The names of
weights and nodes tell the tree of bodies. The file may come from a stranger: it is data, and stays in its folder.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from netspec.diagnostics import Diagnostic, Problem, SourceFile, SpecError, first_line
from netspec.files import extra
from netspec.graph import Graph
from netspec.importing.onnx.names import assign_paths
from netspec.importing.onnx.operators import TRANSLATORS, WRITTEN_OUT, Call, cannot
from netspec.importing.onnx.read import read_array, read_input, read_model
from netspec.importing.onnx.tree import Called, Step, Tree
from netspec.instances import op_instance
from netspec.limits import limits
from netspec.names import check_name, numbered
from netspec.ops.base import Op
from netspec.quantities import byte_size
from netspec.recursion import deep_recursion
from netspec.shapes import TensorType
from netspec.verify import verify

if TYPE_CHECKING:
    import numpy as np


class Bias(NamedTuple):
    """What is added to a product alone, and what the sum is called."""

    bias: np.ndarray[Any, Any]
    output: str


@deep_recursion
def from_onnx(path: str | Path) -> tuple[Graph, dict[str, Any]]:
    """The graph of an ONNX file, and its weights as tensors by the keys of a `state_dict`. Needs onnx and PyTorch.

    The first axis of each input is the batch, whatever its length. Raises `SpecError` with every node that netspec has
    no op for.
    """
    torch = extra("torch", "torch", "the weights of an .onnx file")
    path = Path(path)
    program = Program(read_model(path), path)
    program.run()
    steps = program.living()
    assign_paths(steps)
    names: list[str] = []
    for value in program.model.graph.output:
        names.append(numbered(_name(value.name, "output"), names))
    tree = Tree(program.types, tuple(map(program.resolve, program.wanted)), SourceFile(str(path), "").start)
    root = tree.root("graph", steps, program.inputs, names)
    graph = verify(Graph(_name(path.stem, "name"), root))
    weights = {
        ".".join((*step.path, name) if name else step.path): torch.from_numpy(array.copy())
        for step in steps
        if not step.shares
        for name, array in step.weights.items()
    }
    return graph, weights


@dataclass(eq=False, repr=False)
class Program:
    """A model on its way to steps: what is known of its values, and what has been made of its nodes."""

    model: Any
    path: Path
    constants: dict[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    types: dict[str, TensorType] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)  # names of values, and those that the graph gives them
    aliases: dict[str, str] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    failed: set[str] = field(default_factory=set)  # values that nothing could be made of
    problems: list[Diagnostic] = field(default_factory=list)
    batch: int | None = None  # the length that the file gives the batch axis, if it gives one
    version: int = 0  # of the operators
    producers: dict[str, Any] = field(default_factory=dict)  # nodes by what they give
    readers: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))  # nodes by what they read
    makers: dict[str, Step] = field(default_factory=dict)  # steps by what they give
    done: set[int] = field(default_factory=set)  # nodes that another one took with it, by identity

    @cached_property
    def wanted(self) -> list[str]:
        """The outputs of the model."""
        return [value.name for value in self.model.graph.output]

    def resolve(self, name: str) -> str:
        """The value that a name stands for."""
        return self.aliases.get(name, name)

    def run(self) -> None:
        """Make steps of all nodes. Raises `SpecError` with everything that is in the way."""
        from onnx.checker import C

        self.version = max((entry.version for entry in self.model.opset_import if not entry.domain), default=1)
        self.rules = C.CheckerContext()
        self.rules.ir_version = self.model.ir_version
        self.rules.opset_imports = {"": self.version}
        self._read_constants()
        self._read_inputs()
        self._raise()
        self._read_nodes()
        for node in self.model.graph.node:
            if id(node) not in self.done:
                self._translate(node)
        for name in self.wanted:
            if self.resolve(name) not in self.types and name not in self.failed:
                self._report(Problem("cannot-import", f"no node computes the output `{name}` from an input"))
        self._raise()

    def living(self) -> list[Step]:
        """The steps that an output depends on."""
        needed = set(map(self.resolve, self.wanted))
        kept = []
        for step in reversed(self.steps):
            if not needed.isdisjoint(step.outputs):
                needed.update(step.inputs)
                kept.append(step)
        return kept[::-1]

    # What the operators ask for --------------------------------------------------------------------------------------

    def add(
        self,
        call: Call,
        kind: str,
        arguments: dict[str, Any],
        inputs: Sequence[str],
        outputs: Sequence[str],
        weights: Mapping[str, np.ndarray[Any, Any]],
    ) -> None:
        """Add a step. Raises `Problem` where the op does not take the inputs, or the file has other weights."""
        made = op_instance(kind, arguments, tuple(self.types[name] for name in inputs))
        if made.demand > limits().memory:
            raise Problem("network-too-large", f"{{op}} needs more than {byte_size(limits().memory)}")
        op, types = made.instance.target, made.instance.outputs
        assert isinstance(op, Op), "it was made of the name of one"
        states = op.state(*(self.types[name] for name in inputs))
        for name, array in weights.items():
            if states[name].shape != array.shape or array.dtype != "float32":
                found, needed = ("×".join(map(str, shape)) for shape in (array.shape, states[name].shape))
                message = f"{{op}} needs a {name} of {needed} 32-bit floats, and the file has {found} {array.dtype}"
                raise Problem("shape-mismatch", message)
        if len(types) != len(outputs):
            raise cannot(f"it gives {len(types)} values, not {len(outputs)}")
        named = tuple(name for name in call.inputs[1:] if name in self.constants) if weights else ()
        called = Called(call.name, call.operator, named)
        step = Step(kind, op, tuple(inputs), tuple(outputs), types, weights, called)
        self.steps.append(step)
        self.makers |= dict.fromkeys(outputs, step)
        self.types |= zip(outputs, types, strict=True)

    def learned(self, call: Call, name: str) -> str:
        """The value of that name. One that the file knows becomes a parameter, or a constant if it is small."""
        if name in self.types or name not in self.constants:
            return name
        array = self.constants[name]
        if array.dtype != "float32":
            raise cannot(f"its input `{name}` holds {array.dtype}")
        small = array.size <= WRITTEN_OUT and "." not in name
        source = call._replace(name="", operator="parameter", inputs=("", name), outputs=(name,))
        if small:
            self.add(source, "constant", {"value": _nested(array.tolist())}, (), (name,), {"": array})
        else:
            self.add(source, "parameter", {"shape": array.shape}, (), (name,), {"": array})
        return name

    def fresh(self, name: str) -> str:
        """A name that no value has."""
        while (name := f"{name}'") in self.types:
            pass
        return name

    def bias_behind(self, call: Call) -> Bias | None:
        """What the next node adds to the result of this one, if that is all that happens to it."""
        (output,) = call.outputs
        following = self.only_reader(output)
        bias = self._known_operand(following, output) if following is not None and following.op_type == "Add" else None
        if following is None or bias is None or bias.shape != self.constants[call.inputs[1]].shape[1:]:
            return None
        self.done.add(id(following))
        return Bias(bias, following.output[0])

    def only_reader(self, name: str) -> Any:
        """The node that alone reads a value, if it is one."""
        readers = self.readers.get(name, [])
        return readers[0] if len(readers) == 1 and name not in self.wanted else None

    def adds(self, node: Any, number: float) -> bool:
        """Whether a node adds one number to one value."""
        known = self._known_operand(node, "") if node.op_type == "Add" else None
        return known is not None and known.size == 1 and float(known.item()) == number

    def halves(self, node: Any, name: str) -> bool:
        """Whether a node divides a value by two."""
        known = self._known_operand(node, name)
        factor = {"Mul": 0.5, "Div": 2.0}.get(node.op_type)
        return known is not None and known.size == 1 and float(known.item()) == factor

    def _known_operand(self, node: Any, name: str) -> np.ndarray[Any, Any] | None:
        """The other operand of a node that reads a value of that name, where it is a constant."""
        others = [other for other in node.input if self.resolve(other) != name]
        return next((self.constants[other] for other in others if other in self.constants), None)

    # Reading ---------------------------------------------------------------------------------------------------------

    def _read_constants(self) -> None:
        for tensor in self.model.graph.initializer:
            try:
                self.constants[tensor.name] = read_array(tensor, self.path)
            except Problem as problem:
                self._report(problem, tensor.name)
        if self.model.graph.sparse_initializer:
            self._report(Problem("cannot-import", "the file has sparse tensors"))

    def _read_inputs(self) -> None:
        given = [value for value in self.model.graph.input if value.name not in self.constants]
        for value in given:
            name = "x" if len(given) == 1 else numbered(_name(value.name, "input"), self.inputs.values())
            self.inputs[value.name] = name
            try:
                self.types[value.name], self.batch = read_input(value)
            except Problem as problem:
                self._report(problem)

    def _read_nodes(self) -> None:
        if len(self.model.graph.node) > limits().nodes:
            message = f"the file has {len(self.model.graph.node):,} nodes, more than {limits().nodes:,}"
            self._report(Problem("network-too-large", message))
            self._raise()
        for node in self.model.graph.node:
            self.producers |= dict.fromkeys(node.output, node)
            for name in node.input:
                self.readers[name].append(node)

    # Nodes -----------------------------------------------------------------------------------------------------------

    def _translate(self, node: Any) -> None:
        from netspec.importing.onnx.constants import fold  # which imports numpy

        inputs = tuple(map(self.resolve, node.input))
        outputs = tuple(node.output)
        if not self.failed.isdisjoint(inputs):
            self.failed.update(outputs)
            return
        try:
            if any(name in self.types or name in self.constants for name in outputs):
                raise cannot("two nodes give one value")
            self._check(node)
            call = Call(self, node.name, node.op_type, inputs, _used(outputs), self._attributes(node))
            if missing := [name for name in inputs if name and name not in self.types and name not in self.constants]:
                raise cannot(f"nothing before it gives its input `{missing[0]}`")
            if (known := fold(call)) is not None:
                self.constants[outputs[0]] = known
                return
            if node.op_type not in TRANSLATORS:
                raise cannot("it computes a shape that is not known before there is an input")
            TRANSLATORS[node.op_type](call)
        except Problem as problem:
            if problem.code == "cannot-import":
                problem.message = f"`{node.op_type}` cannot be imported: {problem.message}"
            problem.message = problem.message.replace("{op}", f"`{node.op_type}`")
            self._report(problem, str(node.name or next(iter(outputs), "")))
            self.failed.update(outputs)

    def _check(self, node: Any) -> None:
        """Raise `Problem` where nothing can be made of an operator, or a node is not as ONNX describes its operator."""
        from onnx import checker

        from netspec.importing.onnx.constants import FOLDED

        if not all(isinstance(name, str) for name in (node.name, node.op_type, *node.input, *node.output)):
            raise cannot("its names are no text")
        if node.domain not in ("", "ai.onnx") or node.op_type not in TRANSLATORS.keys() | FOLDED.keys():
            raise cannot("netspec has no op for it")
        try:
            checker.check_node(node, self.rules)
        except (checker.ValidationError, UnicodeDecodeError) as error:
            raise cannot(f"it breaks the rules of ONNX: {first_line(error)}") from None

    def _attributes(self, node: Any) -> dict[str, Any]:
        from onnx import helper

        found = {}
        for attribute in node.attribute:
            value = (
                read_array(attribute.t, self.path) if attribute.HasField("t") else helper.get_attribute_value(attribute)
            )
            found[attribute.name] = value.decode(errors="replace") if isinstance(value, bytes) else value
        return found

    # Problems --------------------------------------------------------------------------------------------------------

    def _report(self, problem: Problem, where: str = "") -> None:
        if len(self.problems) < limits().mistakes:
            self.problems.append(problem.at(None, f"{self.path}: {where}" if where else str(self.path)))

    def _raise(self) -> None:
        if self.problems:
            raise SpecError(self.problems)


def _used(outputs: tuple[str, ...]) -> tuple[str, ...]:
    """The outputs without those at the end that nobody gave a name."""
    while len(outputs) > 1 and not outputs[-1]:
        outputs = outputs[:-1]
    return outputs


def _nested(value: Any) -> Any:
    return tuple(map(_nested, value)) if isinstance(value, list) else value


def _name(text: str, what: Any) -> str:
    """A text of the file as a name that an input, an output or the network may have."""
    name = re.sub(r"\W", "_", text, flags=re.ASCII)
    try:
        check_name(name, what)
    except Problem:
        return f"{what}_{name}"
    return name
