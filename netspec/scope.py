"""What the two halves of the elaborator share: scopes, nodes handed over as arguments, and instances."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from netspec.diagnostics import Problem, Span
from netspec.graph import Body, Node, Value
from netspec.limits import charge
from netspec.ops.base import Op
from netspec.parse import Namespace
from netspec.shapes import TensorType
from netspec.spec import NodeSpec

Scope = dict[str, Any]


class NodeArgument:
    """A node handed to a block as a parameter, with the scope and the names that its text was written in.

    Equal ones are the same: the elaborator makes each once.
    """

    __slots__ = ("context", "spec")

    def __init__(self, spec: NodeSpec, context: Context) -> None:
        self.spec = spec
        self.context = context

    def __str__(self) -> str:
        return self.spec.op.text if self.spec.op else "node"

    def bare_name(self, parameter: str) -> str:
        """The op or block, where arguments are added to a node that has none of its own. Raises `Problem`."""
        if self.spec.op is None or self.spec.positional is not None or self.spec.named:
            message = f"`{parameter}` already is a whole node, so it takes no arguments here"
            raise Problem("two-kinds", message)
        return self.spec.op.text


class Context:
    """Where a piece of text is read: the variables in scope, the block names known, and which variables hold nodes."""

    __slots__ = ("holders", "namespace", "scope")

    def __init__(self, scope: Scope, namespace: Namespace, holders: frozenset[str]) -> None:
        self.scope = scope
        self.namespace = namespace
        self.holders = holders

    def extended(self, variables: Mapping[str, Any]) -> Context:
        charge(len(self.scope))
        return Context({**self.scope, **variables}, self.namespace, self.holders)


class Instance(NamedTuple):
    """What a node is for inputs of given types."""

    kind: str
    target: Op | Body
    outputs: tuple[TensorType, ...]
    names: tuple[str, ...] = ()  # of the outputs, where they have names


class Use(NamedTuple):
    """A block where it is used."""

    block: str
    span: Span

    def __str__(self) -> str:
        return f"from `{self.block}` used at {self.span.file.name}:{self.span.line}"


class Copy(NamedTuple):
    """One of the copies of a repeated node, counted from 1."""

    position: int
    total: int

    def __str__(self) -> str:
        return f"copy {self.position} of {self.total}"


class Level(NamedTuple):
    """One step on the way to the node at hand: a name, or what brought it there."""

    name: str
    origin: Use | Copy | None


class Wiring(NamedTuple):
    """Where the inputs of the node at hand come from, for messages."""

    inputs: tuple[Value, ...] = ()
    nodes: Collection[Node] = ()  # of the body so far
    notes: tuple[str, ...] = ()

    def explain(self, problem: Problem, inputs: tuple[TensorType, ...]) -> Problem:
        from netspec.forks import explain_fork  # only for who makes a mistake

        problem.notes += self.notes
        if problem.code == "shape-mismatch" and tuple(value.type for value in self.inputs) == inputs:
            problem.label = ", ".join(f"{value.type} from `{value.name}`" for value in self.inputs)
            explain_fork(problem, self.inputs, self.nodes)
        return problem


def count_of(number: int, noun: str) -> str:
    """`1 input`, `2 inputs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
