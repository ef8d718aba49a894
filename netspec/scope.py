"""What the two halves of the elaborator share: scopes, nodes handed over as arguments, and instances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from netspec.diagnostics import Problem, Span
from netspec.graph import Body
from netspec.ops.base import Op
from netspec.parse import Namespace
from netspec.shapes import TensorType
from netspec.spec import NodeSpec

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


@dataclass(eq=False, repr=False)
class Context:
    """Where a piece of text is read: the variables in scope, the block names known, and which variables hold nodes."""

    scope: Scope
    namespace: Namespace
    holders: frozenset[str]

    def extended(self, variables: Mapping[str, Any]) -> Context:
        return Context({**self.scope, **variables}, self.namespace, self.holders)


class Instance(NamedTuple):
    """What a node is for inputs of given types."""

    kind: str
    target: Op | Body
    outputs: tuple[TensorType, ...]
    names: tuple[str, ...] = ()  # of the outputs, where they have names


class Wiring(NamedTuple):
    """Where the inputs of the node at hand come from, for messages."""

    names: tuple[str, ...]
    notes: tuple[str, ...]

    def explain(self, problem: Problem, inputs: tuple[TensorType, ...]) -> Problem:
        if problem.code == "shape-mismatch" and len(self.names) == len(inputs):
            parts = [f"{type} from `{name}`" for name, type in zip(self.names, inputs, strict=True)]
            problem.label = ", ".join(parts)
        problem.notes += self.notes
        return problem


class TooLarge(Exception):
    """Raised through everything when a spec expands beyond `MAX_NODES`."""

    def __init__(self, span: Span) -> None:
        super().__init__()
        self.span = span


def count_of(number: int, noun: str) -> str:
    """`1 input`, `2 inputs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
