"""The typed document: what a spec says, before anything is evaluated.

`parse` makes these from a source tree. Expressions are still text, names are still names; every part keeps the source
node it came from, so that later stages can point at it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

from netspec.diagnostics import Span
from netspec.expressions import names_in
from netspec.source import Scalar, Sequence, Source

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

    @property
    def span(self) -> Span:
        return self.op.span if self.op else self.source.span

    @property
    def broken(self) -> bool:
        """True for a node that could not be understood, which has been reported."""
        return self.op is None and self.body is None and self.call is None and self.splice is None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every identifier below this node: what its meaning may depend on, beyond its inputs."""
        return tuple(sorted({name for scalar in scalars(self.source) for name in names_in(scalar.text)}))

    @cached_property
    def shape_names(self) -> tuple[str, ...]:
        """Names whose shape an expression below this node asks for, as in `conv1.channels`."""
        texts = (scalar.text for scalar in scalars(self.source))
        return tuple(sorted({name for text in texts for name in _SHAPE_OF.findall(text)}))


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


class InitRule(NamedTuple):
    """How parameters are initialized: `selector` is an op name or a path pattern."""

    selector: Scalar
    initializers: tuple[tuple[Scalar, Source], ...]


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


class WeightsSpec(NamedTuple):
    """Where trained weights are: `torchvision/resnet50`, `timm/dla34` or the path of a file.

    `needs` are the parameters that they were trained with. They are `inherited` if a spec that this one extends names
    them, so that the network may have changed since.
    """

    place: str
    needs: tuple[tuple[Scalar, Source], ...]
    inherited: bool


@dataclass(eq=False, repr=False)
class Spec:
    """A whole document: the network, and the shapes of what it is fed."""

    network: BlockSpec
    inputs: tuple[InputSpec, ...]
    weights: WeightsSpec | None = None
    freeze: tuple[Scalar, ...] = ()


def entries_below(body: BodySpec) -> Iterator[Entry]:
    """The entries of a body, its merge, and those of all groups in it. Blocks that it uses are left alone."""
    for entry in (*body.entries, *((Entry(body.merge),) if body.merge is not None else ())):
        yield entry
        for inner in (entry.node.body, entry.node.splice):
            if inner is not None:
                yield from entries_below(inner)


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

_SHAPE_OF = re.compile(r"\b([A-Za-z][A-Za-z0-9_]*)\.[a-z]")
NODE_WORDS = (
    "from", "if", "repeat", "for", "do", "name", "connect", "training_only", "graph", "branches", "merge", "call",
    "inputs", "outputs",
)  # fmt: skip
"""The words a node may carry besides its op and its arguments; no parameter may have one of these names."""
