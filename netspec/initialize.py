"""Which initializer each parameter gets: the `init` rules of the network and of its blocks, resolved.

A rule selects modules by the name of an op, or by path, relative to the network or block it stands in; `*` stands for
one name of a path and `**` for any number. Of several rules that fit, a path beats an op. Among paths the outermost
table wins, so a network can overrule a block it uses, and in one table the last. Among ops the innermost table wins. A
parameter that no rule names keeps PyTorch's own initialization.

Rules act as constructors do: those of a block when the block is built, those of the network in the end. A rule that is
overruled from outside by a path acts all the same, and its draw is drawn again, so random numbers are spent in the
order in which PyTorch's own models spend them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from netspec.diagnostics import Problem, Reporter, suggest
from netspec.expressions import Word, evaluate, types_of, unknown_name
from netspec.fields import create, word_choices
from netspec.graph import Body, Graph, Node, node_state
from netspec.initializers import INITIALIZERS, Initializer
from netspec.ops import OP_NAMES
from netspec.ops.base import Op, State
from netspec.paths import PathPattern
from netspec.source import Mapping, Scalar, Sequence, Source, is_null
from netspec.spec import InitRule, Spec

_USUAL = frozenset({"weight", "bias", "value"})  # may be missing from some of the modules that a rule selects


class Assignment(NamedTuple):
    """`initializer` fills `parameter` of the module at `path`; a learned parameter is named by its path alone.

    It acts when the body at `owner` is built: the network for the empty path. A learned parameter has no constructor
    that fills it, so its first initializer acts when it is made, and it is its own owner.
    """

    path: str
    parameter: str
    initializer: Initializer
    owner: str = ""


def initialize(spec: Spec, root: Body, reporter: Reporter) -> Graph:
    """The graph of `root`, with the initialization rules of `spec` resolved. Mistakes go to `reporter`."""
    resolver = _Resolver(reporter)
    assignments = tuple(resolver.resolve(root))
    network = spec.network
    return Graph(network.name, root, network.about, network.reference, assignments)


class _Table:
    """The rules of one network or block instance, whose paths start at `base`."""

    def __init__(self, base: str, rules: tuple[InitRule, ...], scope: dict[str, Any]) -> None:
        self.base = base
        self.rules = rules
        self.scope = scope
        self.ops = {rule.selector.text: rule for rule in rules if rule.selector.text in OP_NAMES}
        self.paths = [(PathPattern(r.selector.text), r) for r in rules if r.selector.text not in OP_NAMES]


class _Resolver:
    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self.known: dict[Any, tuple[tuple[str, Initializer], ...]] = {}
        self.matched: set[InitRule] = set()
        self.offered: dict[tuple[InitRule, str], set[str]] = {}
        self.scopes: list[_Table] = []
        self.initializers: dict[Any, Initializer] = {}

    def resolve(self, root: Body) -> Iterator[Assignment]:
        top = _Table("", *(root.init or ((), {})))
        pending: list[tuple[str, Node, tuple[_Table, ...]]] = [("", node, (top,)) for node in reversed(root.nodes)]
        self.scopes.append(top)
        self.note_absent("", root, (top,))
        while pending:
            prefix, node, tables = pending.pop()
            if node.shares:
                continue
            path = prefix + node.name
            if isinstance(node.target, Body):
                if node.target.init is not None:
                    table = _Table(path + ".", *node.target.init)
                    self.scopes.append(table)
                    tables = (*tables, table)
                self.note_absent(path + ".", node.target, tables)
                pending.extend((path + ".", child, tables) for child in reversed(node.target.nodes))
                continue
            filled: frozenset[str] = frozenset()
            for table in reversed(tables):
                found = self.op(path, node, node.target, table, filled)
                for parameter, initializer in found:
                    own = node.kind == "parameter" and not filled
                    yield Assignment(path, parameter, initializer, path if own else table.base[:-1])
                filled |= {parameter for parameter, _ in found}
        self.check_rules()

    def note_absent(self, prefix: str, body: Body, tables: tuple[_Table, ...]) -> None:
        """A rule for a node that `if` has left out is not a mistake."""
        for table in tables if body.absent else ():
            for _, rule in table.paths:
                selected = table.base + rule.selector.text + "."
                if any(selected.startswith(f"{prefix}{name}.") for name in body.absent):
                    self.matched.add(rule)

    def op(
        self, path: str, node: Node, op: Op, table: _Table, filled: frozenset[str]
    ) -> tuple[tuple[str, Initializer], ...]:
        """What one table says of an op's parameters, in the order its rules name them.

        `filled` are the parameters that tables further in have a rule for: a rule by op leaves them alone.
        """
        by_op = [table.ops[node.kind]] if node.kind in table.ops else []
        by_path = [rule for pattern, rule in reversed(table.paths) if pattern.matches(path, len(table.base))]
        if not by_op and not by_path:
            return ()
        key = (id(op), node.input_types, table, *map(id, by_path), filled)
        if key not in self.known:
            rules = [(rule, frozenset[str]()) for rule in by_path] + [(rule, filled) for rule in by_op]
            self.known[key] = tuple(self.assign(node, op, table, rules))
        return self.known[key]

    def assign(
        self, node: Node, op: Op, table: _Table, rules: list[tuple[InitRule, frozenset[str]]]
    ) -> Iterator[tuple[str, Initializer]]:
        """What `rules`, the strongest first, say of an op's parameters; each with those that it leaves alone."""
        states = {name or "value": state for name, state in node_state(node).items() if state.trainable}
        done: set[str] = set()
        for rule, left_alone in rules:
            self.matched.add(rule)
            done |= left_alone
            for key, source in rule.initializers:
                self.offered.setdefault((rule, key.text), set()).update(states)
                if key.text in done or key.text not in states:
                    continue
                done.add(key.text)
                try:
                    initializer = self.initializer(rule, source, {**table.scope, **_facts(node, op, states[key.text])})
                    initializer.check(states[key.text].shape)
                    yield key.text, initializer
                except Problem as problem:
                    self.reporter.report(problem.at(source.span))

    def initializer(self, rule: InitRule, source: Source, scope: dict[str, Any]) -> Initializer:
        """The initializer that a rule says, made once for the values that it mentions. Raises `Problem`."""
        captured = tuple(map(scope.get, rule.names))
        key = (source, captured, types_of(captured))
        if key not in self.initializers:
            self.initializers[key] = _initializer(source, scope)
        return self.initializers[key]

    def check_rules(self) -> None:
        """Report path rules that select nothing, and parameters that no selected module has."""
        for rule in dict.fromkeys(rule for table in self.scopes for rule in table.rules):
            selector = rule.selector
            if rule not in self.matched and selector.text not in OP_NAMES:
                help = suggest(selector.text, OP_NAMES, "the op") or ("a path is made of node names and dots",)
                message = f"no module with parameters is called `{selector.text}`"
                self.reporter.error("unmatched-init", message, selector.span, help=help)
            for key, _ in rule.initializers:
                offered = self.offered.get((rule, key.text))
                if offered is not None and key.text not in offered and key.text not in _USUAL:
                    help = suggest(key.text, offered)
                    message = f"`{selector.text}` has no parameter `{key.text}`"
                    self.reporter.error("unknown-argument", message, key.span, help=help)


def _facts(node: Node, op: Op, state: State) -> dict[str, Any]:
    """What an expression in a rule may ask of the module it fills."""
    facts: dict[str, Any] = dict(vars(op))
    if node.inputs:
        facts["input"] = node.inputs[0].type
    if len(state.shape) > 1:
        outer, inner, *rest = state.shape
        field_size = State(tuple(rest)).elements
        facts |= {"fan_in": inner * field_size, "fan_out": outer * field_size}
    return facts


def _initializer(source: Source, scope: dict[str, Any]) -> Initializer:
    """`zeros`, `{constant: 0.5}` or `{normal: {std: 0.01}}` as an initializer. Raises `Problem`."""
    name: Scalar
    arguments: Source | None = None
    if is_null(source):
        raise Problem("wrong-type", "an initializer is missing here", help=("such as `zeros`",))
    if isinstance(source, Scalar):
        name = source
    elif isinstance(source, Mapping) and len(source.entries) == 1:
        name, arguments = source.entries[0]
    else:
        raise Problem("wrong-type", "an initializer is a name, or a name with arguments", help=("such as `zeros`",))
    if name.text not in INITIALIZERS:
        help = suggest(name.text, INITIALIZERS)
        raise Problem("unknown-initializer", f"unknown initializer `{name.text}`", help=help).place(name.span)
    model = INITIALIZERS[name.text]
    sources: dict[str, Source] = {}
    if isinstance(arguments, Mapping):
        sources = {key.text: value for key, value in arguments.entries}
    elif arguments is not None and not is_null(arguments):
        items = arguments.items if isinstance(arguments, Sequence) else [arguments]
        if len(items) > len(model.fields()):
            raise Problem("too-many-arguments", f"`{name.text}` takes {len(model.fields())} arguments")
        sources = dict(zip(model.fields(), items, strict=False))
    values: dict[str, Any] = {}
    for argument, value in sources.items():
        if not isinstance(value, Scalar):
            raise Problem("wrong-type", f"`{argument}` takes a single value").place(value.span)
        if value.text in word_choices(model, argument):
            values[argument] = value.text
            continue
        try:
            values[argument] = evaluate(value.text, scope)
            if isinstance(values[argument], Word) and not word_choices(model, argument):
                raise unknown_name(values[argument], scope)
        except Problem as problem:
            raise problem.place(value.inner) from None
    try:
        return create(model, name.text, values)
    except Problem as problem:
        at = sources.get(problem.argument or "", source)
        raise problem.place(at.span) from None
