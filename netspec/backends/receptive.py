"""Graph in, receptive fields out: which part of the network's inputs one position of a node's output depends on.

Each body is looked at once, relative to its own inputs, so a hundred equal blocks cost as much as one. Positions are
followed exactly through windows, branches and changes of size. Borders are left aside: a field may reach into the
padding, as is usual, and normalization counts as in eval mode.
"""

from __future__ import annotations

from fractions import Fraction
from math import gcd, lcm
from typing import Literal, NamedTuple

from netspec.graph import Body, Graph, Node, Value
from netspec.windows import LONGEST_PERIOD, WHOLE, Part, Reach, Reaches


class Extent(NamedTuple):
    """The receptive field along one axis of an input.

    `size` is that of the largest position, `stride` how far neighbors are apart on average, which is below 1 where the
    map is larger than the input, and `center` the middle of the field of the first position, 0 being the first of the
    input.
    """

    size: int
    stride: Fraction
    center: Fraction


Field = tuple[Extent | Literal["whole"] | None, ...]
"""For each axis of an input the extent, `whole` for all of it, or None where it is not known."""

_Sources = dict[int, Reaches]
"""What a value depends on: by the number of the body's input, what of each of its axes."""


class ReceptiveFields:
    """The receptive fields of a graph."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._bodies: dict[int, dict[Value, _Sources]] = {}

    def of(self, route: tuple[Node, ...]) -> dict[str, Field]:
        """The fields of the first output of the last node of `route`, by the name of the input that they are in.

        `route` leads to the node as `Graph.route` does. An input that the node does not depend on is missing.
        """
        body = self._graph.root
        inputs = _own(body.inputs)
        for node in route[:-1]:
            assert isinstance(node.target, Body)
            values = self._values(body)
            inputs = [_behind(values[value], inputs, value) for value in node.inputs]
            body = node.target
        value = route[-1].outputs[0]
        found = _behind(self._values(body)[value], inputs, value)
        names = [value.name for value in self._graph.root.inputs]
        return {names[number]: tuple(map(_extent, found[number])) for number in sorted(found)}

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
    times = len(inner.lows) // gcd(len(inner.lows), outer.step)
    if times * len(outer.lows) > LONGEST_PERIOD:
        return None
    repeated = _repeated(outer, times)
    step = repeated.step // len(inner.lows) * inner.step
    lows = tuple(_at(inner.lows, inner.step, position) for position in repeated.lows)
    highs = tuple(_at(inner.highs, inner.step, position) for position in repeated.highs)
    return Reach(outer.axis, lows, highs, step)


def _both(first: Part, second: Part, value: Value) -> Part:
    """The least part that holds two parts of a source."""
    if WHOLE in (first, second):
        return WHOLE
    if not isinstance(first, Reach) or not isinstance(second, Reach) or first.axis != second.axis:
        return None
    if first == second:
        return first
    period = lcm(len(first.lows), len(second.lows))
    step = max(first.step * period // len(first.lows), second.step * period // len(second.lows))
    if _ratio(first) != _ratio(second):  # they drift apart, so there is no period but the whole axis
        period = value.type.shape[first.axis]
        step = round(max(_ratio(first), _ratio(second)) * period)
    if period > LONGEST_PERIOD:
        return None
    positions = range(period)
    lows = tuple(min(_at(part.lows, part.step, position) for part in (first, second)) for position in positions)
    highs = tuple(max(_at(part.highs, part.step, position) for part in (first, second)) for position in positions)
    return Reach(first.axis, lows, highs, step)


def _ratio(reach: Reach) -> Fraction:
    return Fraction(reach.step, len(reach.lows))


def _repeated(reach: Reach, times: int) -> Reach:
    """The same reach, with its period written out so many times."""
    period = range(len(reach.lows) * times)
    lows = tuple(_at(reach.lows, reach.step, position) for position in period)
    highs = tuple(_at(reach.highs, reach.step, position) for position in period)
    return Reach(reach.axis, lows, highs, reach.step * times)


def _at(bounds: tuple[int, ...], step: int, position: int) -> int:
    periods, within = divmod(position, len(bounds))
    return bounds[within] + periods * step


def _extent(part: Part) -> Extent | Literal["whole"] | None:
    if not isinstance(part, Reach):
        return part
    size = max(high - low for low, high in zip(part.lows, part.highs, strict=True)) + 1
    return Extent(size, _ratio(part), Fraction(part.lows[0] + part.highs[0], 2))
