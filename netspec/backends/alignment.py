"""Two bodies in, pairs of their nodes out: which node of one network is which of the other.

Named nodes are paired by name. Numbered ones, as a list has them, are aligned as two sequences, so that a node put
into a list is one addition, and the nodes behind it have moved. What a node holds decides, never its place in a file.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable, Iterator
from functools import lru_cache

from netspec.backends.pictures.captions import GROUPS
from netspec.graph import Body, Node
from netspec.ops.base import Op

Pair = tuple[Node | None, Node | None]
"""A node of the first body and the same one of the second; one of them is missing where it was removed or added."""

_LARGEST_TABLE = 250_000  # cells; longer lists are paired by name
_IDENTICAL, _SAME_KIND, _SAME_ARGUMENTS, _SAME_SHAPE, _SAME_NAME = 8.0, 3.0, 2.0, 1.0, 0.5
_ALIKE = 0.5  # share of their nodes that two groups in a list need in common to be one


class Alignment:
    """Pairs the nodes of bodies, and knows which are identical. Bodies that stand in many places are looked at once."""

    def __init__(self) -> None:
        self._keys: dict[Hashable, int] = {}
        self._of_node: dict[Node, int] = {}
        self._of_body: dict[Body, int] = {}
        self._pairs: dict[tuple[Body, Body], tuple[Pair, ...]] = {}

    def identical(self, before: Node, after: Node) -> bool:
        """Whether two nodes do the same on inputs of the same shapes, and hold the same; their own names aside."""
        return self._key(before) == self._key(after)

    def pairs(self, before: Body, after: Body) -> tuple[Pair, ...]:
        """The nodes of both bodies in the order written; where some gave way to others, the removed ones are first."""
        if (before, after) not in self._pairs:
            self._pairs[before, after] = tuple(self._merged(before, after))
        return self._pairs[before, after]

    def _key(self, node: Node) -> int:
        """A number that identical nodes share."""
        if node not in self._of_node:
            target = node.target if isinstance(node.target, Op) else self._body_key(node.target)
            self._of_node[node] = self._number((node.kind, target, node.input_types, node.training_only, node.shares))
        return self._of_node[node]

    def _body_key(self, body: Body) -> int:
        if body not in self._of_body:
            nodes = tuple((node.name, self._key(node), _names(node)) for node in body.nodes)
            outputs = tuple((output.name, output.value.name, output.training_only) for output in body.outputs)
            self._of_body[body] = self._number((body.form, body.returns, repr(body.arguments), nodes, outputs))
        return self._of_body[body]

    def _number(self, key: Hashable) -> int:
        return self._keys.setdefault(key, len(self._keys))

    def _merged(self, before: Body, after: Body) -> Iterator[Pair]:
        partners = self._partners(before, after)
        found = set(partners.values())
        places = {node: place for place, node in enumerate(before.nodes)}
        removed = deque(node for node in before.nodes if node not in found)
        added: list[Node] = []
        for node in after.nodes:
            if (twin := partners.get(node)) is None:
                added.append(node)
                continue
            while removed and places[removed[0]] < places[twin]:
                yield removed.popleft(), None
            yield from ((None, new) for new in added)
            added.clear()
            yield twin, node
        yield from ((node, None) for node in removed)
        yield from ((None, node) for node in added)

    def _partners(self, before: Body, after: Body) -> dict[Node, Node]:
        """The node of `before` for each of `after` that has one."""
        by_name = {node.name: node for node in before.nodes}
        partners = {
            node: by_name[node.name]
            for node in after.nodes
            if not _numbered(node) and node.name in by_name and _comparable(by_name[node.name], node)
        }
        taken = set(partners.values())
        left = [node for node in before.nodes if node not in taken]
        right = [node for node in after.nodes if node not in partners]
        return partners | self._aligned(left, right)

    def _aligned(self, left: list[Node], right: list[Node]) -> dict[Node, Node]:
        """The pairs, in the order of both lists, that are most alike in sum."""
        start = 0
        while start < min(len(left), len(right)) and self._unmoved(left[start], right[start]):
            start += 1
        partners = dict(zip(right[:start], left[:start], strict=True))
        left, right = left[start:], right[start:]
        if len(left) * len(right) > _LARGEST_TABLE:
            by_name = {node.name: node for node in left}
            twins = ((node, by_name.get(node.name)) for node in right)
            return partners | {node: twin for node, twin in twins if twin is not None and _comparable(twin, node)}
        best = [[0.0] * (len(right) + 1) for _ in range(len(left) + 1)]  # of what stands behind two places
        likeness = [[self._likeness(a, b) for b in right] for a in left]
        for i in reversed(range(len(left))):
            for j in reversed(range(len(right))):
                both = likeness[i][j] + best[i + 1][j + 1] if likeness[i][j] else 0.0
                best[i][j] = max(both, best[i + 1][j], best[i][j + 1])
        i = j = 0
        while i < len(left) and j < len(right):
            if likeness[i][j] and best[i][j] == likeness[i][j] + best[i + 1][j + 1]:
                partners[right[j]] = left[i]
                i, j = i + 1, j + 1
            elif best[i][j] == best[i + 1][j]:
                i += 1
            else:
                j += 1
        return partners

    def _unmoved(self, before: Node, after: Node) -> bool:
        return before.name == after.name and self.identical(before, after)

    def _likeness(self, before: Node, after: Node) -> float:
        """How much speaks for two nodes being one; 0 where they cannot be."""
        name = _SAME_NAME if before.name == after.name else 0.0
        if self.identical(before, after):
            return _IDENTICAL + name
        if not (_numbered(before) and _numbered(after) and _comparable(before, after)):
            return 0.0
        if isinstance(before.target, Body) and isinstance(after.target, Body):
            shared = _shared(before.target, after.target)
            if before.kind in GROUPS and shared < _ALIKE:
                return 0.0
            return _SAME_ARGUMENTS + _SAME_KIND * shared + name
        kind = _SAME_KIND if before.kind == after.kind else 1.0
        arguments = _SAME_ARGUMENTS if before.target == after.target else 0.0
        shape = _SAME_SHAPE if before.output_types == after.output_types else 0.0
        return kind + arguments + shape + name


def _names(node: Node) -> tuple[str, ...]:
    return tuple(value.name for value in node.inputs)


def _numbered(node: Node) -> bool:
    """Whether a node has its name from its place in a list."""
    return node.name.rpartition(".")[2].isdigit()


def _comparable(before: Node, after: Node) -> bool:
    """Whether one node can have become the other: an op another of its category, a block itself with other content."""
    if (before.shares is None) != (after.shares is None):
        return False
    if isinstance(before.target, Op) and isinstance(after.target, Op):
        return before.target.category == after.target.category
    if isinstance(before.target, Body) and isinstance(after.target, Body):
        return before.kind == after.kind or (before.kind in GROUPS and after.kind in GROUPS)
    return False


def _shared(before: Body, after: Body) -> float:
    """The share of their nodes, by kind, that two bodies have in common."""
    ours, theirs = _kinds(before), _kinds(after)
    return 2 * (ours & theirs).total() / max(1, ours.total() + theirs.total())


@lru_cache(maxsize=4096)
def _kinds(body: Body) -> Counter[str]:
    found: Counter[str] = Counter()
    for node in body.nodes:
        found[node.kind] += 1
        if isinstance(node.target, Body):
            found += _kinds(node.target)
    return found
