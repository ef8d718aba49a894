"""Typed document in, graph out: blocks unrolled, references resolved, every shape inferred.

A node is elaborated in two steps. `_Elaborator.instance` decides what it is for inputs of given types (an op, or a
body) and knows nothing of where it stands, so equal instances are made once and shared. `_BodyBuilder` wires instances
into one body: names, inputs, order. A node that fails is reported once and marked; whatever depends on it stays silent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from netspec.diagnostics import Problem, Reporter, Span, listing, suggest
from netspec.expressions import Word, compile_expression, fill, loop_targets, show, unknown_name, unpack
from netspec.fields import create, unknown_argument, word_choices
from netspec.graph import Body, Node, Output, Value
from netspec.ops import OP_NAMES, op_class
from netspec.ops.base import Op
from netspec.parse import Namespace, _Parser, check_child_name
from netspec.shapes import TensorType
from netspec.source import Scalar, Sequence, Source, is_null
from netspec.spec import KINDS, BlockSpec, BodySpec, Entry, NodeSpec, ParameterSpec, Spec

MAX_NODES = 100_000  # instances in one graph
MAX_COPIES = 10_000  # of one `repeat`, and rows of one `for`
MAX_LEVELS = 60  # of blocks inside blocks
MAX_AXIS = 2**31 - 1  # length of an axis
MAX_SHOWN = 12  # names of a path in a message

Scope = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class NodeArgument:
    """A node handed to a block as a parameter, with the scope and the names that its text was written in."""

    spec: NodeSpec
    context: Context
    captured: tuple[Any, ...]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NodeArgument) and self.spec is other.spec and self.captured == other.captured

    def __hash__(self) -> int:
        return hash((id(self.spec), self.captured))

    def __str__(self) -> str:
        return self.spec.op.text if self.spec.op else "node"

    def bare_name(self, parameter: str) -> str:
        """The op or block, where arguments are added to a node that has none of its own. Raises `Problem`."""
        if self.spec.op is None or self.spec.positional is not None or self.spec.named:
            message = f"`{parameter}` already is a whole node, so it takes no arguments here"
            raise Problem("two-kinds", message)
        return self.spec.op.text


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """Where a piece of text is read: the variables in scope, the block names known, and which variables hold nodes."""

    scope: Scope
    namespace: Namespace
    holders: frozenset[str]

    def extended(self, variables: Mapping[str, Any]) -> Context:
        return Context({**self.scope, **variables}, self.namespace, self.holders)


@dataclass(frozen=True, slots=True)
class Instance:
    """What a node is for inputs of given types."""

    kind: str
    target: Op | Body
    outputs: tuple[TensorType, ...]
    names: tuple[str, ...] = ()  # of the outputs, where they have names


def elaborate(
    spec: Spec, reporter: Reporter, given: Mapping[str, Source | Any], shapes: Mapping[str, Any]
) -> tuple[Body, Scope] | None:
    """The root body of `spec` and the scope of its parameters.

    `given` overrides parameters and `shapes` overrides input shapes, by name; each value is plain data or a source
    tree. Returns None when a mistake leaves no body to go on with; mistakes are in `reporter`.
    """
    return _Elaborator(reporter).network(spec, given, shapes)


@dataclass(eq=False)
class _Elaborator:
    reporter: Reporter
    path: list[str] = field(default_factory=list)
    instances: dict[Any, Instance | None] = field(default_factory=dict)
    ops: dict[Any, Op] = field(default_factory=dict)
    arguments: dict[int, NodeSpec] = field(default_factory=dict)
    blocks: dict[Any, Instance | None] = field(default_factory=dict)
    wiring: _Wiring = field(default_factory=lambda: _Wiring((), ()))
    count: int = 0
    level: int = 0

    # The network -----------------------------------------------------------------------------------------------------

    def network(
        self, spec: Spec, given: Mapping[str, Source | Any], shapes: Mapping[str, Any]
    ) -> tuple[Body, Scope] | None:
        block = spec.network
        for name in given:
            if name not in block.parameters:
                help = suggest(name, block.parameters)
                if not help and block.parameters:
                    help = (f"the parameters are {listing(block.parameters)}",)
                span = getattr(given[name], "span", None)
                self.reporter.error("unknown-parameter", f"`{block.name}` has no parameter `{name}`", span, help=help)
        scope = self.parameters(block, given, Context({}, block.namespace, frozenset()))
        inputs: list[TensorType] = []
        for item in spec.inputs:
            with self.reporter.catch(item.span):
                shape = shapes.get(item.name)
                if shape is None:
                    shape = self.value(item.shape, Context(scope or {}, block.namespace, frozenset()))
                inputs.append(TensorType(_input_shape(shape), item.dtype))
        unknown = [name for name in shapes if name not in {item.name for item in spec.inputs}]
        for name in unknown:
            help = (f"the inputs are {listing(item.name for item in spec.inputs)}",)
            self.reporter.error("unknown-parameter", f"there is no input `{name}`", None, help=help)
        if scope is None or len(inputs) != len(spec.inputs) or not inputs or (self.reporter.failed and unknown):
            return None
        instance = self.block_body(block, scope, tuple(inputs), root=True)
        if instance is None:
            return None
        assert isinstance(instance.target, Body)
        return instance.target, scope

    # Blocks and bodies -----------------------------------------------------------------------------------------------

    def parameters(self, block: BlockSpec, given: Mapping[str, Any], caller: Context) -> Scope | None:
        """Values of a block's parameters and of its `let`, or None when one is wrong.

        A value in `given` is a source tree, read in the caller's context, or plain data.
        """
        scope: Scope = {}
        failed = False
        for name, parameter in block.parameters.items():
            value: Any = given.get(name, parameter.default)
            own = name not in given
            span = getattr(value, "span", None) or parameter.span
            try:
                if value is None and own:
                    raise Problem("missing-argument", f"`{block.name}` needs a value for `{name}`")
                context = Context(scope, block.namespace, frozenset()) if own else caller
                scope[name] = self.parameter(parameter, block.name, value, context)
            except Problem as problem:
                self.reporter.report(problem.at(span, self.at))
                failed = True
        return None if failed else scope

    def parameter(self, parameter: ParameterSpec, block: str, value: Any, context: Context) -> Any:
        """The value of a parameter, checked against its kind."""
        if isinstance(value, Source) and parameter.kind == "node":
            result = self.node_argument(value, context)
        elif isinstance(value, Source):
            result = self.value(value, context)
        else:
            result = _frozen(value)
            if parameter.kind == "node" and isinstance(result, str):
                result = self.node_argument(_plain_word(result, parameter.span), context)
        if parameter.kind == "node" or (parameter.kind == "name" and result is None):
            return result
        if isinstance(result, Word) and parameter.kind != "name":
            raise unknown_name(result, context.scope)
        if not _fits(parameter.kind, result):
            expected = KINDS[parameter.kind]
            raise Problem("wrong-type", f"`{parameter.name}` of `{block}` must be {expected}, got `{show(result)}`")
        if parameter.choices and show(result) not in parameter.choices:
            help = suggest(show(result), parameter.choices)
            expected = listing(parameter.choices, "or")
            message = f"`{parameter.name}` of `{block}` must be {expected}, got `{show(result)}`"
            raise Problem("wrong-value", message, help=help)
        return Word(result) if parameter.kind == "name" else result

    def block_body(
        self, block: BlockSpec, scope: Scope, inputs: tuple[TensorType, ...], root: bool = False
    ) -> Instance | None:
        """The body of a block for parameters and inputs that are known."""
        names = [name.text for name in block.body.inputs]
        arguments = dict(scope)
        scope = {**scope, **dict(zip(names, inputs, strict=True))}
        holders = frozenset(name for name, p in block.parameters.items() if p.kind in ("name", "node"))
        context = Context(scope, block.namespace, holders)
        for key, source in block.let:
            try:
                value = self.value(source, context)
                if isinstance(value, Word):
                    raise unknown_name(value, scope)
                scope[key.text] = value
            except Problem as problem:
                self.reporter.report(problem.at(source.span, self.at))
                return None
        instance = self.body(block.body, context, inputs, block.name, root)
        if instance is not None and isinstance(instance.target, Body):
            instance.target.arguments = {name: _plain(value) for name, value in arguments.items()}
            instance.target.init = (block.init, scope) if block.init and not root else None
        return instance

    def body(
        self, spec: BodySpec, context: Context, inputs: tuple[TensorType, ...], kind: str, root: bool = False
    ) -> Instance | None:
        with self.deeper(spec.span):
            if spec.kind == "node":
                return _BodyBuilder(self, spec, context, kind, root).only(inputs)
            return _BodyBuilder(self, spec, context, kind, root).build(inputs)

    # Instances -------------------------------------------------------------------------------------------------------

    def instance(self, spec: NodeSpec, context: Context, inputs: tuple[TensorType, ...]) -> Instance | None:
        """What the node is, its words aside; None when it is wrong, which has been reported."""
        scope = context.scope
        captured = tuple(scope.get(name) for name in spec.names)
        key = (id(spec), id(context.namespace), inputs, captured)
        if key in self.instances:
            return self.instances[key]
        self.count += 1
        if self.count > MAX_NODES:
            raise _TooLarge(spec.span)
        instance: Instance | None = None
        try:
            instance = self._instance(spec, context, inputs)
        except Problem as problem:
            self.reporter.report(problem.at(spec.span, self.at))
        self.instances[key] = instance
        return instance

    def _instance(self, spec: NodeSpec, context: Context, inputs: tuple[TensorType, ...]) -> Instance | None:
        if spec.body is not None:
            if spec.body.kind == "chain":
                return self.body(spec.body, context, inputs, "chain")
            names = [name.text for name in spec.body.inputs] or ["x"]
            if len(names) != len(inputs):
                raise Problem("wrong-inputs", f"this group takes {_count(len(names), 'input')}, got {len(inputs)}")
            inner = context.extended(dict(zip(names, inputs, strict=True)))
            return self.body(spec.body, inner, inputs, spec.body.kind)
        if spec.op is None:
            return None
        name, namespace = spec.op.text, context.namespace
        if spec.parameter:
            held = context.scope[name]
            if isinstance(held, NodeArgument):
                if spec.positional is None and not spec.named:
                    return self.instance(held.spec, held.context, inputs)
                name, namespace = held.bare_name(name), held.context.namespace
            else:
                name = str(held)
        if name in OP_NAMES:
            return self._op(name, spec, context, inputs)
        block = namespace.block(name)
        if block is None:
            if name not in namespace:
                help = suggest(name, {*OP_NAMES, *namespace.names()})
                raise Problem("unknown-op", f"unknown op or block `{name}`", help=help)
            return None
        return self._block(block, spec, context, inputs)

    def _block(
        self, block: BlockSpec, spec: NodeSpec, context: Context, inputs: tuple[TensorType, ...]
    ) -> Instance | None:
        expected = len(block.body.inputs)
        if len(inputs) != expected:
            help = ("list them in `from`",)
            message = f"`{block.name}` takes {_count(expected, 'input')}, got {len(inputs)}"
            raise Problem("wrong-inputs", message, help=help)
        given: dict[str, Source] = {}
        self._positional(spec, list(block.parameters), block.name, given)
        for key, value in spec.named:
            if key.text not in block.parameters:
                self.reporter.report(unknown_argument(block.name, key.text, block.parameters).at(key.span, self.at))
                return None
            self._once(key, given)
            given[key.text] = value
        missing = [n for n, p in block.parameters.items() if p.default is None and n not in given]
        if missing:
            about = (f"`{block.name}` is defined at {block.span}",)
            raise Problem("missing-argument", f"`{block.name}` needs {listing(missing)}", help=about)
        scope = self.parameters(block, given, context)
        if scope is None:
            return None
        key = (id(block), inputs, tuple(scope.values()))
        if key not in self.blocks:
            self.blocks[key] = self.block_body(block, scope, inputs)
        return self.blocks[key]

    def _op(self, name: str, spec: NodeSpec, context: Context, inputs: tuple[TensorType, ...]) -> Instance | None:
        cls = op_class(name)
        sources: dict[str, Source] = {}
        if cls.variadic is not None and spec.positional is not None:
            sources[cls.variadic] = spec.positional
        elif not cls.merges:
            self._positional(spec, list(cls.fields()), name, sources)
        for key, value in spec.named:
            if key.text not in cls.fields():
                problem = unknown_argument(name, key.text, cls.fields())
                if key.text in OP_NAMES or key.text in context.namespace:
                    problem = Problem(
                        "two-kinds",
                        f"`{name}` and `{key.text}` stand in one node",
                        help=(f"write a list of two nodes: `[{{{name}: ...}}, {{{key.text}: ...}}]`",),
                    )
                self.reporter.report(problem.at(key.span, self.at))
                return None
            self._once(key, sources)
            sources[key.text] = value
        if not cls.arity[0] <= len(inputs) <= (len(inputs) if cls.arity[1] is None else cls.arity[1]):
            raise Problem("wrong-inputs", f"`{name}` takes {_arity(cls)}, got {len(inputs)}")
        values: dict[str, Any] = {}
        failed = False
        for argument, source in sources.items():
            try:
                if isinstance(source, Scalar) and source.text in word_choices(cls, argument):
                    values[argument] = source.text
                    continue
                value = self.value(source, context)
                if argument == cls.variadic and not isinstance(value, tuple):
                    value = (value,)
                values[argument] = value
            except Problem as problem:
                self.reporter.report(problem.at(source.span, self.at))
                failed = True
        if failed:
            return None
        try:
            op = self.create(cls, name, values, context)
            outputs = op.outputs(*inputs)
        except Problem as problem:
            argument = sources.get(problem.argument or "")
            problem.place(argument.span if argument is not None else spec.span)
            problem.message = problem.message.replace("{op}", f"`{name}`")
            raise self.wiring.explain(problem, inputs) from None
        if any(length > MAX_AXIS for type in outputs for length in type.shape):
            raise Problem("value-too-large", f"`{name}` gives {outputs[0]}, longer than an axis can be")
        return Instance(name, op, outputs, cls.output_names)

    def create(self, cls: type[Op], name: str, values: dict[str, Any], context: Context) -> Op:
        key = (cls, tuple((name, type(value), value) for name, value in values.items()))
        if key not in self.ops:
            try:
                self.ops[key] = create(cls, name, values)
            except Problem as problem:
                wrong = values.get(problem.argument or "")
                if isinstance(wrong, Word) and not problem.help and not word_choices(cls, problem.argument or ""):
                    renamed = unknown_name(wrong, context.scope)
                    raise Problem(
                        renamed.code,
                        renamed.message,
                        argument=problem.argument,
                        label=renamed.label,
                        help=renamed.help,
                    ) from None
                raise
        return self.ops[key]

    def _positional(self, spec: NodeSpec, names: list[str], what: str, found: dict[str, Source]) -> None:
        if spec.positional is None:
            return
        items = spec.positional.items if isinstance(spec.positional, Sequence) else [spec.positional]
        if len(items) > len(names):
            takes = f"takes {_count(len(names), 'argument')}" if names else "takes no arguments"
            order = f"in this order: {listing(names)}" if names else f"write `{what}` alone"
            raise Problem("too-many-arguments", f"`{what}` {takes}, got {len(items)}", help=(order,))
        found.update(zip(names, items, strict=False))

    def _once(self, key: Scalar, found: Mapping[str, Source]) -> None:
        if key.text in found:
            raise Problem("duplicate-key", f"`{key.text}` is given twice, by position and by name")

    # Values ----------------------------------------------------------------------------------------------------------

    def value(self, source: Source, context: Context) -> Any:
        """The value of a source tree: numbers, booleans, words, and tuples of them. Raises `Problem`."""
        if isinstance(source, Sequence):
            return tuple(self.value(item, context) for item in source.items)
        if not isinstance(source, Scalar):
            raise Problem("wrong-type", "expected a number, a word or a list here, got a mapping").place(source.span)
        if is_null(source):
            return None
        try:
            return compile_expression(source.text).evaluate(context.scope)
        except Problem as problem:
            raise problem.place(source.inner) from None

    def node_argument(self, source: Source, context: Context) -> Any:
        """A node given as a value: None for `none`, the caller's own node when it is passed on."""
        if is_null(source) or (isinstance(source, Scalar) and source.text == "none"):
            return None
        if isinstance(source, Scalar) and source.text in context.holders:
            held = context.scope.get(source.text)
            if held is None or isinstance(held, NodeArgument):
                return held
        if isinstance(source, Scalar) and source.text not in context.namespace and source.text not in OP_NAMES:
            value = self.value(source, context)
            if value is None or isinstance(value, NodeArgument):
                return value
        if id(source) not in self.arguments:
            self.arguments[id(source)] = _Parser(context.namespace, self.reporter, context.holders).node(source)
        spec = self.arguments[id(source)]
        captured = tuple(context.scope.get(name) for name in spec.names)
        return NodeArgument(spec, context, captured)

    def condition(self, source: Scalar | None, context: Context, word: str) -> bool:
        """The value of an `if` or `training_only`. Raises `Problem`."""
        if source is None:
            return word == "if"
        value = self.value(source, context)
        if isinstance(value, Word):
            raise unknown_name(value, context.scope)
        if isinstance(value, TensorType):
            raise Problem("wrong-type", f"`{word}` must be true or false, got a value of shape {value}")
        return bool(value)

    # Places ----------------------------------------------------------------------------------------------------------

    @property
    def at(self) -> str:
        """The path of the node at hand."""
        names = [name for name in self.path if name]
        if len(names) > MAX_SHOWN:
            names = [*names[: MAX_SHOWN - 2], "…", names[-1]]
        return ".".join(names)

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        self.path.append(name)
        try:
            yield
        finally:
            self.path.pop()

    @contextmanager
    def deeper(self, span: Span) -> Iterator[None]:
        self.level += 1
        try:
            if self.level > MAX_LEVELS:
                message = f"blocks inside blocks, more than {MAX_LEVELS} levels deep"
                raise Problem("too-deep", message, help=("does a block contain itself?",))
            yield
        finally:
            self.level -= 1


@dataclass(frozen=True, slots=True)
class _Wiring:
    """Where the inputs of the node at hand come from, for messages."""

    names: tuple[str, ...]
    notes: tuple[str, ...]

    def explain(self, problem: Problem, inputs: tuple[TensorType, ...]) -> Problem:
        if problem.code == "shape-mismatch" and len(self.names) == len(inputs):
            parts = [f"{type} from `{name}`" for name, type in zip(self.names, inputs, strict=True)]
            problem.label = ", ".join(parts)
        problem.notes += self.notes
        return problem


class _TooLarge(Exception):
    """Raised through everything when a spec expands beyond `MAX_NODES`."""

    def __init__(self, span: Span) -> None:
        super().__init__()
        self.span = span


@dataclass(frozen=True, slots=True)
class _Item:
    """An entry of a body after its loops are unrolled: one node under one name."""

    name: str
    spec: NodeSpec
    context: Context
    span: Span
    training_only: bool = False

    @property
    def aside(self) -> bool:
        """Off the main path, so never the default input of the node after it."""
        op = self.spec.op
        return self.training_only or (op is not None and op.text in OP_NAMES and op_class(op.text).arity[1] == 0)


@dataclass(eq=False)
class _BodyBuilder:
    """Wires the instances of one body."""

    elaborator: _Elaborator
    spec: BodySpec
    context: Context
    kind: str
    root: bool = False
    items: list[_Item] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)
    values: dict[str, tuple[Value, ...] | None] = field(default_factory=dict)  # None: it failed
    nodes: dict[str, Node] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)  # name of a node that is not there, and why
    failed: bool = False

    def build(self, inputs: tuple[TensorType, ...]) -> Instance | None:
        names = [name.text for name in self.spec.inputs] or ["x"]
        sources = tuple(Value(name, type) for name, type in zip(names, inputs, strict=True))
        self.taken = set(names)
        self.expand(self.spec.entries, self.context)
        chain = self.spec.kind == "chain"
        outputs = self.chain(sources) if chain else self.graph(sources)
        if self.failed or outputs is None:
            return None
        body = Body(
            self.kind,
            "chain" if chain else "graph",
            sources,
            tuple(self.nodes.values()) if chain else self.written(),
            tuple(self.nodes.values()),
            outputs,
            self.spec.span,
            self.spec.outputs.kind if self.spec.outputs else "bare",
            absent=tuple(self.absent),
        )
        names_out = tuple(output.name for output in outputs) if len(outputs) > 1 else ()
        return Instance(self.kind, body, tuple(output.value.type for output in outputs), names_out)

    def only(self, inputs: tuple[TensorType, ...]) -> Instance | None:
        """The instance of a body that is one node; a repeat carries the name of the block it stands for."""
        sources = tuple(Value(name.text, type) for name, type in zip(self.spec.inputs, inputs, strict=True))
        (entry,) = self.spec.entries
        spec = entry.node
        item = _Item("", spec, self.context, spec.span)
        if spec.loop is not None or spec.condition is not None or spec.training_only is not None:
            self.fail(
                Problem("unknown-word", "`for`, `if` and `training_only` need a graph around the node"), spec.span
            )
            return None
        node = self.node(item, sources)
        if node is None or self.failed:
            return None
        if isinstance(node.target, Body) and node.target.repeated:
            node.target.kind = self.kind
            return Instance(self.kind, node.target, node.output_types)
        return Instance(node.kind, node.target, node.output_types)

    def written(self) -> tuple[Node, ...]:
        """The nodes in the order of the file, a merge last, whatever order they run in."""
        order = {item.name: position for position, item in enumerate(self.items)}
        return tuple(sorted(self.nodes.values(), key=lambda node: order.get(node.name, len(order))))

    # Unrolling -------------------------------------------------------------------------------------------------------

    def expand(self, entries: tuple[Entry, ...], context: Context) -> None:
        """Unroll the loops of `entries` into `items`, leaving out what `if` rules out."""
        for entry in entries:
            spec = entry.node
            span = entry.name.span if entry.name else spec.span
            try:
                for inner in self.rows(spec, context):
                    if spec.splice is not None:
                        if self.elaborator.condition(spec.condition, inner, "if"):
                            self.splice(spec.splice, entry, inner)
                    else:
                        self.add(entry, inner, span)
            except Problem as problem:
                self.fail(problem, span)

    def splice(self, body: BodySpec, entry: Entry, context: Context) -> None:
        if (body.kind == "chain") != (self.spec.kind == "chain"):
            want = "a list" if self.spec.kind == "chain" else "a mapping of names"
            raise Problem("wrong-type", f"`do` must be {want} here, like the graph around it").place(body.span)
        self.expand(body.entries, context)

    def rows(self, spec: NodeSpec, context: Context) -> Iterator[Context]:
        if spec.loop is None:
            yield context
            return
        table = self.elaborator.value(spec.loop.table, context)
        if isinstance(table, Word):
            raise unknown_name(table, context.scope).place(spec.loop.table.span)
        if not isinstance(table, tuple):
            raise Problem("invalid-loop", f"a loop runs over a list, got `{show(table)}`").place(spec.loop.table.span)
        if len(table) > MAX_COPIES:
            raise Problem("value-too-large", f"{len(table):,} rows, more than {MAX_COPIES:,}").place(spec.loop.span)
        targets = loop_targets(spec.loop.targets)
        for row in table:
            try:
                variables = dict(unpack(targets, row))
            except Problem as problem:
                raise problem.place(spec.loop.span) from None
            yield context.extended(variables)

    def add(self, entry: Entry, context: Context, span: Span) -> None:
        if entry.name is None:
            name = str(len(self.items))
        else:
            try:
                name = fill(entry.name.text, context.scope)
            except Problem as problem:
                raise problem.place(entry.name.inner) from None
            if "{" in entry.name.text:
                check_child_name(name)
            if name in self.taken:
                help = ("a name with the loop variable, such as `stage{i}`, tells rows apart",)
                raise Problem("name-taken", f"there are two nodes `{name}`", help=help if entry.node.loop else ())
            self.taken.add(name)
        spec = entry.node
        training_only = self.elaborator.condition(spec.training_only, context, "training_only")
        if training_only and (not self.root or entry.name is None):
            message = "`training_only` goes with the named nodes of the network itself, not with those of a block"
            assert spec.training_only is not None
            raise Problem("misplaced-training-only", message).place(spec.training_only.span)
        self.items.append(_Item(name, spec, context, span, training_only))

    # Chains ----------------------------------------------------------------------------------------------------------

    def chain(self, sources: tuple[Value, ...]) -> tuple[Output, ...] | None:
        if len(sources) != 1:
            message = f"a chain takes one input, got {len(sources)}"
            self.fail(Problem("wrong-inputs", message, help=("use a mapping with names",)), self.spec.span)
            return None
        current: Value = sources[0]
        position = 0
        for item in self.items:
            if item.spec.inputs is not None:
                help = ("use a mapping, whose nodes have names",)
                self.fail(Problem("unknown-word", "`from` needs a graph with names, not a list", help=help), item.span)
                return None
            named = _Item(str(position), item.spec, item.context, item.span)
            node = self.node(named, (current,))
            if node is not None:
                current = node.outputs[0]
                position += 1
            elif self.absent.pop(named.name, None) is None:
                return None
        return (Output("0", current),)

    # Graphs ----------------------------------------------------------------------------------------------------------

    def graph(self, sources: tuple[Value, ...]) -> tuple[Output, ...] | None:
        self.values = {value.name: (value,) for value in sources}
        branches = self.spec.kind == "branches"
        previous: str | None = sources[0].name if sources else None
        defaults: dict[str, str | None] = {}
        for item in self.items:
            defaults[item.name] = sources[0].name if branches else previous
            if not item.aside and not branches:
                previous = item.name
        for item in self.scheduled(defaults):
            self.wire(item, defaults[item.name])
        if branches and self.spec.merge is not None:
            previous = self.merge()
        if self.failed or previous is None:
            return None
        outputs = self.returned(previous)
        if outputs is not None and not self.failed:
            self.check_use(sources, outputs)
        return outputs

    def merge(self) -> str:
        """The node that brings the branches together, named after its op."""
        spec = self.spec.merge
        assert spec is not None
        name = spec.op.text if spec.op else "merge"
        while name in self.values:
            name += "_"
        item = _Item(name, spec, self.context, spec.span)
        values = [self.values.get(branch.name) for branch in self.items]
        if any(value is None for value in values):
            self.failed = True
            return name
        self.place(item, tuple(value[0] for value in values if value is not None))
        return name

    def scheduled(self, defaults: dict[str, str | None]) -> list[_Item]:
        """The items in the order they run: as written, each after what it needs; training-only ones at once."""
        by_name = {item.name: item for item in self.items}
        needs = {item.name: self.needs(item, defaults[item.name], by_name) for item in self.items}
        order: list[_Item] = []
        done: set[str] = set()
        early = [item for item in self.items if item.training_only]

        def run(item: _Item) -> None:
            order.append(item)
            done.add(item.name)
            for other in early:
                if other.name not in done and needs[other.name] <= done:
                    run(other)

        for item in self.items:
            stack = [] if item.name in done else [item.name]
            while stack:
                missing = sorted(needs[stack[-1]] - done, key=list(by_name).index)
                if not missing:
                    current = by_name[stack.pop()]
                    if current.name not in done:
                        run(current)
                elif missing[0] in stack:
                    cycle = [*stack[stack.index(missing[0]) :], missing[0]]
                    help = ("a graph has no loops: use `repeat`, or a recurrent op",)
                    path = " → ".join(f"`{name}`" for name in cycle)
                    problem = Problem("cycle", f"`{cycle[0]}` needs its own output: {path}", help=help)
                    self.fail(problem, by_name[cycle[0]].span)
                    return []
                else:
                    stack.append(missing[0])
        return order

    def needs(self, item: _Item, default: str | None, known: Mapping[str, _Item]) -> set[str]:
        """The nodes that must be elaborated before this one."""
        names = {reference.text.split(".")[0] for reference in self.references(item)}
        if not names and default is not None:
            names = {default}
        if item.spec.call is not None:
            names.add(item.spec.call.text)
        names |= {name for name in item.spec.shape_names if name not in item.context.scope}
        return {name for name in names if name in known}

    def references(self, item: _Item) -> tuple[Scalar, ...]:
        """The inputs that a node names: its `from`, or the arguments of a merge. Templates are filled in."""
        spec = item.spec
        found: tuple[Scalar, ...] = spec.inputs or ()
        if spec.op is not None and spec.positional is not None and not spec.parameter and spec.op.text in OP_NAMES:
            if op_class(spec.op.text).merges:
                items = spec.positional.items if isinstance(spec.positional, Sequence) else [spec.positional]
                found += tuple(value for value in items if isinstance(value, Scalar))
        return tuple(
            Scalar(fill(name.text, item.context.scope), name.span) if "{" in name.text else name for name in found
        )

    def wire(self, item: _Item, default: str | None) -> None:
        """Find the inputs of a node and put it into the body."""
        try:
            references = self.references(item)
            if item.spec.op is not None and item.aside and not item.training_only and not references:
                values: list[Value | None] = []
            elif references:
                values = [self.resolve(reference, item) for reference in references]
            else:
                values = [self.first(default)] if default is not None else []
        except Problem as problem:
            self.fail(problem, item.span)
            self.values[item.name] = None
            return
        if any(value is None for value in values):
            self.values[item.name] = None
            self.failed = True
            return
        self.place(item, tuple(value for value in values if value is not None))

    def place(self, item: _Item, inputs: tuple[Value, ...]) -> None:
        node = self.node(item, inputs)
        if node is not None:
            self.values[item.name] = node.outputs
        elif item.name in self.absent:
            self.values[item.name] = inputs[:1]
        else:
            self.values[item.name] = None
            self.failed = True

    def first(self, name: str) -> Value | None:
        values = self.values.get(name)
        return values[0] if values else None

    def resolve(self, reference: Scalar, item: _Item | None = None) -> Value | None:
        """The value that `name` or `name.output` refers to; None when its node failed. Raises `Problem`."""
        name, _, output = reference.text.partition(".")
        if name not in self.values:
            help = suggest(name, self.values)
            if not help and name in self.context.scope:
                help = (f"`{name}` is a number here, not a node",)
            raise Problem("unknown-node", f"unknown node `{name}`", label="not in this graph", help=help).place(
                reference.span
            )
        values = self.values[name]
        if values is None:
            return None
        if name in self.absent or (len(values) == 1 and not output):
            return values[0]
        names = [value.name.partition(".")[2] for value in values]
        if output in names:
            return values[names.index(output)]
        if not output and not names[0].isdigit():
            return values[0]
        outputs = listing(value.name for value in values)
        message = f"`{name}` has {_count(len(values), 'output')}: {outputs}"
        raise Problem("unknown-node", message).place(reference.span)

    def returned(self, last: str) -> tuple[Output, ...] | None:
        spec = self.spec.outputs
        if spec is None:
            value = self.first(last)
            return None if value is None else (Output(last, value),)
        outputs = []
        items = {item.name: item for item in self.items}
        for name, reference in spec.entries:
            try:
                value = self.resolve(reference)
            except Problem as problem:
                self.fail(problem, reference.span)
                continue
            item = items.get(reference.text.partition(".")[0])
            training_only = item is not None and item.training_only
            if value is None or (training_only and item is not None and item.name in self.absent):
                continue
            outputs.append(Output(name, value, training_only))
        if not self.failed and all(output.training_only for output in outputs):
            problem = Problem("missing-output", "there is no output outside of training")
            self.fail(problem, spec.span)
        return tuple(outputs)

    def check_use(self, sources: tuple[Value, ...], outputs: tuple[Output, ...]) -> None:
        """Report nodes and inputs that nothing uses, and training-only values used outside of training."""
        used = {value for node in self.nodes.values() for value in node.inputs}
        used |= {output.value for output in outputs}
        aside = {value for node in self.nodes.values() if node.training_only for value in node.outputs}
        for node in self.nodes.values():
            if not used & set(node.outputs):
                help = ("name it in a `from` or in `outputs`, or remove it",)
                message = f"nothing uses the output of `{node.name}`"
                self.fail(Problem("unused-node", message, help=help), self.span_of(node))
            if not node.training_only and aside & set(node.inputs):
                message = f"`{node.name}` is always there, but uses a node that exists in training alone"
                self.fail(Problem("misplaced-training-only", message), self.span_of(node))
        places = [name.span for name in self.spec.inputs] or [self.spec.span]
        for value, span in zip(sources, places, strict=True):
            if value not in used:
                help = ("name it in a `from`, or remove it",)
                self.fail(Problem("unused-input", f"nothing uses the input `{value.name}`", help=help), span)

    def span_of(self, node: Node) -> Span:
        return next((item.span for item in self.items if item.name == node.name), node.span)

    # Nodes -----------------------------------------------------------------------------------------------------------

    def node(self, item: _Item, inputs: tuple[Value, ...]) -> Node | None:
        """The node of an item, kept in `nodes`; None when it is absent (see `absent`) or has failed."""
        spec, elaborator = item.spec, self.elaborator
        context = self.scoped(item, inputs)
        types = tuple(value.type for value in inputs)
        elaborator.wiring = _Wiring(tuple(value.name for value in inputs), self.absence_notes(item))
        with elaborator.inside(item.name):
            try:
                reason = self.absence(spec, context)
                if reason is not None:
                    if len(inputs) == 0:
                        raise Problem("wrong-inputs", "a node without input cannot be left out by `if`")
                    self.absent[item.name] = reason
                    return None
                if spec.call is not None:
                    instance = self.shared(spec.call, types)
                elif spec.repeat is not None:
                    instance = self.repeated(item, context, types)
                else:
                    instance = elaborator.instance(spec, context, types)
            except Problem as problem:
                self.fail(problem, spec.span)
                return None
        if instance is None:
            self.failed = True
            return None
        labels = instance.names or tuple(str(i) for i in range(len(instance.outputs)))
        several = len(instance.outputs) > 1
        outputs = tuple(
            Value(f"{item.name}.{label}" if several else item.name, type)
            for label, type in zip(labels, instance.outputs, strict=True)
        )
        shares = spec.call.text if spec.call is not None else None
        node = Node(
            item.name, instance.kind, instance.target, inputs, outputs, item.spec.span, item.training_only, shares
        )
        self.nodes[item.name] = node
        return node

    def scoped(self, item: _Item, inputs: tuple[Value, ...]) -> Context:
        """The context of a node: `input`, and the shapes of the nodes that it mentions."""
        shapes = {"input": inputs[0].type} if inputs else {}
        for name in item.spec.shape_names:
            value = self.first(name)
            if value is not None and name not in item.context.scope:
                shapes[name] = value.type
        return item.context.extended(shapes) if shapes else item.context

    def absence(self, spec: NodeSpec, context: Context) -> str | None:
        """Why a node is not there, or None when it is."""
        if spec.condition is not None and not self.elaborator.condition(spec.condition, context, "if"):
            return f"`{spec.condition.text}` is false"
        if spec.parameter and spec.op is not None and context.scope.get(spec.op.text) is None:
            return f"`{spec.op.text}` is none"
        if spec.repeat is not None and self.copies(spec.repeat, context) == 0:
            return f"`repeat: {spec.repeat.text}` is 0"
        return None

    def absence_notes(self, item: _Item) -> tuple[str, ...]:
        if not self.absent:
            return ()
        names = [reference.text for reference in self.references(item)]
        return tuple(f"`{name}` is absent here: {self.absent[name]}" for name in names if name in self.absent)

    def shared(self, call: Scalar, types: tuple[TensorType, ...]) -> Instance | None:
        """The instance of a module that is called again."""
        owner = self.nodes.get(call.text)
        if owner is None:
            if call.text in self.values:
                if self.values[call.text] is None:
                    return None
                raise Problem("unknown-node", f"`{call.text}` is no node with a module to call").place(call.span)
            help = suggest(call.text, self.nodes)
            raise Problem("unknown-node", f"unknown node `{call.text}`", help=help).place(call.span)
        if owner.shares:
            help = (f"write `call: {owner.shares}`",)
            raise Problem("unknown-node", f"`{call.text}` has no module of its own", help=help).place(call.span)
        item = next(item for item in self.items if item.name == call.text)
        if len(types) != len(owner.inputs):
            raise Problem("wrong-inputs", f"`{call.text}` takes {_count(len(owner.inputs), 'input')}")
        context = self.scoped(item, (Value("", types[0]),)) if types else item.context
        if item.spec.repeat is not None:
            instance = self.repeated(item, context, types)
        else:
            instance = self.elaborator.instance(item.spec, context, types)
        if instance is None:
            return None
        if list(calls(instance.target, types)) != list(calls(owner.target, owner.input_types)):
            first, second = owner.input_types[0], types[0]
            message = f"`{call.text}` was made for {first} and would be another module for {second}"
            raise Problem("shape-mismatch", message).place(call.span)
        return instance

    # Repeats ---------------------------------------------------------------------------------------------------------

    def copies(self, repeat: Scalar, context: Context) -> int:
        count = self.elaborator.value(repeat, context)
        if isinstance(count, Word):
            raise unknown_name(count, context.scope).place(repeat.span)
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            message = f"`repeat` must be an integer of at least 0, got `{show(count)}`"
            raise Problem("wrong-type", message).place(repeat.span)
        if count > MAX_COPIES:
            raise Problem("value-too-large", f"`repeat: {count}` is more than {MAX_COPIES:,}").place(repeat.span)
        return count

    def repeated(self, item: _Item, context: Context, types: tuple[TensorType, ...]) -> Instance | None:
        """A body of copies, wired as a chain, or densely: each sees the input and all copies before it, joined."""
        spec = item.spec
        assert spec.repeat is not None
        if len(types) != 1:
            raise Problem("wrong-inputs", f"a repeated node takes one input, got {len(types)}").place(spec.repeat.span)
        count = self.copies(spec.repeat, context)
        own = {name for target in (loop_targets(spec.loop.targets) if spec.loop else ()) for name in _flat(target)}
        source = current = Value("x", types[0])
        nodes: list[Node] = []
        schedule: list[Node] = []
        for position in range(count):
            implicit = {"i": position, "first": position == 0, "last": position == count - 1}
            variables = {name: value for name, value in implicit.items() if name not in own}
            inner = context.extended({**variables, "input": current.type})
            name = str(position)
            if spec.copy_name is not None:
                name = fill(spec.copy_name.text, inner.scope)
                check_child_name(name)
                if any(node.name == name for node in nodes):
                    message = f"two copies have the name `{name}`"
                    raise Problem("name-taken", message, help=("use `{i}` in it",)).place(spec.copy_name.span)
            with self.elaborator.inside(name):
                instance = self.elaborator.instance(spec, inner, (current.type,))
            if instance is None:
                return None
            if len(instance.outputs) != 1:
                raise Problem("wrong-inputs", "a repeated node has one output").place(spec.span)
            node = Node(
                name, instance.kind, instance.target, (current,), (Value(name, instance.outputs[0]),), spec.span
            )
            nodes.append(node)
            schedule.append(node)
            current = node.outputs[0]
            if spec.dense:
                joined = self.joined(f"concat{position + 1}", node, spec)
                schedule.append(joined)
                current = joined.outputs[0]
        joins = [node for node in schedule if node not in nodes]
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

    def joined(self, name: str, node: Node, spec: NodeSpec) -> Node:
        """What a densely wired copy saw, with what it made behind it."""
        seen = (node.inputs[0], node.outputs[0])
        concat = self.elaborator.create(op_class("concat"), "concat", {}, self.context)
        (type,) = concat.outputs(*(value.type for value in seen))
        return Node(name, "concat", concat, seen, (Value(name, type),), spec.span)

    def fail(self, problem: Problem, span: Span) -> None:
        self.failed = True
        self.elaborator.reporter.report(problem.at(span, self.elaborator.at))


def calls(target: Op | Body, inputs: tuple[TensorType, ...]) -> Iterator[Any]:
    """What makes two modules interchangeable: the PyTorch call of every op in them, with names, in order."""
    if not isinstance(target, Body):
        yield target.torch(*inputs)
        return
    for node in target.schedule:
        yield node.name
        yield from calls(node.target, node.input_types)


def _flat(target: Any) -> Iterator[str]:
    if isinstance(target, str):
        yield target
    else:
        for inner in target:
            yield from _flat(inner)


def _input_shape(shape: Any) -> tuple[int, ...]:
    lengths = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    for length in lengths:
        if isinstance(length, bool) or not isinstance(length, int) or not 1 <= length <= MAX_AXIS:
            message = f"an axis of an input must be a positive integer, got `{show(length)}`"
            raise Problem("wrong-type", message, help=("leave out the batch axis: it is always there",))
    return lengths


def _fits(kind: str, value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind == "int":
        return number and isinstance(value, int)
    if kind == "number":
        return number
    if kind == "bool":
        return isinstance(value, bool)
    if kind == "size":
        items = value if isinstance(value, tuple) else (value,)
        return bool(items) and all(isinstance(item, int) and not isinstance(item, bool) for item in items)
    if kind == "list":
        return isinstance(value, tuple)
    if kind == "table":
        return isinstance(value, tuple) and all(isinstance(row, tuple) for row in value)
    return isinstance(value, str)


def _frozen(value: Any) -> Any:
    """Plain data as values of the language: lists become tuples, words stay words."""
    if isinstance(value, (list, tuple)):
        return tuple(_frozen(item) for item in value)
    return Word(value) if isinstance(value, str) else value


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, (NodeArgument, Word)) else value


def _plain_word(text: str, span: Span) -> Scalar:
    return Scalar(text, span)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _arity(cls: type[Op]) -> str:
    least, most = cls.arity
    if least == most:
        return _count(least, "input") if least else "no input"
    return f"at least {_count(least, 'input')}" if most is None else f"{least} to {most} inputs"
