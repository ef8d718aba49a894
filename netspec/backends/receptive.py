"""Graph in, receptive fields out: which part of the network's inputs one position of a node's output depends on.

Each body is looked at once, relative to its own inputs, so a hundred equal blocks cost as much as one. Positions are
followed exactly through windows, branches and changes of size. Borders are left aside: a field may reach into the
padding, as is usual, and normalization counts as in eval mode.
"""

from __future__ import annotations

from math import gcd, lcm

from netspec.graph import Body, Graph, Node, Value
from netspec.windows import LONGEST_PERIOD, WHOLE, Part, Reach, Reaches

_Sources = dict[int, Reaches]
"""What a value depends on: by the number of the body's input, what of each of its axes."""


class ReceptiveFields:
    """The receptive fields of a graph."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._bodies: dict[int, dict[Value, _Sources]] = {}
        self._inside: dict[tuple[Node, ...], list[_Sources]] = {(): _own(graph.root.inputs)}

    def of(self, route: tuple[Node, ...]) -> dict[str, Reaches]:
        """What the first output of the last node of `route` depends on: of each input, by name, what of each axis.

        `route` leads to the node as `Graph.route` does. An input that the node does not depend on is missing.
        """
        around = next(end for end in reversed(range(len(route))) if route[:end] in self._inside)
        for end in range(around, len(route) - 1):
            values, inputs = self._values(self._body(route[:end])), self._inside[route[:end]]
            self._inside[route[: end + 1]] = [_behind(values[value], inputs, value) for value in route[end].inputs]
        value = route[-1].outputs[0]
        found = _behind(self._values(self._body(route[:-1]))[value], self._inside[route[:-1]], value)
        names = [value.name for value in self._graph.root.inputs]
        return {names[number]: found[number] for number in sorted(found)}

    def _body(self, route: tuple[Node, ...]) -> Body:
        """The body that a route leads into."""
        body = route[-1].target if route else self._graph.root
        assert isinstance(body, Body)
        return body

    def _values(self, body: Body) -> dict[Value, _Sources]:
        """What each value in a body depends on, of the body's inputs."""
        if id(body) not in self._bodies:
            values = dict(zip(body.inputs, _own(body.inputs), strict=True))
            for node in body.schedule:
                inputs = [values[value] for value in node.inputs]
                for value, reads in zip(node.outputs, self._reads(node), strict=True):
                    values[value] = _behind(reads, inputs, value)
            self._bodies[id(body)] = values
        return self._bodies[id(body)]

    def _reads(self, node: Node) -> list[_Sources]:
        """What each output of a node depends on, of the node's inputs."""
        if isinstance(node.target, Body):
            values = self._values(node.target)
            return [values[output.value] for output in node.target.outputs]
        return [dict(enumerate(node.target.reach(*node.input_types)))] * len(node.outputs)


def _own(inputs: tuple[Value, ...]) -> list[_Sources]:
    return [{number: tuple(map(Reach, range(value.type.rank)))} for number, value in enumerate(inputs)]


def _behind(reads: _Sources, inputs: list[_Sources], value: Value) -> _Sources:
    """What `value` depends on, if it reads this of values whose sources are `inputs`."""
    found: _Sources = {}
    for number, read in reads.items():
        everything = all(part == WHOLE for part in read)
        for source, parts in inputs[number].items():
            through = tuple(WHOLE if everything else _through(read, part) for part in parts)
            known = found.get(source)
            found[source] = (
                through if known is None else tuple(_both(*pair, value) for pair in zip(known, through, strict=True))
            )
    return found


def _through(read: Reaches, part: Part) -> Part:
    """What of a source is read by reading this of a value that has this part of the source."""
    if not isinstance(part, Reach):
        return part
    outer = read[part.axis]
    return _composed(outer, part) if isinstance(outer, Reach) else outer


def _composed(outer: Reach, inner: Reach) -> Reach | None:
    period = len(outer.lows) * (len(inner.lows) // gcd(len(inner.lows), outer.step))
    if period > LONGEST_PERIOD:
        return None
    lows = tuple(inner.low(outer.low(position)) for position in range(period))
    highs = tuple(inner.high(outer.high(position)) for position in range(period))
    return Reach(outer.axis, lows, highs, int(outer.stride * inner.stride * period))


def _both(first: Part, second: Part, value: Value) -> Part:
    """The least part that holds two parts of a source."""
    if WHOLE in (first, second):
        return WHOLE
    if not isinstance(first, Reach) or not isinstance(second, Reach) or first.axis != second.axis:
        return None
    if first == second:
        return first
    period, stride = lcm(len(first.lows), len(second.lows)), max(first.stride, second.stride)
    if first.stride != second.stride:  # they drift apart, so there is no period but the whole axis
        period = value.type.shape[first.axis]
    if period > LONGEST_PERIOD:
        return None
    lows = tuple(min(first.low(position), second.low(position)) for position in range(period))
    highs = tuple(max(first.high(position), second.high(position)) for position in range(period))
    return Reach(first.axis, lows, highs, round(stride * period))
