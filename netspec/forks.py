"""Why inputs of a merge do not go together: the way of each since they parted, and what would align them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from netspec.diagnostics import Problem, listing
from netspec.graph import Node, Value

MOST_STEPS = 3  # of one way that a message lists


class _Way(NamedTuple):
    """How a value came to be since it parted from the others: the nodes that changed its shape, in running order."""

    value: Value
    changes: tuple[Node, ...]

    @property
    def unpadded(self) -> tuple[Node, ...]:
        """The nodes that shrink the spatial axes for lack of padding alone."""
        return tuple(node for node in self.changes if _shrinks(node) and _unpadded(node))

    @property
    def shrinks_for_lack_of_padding(self) -> bool:
        return all(_unpadded(node) for node in self.changes if _shrinks(node))


def explain_fork(problem: Problem, inputs: Sequence[Value], nodes: Iterable[Node]) -> None:
    """Add to a problem of shapes that do not go together where each comes from, and what would align them."""
    if len(set(inputs)) < 2:
        return
    makers = {value: node for node in nodes for value in node.outputs}
    trails = [list(_trail(value, makers)) for value in inputs]
    fork = next((value for value in trails[0] if all(value in trail for trail in trails[1:])), None)
    ways = [_way(trail, fork, makers) for trail in trails]
    if fork is not None:
        together = "both inputs come" if len(inputs) == 2 else "all inputs come"
        problem.notes += (f"{together} from `{fork.name}`, {fork.type}",)
    steps = dict.fromkeys(node for way in ways for node in way.changes[-MOST_STEPS:])
    problem.notes += tuple(
        f"{_placed(node)} makes {node.outputs[0].type} of {node.inputs[0].type}" for node in steps if node.inputs
    )
    problem.related += tuple(node.span for node in steps)
    problem.help += tuple(_padding(ways, fork)) or tuple(_projection(ways))


def _trail(value: Value, makers: dict[Value, Node]) -> Iterator[Value]:
    """The value, the one that it was made of, and so on; of several inputs the first."""
    yield value
    while (node := makers.get(value)) is not None and node.inputs:
        value = node.inputs[0]
        yield value


def _way(trail: list[Value], fork: Value | None, makers: dict[Value, Node]) -> _Way:
    made = trail[: trail.index(fork)] if fork is not None else trail
    nodes = [makers[value] for value in reversed(made) if value in makers]
    return _Way(trail[0], tuple(n for n in nodes if not n.inputs or n.inputs[0].type != n.outputs[0].type))


def _placed(node: Node) -> str:
    return f"`{node.name}` (line {node.span.line})"


def _shrinks(node: Node) -> bool:
    return bool(node.inputs) and node.inputs[0].type.spatial != node.outputs[0].type.spatial


def _unpadded(node: Node) -> bool:
    """Whether the node is a window without padding that moves by one."""
    op: Any = node.target
    return all(getattr(op, name, None) == value for name, value in (("stride", 1), ("padding", 0), ("dilation", 1)))


def _padding(ways: list[_Way], fork: Value | None) -> Iterator[str]:
    """The padding that would keep the size of the fork on every way."""
    nodes = list(dict.fromkeys(node for way in ways for node in way.unpadded))
    if fork is not None and nodes and all(way.shrinks_for_lack_of_padding for way in ways):
        size = "×".join(map(str, fork.type.spatial))
        yield f"`padding: same` in {listing(node.name for node in nodes)} keeps the size of {size}"


def _projection(ways: list[_Way]) -> Iterator[str]:
    """The convolution that gives the input with the shorter way the shape of the other."""
    if len(ways) != 2:
        return
    shortcut, main = sorted(ways, key=lambda way: len(way.changes))
    found, needed = shortcut.value.type, main.value.type
    if found.rank != needed.rank or found.rank < 2 or not (found.batched and needed.batched):
        return
    stride = -(-found.spatial[0] // needed.spatial[0])
    if tuple(-(-length // stride) for length in found.spatial) == needed.spatial:
        written = f", {stride}" if stride > 1 else ""
        yield f"`{{conv: [{needed.channels}, 1{written}], bias: false}}` makes {needed} of `{shortcut.value.name}`"
