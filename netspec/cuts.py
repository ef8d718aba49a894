"""Where a network can be cut into stages that run one after the other, and what passes from one to the next.

All blocks are opened, so that the network is a line of ops in the order in which they run. A cut lies before one of
them; the values that were made before it and are used behind it cross it. Costs along the line balance the stages.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from math import inf
from typing import NamedTuple

from netspec.diagnostics import Problem
from netspec.graph import Body, Graph, Node, Value, node_macs
from netspec.recursion import deep_recursion
from netspec.shapes import TensorType

SLACK = 1.05  # how much more than the least the largest stage may compute, where less crosses the cuts then


@dataclass(eq=False, repr=False)
class Wire:
    """A value of the line: the position of the op that makes it, and of the last one that uses it.

    An input of the network is made at −1, and an output is used behind the last op. `aside` exists in training alone.
    """

    name: str
    type: TensorType
    made: int
    used: int
    aside: bool = False

    def crosses(self, cut: int) -> bool:
        """Whether the value is made before a cut and used behind it."""
        return self.made < cut <= self.used

    @property
    def stays(self) -> bool:
        """Whether it cannot pass from stage to stage: PyTorch passes gradients back, and first tries any numbers."""
        return self.aside or self.type.dtype != "float32"


class Step(NamedTuple):
    """An op of the line, or a module that is called more than once, with the multiply-accumulates of one sample."""

    path: str
    macs: int


@dataclass(eq=False, repr=False)
class Line:
    """The ops of a graph in the order in which they run, each at its position.

    `spans` has the first position of each node and the one behind its last, by path. `wires` are in the order in which
    they are made, and `known` has them by body and value. No cut lies inside of what is `joined`.
    """

    graph: Graph
    steps: list[Step] = field(default_factory=list)
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)
    wires: list[Wire] = field(default_factory=list)
    known: dict[str, dict[Value, Wire]] = field(default_factory=dict)
    joined: list[tuple[int, int]] = field(default_factory=list)

    @deep_recursion
    def __post_init__(self) -> None:
        root = self.graph.root
        self.spans[""] = (0, 0)
        returned = self._follow(root, "", [self._wire(x.name, x.type, -1, False) for x in root.inputs], False)
        self.spans[""] = (0, len(self.steps))
        for wire in returned:
            wire.used = len(self.steps)

    def crossing(self, cut: int) -> list[Wire]:
        """The values that cross a cut, in the order in which they are made."""
        return [wire for wire in self.wires if wire.crosses(cut)]

    def check(self, cut: int, name: str) -> None:
        """Raise `Problem` where no stage can begin at a position, which is that of the node called `name`."""
        if cut in self.places:
            return
        if cut == 0:
            message = f"no stage can begin at `{name}`, for nothing runs before it"
            raise Problem("invalid-cut", message, help=("leave it out: the first stage begins there",))
        if any(first < cut <= last for first, last in self.joined):
            message = f"no stage can begin at `{name}`, between two calls of one module"
            raise Problem("invalid-cut", message, help=("cut before the first call, or behind the last",))
        wire = next(wire for wire in self.crossing(cut) if wire.stays)
        why = "exists in training alone" if wire.aside else f"is {wire.type.dtype} and has no gradient"
        help = "cut behind its last use" if wire.made < 0 else "cut before it is made"
        message = f"no stage can begin at `{name}`: `{wire.name}`, which {why}, would cross"
        raise Problem("invalid-cut", message, help=(help,))

    @cached_property
    def places(self) -> frozenset[int]:
        """The positions at which a stage can begin."""
        count = len(self.steps)
        spans = [*self.joined, *((wire.made, wire.used) for wire in self.wires if wire.stays)]
        taken = _sums(count, ((first, last, 1) for first, last in spans))
        return frozenset(cut for cut in range(1, count) if not taken[cut])

    @cached_property
    def names(self) -> dict[int, str]:
        """The path of the outermost node that begins at each position."""
        found: dict[int, str] = {}
        for path, (first, end) in self.spans.items():
            if path and first < end and (first not in found or path.count(".") < found[first].count(".")):
                found[first] = path
        return found

    def balanced(self, count: int) -> list[int]:
        """The cuts into `count` stages of which the largest computes the least. Raises `Problem` where there are none.

        Of all cuts that are worse by no more than `SLACK`, those which the fewest bytes cross.
        """
        places = [0, *sorted(self.places), len(self.steps)]
        if len(places) <= count:
            message = (
                f"`{self.graph.name}` cannot be cut into {count} stages: it has places for {len(places) - 1} at most"
            )
            raise Problem("invalid-cut", message)
        computed = [0, *accumulate(step.macs for step in self.steps)]
        moved = _sums(len(self.steps), ((wire.made, wire.used, wire.type.bytes) for wire in self.wires))
        macs = [computed[place] for place in places]
        bytes = [0, *(moved[place] for place in places[1:-1]), 0]
        return [places[index] for index in _cheapest(macs, bytes, count, SLACK * _least(macs, count))]

    # How the line is made --------------------------------------------------------------------------------------------

    def _follow(self, body: Body, prefix: str, inputs: list[Wire], aside: bool) -> list[Wire]:
        """Put the ops of a body at the end of the line; gives what it returns."""
        known = dict(zip(body.inputs, inputs, strict=True))
        calls: dict[str, list[int]] = {node.shares: [] for node in body.nodes if node.shares}
        for node in in_order(body):
            path = prefix + node.name
            first = len(self.steps)
            inner = aside or node.training_only
            taken = [known[value] for value in node.inputs]
            if isinstance(node.target, Body) and not node.shares and node.name not in calls:
                made = self._follow(node.target, f"{path}.", taken, inner)
            else:
                self.steps.append(Step(path, 0 if inner else node_macs(node)))
                for wire in taken:
                    wire.used = first
                made = [self._wire(prefix + value.name, value.type, first, inner) for value in node.outputs]
            self.spans[path] = first, len(self.steps)
            known |= zip(node.outputs, made, strict=True)
            if (module := node.shares or node.name) in calls:
                calls[module].append(first)
        self.joined += [(positions[0], positions[-1]) for positions in calls.values()]
        self.known[prefix] = known
        return [known[output.value] for output in body.outputs]

    def _wire(self, name: str, type: TensorType, made: int, aside: bool) -> Wire:
        self.wires.append(Wire(name, type, made, made, aside))
        return self.wires[-1]


def in_order(body: Body) -> list[Node]:
    """The nodes of a body in the order in which they run, parameters and constants right before their first use."""
    waiting: dict[Value, Node] = {}
    order: list[Node] = []
    for node in body.schedule:
        if not node.inputs:
            waiting |= dict.fromkeys(node.outputs, node)
            continue
        order += dict.fromkeys(waiting[value] for value in node.inputs if value in waiting)
        for value in node.inputs:
            waiting.pop(value, None)
        order.append(node)
    return [*order, *dict.fromkeys(waiting.values())]


# Balance -------------------------------------------------------------------------------------------------------------


def _sums(count: int, spans: Iterable[tuple[int, int, int]]) -> list[int]:
    """For each of the cuts up to `count`, the sum of the amounts of those spans that it lies inside of."""
    changes = [0] * (count + 2)
    for first, last, amount in spans:
        changes[first + 1] += amount
        changes[last + 1] -= amount
    return list(accumulate(changes))[: count + 1]


def _least(macs: Sequence[int], count: int) -> int:
    """The least that the largest of `count` stages can compute; `macs` are what is computed before each place."""
    low, high = 0, macs[-1]
    while low < high:
        middle = (low + high) // 2
        if _stages_needed(macs, middle) <= count:
            high = middle
        else:
            low = middle + 1
    return low


def _stages_needed(macs: Sequence[int], most: int) -> float:
    """How many stages it takes if none computes more than `most`."""
    stages, start = 0, 0
    while start < len(macs) - 1:
        end = bisect_right(macs, macs[start] + most) - 1
        if end == start:
            return inf
        stages, start = stages + 1, end
    return stages


def _cheapest(macs: Sequence[int], bytes: Sequence[int], count: int, most: float) -> list[int]:
    """The places of the cuts into `count` stages that the fewest bytes cross, where none computes more than `most`."""
    totals: list[float] = [0.0, *[inf] * (len(macs) - 1)]  # least bytes for what is before each place
    came: list[list[int]] = []
    for _ in range(count):
        window: deque[int] = deque()  # where the stage that ends at a place may begin, by rising totals
        next_totals, origins = [inf] * len(macs), [0] * len(macs)
        for place in range(1, len(macs)):
            while window and totals[window[-1]] >= totals[place - 1]:
                window.pop()
            window.append(place - 1)
            while window and macs[place] - macs[window[0]] > most:
                window.popleft()
            if window:
                origins[place] = window[0]
                next_totals[place] = totals[window[0]] + bytes[place]
        totals = next_totals
        came.append(origins)
    cuts = [len(macs) - 1]
    for origins in reversed(came[1:]):
        cuts.append(origins[cuts[-1]])
    return cuts[:0:-1]
