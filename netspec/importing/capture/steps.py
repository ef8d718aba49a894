"""What one run of a module did, as plain data: a tree of scopes, each with its steps in the order they ran."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from netspec.graph import Value
from netspec.ops.base import Op


@dataclass(eq=False, repr=False)
class Step:
    """One op that ran. `path` is that of the module or tensor whose weights it uses, if it uses any."""

    op: Op
    kind: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    path: str = ""
    training_only: bool = False

    @property
    def stateful(self) -> bool:
        return bool(self.path and self.op.state(*(value.type for value in self.inputs)))


@dataclass(eq=False, repr=False)
class Scope:
    """One call of a module that is made of others. What is `open` is no body of its own, but a part of that around it.

    `arguments` are the values that it was called with, by the names of its `forward`.
    """

    path: str
    kind: str
    around: Scope | None
    arguments: dict[str, Value]
    steps: list[Step | Scope] = field(default_factory=list)
    results: list[Value] = field(default_factory=list)
    open: bool = False
    training_only: bool = False

    @property
    def body(self) -> Scope:
        """The scope whose body the steps of this one belong to."""
        scope = self
        while scope.open and scope.around is not None:
            scope = scope.around
        return scope

    @property
    def stateful(self) -> bool:
        return any(step.stateful for step in self.steps)

    def inside(self) -> Iterator[Step | Scope]:
        """The steps of the body, those of open scopes in their place."""
        for step in self.steps:
            if isinstance(step, Scope) and step.open:
                yield from step.inside()
            else:
                yield step


@dataclass(eq=False, repr=False)
class Run:
    """A recorded run: its outermost scope, in which scope each value was made, and the form of what it returned.

    `fields` are the names of the results; `order` is where the weights at a path stand among all.
    """

    root: Scope
    homes: dict[Value, Scope]
    returns: Literal["bare", "tuple", "dict"]
    fields: tuple[str, ...]
    order: dict[str, tuple[int, int]]
