"""The wiring of one body: loops unrolled, names and inputs resolved, nodes put in the order they run."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, NamedTuple

from netspec.diagnostics import Problem, Span, listing, suggest
from netspec.expressions import Word, fill, loop_targets, show, unknown_name, unpack
from netspec.graph import Body, Node, Output, Value
from netspec.limits import limits
from netspec.names import check_node_name
from netspec.order import Cycle, run_order, standing
from netspec.paths import enclosing
from netspec.repeats import copies, failing, repeated
from netspec.scope import Context, Instance, Wiring, count_of
from netspec.shapes import TensorType
from netspec.sharing import interchangeable
from netspec.source import Scalar
from netspec.spec import BodySpec, Entry, NodeSpec

if TYPE_CHECKING:
    from netspec.elaborate import Elaborator


class _Item(NamedTuple):
    """An entry of a body after its loops are unrolled: one node under one name."""

    name: str
    spec: NodeSpec
    context: Context
    span: Span
    training_only: bool = False

    @property
    def aside(self) -> bool:
        """Off the main path, so never the default input of the node after it."""
        return self.training_only or self.spec.takes_nothing


def split_reference(text: str, known: Collection[str]) -> tuple[str, str]:
    """`node` or `node.output` as name and output. No known name begins with another and a dot, so there is one way."""
    name, _, output = text.rpartition(".")
    return (name, output) if name in known else (text, "")


class BodyBuilder:
    """Wires the instances of one body."""

    def __init__(self, elaborator: Elaborator, spec: BodySpec, context: Context, kind: str, root: bool = False) -> None:
        self.elaborator = elaborator
        self.spec = spec
        self.context = context
        self.kind = kind
        self.root = root
        self.items: list[_Item] = []
        self.by_name: dict[str, _Item] = {}  # the items of a graph
        self.taken: set[str] = set()
        self.holders: set[str] = set()  # modules that nodes with dots in their names stand in
        self.values: dict[str, tuple[Value, ...] | None] = {}  # None: it failed
        self.nodes: dict[str, Node] = {}
        self.absent: dict[str, str] = {}  # name of a node that is not there, and why
        self.broken: dict[str, Node] = {}  # nodes that failed, for a picture of the mistake
        self.failed = False

    def build(self, inputs: tuple[TensorType, ...]) -> Instance | None:
        names = [name.text for name in self.spec.inputs] or ["x"]
        sources = tuple(Value(name, type) for name, type in zip(names, inputs, strict=True))
        self.taken = set(names)
        self.expand(self.spec.entries, self.context)
        chain = self.spec.kind == "chain"
        outputs = self.chain(sources) if chain else self.graph(sources)
        if self.failed or outputs is None:
            nodes = (*self.nodes.values(), *self.broken.values())
            self.elaborator.sketch = Body(self.kind, "graph", sources, nodes, nodes, (), self.spec.span)
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
            message = "`for`, `if` and `training_only` need a graph around the node"
            self.fail(Problem("misplaced-word", message), spec.span)
            return None
        node = self.node(item, sources)
        if "" in self.absent:
            problem = Problem("empty-node", f"nothing is left of `{self.kind}`: {self.absent['']}")
            self.fail(problem, spec.repeat.span if spec.repeat else spec.span)
        if node is None or self.failed:
            failed = self.broken.get("")
            self.elaborator.sketch = failed.target if failed and isinstance(failed.target, Body) else None
            return None
        if isinstance(node.target, Body) and node.target.repeated:
            node.target.kind = self.kind
            return Instance(self.kind, node.target, node.output_types)
        return Instance(node.kind, node.target, node.output_types)

    def written(self) -> tuple[Node, ...]:
        """The nodes in the order of the file, a merge last, whatever order they run in."""
        names = [*(item.name for item in self.items), *self.nodes]
        order = standing(names) if self.holders else {name: place for place, name in enumerate(dict.fromkeys(names))}
        return tuple(sorted(self.nodes.values(), key=lambda node: order[node.name]))

    # Unrolling -------------------------------------------------------------------------------------------------------

    def expand(self, entries: tuple[Entry, ...], context: Context) -> None:
        """Unroll the loops of `entries` into `items`, leaving out what `if` rules out."""
        for entry in entries:
            spec = entry.node
            span = entry.name.span if entry.name else spec.span
            try:
                for inner in self.rows(spec, context):
                    if spec.splice is not None:
                        if self.elaborator.condition(spec.condition, inner, default=True):
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
        most = limits().copies
        if len(table) > most:
            raise Problem("value-too-large", f"{len(table):,} rows, more than {most:,}").place(spec.loop.span)
        targets = loop_targets(spec.loop.targets)
        for row in table:
            self.elaborator.admit(spec.span)
            try:
                variables = dict(unpack(targets, row))
            except Problem as problem:
                raise problem.place(spec.loop.span) from None
            yield context.extended(variables)

    def add(self, entry: Entry, context: Context, span: Span) -> None:
        self.elaborator.admit(span)
        if entry.name is None:
            name = str(len(self.items))
        else:
            try:
                name = fill(entry.name.text, context.scope)
            except Problem as problem:
                raise problem.place(entry.name.inner) from None
            if "{" in entry.name.text:
                check_node_name(name)
            if name in self.taken and entry.node.broken:
                self.failed = True
                return
            self.take(name, entry)
        spec = entry.node
        training_only = self.elaborator.condition(spec.training_only, context, default=False)
        if training_only and (not self.root or entry.name is None):
            message = "`training_only` goes with the named nodes of the network itself, not with those of a block"
            assert spec.training_only is not None
            raise Problem("misplaced-training-only", message).place(spec.training_only.span)
        self.items.append(_Item(name, spec, context, span, training_only))

    def take(self, name: str, entry: Entry) -> None:
        """Keep a name for one node. Raises `Problem` where it has a meaning already."""
        if name in self.taken:
            help = ("a name with the loop variable, such as `stage{i}`, tells rows apart",)
            raise Problem("name-taken", f"there are two nodes `{name}`", help=help if entry.node.loop else ())
        within = () if entry.node.broken or "." not in name else tuple(enclosing(name))
        both = name if name in self.holders else next((holder for holder in within if holder in self.taken), None)
        if both is not None:
            message = f"`{both}` is the name of a node or input, so no other name can begin with `{both}.`"
            raise Problem("name-taken", message)
        self.taken.add(name)
        self.holders.update(within)

    # Chains ----------------------------------------------------------------------------------------------------------

    def chain(self, sources: tuple[Value, ...]) -> tuple[Output, ...] | None:
        if len(sources) != 1:
            message = f"a chain takes one input, got {len(sources)}"
            self.fail(Problem("wrong-inputs", message, help=("use a mapping with names",)), self.spec.span)
            return None
        current: Value = sources[0]
        position = 0
        for item in self.items:
            if (problem := self.misplaced(item)) is not None:
                self.fail(problem, item.span)
                return None
            named = _Item(str(position), item.spec, item.context, item.span)
            node = self.node(named, (current,))
            if node is not None:
                if not node.passes_one:
                    self.fail(_ends_a_list(node), item.span)
                    return None
                current = node.outputs[0]
                position += 1
            elif self.absent.pop(named.name, None) is None:
                return None
        return (Output(current.name, current),)

    def misplaced(self, item: _Item) -> Problem | None:
        """The problem of a node that names others, in a list, where none has a name."""
        help = ("use a mapping, whose nodes have names",)
        if item.spec.inputs is not None:
            return Problem("misplaced-word", "`from` needs a graph with names, not a list", help=help)
        if item.spec.call is not None:
            return Problem("misplaced-word", "`call` needs a graph with names, not a list", help=help)
        if self.references(item):
            assert item.spec.op is not None
            message = f"`{item.spec.op.text}` names its inputs, which needs a graph with names, not a list"
            return Problem("misplaced-word", message, help=help)
        return None

    # Graphs -----------------------------------------------------------------------------------------------------------

    def graph(self, sources: tuple[Value, ...]) -> tuple[Output, ...] | None:
        self.by_name = {item.name: item for item in self.items}
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
            self.check_training_only()
        return outputs

    def merge(self) -> str:
        """The node that brings the branches together, named after its op."""
        spec = self.spec.merge
        assert spec is not None
        name = spec.op.text if spec.op else "merge"
        while name in self.values or name in self.holders:
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
        try:
            order = run_order({item.name: self.needs(item, defaults[item.name]) for item in self.items}, self.early)
        except Cycle as cycle:
            help = ("a graph has no loops: use `repeat`, or a recurrent op",)
            path = " → ".join(f"`{name}`" for name in cycle.names)
            problem = Problem("cycle", f"`{cycle.names[0]}` needs its own output: {path}", help=help)
            self.fail(problem, self.by_name[cycle.names[0]].span)
            return []
        return [self.by_name[name] for name in order]

    @property
    def early(self) -> list[str]:
        return [item.name for item in self.items if item.training_only]

    def needs(self, item: _Item, default: str | None) -> set[str]:
        """The nodes that must be elaborated before this one."""
        names = {split_reference(reference.text, self.by_name)[0] for reference in self.references(item)}
        if not names and default is not None and not item.spec.takes_nothing:
            names = {default}
        if item.spec.call is not None:
            names.add(self.filled(item.spec.call, item).text)
        if item.spec.shape_names:
            names |= {name for name in item.spec.shape_names if name not in item.context.scope}
        return names & self.by_name.keys()

    def references(self, item: _Item) -> tuple[Scalar, ...]:
        """The inputs that a node names: its `from`, or the arguments of a merge. Templates are filled in."""
        return tuple([self.filled(name, item) for name in item.spec.references])

    def filled(self, name: Scalar, item: _Item) -> Scalar:
        """The name that a template stands for. Raises `Problem`."""
        if "{" not in name.text:
            return name
        try:
            return Scalar(fill(name.text, item.context.scope), name.span)
        except Problem as problem:
            raise problem.place(name.inner) from None

    def wire(self, item: _Item, default: str | None) -> None:
        """Find the inputs of a node and put it into the body."""
        try:
            references = self.references(item)
            if references:
                values = [self.resolve(reference) for reference in references]
            else:
                values = [] if item.spec.takes_nothing or default is None else [self.first(default)]
        except Problem as problem:
            self.fail(problem, item.span)
            self.values[item.name] = None
            return
        found = tuple([value for value in values if value is not None])
        if len(found) < len(values):
            self.values[item.name] = None
            self.failed = True
            return
        self.place(item, found)

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

    def resolve(self, reference: Scalar) -> Value | None:
        """The value that `name` or `name.output` refers to; None when its node failed. Raises `Problem`."""
        name, output = split_reference(reference.text, self.values)
        if name not in self.values:
            help = suggest(name, self.values)
            if not help and name in self.context.scope:
                help = (f"`{name}` is a number here, not a node",)
            problem = Problem("unknown-node", f"unknown node `{name}`", label="not in this graph", help=help)
            raise problem.place(reference.span)
        values = self.values[name]
        if values is None:
            return None
        if name in self.absent or (len(values) == 1 and not output):
            return values[0]
        names = [value.name[len(name) + 1 :] for value in values]
        if output in names:
            return values[names.index(output)]
        if not output and not names[0].isdigit():
            return values[0]
        outputs = listing(value.name for value in values)
        message = f"`{name}` has {count_of(len(values), 'output')}: {outputs}"
        raise Problem("unknown-node", message).place(reference.span)

    def returned(self, last: str) -> tuple[Output, ...] | None:
        spec = self.spec.outputs
        if spec is None:
            value = self.first(last)
            return None if value is None else (Output(last, value),)
        outputs = []
        for name, reference in spec.entries:
            try:
                value = self.resolve(reference)
            except Problem as problem:
                self.fail(problem, reference.span)
                continue
            item = self.by_name.get(split_reference(reference.text, self.by_name)[0])
            training_only = item is not None and item.training_only
            if value is None or (training_only and item is not None and item.name in self.absent):
                continue
            outputs.append(Output(name, value, training_only))
        if not spec.entries:
            self.failed = True  # none has a valid name, which has been reported
        elif not self.failed and all(output.training_only for output in outputs):
            self.fail(Problem("missing-output", "there is no output outside of training"), spec.span)
        return tuple(outputs)

    def check_training_only(self) -> None:
        """Report nodes outside of training that use what exists in training alone."""
        aside = {value for node in self.nodes.values() if node.training_only for value in node.outputs}
        for node in self.nodes.values() if aside else ():
            if not node.training_only and not aside.isdisjoint(node.inputs):
                message = f"`{node.name}` is always there, but uses a node that exists in training alone"
                item = self.by_name.get(node.name)
                self.fail(Problem("misplaced-training-only", message), item.span if item is not None else node.span)

    # Nodes -----------------------------------------------------------------------------------------------------------

    def node(self, item: _Item, inputs: tuple[Value, ...]) -> Node | None:
        """The node of an item, kept in `nodes`; None when it is absent (see `absent`) or has failed."""
        spec, elaborator = item.spec, self.elaborator
        context = self.scoped(item, inputs)
        types = tuple([value.type for value in inputs])
        shares = self.filled(spec.call, item) if spec.call is not None else None
        elaborator.wiring = Wiring(inputs, self.nodes.values(), self.absence_notes(item))
        with elaborator.inside(item.name):
            try:
                reason = self.absence(spec, context)
                if reason is not None:
                    if len(inputs) == 0:
                        raise Problem("misplaced-word", "a node without input cannot be left out by `if`")
                    self.absent[item.name] = reason
                    return None
                if shares is not None:
                    instance = self.shared(shares, types)
                elif spec.repeat is not None:
                    instance = repeated(elaborator, spec, context, types)
                else:
                    instance = elaborator.instance(spec, context, types)
            except Problem as problem:
                self.fail(problem, spec.span)
                instance = None
        if instance is None:
            self.failed = True
            self.broken[item.name] = failing(elaborator, item.name, spec, inputs)
            return None
        names = [item.name]
        if len(instance.outputs) > 1:
            names = [f"{item.name}.{label}" for label in instance.names or range(len(instance.outputs))]
        outputs = tuple(map(Value, names, instance.outputs))
        owner = shares.text if shares is not None else None
        node = Node(item.name, instance.kind, instance.target, inputs, outputs, spec.span, item.training_only, owner)
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
        if spec.condition is not None and not self.elaborator.condition(spec.condition, context, default=True):
            return f"`{spec.condition.text}` is false"
        if spec.parameter and spec.op is not None and context.scope.get(spec.op.text) is None:
            return f"`{spec.op.text}` is none"
        if spec.repeat is not None and copies(self.elaborator, spec.repeat, context) == 0:
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
        item = self.by_name[call.text]
        if len(types) != len(owner.inputs):
            raise Problem("wrong-inputs", f"`{call.text}` takes {count_of(len(owner.inputs), 'input')}")
        context = self.scoped(item, (Value("", types[0]),)) if types else item.context
        if item.spec.repeat is not None:
            instance = repeated(self.elaborator, item.spec, context, types)
        else:
            instance = self.elaborator.instance(item.spec, context, types)
        if instance is None:
            return None
        if not interchangeable(instance.target, types, owner.target, owner.input_types):
            first, second = owner.input_types[0], types[0]
            message = f"`{call.text}` was made for {first} and would be another module for {second}"
            raise Problem("shape-mismatch", message).place(call.span)
        return instance

    def fail(self, problem: Problem, span: Span) -> None:
        self.failed = True
        self.elaborator.report(problem, span)


def _ends_a_list(node: Node) -> Problem:
    outputs = "a dict" if len(node.outputs) == 1 else count_of(len(node.outputs), "output")
    help = ("use a mapping, in which each output has a name",)
    return Problem("wrong-inputs", f"`{node.kind}` gives {outputs} in a list", help=help)
