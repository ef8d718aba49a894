"""What a node or a block is written as, as plain data: between the bodies of a graph and the text of a spec.

A term says nothing of shapes, so equal terms are written the same wherever they stand. While bodies are laid over each
other, slots stand in terms where they differ; expressions take the place of slots in the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal


@dataclass(frozen=True)
class Text:
    """An expression of the language."""

    text: str


@dataclass(frozen=True)
class Word(Text):
    """A variable of a loop that holds the name of an op."""


@dataclass(frozen=True)
class Varying:
    """A value of the copies of a repeat: that of the first, and that of all others."""

    first: Any
    others: Any


@dataclass(frozen=True)
class Linear:
    """A value of the copies of a repeat that grows by the same `step` from copy to copy."""

    start: Any
    step: Any


@dataclass(frozen=True)
class ByRow:
    """A value of the rows of a loop, which `variable` counts: that of the first, and that of all others."""

    first: Any
    others: Any
    variable: str


@dataclass(frozen=True)
class Share:
    """A part of a rate that grows from layer to layer: `rate * number / steps`."""

    number: Any
    rate: float
    steps: int


@dataclass(frozen=True)
class Use:
    """An op or block with arguments by name. `names` lists all that it takes, in the order of positional arguments.

    A merge takes the names of its inputs instead, a `variadic` op one list.
    """

    head: Any  # its name, or what stands for it
    arguments: tuple[tuple[str, Any], ...] = ()
    names: tuple[str, ...] = ()
    variadic: str | None = None
    merges: bool = False
    aside: bool = False  # has no input, so it is nobody's default input

    def argument(self, name: str) -> Any:
        """The value of an argument; None where it is not written."""
        return dict(self.arguments).get(name)


@dataclass(frozen=True)
class Chain:
    """A list of nodes."""

    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Group:
    """A mapping of named nodes. Without `outputs` it returns its last node."""

    inputs: tuple[str, ...]
    steps: tuple[Step, ...]
    returns: Literal["bare", "tuple", "dict"] = "bare"
    outputs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Repeat:
    """Copies of a node, one behind the other. `name` is the template of their names, empty for numbers."""

    count: Any
    node: Any
    name: Any = ""


@dataclass(frozen=True)
class Loop:
    """Nodes for each row of a table, or for as many rows as a number says."""

    targets: str
    table: Any
    steps: tuple[Step, ...]
    counted: bool = False  # the table is a number


@dataclass(frozen=True)
class Step:
    """A node in a list or mapping. `sources` is what it reads by name; None for what is just before it."""

    node: Any
    name: str = ""
    sources: tuple[str, ...] | None = None
    call: str = ""
    training_only: bool = False
    condition: Any = ""


def parts(term: Any) -> tuple[Any, ...]:
    """What of a term may differ between terms of one form: the values and terms right below it."""
    match term:
        case Use():
            return (term.head, *(value for _, value in term.arguments))
        case Chain() | Group():
            return term.steps
        case Loop():
            return (term.table, *term.steps)
        case Repeat():
            return (term.count, term.node, term.name)
        case Step():
            return (term.node, term.condition)
        case Varying():
            return (term.first, term.others)
        case Linear():
            return (term.start, term.step)
        case Share():
            return (term.number,)
    return ()


def rebuilt(term: Any, children: tuple[Any, ...]) -> Any:
    """The term with others in place of its `parts`."""
    match term:
        case Use():
            names = [name for name, _ in term.arguments]
            return replace(term, head=children[0], arguments=tuple(zip(names, children[1:], strict=True)))
        case Chain() | Group():
            return replace(term, steps=children)
        case Loop():
            return replace(term, table=children[0], steps=children[1:])
        case Repeat():
            return replace(term, count=children[0], node=children[1], name=children[2])
        case Step():
            return replace(term, node=children[0], condition=children[1])
        case Varying() | Linear():
            return type(term)(*children)
        case Share():
            return replace(term, number=children[0])
    return term


def mapped(term: Any, change: Callable[[Any], Any]) -> Any:
    """The term with every part below it, and then itself, changed, from the inside out."""
    below = parts(term)
    if below:
        children = tuple(mapped(part, change) for part in below)
        if any(new is not old for new, old in zip(children, below, strict=True)):
            term = rebuilt(term, children)
    return change(term)


def everything(term: Any) -> Iterator[Any]:
    """The term and all below it, outer ones first."""
    pending = [term]
    while pending:
        term = pending.pop()
        yield term
        pending.extend(reversed(parts(term)))


def form(term: Any) -> Any:
    """What terms have in common that differ in `parts` alone."""
    match term:
        case Use():
            return ("use", tuple(name for name, _ in term.arguments), term.merges)
        case Chain():
            return ("chain", len(term.steps))
        case Group():
            return ("group", term.inputs, len(term.steps), term.returns, term.outputs)
        case Repeat():
            return ("repeat", bool(term.name))
        case Loop():
            return ("loop", term.targets, len(term.steps), term.counted)
        case Step():
            return ("step", term.name, term.sources, term.call, term.training_only)
    return None
