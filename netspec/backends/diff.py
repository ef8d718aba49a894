"""Two graphs in, a `Difference` out: what was added, removed and changed, what it costs, and which weights still fit.

A change has a cause where its arguments differ. A node that only got other shapes, because something ahead of it
changed, follows. The figures of all changes add up to the difference of the totals.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, Literal, NamedTuple

from netspec.backends.alignment import Alignment, Pair
from netspec.backends.pictures.captions import GROUPS, op_text
from netspec.backends.pictures.drawing import Mark
from netspec.backends.summary import to_summary
from netspec.graph import Body, Graph, Node, Value, node_macs, node_parameters
from netspec.ops.base import Op, State


class Side(NamedTuple):
    """A node as it is in one of the two networks, and what it costs.

    The figures of a body are those of all below it where the other network lacks it. Where both have it they are 0,
    because what differs inside is listed by itself.
    """

    path: str
    kind: str
    caption: str  # the node in a few words
    inputs: tuple[str, ...]  # shapes
    outputs: tuple[str, ...]
    nodes: int
    parameters: int
    macs: int

    def as_dict(self) -> dict[str, Any]:
        """The node as plain data."""
        return self._asdict() | {"inputs": list(self.inputs), "outputs": list(self.outputs)}


class Change(NamedTuple):
    """A node that one network lacks, or that differs; `arguments` holds those that differ, before and after.

    Of what both networks have, `inputs` and `returns` among the arguments name the nodes that a node or body reads and
    returns, where that differs by more than the nodes that were added and removed.
    """

    before: Side | None
    after: Side | None
    arguments: dict[str, tuple[Any, Any]]

    @property
    def mark(self) -> Mark | Literal["follows"]:
        if self.before is None or self.after is None:
            return "added" if self.after else "removed"
        return "changed" if self.arguments or self.before.kind != self.after.kind else "follows"

    @property
    def side(self) -> Side:
        """The node as it is now, or as it was where it is gone."""
        found = self.after or self.before
        assert found is not None, "a change is of a node"
        return found

    @property
    def parameters(self) -> int:
        """How many parameters more there are than before."""
        return (self.after.parameters if self.after else 0) - (self.before.parameters if self.before else 0)

    @property
    def macs(self) -> int:
        """How many multiply-accumulates more there are than before."""
        return (self.after.macs if self.after else 0) - (self.before.macs if self.before else 0)

    def as_dict(self) -> dict[str, Any]:
        """The change as plain data."""
        return {
            "mark": self.mark,
            "before": self.before.as_dict() if self.before else None,
            "after": self.after.as_dict() if self.after else None,
            "arguments": {name: _both(*values) for name, values in self.arguments.items()},
        }


class Move(NamedTuple):
    """A node of both networks under another name: its paths, and its kind."""

    before: str
    after: str
    kind: str


class Fit(NamedTuple):
    """What becomes of a `state_dict` of the first network in the second, by key.

    `kept` fit and `reshaped` have another shape; `unexpected` are in the first network alone, `missing` in the second
    alone. `misplaced` are those of `kept` that would come into a node which is not the one they are from. `renamed`
    maps keys of nodes that moved to the keys under which they would fit.
    """

    kept: tuple[str, ...]
    misplaced: tuple[str, ...]
    reshaped: tuple[str, ...]
    unexpected: tuple[str, ...]
    missing: tuple[str, ...]
    renamed: dict[str, str]


class Total(NamedTuple):
    """A figure of both networks."""

    before: int
    after: int


class Difference:
    """What differs between two networks.

    `changes` and `moves` are in the order of the network; `params` are parameters that both specs have, with their
    values before and after where these differ.
    """

    def __init__(self, before: Graph, after: Graph) -> None:
        self.before = before
        self.after = after
        walk = _Walk()
        walk.networks(before.root, after.root)
        self.changes = tuple(walk.changes)
        self.moves = tuple(walk.moves)
        ours, theirs = before.root.arguments, after.root.arguments
        self.params: dict[str, tuple[Any, Any]] = {
            name: (value, theirs[name]) for name, value in ours.items() if name in theirs and value != theirs[name]
        }

    @property
    def equal(self) -> bool:
        """Whether nothing differs: no node, no shape, no name."""
        return not (self.changes or self.moves or self.params or self.interface)

    @cached_property
    def inputs(self) -> tuple[dict[str, str], dict[str, str]]:
        """Name and shape of the inputs of both networks."""
        return _texts(self.before.inputs), _texts(self.after.inputs)

    @cached_property
    def outputs(self) -> tuple[dict[str, str], dict[str, str]]:
        """Name and shape of the outputs of both networks in eval mode."""
        return _texts(self.before.outputs), _texts(self.after.outputs)

    @cached_property
    def interface(self) -> dict[str, tuple[str, str]]:
        """The `input` and `output` of both networks as text, where they differ."""
        bare = all(graph.root.returns == "bare" for graph in (self.before, self.after))
        ends = {"input": _ends_text(*self.inputs, named=True), "output": _ends_text(*self.outputs, named=not bare)}
        return {word: texts for word, texts in ends.items() if texts[0] != texts[1]}

    @cached_property
    def states(self) -> tuple[dict[str, State], dict[str, State]]:
        """What the `state_dict` of either network holds."""
        return self.before.state(), self.after.state()

    @cached_property
    def totals(self) -> dict[str, Total]:
        """Parameters, MACs, bytes of the `state_dict`, bytes of all outputs of one sample, and number of nodes."""
        graphs = self.before, self.after
        figures = {
            "parameters": [graph.parameters for graph in graphs],
            "macs": [graph.macs for graph in graphs],
            "state_bytes": [sum(state.bytes for state in states.values()) for states in self.states],
            "output_bytes": [to_summary(graph).memory for graph in graphs],
            "nodes": [graph.root.size for graph in graphs],
        }
        return {name: Total(*pair) for name, pair in figures.items()}

    @cached_property
    def fit(self) -> Fit:
        """Which weights of the first network the second can take."""
        ours, theirs = self.states
        shared = [key for key in ours if key in theirs]
        kept = tuple(key for key in shared if ours[key].shape == theirs[key].shape)
        names = {change.before.path: "" for change in self.changes if change.before and not change.after}
        names |= {move.before: move.after for move in self.moves}
        renamed = {key: _renamed(key, names) for key in ours}
        return Fit(
            kept,
            tuple(key for key in kept if renamed[key] != key),
            tuple(key for key in shared if ours[key].shape != theirs[key].shape),
            tuple(key for key in ours if key not in theirs),
            tuple(key for key in theirs if key not in ours),
            {
                key: name
                for key, name in renamed.items()
                if name != key and name in theirs and theirs[name].shape == ours[key].shape
            },
        )

    @cached_property
    def common(self) -> float:
        """The share of nodes that the two networks have in common, whatever their arguments and shapes."""
        lost = sum(change.before.nodes for change in self.changes if change.before and not change.after)
        gained = sum(change.after.nodes for change in self.changes if change.after and not change.before)
        nodes = self.before.root.size + self.after.root.size
        return (nodes - lost - gained) / nodes if nodes else 1.0

    @cached_property
    def marks(self) -> tuple[dict[str, Mark], dict[str, Mark]]:
        """What a picture of either network marks, by path; followers are left plain."""
        found: tuple[dict[str, Mark], dict[str, Mark]] = {}, {}
        for change in self.changes:
            for marks, side in zip(found, (change.before, change.after), strict=True):
                if side is not None and (mark := change.mark) != "follows":
                    marks[side.path] = mark
        for end, types in (("input", self.inputs), ("output", self.outputs)):
            for marks, own, other in zip(found, types, reversed(types), strict=True):
                if end in self.interface:
                    marks |= {f"{end}:{name}": "changed" for name, type in own.items() if other.get(name) != type}
        return found

    def json(self) -> str:
        """The difference as JSON, with a record for every node that differs; sizes are in bytes."""
        document = {
            "before": self.before.name,
            "after": self.after.name,
            "equal": self.equal,
            "inputs": _both(*self.inputs),
            "outputs": _both(*self.outputs),
            "params": {name: _both(*values) for name, values in self.params.items()},
            "changes": [change.as_dict() for change in self.changes],
            "moves": [move._asdict() for move in self.moves],
            "totals": {name: total._asdict() for name, total in self.totals.items()},
            "state_dict": self.fit._asdict(),
        }
        return json.dumps(document, indent=2, ensure_ascii=False)


def _both(before: Any, after: Any) -> dict[str, Any]:
    return {"before": before, "after": after}


def _texts(types: dict[str, Any]) -> dict[str, str]:
    return {name: str(type) for name, type in types.items()}


def _ends_text(before: dict[str, str], after: dict[str, str], *, named: bool) -> tuple[str, str]:
    """Inputs or outputs before and after; with names where there are several, or where the names differ."""
    named = len(before) > 1 or len(after) > 1 or (named and before.keys() != after.keys())
    first, second = (
        ", ".join(f"{name} {type}" if named else type for name, type in types.items()) for types in (before, after)
    )
    return first, second


def _renamed(key: str, names: dict[str, str]) -> str:
    """The key under the names of the other network; the longest of the paths in `names` says what its start becomes."""
    path = key
    while path:
        if path in names:
            return names[path] + key[len(path) :]
        path = path.rpartition(".")[0]
    return key


# Nodes ---------------------------------------------------------------------------------------------------------------


class _Place(NamedTuple):
    """Where a body stands in one of the networks: the start of its paths, and whether only training reaches it."""

    prefix: str = ""
    training_only: bool = False

    def inside(self, node: Node) -> _Place:
        return _Place(f"{self.prefix}{node.name}.", self.training_only or node.training_only)

    def side(self, node: Node, *, counted: bool = True) -> Side:
        body = node.target if isinstance(node.target, Body) else None
        aside = self.training_only or node.training_only or not counted
        return Side(
            self.prefix + node.name,
            node.kind,
            _caption(node),
            tuple(map(str, node.input_types)),
            tuple(map(str, node.output_types)),
            0 if not counted else 1 if body is None or node.shares else 1 + body.size,
            node_parameters(node) if counted else 0,
            0 if aside else node_macs(node),
        )


class _Walk:
    """Goes through both networks at once and collects what differs."""

    def __init__(self) -> None:
        self.alignment = Alignment()
        self.changes: list[Change] = []
        self.moves: list[Move] = []

    def networks(self, before: Body, after: Body) -> None:
        """Compare two whole networks. A change of what they return has the empty path."""
        if returned := self.returned(before, after):
            root = Side("", "network", "network", *_ends(before), 0, 0, 0)
            other = Side("", "network", "network", *_ends(after), 0, 0, 0)
            self.changes.append(Change(root, other, returned))
        self.bodies(before, after, _Place(), _Place())

    def bodies(self, before: Body, after: Body, place: _Place, other: _Place) -> None:
        """Compare what is inside two bodies, which stand at `place` and `other`."""
        pairs = self.alignment.pairs(before, after)
        wires = _Wires(before, after, pairs)
        for ours, theirs in pairs:
            if ours is None or theirs is None:
                sides = place.side(ours) if ours else None, other.side(theirs) if theirs else None
                self.changes.append(Change(*sides, {}))
                continue
            if ours.name != theirs.name:
                self.moves.append(Move(place.prefix + ours.name, other.prefix + theirs.name, theirs.kind))
            arguments = dict(wires.rewired("inputs", ours.inputs, theirs.inputs))
            identical = self.alignment.identical(ours, theirs)
            if not identical:
                arguments = _arguments(ours, theirs) | arguments
            if isinstance(ours.target, Op) or isinstance(theirs.target, Op) or ours.shares:
                if arguments or not identical:
                    self.changes.append(Change(place.side(ours), other.side(theirs), arguments))
                continue
            if not identical:
                arguments |= self.returned(ours.target, theirs.target)
            if arguments or ours.kind != theirs.kind:
                sides = place.side(ours, counted=False), other.side(theirs, counted=False)
                self.changes.append(Change(*sides, arguments))
            if not identical:
                self.bodies(ours.target, theirs.target, place.inside(ours), other.inside(theirs))

    def returned(self, before: Body, after: Body) -> dict[str, tuple[Any, Any]]:
        """What two bodies return, where it differs: the values, or else the way."""
        wires = _Wires(before, after, self.alignment.pairs(before, after))
        ours, theirs = (tuple(output.value for output in body.outputs) for body in (before, after))
        ways = _way(before), _way(after)
        return dict(wires.rewired("returns", ours, theirs)) or ({"returns": ways} if ways[0] != ways[1] else {})


class _Wires:
    """Which values of two bodies are the same, looking through nodes that were added and removed.

    A value is known by its anchors: the pairs of nodes, and inputs of the body, that it comes from.
    """

    def __init__(self, before: Body, after: Body, pairs: Iterable[Pair]) -> None:
        self.anchors: dict[Value, frozenset[Any]] = {}
        self.new: set[Value] = set()  # given by nodes that one body lacks
        partner = {theirs: ours for ours, theirs in pairs if ours is not None and theirs is not None}
        self._trace(before, {ours: ours for ours in partner.values()})
        self._trace(after, partner)

    def _trace(self, body: Body, known: dict[Node, Node]) -> None:
        self.anchors |= {value: frozenset([place]) for place, value in enumerate(body.inputs)}
        for node in body.schedule:
            for place, value in enumerate(node.outputs):
                if node in known:
                    self.anchors[value] = frozenset([(known[node], place)])
                else:
                    self.new.add(value)
                    self.anchors[value] = frozenset().union(*(self.anchors[source] for source in node.inputs))

    def rewired(
        self, name: str, before: tuple[Value, ...], after: tuple[Value, ...]
    ) -> Iterator[tuple[str, tuple[Any, Any]]]:
        """The names of the values under `name` where they come from elsewhere than before."""
        ours, theirs = before, after
        if len(ours) != len(theirs):
            ours, theirs = (tuple(value for value in values if value not in self.new) for values in (ours, theirs))
        same = len(ours) == len(theirs) and all(
            self.anchors[a] & self.anchors[b] or (not self.anchors[a] and not self.anchors[b])
            for a, b in zip(ours, theirs, strict=True)
        )
        if not same:
            yield name, (tuple(value.name for value in before), tuple(value.name for value in after))


def _ends(body: Body) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The shapes that a body takes and gives."""
    return tuple(str(value.type) for value in body.inputs), tuple(str(output.value.type) for output in body.outputs)


def _way(body: Body) -> str:
    """Whether a body returns a bare value, a named tuple or a dictionary, and under which names."""
    names = ", ".join(output.name for output in body.outputs)
    return "one value" if body.returns == "bare" else f"{body.returns} of {names}"


def _arguments(before: Node, after: Node) -> dict[str, tuple[Any, Any]]:
    """The arguments that differ, of those that both nodes have."""
    ours, theirs = _values(before), _values(after)
    return {name: (value, theirs[name]) for name, value in ours.items() if name in theirs and value != theirs[name]}


def _values(node: Node) -> dict[str, Any]:
    own = dict(vars(node.target)) if isinstance(node.target, Op) else dict(node.target.arguments)
    return own | {"training_only": node.training_only, "shares": node.shares}


def _caption(node: Node) -> str:
    """A node in a few words: `conv 3×3, 64`, `bottleneck`, `3 × bottleneck`, or `chain of 5 nodes`."""
    if isinstance(node.target, Op):
        return f"{node.kind}, shares {node.shares}" if node.shares else op_text(node)
    if node.kind not in GROUPS:
        return node.kind
    inside = {inner.kind for inner in node.target.nodes}
    count = len(node.target.nodes)
    if len(inside) == 1 and node.target.repeated:
        return f"{count} × {inside.pop()}"
    return f"{node.kind} of {count} node{'s' if count != 1 else ''}"
