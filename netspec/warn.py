"""Warnings: what is legal in a spec, but likely wrong. The last stage; it changes nothing.

In go the typed document and its graph, out come diagnostics in the order of the file. A rule is a function that yields
them. It speaks of the file at hand alone, never of one that it extends or imports, and of a node only where all that
became of it agrees. A rule about a default stays silent where the argument is written out: that says it is meant.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from functools import cached_property
from typing import NamedTuple

from netspec.arguments import bind, op_signature
from netspec.diagnostics import Diagnostic, SourceFile, Span
from netspec.expressions import loop_names, names_in
from netspec.graph import Body, Graph, Node, Output, Value
from netspec.limits import in_force, limits
from netspec.ops import OP_NAMES
from netspec.schedules import constant_conditions
from netspec.source import Source
from netspec.spec import BlockSpec, BodySpec, Entry, Spec, entries_below, scalars
from netspec.windows import Reach

_BIASED = frozenset({"conv", "conv_transpose", "linear"})
_CENTERING = frozenset({"batch_norm", "instance_norm"})  # subtract the mean of each channel, and with it a bias
_WINDOWED = {
    "conv": "pad the input, or write `padding: 0` where that is meant",
    **dict.fromkeys(
        ("max_pool", "avg_pool", "lp_pool"),
        "`ceil_mode: true` reads the rest; write `ceil_mode: false` where leaving it out is meant",
    ),
}
"""Ops that slide a window, and what helps where it leaves out a part of the input."""


def warn(spec: Spec, graph: Graph) -> tuple[Diagnostic, ...]:
    """What is likely wrong in the file of `spec`, each mistake once, in the order of the file."""
    written: _Written = spec.doubts or _Written(spec)
    spec.doubts = written
    made = _Made.of(graph.root, written)
    found = [
        *written.doubts,
        *unused_node(made),
        *unused_input(made),
        *unused_output(made),
        *bias_before_norm(made),
        *dropped_columns(made),
    ]
    own = {item._replace(level="warning") for item in found if item.span is not None and item.span.file is written.file}
    return tuple(sorted(own, key=lambda item: item.span[1:] if item.span else ()))


# The text ------------------------------------------------------------------------------------------------------------


class _Written:
    """The network of a spec and its own blocks, as they stand in the file: the same for every graph of the spec."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec

    @property
    def file(self) -> SourceFile:
        return self.spec.network.span.file

    @cached_property
    def blocks(self) -> tuple[BlockSpec, ...]:
        own = self.spec.network.namespace.parsed.values()
        return (self.spec.network, *(block for block in own if block is not None))

    @cached_property
    def doubts(self) -> tuple[Diagnostic, ...]:
        """What is likely wrong whatever the parameters are. The work for it is bounded, and charged to nobody."""
        rules = (
            shadowed_op,
            unused_block,
            unused_import,
            unused_parameter,
            unused_let,
            unused_loop_variable,
            constant_condition,
        )
        with in_force(limits()):
            return tuple(diagnostic for rule in rules for diagnostic in rule(self))

    @cached_property
    def values(self) -> dict[BlockSpec, frozenset[str]]:
        """What each block mentions where a value is expected."""
        needs = [key.text for key, _ in self.spec.weights.needs] if self.spec.weights else []
        outside = {*needs, *(name for item in self.spec.inputs for name in _names_in(item.shape))}
        own = {block: frozenset(_block_values(block)) for block in self.blocks}
        return own | {self.spec.network: own[self.spec.network] | outside}

    @cached_property
    def names(self) -> dict[BlockSpec, frozenset[str]]:
        """What each block mentions as a value or a node."""
        return {block: values | frozenset(_ops(block.body)) for block, values in self.values.items()}

    @cached_property
    def entries(self) -> dict[Span, Entry]:
        """The nodes of the file by the place that a graph knows them by."""
        below = (entry for block in self.blocks for entry in entries_below(block.body))
        return {entry.node.span: entry for entry in below if entry.node.span.file is self.file}

    @cached_property
    def bodies(self) -> dict[Span, BodySpec]:
        inline = (entry.node.body for entry in self.entries.values() if entry.node.body is not None)
        return {body.span: body for body in (*(block.body for block in self.blocks), *inline)}


def _block_values(block: BlockSpec) -> Iterator[str]:
    for _, value in block.let:
        yield from _names_in(value)
    for parameter in block.parameters.values():
        yield from parameter.choices
        if parameter.default is not None:
            yield from _names_in(parameter.default)
    for rule in block.init:
        for _, value in rule.initializers:
            yield from _names_in(value)
    yield from _body_values(block.body)


def _body_values(body: BodySpec) -> Iterator[str]:
    for entry in entries_below(body):
        yield from _entry_values(entry)
        if entry.node.loop is not None:
            yield from names_in(entry.node.loop.table.text)


def _entry_values(entry: Entry) -> Iterator[str]:
    """The names in the arguments, words and templates of an entry, the table of its loop and what is below it aside."""
    node = entry.node
    arguments = [value for _, value in node.named]
    for source in (node.positional, *arguments, node.condition, node.repeat, node.training_only):
        if source is not None:
            yield from _names_in(source)
    for name in (entry.name, node.copy_name, node.call, *(node.inputs or ())):
        if name is not None and "{" in name.text:
            yield from names_in(name.text)


def _ops(body: BodySpec) -> Iterator[str]:
    return (entry.node.op.text for entry in entries_below(body) if entry.node.op is not None)


def _names_in(source: Source) -> Iterator[str]:
    for scalar in scalars(source):
        yield from names_in(scalar.text)


def shadowed_op(written: _Written) -> Iterator[Diagnostic]:
    """A parameter that holds a node or word, and has the name of an op or block, which cannot be meant any more."""
    for block in written.blocks:
        for parameter in block.parameters.values():
            name = parameter.name
            if parameter.kind in ("name", "node") and (name in OP_NAMES or name in block.namespace):
                what = "op" if name in OP_NAMES else "block"
                notes = (f"a node `{name}` is the parameter here, never the {what}",)
                message = f"the parameter `{name}` hides the {what} of that name"
                yield Diagnostic("shadowed-op", message, parameter.span, notes=notes, help=("choose another name",))


def unused_block(written: _Written) -> Iterator[Diagnostic]:
    """A block of the spec that no other part of it mentions."""
    for block in written.blocks[1:]:
        if not any(block.name in names for user, names in written.names.items() if user is not block):
            message = f"nothing uses the block `{block.name}`"
            yield Diagnostic("unused-block", message, block.span, help=("use it, or remove it",))


def unused_import(written: _Written) -> Iterator[Diagnostic]:
    """A file of which the spec mentions no block."""
    namespace = written.spec.network.namespace
    mentioned = {name for names in written.names.values() for name in names}
    for item, blocks in namespace.imports:
        if not mentioned & set(blocks):
            message = f"nothing uses a block of `{item.text}`"
            yield Diagnostic("unused-import", message, item.span, help=("use one, or remove it from `imports`",))


def unused_parameter(written: _Written) -> Iterator[Diagnostic]:
    """A parameter that changes nothing. A block that is handed over as a value must take what it is given."""
    handed_over = {name for values in written.values.values() for name in values}
    for block, names in written.names.items():
        if block is not written.spec.network and block.name in handed_over:
            continue
        for parameter in block.parameters.values():
            if parameter.name not in names:
                of = "" if block is written.spec.network else f" of `{block.name}`"
                message = f"nothing uses the parameter `{parameter.name}`{of}"
                yield Diagnostic("unused-parameter", message, parameter.span, help=("use it, or remove it",))


def unused_let(written: _Written) -> Iterator[Diagnostic]:
    """A value of `let` that nothing asks for."""
    for block, names in written.names.items():
        for key, _ in block.let:
            if key.text not in names:
                message = f"nothing uses `{key.text}`, which `let` defines"
                yield Diagnostic("unused-let", message, key.span, help=("use it, or remove it",))


def unused_loop_variable(written: _Written) -> Iterator[Diagnostic]:
    """A variable of a `for` that the node does not mention; `_` says that it is meant."""
    for entry in written.entries.values():
        loop = entry.node.loop
        if loop is None:
            continue
        mentioned = {*_entry_values(entry), *([entry.node.op.text] if entry.node.op is not None else ())}
        for body in (entry.node.body, entry.node.splice):
            mentioned |= {*_body_values(body), *_ops(body)} if body is not None else set()
        for name in loop_names(loop.targets):
            if name not in mentioned and not name.startswith("_"):
                message = f"nothing uses the loop variable `{name}`"
                help = ("use it, or write `_` in its place",)
                start = next(m.start() for m in re.finditer(r"\w+", loop.targets) if m[0] == name)
                span = loop.span.within(start, start + len(name))
                yield Diagnostic("unused-loop-variable", message, span, help=help)


def constant_condition(written: _Written) -> Iterator[Diagnostic]:
    """A condition on loop variables that is the same for every row or copy, whatever the parameters are."""
    for block in written.blocks:
        for condition in constant_conditions(block.body):
            always = "always true" if condition.value else "never true"
            message = f"`{condition.text}` is {always}"
            help = ("correct it, or remove what it decides",)
            yield Diagnostic("constant-condition", message, condition.span, condition.reason, help=help)


# The graph -----------------------------------------------------------------------------------------------------------


class _Occurrence(NamedTuple):
    """A node of the graph in its body, and its path, or one of its paths where equal bodies are shared."""

    node: Node
    body: Body
    path: str


class _Made:
    """What became of the nodes and bodies of the file, by their places in it. Shared bodies are looked at once."""

    def __init__(self, written: _Written) -> None:
        self.written = written
        self.nodes: dict[Span, list[_Occurrence]] = {}
        self.bodies: dict[Span, list[Body]] = {}
        self.readers: dict[Value, list[Node | Output]] = {}
        self.called_again: set[tuple[Body, str]] = set()  # the modules that a node of the body shares

    @classmethod
    def of(cls, root: Body, written: _Written) -> _Made:
        made = cls(written)
        pending, seen = [(root, "")], {root}
        for body, prefix in pending:  # it grows on the way
            if body.span in written.bodies:
                made.bodies.setdefault(body.span, []).append(body)
            for output in body.outputs:
                made.readers.setdefault(output.value, []).append(output)
            for node in body.nodes:
                made.add(node, body, prefix + node.name)
                if isinstance(node.target, Body) and node.target not in seen:
                    seen.add(node.target)
                    pending.append((node.target, f"{prefix}{node.name}."))
        return made

    def add(self, node: Node, body: Body, path: str) -> None:
        for value in node.inputs:
            self.readers.setdefault(value, []).append(node)
        if node.shares:
            self.called_again.add((body, node.shares))
        if node.span in self.written.entries:
            self.nodes.setdefault(node.span, []).append(_Occurrence(node, body, path))

    def ops(self, kinds: Container[str], meant_by: frozenset[str]) -> Iterator[tuple[Entry, list[_Occurrence]]]:
        """The nodes written as ops of these kinds, none of the arguments `meant_by` among theirs."""
        for span, occurrences in self.nodes.items():
            entry = self.written.entries[span]
            op = entry.node.op
            if op is not None and op.text in kinds and not entry.node.parameter:
                found = [occurrence for occurrence in occurrences if occurrence.node.kind == op.text]
                if found and not meant_by & bind(op_signature(op.text), entry.node).keys():
                    yield entry, found


def unused_node(made: _Made) -> Iterator[Diagnostic]:
    """A node whose output nothing reads."""
    for span, occurrences in made.nodes.items():
        outer = [occurrence for occurrence in occurrences if not occurrence.body.repeated]
        if outer and not any(value in made.readers for occurrence in outer for value in occurrence.node.outputs):
            name = made.written.entries[span].name
            message = f"nothing uses the output of `{outer[0].node.name}`"
            help = ("name it in a `from` or in `outputs`, or remove it",)
            yield Diagnostic("unused-node", message, name.span if name else span, help=help)


def unused_input(made: _Made) -> Iterator[Diagnostic]:
    """An input of the network, of a block or of a group that nothing in it reads, nor asks for its shape."""
    for span, bodies in made.bodies.items():
        written = made.written.bodies[span]
        places = {name.text: name.span for name in written.inputs} or {"x": span}
        for position, (name, place) in enumerate(places.items()):
            read = any(body.inputs[position] in made.readers for body in bodies)
            if not read and not any(name in entry.node.shape_names for entry in entries_below(written)):
                message = f"nothing uses the input `{name}`"
                yield Diagnostic("unused-input", message, place, help=("name it in a `from`, or remove it",))


def unused_output(made: _Made) -> Iterator[Diagnostic]:
    """One of several outputs of a block or group that none of its uses reads."""
    read: dict[Span, set[str]] = {}
    for occurrences in made.nodes.values():
        for node, _, _ in occurrences:
            if isinstance(node.target, Body) and node.target.span in made.bodies:
                pairs = zip(node.target.outputs, node.outputs, strict=True)
                names = {output.name for output, value in pairs if value in made.readers}
                read.setdefault(node.target.span, set()).update(names)
    for span, names in read.items():
        outputs = made.written.bodies[span].outputs
        for name, reference in outputs.entries if outputs is not None and names else ():
            if name not in names:
                message = f"nothing uses the output `{name}`"
                yield Diagnostic("unused-output", message, reference.span, help=("read it, or remove it",))


def bias_before_norm(made: _Made) -> Iterator[Diagnostic]:
    """A bias, there by default, that the one reader of the output subtracts again."""
    for entry, occurrences in made.ops(_BIASED, frozenset({"bias"})):
        norms = [_centered_by(occurrence, made) for occurrence in occurrences]
        if all(norms):
            message = f"the bias of `{occurrences[0].node.kind}` has no effect"
            label = f"`{norms[0]}` subtracts it again"
            help = ("write `bias: false`, or `bias: true` where it is meant",)
            yield Diagnostic("bias-before-norm", message, entry.node.span, label, occurrences[0].path, help=help)


def _centered_by(occurrence: _Occurrence, made: _Made) -> str:
    """The norm that takes away what a bias adds, or nothing."""
    node, body, _ = occurrence
    (value,) = node.outputs
    by_channel = node.kind != "linear" or value.type.rank == 1
    if not by_channel or node.shares or (body, node.name) in made.called_again:
        return ""
    match made.readers.get(value):
        case [Node(kind=kind)] if kind in _CENTERING:
            return kind
    return ""


def dropped_columns(made: _Made) -> Iterator[Diagnostic]:
    """Windows that do not overlap, so that what is left at the end, or between them, is read by none.

    Published networks take samples with a kernel of 1, and have windows that overlap leave out a last column.
    """
    for entry, occurrences in made.ops(_WINDOWED, frozenset({"padding", "dilation", "ceil_mode"})):
        for node, _, path in occurrences:
            size, read = node.inputs[0].type.spatial, _positions_read(node)
            if read == size:
                continue
            message = f"`{node.kind}` reads {_times(read)} of {_times(size)}"
            yield Diagnostic("dropped-columns", message, entry.node.span, "", path, help=(_WINDOWED[node.kind],))
            break


def _positions_read(node: Node) -> tuple[int, ...]:
    """How many positions of each axis are read by windows that do not overlap; all of them by those that do."""
    assert not isinstance(node.target, Body), "it was written as an op"
    _, *reaches = node.target.reach(*node.input_types)[0]
    axes = zip(node.inputs[0].type.spatial, reaches, node.outputs[0].type.spatial, strict=True)
    return tuple(
        reach.size * windows if isinstance(reach, Reach) and 1 < reach.size <= reach.step else size
        for size, reach, windows in axes
    )


def _times(numbers: tuple[int, ...]) -> str:
    return "×".join(map(str, numbers))
