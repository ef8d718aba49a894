"""What a class of the Python file is, as data: its arguments, what it constructs, and what its `forward` runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from netspec.backends.python.recipes import Make, Optional, Slot
from netspec.formulas import HOLE, Column
from netspec.graph import Body, Node


class Argument(NamedTuple):
    """An argument of a class. Its default is `HOLE` where it has none."""

    name: str
    annotation: str
    default: Any = HOLE


class Function(NamedTuple):
    """The code of an op without a module, with slots for the numbers in which instances differ."""

    pieces: tuple[str | Slot, ...]
    gives: tuple[str, ...]

    def code(self, text: Callable[[Slot], str]) -> str:
        """The code with a text in place of each slot."""
        return "".join(piece if isinstance(piece, str) else text(piece) for piece in self.pieces)


class Branch(NamedTuple):
    """Nodes that only some instances have, and the condition that says which ones.

    `attribute` is the flag that `forward` asks; without one, an `nn.Identity` stands in for what is not there.
    """

    names: tuple[str, ...]
    condition: str
    attribute: str


class Schedule(NamedTuple):
    """A number that grows in equal steps from call to call, such as a rate of stochastic depth."""

    rate: float
    steps: int

    def text(self, text: str) -> str:
        """`0.2 * 3 / 16` for a number of the schedule; any other text stays."""
        if not re.fullmatch(r"\d+\.\d+(?:e-\d+)?", text) or not float(text):
            return text
        step = round(float(text) / self.rate * self.steps)
        return f"{self.rate!r} * {step} / {self.steps}" if self.rate * step / self.steps == float(text) else text


class Copies(NamedTuple):
    """The children of a densely connected body: `number` calls that `i` tells apart.

    `steps` are the arguments that grow with `i`, and by how much.
    """

    name: str
    number: Slot
    make: Make
    steps: dict[str, Slot]


@dataclass(eq=False)
class Class:
    """One class of the file. Its `bodies` are its instances, and a column has a value for each of them."""

    bodies: list[Body]
    name: str = ""
    base: str = "nn.Module"
    arguments: list[Argument] = field(default_factory=list)
    columns: dict[str, Column] = field(default_factory=dict)
    assigned: list[tuple[str, str]] = field(default_factory=list)  # local variables, with their value
    stored: list[str] = field(default_factory=list)  # arguments that `forward` needs
    children: list[tuple[str, Any]] = field(default_factory=list)  # recipes by name
    copies: Copies | None = None
    merged: Body | None = None  # what `forward` runs
    functions: dict[str, Function] = field(default_factory=dict)
    over: dict[Node, int] = field(default_factory=dict)  # nodes of `merged` that write over an input
    branches: list[Branch] = field(default_factory=list)
    conditions: dict[Optional, str] = field(default_factory=dict)
    choices: dict[Optional, Slot] = field(default_factory=dict)  # modules whose class is an argument, or none
    texts: dict[Slot, str] = field(default_factory=dict)
    schedules: dict[str, Schedule] = field(default_factory=dict)
    of_op: bool = False  # stands for an op in a chain
    inherited: str = ""  # what `forward` returns, where the base has most of it

    @property
    def fixed(self) -> bool:
        """True where every shape is known: there is one instance, and no argument that it must be given."""
        return len(self.bodies) == 1 and not self.of_op and all(a.default is not HOLE for a in self.arguments)

    def make(self, index: int) -> Make:
        """The call that constructs the instance of this number."""
        return Make(self.name, (), {argument.name: self.columns[argument.name][index] for argument in self.arguments})

    def text(self, slot: Slot) -> str:
        """What stands in the place of a slot."""
        return self.texts[slot]
