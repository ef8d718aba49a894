"""Typed document in, graph out: blocks unrolled, references resolved, every shape inferred.

A node is elaborated in two steps. `Elaborator.instance` decides what it is for inputs of given types (an op, or a
body) and knows nothing of where it stands, so equal instances are made once and shared. `BodyBuilder` wires instances
into one body: names, inputs, order. A node that fails is reported once and marked; whatever depends on it stays silent.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

from netspec.arguments import arguments_of
from netspec.diagnostics import Problem, Reporter, Span, listing, suggest
from netspec.expressions import Word, bounded, evaluate, show, unknown_name, weight
from netspec.fields import word_choices
from netspec.graph import Body
from netspec.instances import MAX_AXIS, OpInstance, op_instance
from netspec.limits import TooLarge, charge, limits
from netspec.ops import OP_NAMES, op_class
from netspec.ops.base import Op
from netspec.parts import parse_node
from netspec.quantities import byte_size
from netspec.scope import Context, Copy, Instance, Level, NodeArgument, Scope, Use, Wiring, count_of
from netspec.shapes import BYTES, TensorType
from netspec.source import Scalar, Sequence, Source, is_null
from netspec.spec import KINDS, BlockSpec, BodySpec, NodeSpec, ParameterSpec, Spec
from netspec.wiring import BodyBuilder

MAX_SHOWN = 12  # names of a path in a message

_UNKNOWN: Any = object()  # not an instance, nor the None of one that failed


def elaborate(
    spec: Spec, reporter: Reporter, given: Mapping[str, Source | Any], shapes: Mapping[str, Any]
) -> Body | None:
    """The root body of `spec`.

    `given` overrides parameters and `shapes` overrides input shapes, by name; each value is plain data or a source
    tree. Returns None when a mistake leaves no body to go on with; mistakes are in `reporter`.
    """
    return Elaborator(reporter).network(spec, given, shapes)


class Elaborator:
    """Makes the instances of one compilation, each once."""

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self.path: list[Level] = []
        self.instances: dict[Any, Instance | None] = {}
        self.arguments: dict[int, NodeSpec] = {}
        self.nodes: dict[Any, NodeArgument] = {}
        self.blocks: dict[Any, Instance | None] = {}
        self.wiring = Wiring()
        self.limits = limits()
        self.sketch: Body | None = None  # what came before the mistake in the body that failed last
        self.count = 0
        self.level = 0

    # The network -----------------------------------------------------------------------------------------------------

    def network(self, spec: Spec, given: Mapping[str, Source | Any], shapes: Mapping[str, Any]) -> Body | None:
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
            self.reporter.error("unknown-input", f"there is no input `{name}`", None, help=help)
        if scope is None or len(inputs) != len(spec.inputs) or not inputs or (self.reporter.failed and unknown):
            return None
        instance = None
        with self.reporter.catch(block.body.span):
            instance = self.block_body(block, scope, tuple(inputs), root=True)
        if instance is None:
            return self.sketch
        if not isinstance(instance.target, Body):
            help = (f"write `graph: [{instance.kind}]`",)
            message = "`node` of a single op makes a block, and no network"
            self.reporter.error("misplaced-word", message, block.body.span, help=help)
            return None
        if instance.target.size > self.limits.nodes:
            message = f"the network unrolls into {instance.target.size:,} nodes, more than {self.limits.nodes:,}"
            self.reporter.error("network-too-large", message, block.body.span)
            return None
        needed = instance.target.parameters * BYTES["float32"]
        if needed > self.limits.memory:
            message = f"the parameters would need {byte_size(needed)}, more than {byte_size(self.limits.memory)}"
            self.reporter.error("network-too-large", message, block.body.span)
            return None
        return instance.target

    # Blocks and bodies -----------------------------------------------------------------------------------------------

    def parameters(self, block: BlockSpec, given: Mapping[str, Any], caller: Context) -> Scope | None:
        """Values of a block's parameters, or None when one is wrong.

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
                self.report(problem, span)
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
                result = self.node_argument(Scalar(result, parameter.span), context)
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
        context = Context(scope, block.namespace, block.holders)
        for key, source in block.let:
            try:
                value = self.value(source, context)
                if isinstance(value, Word):
                    raise unknown_name(value, scope)
                scope[key.text] = value
            except Problem as problem:
                self.report(problem, source.span)
                return None
        instance = self.body(block.body, context, inputs, block.name, root)
        made = instance.target if instance is not None else self.sketch
        if isinstance(made, Body):
            made.arguments = {name: _plain(value) for name, value in arguments.items()}
            made.about, made.reference = block.about, block.reference
        if instance is not None and isinstance(instance.target, Body):
            instance.target.init = (block.init, scope) if block.init else None
        return instance

    def body(
        self, spec: BodySpec, context: Context, inputs: tuple[TensorType, ...], kind: str, root: bool = False
    ) -> Instance | None:
        if self.level >= self.limits.levels:
            message = f"blocks inside blocks, more than {self.limits.levels:,} levels deep"
            raise Problem("too-deep", message, help=("does a block contain itself?",))
        self.level += 1
        try:
            builder = BodyBuilder(self, spec, context, kind, root)
            return builder.only(inputs) if spec.kind == "node" else builder.build(inputs)
        finally:
            self.level -= 1

    # Instances -------------------------------------------------------------------------------------------------------

    def instance(self, spec: NodeSpec, context: Context, inputs: tuple[TensorType, ...]) -> Instance | None:
        """What the node is, its words aside; None when it is wrong, which has been reported."""
        captured = tuple(map(context.scope.get, spec.names))
        charge(weight(captured))
        key = (spec, context.namespace, inputs, captured)
        known: Instance | None = self.instances.get(key, _UNKNOWN)
        if known is not _UNKNOWN:
            return known
        self.admit(spec.span)
        instance: Instance | None = None
        try:
            instance = self._instance(spec, context, inputs)
        except Problem as problem:
            self.report(problem, spec.span)
        self.instances[key] = instance
        return instance

    def _instance(self, spec: NodeSpec, context: Context, inputs: tuple[TensorType, ...]) -> Instance | None:
        if spec.body is not None:
            names = [name.text for name in spec.body.inputs] or ["x"]
            if len(names) != len(inputs):
                raise Problem("wrong-inputs", f"this group takes {count_of(len(names), 'input')}, got {len(inputs)}")
            if spec.body.kind == "chain":
                return self.body(spec.body, context, inputs, "chain")
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
            if name not in namespace and not namespace.incomplete:
                help = suggest(name, namespace.known)
                raise Problem("unknown-op", f"unknown op or block `{name}`", help=help)
            return None
        return self._block(block, spec, context, inputs)

    def _block(
        self, block: BlockSpec, spec: NodeSpec, context: Context, inputs: tuple[TensorType, ...]
    ) -> Instance | None:
        expected = len(block.body.inputs)
        if len(inputs) != expected:
            help = ("list them in `from`",)
            message = f"`{block.name}` takes {count_of(expected, 'input')}, got {len(inputs)}"
            raise Problem("wrong-inputs", message, help=help)
        given = arguments_of(spec, block)
        scope = self.parameters(block, given, context)
        if scope is None:
            return None
        values = tuple(scope.values())
        charge(weight(values))
        key = (block, inputs, values)
        if key not in self.blocks:
            with self.inside("", Use(block.name, spec.span)):
                self.blocks[key] = self.block_body(block, scope, inputs)
        return self.blocks[key]

    def _op(self, name: str, spec: NodeSpec, context: Context, inputs: tuple[TensorType, ...]) -> Instance | None:
        cls = op_class(name)
        sources = arguments_of(spec, name)
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
                self.report(problem, source.span)
                failed = True
        if failed:
            return None
        try:
            made = op_instance(name, values, inputs)
        except Problem as problem:
            at_fault = problem.argument or ""
            wrong = values.get(at_fault)
            if isinstance(wrong, Word) and not problem.help and not word_choices(cls, at_fault):
                problem = unknown_name(wrong, context.scope)
            problem.place(sources[at_fault].span if at_fault in sources else spec.span)
            problem.message = problem.message.replace("{op}", f"`{name}`")
            raise self.wiring.explain(problem, inputs) from None
        if made.demand > self.limits.memory:
            raise self.too_large(name, made)
        return made.instance

    def too_large(self, name: str, made: OpInstance) -> Problem:
        """The problem of an op whose parameters, or what it gives, are more than any machine holds."""
        needed, largest = byte_size(made.state), byte_size(made.largest.bytes)
        notes = (f"its parameters would need {needed}, and what it gives {largest}",)
        if made.demand == inf:
            message = f"`{name}` gives {made.largest}, longer than an axis can be"
            return Problem("value-too-large", message, notes=notes)
        message = f"`{name}` needs more than {byte_size(self.limits.memory)} of memory"
        return Problem("network-too-large", message, notes=notes)

    # Values ----------------------------------------------------------------------------------------------------------

    def value(self, source: Source, context: Context) -> Any:
        """The value of a source tree: numbers, booleans, words, and tuples of them. Raises `Problem`."""
        if isinstance(source, Scalar):
            if is_null(source):
                return None
            try:
                return evaluate(source.text, context.scope)
            except (Problem, TooLarge) as problem:
                raise problem.place(source.inner) from None
        if isinstance(source, Sequence):
            return bounded(tuple([self.value(item, context) for item in source.items]))
        raise Problem("wrong-type", "expected a number, a word or a list here, got a mapping").place(source.span)

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
            self.arguments[id(source)] = parse_node(source, context.namespace, self.reporter, context.holders)
        spec = self.arguments[id(source)]
        captured = tuple(map(context.scope.get, spec.names))
        return self.nodes.setdefault((id(spec), captured), NodeArgument(spec, context))

    def condition(self, source: Scalar | None, context: Context, *, default: bool) -> bool:
        """The value of an `if` or `training_only`, or the default where there is none. Raises `Problem`."""
        if source is None:
            return default
        value = self.value(source, context)
        if isinstance(value, Word):
            raise unknown_name(value, context.scope).place(source.inner)
        if isinstance(value, TensorType):
            message = f"a condition is true or false, but this is a value of shape {value}"
            raise Problem("wrong-type", message).place(source.inner)
        return bool(value)

    # Limits and places ------------------------------------------------------------------------------------------------

    def admit(self, span: Span) -> None:
        """Count a step of the elaboration. Raises `TooLarge` when a spec asks for too many."""
        self.count += 1
        if self.count > self.limits.steps:
            raise TooLarge(f"the network unrolls into more than {self.limits.steps:,} steps", span)

    def report(self, problem: Problem, span: Span) -> None:
        """Report a problem of the node at hand, at its own place or else at `span`."""
        self.reporter.report(problem.at(span, self.at, self.uses))

    @property
    def at(self) -> str:
        """The path of the node at hand, and the innermost block and copy that it is in."""
        names = [level.name for level in self.path if level.name]
        if len(names) > MAX_SHOWN:
            names = [*names[: MAX_SHOWN - 2], "…", names[-1]]
        origins = [level.origin for level in reversed(self.path)]
        around = [next((str(origin) for origin in origins if isinstance(origin, kind)), "") for kind in (Use, Copy)]
        return ", ".join(filter(None, [".".join(names), *around]))

    @property
    def uses(self) -> tuple[Span, ...]:
        """Where the blocks around the node at hand are used, the innermost first."""
        return tuple(level.origin.span for level in reversed(self.path) if isinstance(level.origin, Use))

    def inside(self, name: str, origin: Use | Copy | None = None) -> _Inside:
        """The context in which `name` is the last step of the way to the node at hand."""
        return _Inside(self.path, Level(name, origin))


class _Inside:
    """A level at the end of a path, for the time of a `with`. Written out, since every node of a network has one."""

    __slots__ = ("level", "path")

    def __init__(self, path: list[Level], level: Level) -> None:
        self.path = path
        self.level = level

    def __enter__(self) -> None:
        self.path.append(self.level)

    def __exit__(self, *_: object) -> None:
        self.path.pop()


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


def _arity(cls: type[Op]) -> str:
    least, most = cls.arity
    if least == most:
        return count_of(least, "input") if least else "no input"
    return f"at least {count_of(least, 'input')}" if most is None else f"{least} to {most} inputs"
