"""The typed document: what a spec says, before anything is evaluated.

`parse` makes these from a source tree. Expressions are still text, names are still names; every part keeps the source
node it came from, so that later stages can point at it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from netspec.diagnostics import Span
from netspec.expressions import names_in
from netspec.limits import charge
from netspec.ops import OP_NAMES, op_class
from netspec.source import Mapping, Scalar, Sequence, Source

if TYPE_CHECKING:
    from netspec.parse import Namespace

Kind = Literal["int", "number", "bool", "size", "list", "table", "name", "node"]

KINDS: dict[str, str] = {
    "int": "an integer",
    "number": "a number",
    "bool": "`true` or `false`",
    "size": "an integer or a list of integers",
    "list": "a list",
    "table": "a list of rows",
    "name": "a word",
    "node": "a node, such as `relu` or `{batch_norm: , eps: 0.001}`, or `none`",
}


class ParameterSpec(NamedTuple):
    """A parameter of a spec or block. Without a default it is required."""

    name: str
    kind: Kind
    default: Source | None
    span: Span
    about: str = ""
    choices: tuple[str, ...] = ()


class Loop(NamedTuple):
    """`for: a, b in table`."""

    targets: str
    table: Scalar
    span: Span


@dataclass(eq=False, repr=False)
class NodeSpec:
    """One node as written. Exactly one of `op`, `body`, `call` and `splice` says what it is; all empty means broken."""

    source: Source
    op: Scalar | None = None
    parameter: bool = False  # `op` names a parameter that holds a node
    positional: Source | None = None
    named: tuple[tuple[Scalar, Source], ...] = ()
    body: BodySpec | None = None
    call: Scalar | None = None
    splice: BodySpec | None = None
    inputs: tuple[Scalar, ...] | None = None
    condition: Scalar | None = None
    repeat: Scalar | None = None
    loop: Loop | None = None
    copy_name: Scalar | None = None
    dense: bool = False
    training_only: Scalar | None = None
    bound: dict[str, Source] | None = None  # its arguments by name, once `arguments` has found them

    @property
    def span(self) -> Span:
        return self.op.span if self.op else self.source.span

    @property
    def broken(self) -> bool:
        """True for a node that could not be understood, which has been reported."""
        return self.op is None and self.body is None and self.call is None and self.splice is None

    @cached_property
    def takes_nothing(self) -> bool:
        """Has no input, such as a learned parameter."""
        return self.op is not None and self.op.text in OP_NAMES and op_class(self.op.text).arity[1] == 0

    @cached_property
    def references(self) -> tuple[Scalar, ...]:
        """The inputs that this node names, as templates: its `from`, or the arguments of a merge."""
        found = self.inputs or ()
        named_op = self.op.text if self.op is not None and not self.parameter else ""
        if self.positional is not None and named_op in OP_NAMES and op_class(named_op).merges:
            items = self.positional.items if isinstance(self.positional, Sequence) else [self.positional]
            found += tuple(value for value in items if isinstance(value, Scalar))
        return found

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every identifier below this node: what its meaning may depend on, beyond its inputs."""
        below = (body.names for body in (self.body, self.splice) if body is not None)
        return tuple(sorted(set().union(*map(names_in, self._texts), *below)))

    @cached_property
    def shape_names(self) -> tuple[str, ...]:
        """Names whose shape an expression below this node asks for, as in `conv1.channels`."""
        below = (body.shape_names for body in (self.body, self.splice) if body is not None)
        return tuple(sorted(set().union(*map(_SHAPE_OF.findall, self._texts), *below)))

    @cached_property
    def _texts(self) -> list[str]:
        """The texts of this node, those in its body aside."""
        parts: list[Source] = [self.source]
        if self.body is not None or self.splice is not None:
            entries = self.source.entries if isinstance(self.source, Mapping) else []
            parts = [value for key, value in entries if key.text not in _BODIES]
        texts = [scalar.text for part in parts for scalar in scalars(part)]
        charge(_COST_OF_TEXT * len(texts))
        return texts


class Entry(NamedTuple):
    """A node in a body. `name` is missing in a chain."""

    node: NodeSpec
    name: Scalar | None = None


@dataclass(eq=False, repr=False)
class BodySpec:
    """The inside of a network, block or inline group.

    A `chain` comes from a list. A `graph` comes from a mapping. `branches` is a graph whose entries all read the one
    input, and whose `merge` brings them together. A `node` is a single one that adds no level of its own to a path.
    """

    kind: Literal["chain", "graph", "branches", "node"]
    entries: tuple[Entry, ...]
    span: Span
    merge: NodeSpec | None = None
    inputs: tuple[Scalar, ...] = ()
    outputs: OutputsSpec | None = None
    names: tuple[str, ...] = field(init=False)  # every identifier in its nodes
    shape_names: tuple[str, ...] = field(init=False)  # those whose shape an expression asks for

    def __post_init__(self) -> None:
        # A body is parsed after those inside it, so no level reads again what is below it.
        templates = [entry.name.text for entry in self.entries if entry.name is not None]
        nodes = [entry.node for entry in self.entries] + ([self.merge] if self.merge is not None else [])
        self.names = tuple(sorted(set().union(*map(names_in, templates), *(node.names for node in nodes))))
        self.shape_names = tuple(sorted(set().union(*(node.shape_names for node in nodes))))
        charge(_COST_OF_TEXT * len(self.names))


class OutputsSpec(NamedTuple):
    """What a body returns: one bare value, several in a named tuple, or a dict."""

    kind: Literal["bare", "tuple", "dict"]
    entries: tuple[tuple[str, Scalar], ...]
    span: Span


class InputSpec(NamedTuple):
    """An input of the network: its shape without the batch axis, and its dtype."""

    name: str
    shape: Source
    dtype: str
    span: Span


class InitRule:
    """How parameters are initialized: `selector` is an op name or a path pattern."""

    def __init__(self, selector: Scalar, initializers: tuple[tuple[Scalar, Source], ...]) -> None:
        self.selector = selector
        self.initializers = initializers

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every identifier in its initializers: what they may depend on."""
        found = (scalar.text for _, source in self.initializers for scalar in scalars(source))
        return tuple(sorted({name for text in found for name in names_in(text)}))


@dataclass(eq=False, repr=False)
class BlockSpec:
    """A named body with parameters. A network is a block whose inputs have shapes."""

    name: str
    span: Span
    namespace: Namespace
    body: BodySpec
    about: str = ""
    reference: tuple[str, ...] = ()
    parameters: dict[str, ParameterSpec] = field(default_factory=dict)
    let: tuple[tuple[Scalar, Source], ...] = ()
    init: tuple[InitRule, ...] = ()

    @cached_property
    def holders(self) -> frozenset[str]:
        """The parameters that may hold a node."""
        return node_holders(self.parameters)


def node_holders(parameters: dict[str, ParameterSpec]) -> frozenset[str]:
    """Those of the parameters that may hold a node."""
    return frozenset(name for name, parameter in parameters.items() if parameter.kind in ("name", "node"))


class WeightsSpec(NamedTuple):
    """Where trained weights are: `torchvision/resnet50`, `timm/dla34` or the path of a file.

    `needs` are the parameters that they were trained with. They are `inherited` if a spec that this one extends names
    them, so that the network may have changed since.
    """

    place: str
    needs: tuple[tuple[Scalar, Source], ...]
    inherited: bool


class ParallelSpec(NamedTuple):
    """What is sharded, where stages of a pipeline begin, and which layers are split, each with its style."""

    shard: tuple[Scalar, ...]
    pipeline: tuple[Scalar, ...]
    tensor: tuple[tuple[Scalar, Scalar], ...]


@dataclass(eq=False, repr=False)
class Spec:
    """A whole document: the network, and the shapes of what it is fed."""

    network: BlockSpec
    inputs: tuple[InputSpec, ...]
    weights: WeightsSpec | None = None
    freeze: tuple[Scalar, ...] = ()
    checkpoint: tuple[Scalar, ...] = ()
    parallel: ParallelSpec | None = None
    doubts: Any = None  # what `warn` has found out about the text


def entries_below(body: BodySpec) -> Iterator[Entry]:
    """The entries of a body, its merge, and those of all groups in it. Blocks that it uses are left alone."""
    pending = [body]
    while pending:
        body = pending.pop()
        for entry in (*body.entries, *((Entry(body.merge),) if body.merge is not None else ())):
            yield entry
            pending.extend(inner for inner in (entry.node.body, entry.node.splice) if inner is not None)


def scalars(source: Source) -> Iterator[Scalar]:
    """Every scalar of a source tree, keys included."""
    pending = [source]
    while pending:
        current = pending.pop()
        if isinstance(current, Scalar):
            yield current
        elif isinstance(current, Sequence):
            pending.extend(current.items)
        else:
            pending.extend(part for entry in current.entries for part in entry)


# Names ---------------------------------------------------------------------------------------------------------------

_COST_OF_TEXT = 10  # steps of work to look for names in one
_BODIES = ("graph", "branches", "do")

_SHAPE_OF = re.compile(r"\b([A-Za-z][A-Za-z0-9_]*)\.[a-z]")
NODE_WORDS = (
    "from", "if", "repeat", "for", "do", "name", "connect", "training_only", "graph", "branches", "merge", "call",
    "inputs", "outputs",
)  # fmt: skip
"""The words a node may carry besides its op and its arguments; no parameter may have one of these names."""
