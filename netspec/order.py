"""What the nodes of a body need in, the order they run in out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from heapq import heappop, heappush

from netspec.paths import prefixes


class Cycle(Exception):
    """Nodes that need each other: their `names`, the first once more at the end."""

    def __init__(self, names: list[str]) -> None:
        self.names = names


def standing(names: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Sort keys that bring together what one module holds, at the place of the first of it."""
    order: dict[str, int] = {}
    return {name: tuple(order.setdefault(part, len(order)) for part in prefixes(name)) for name in names}


def run_order(needs: Mapping[str, set[str]], early: Iterable[str]) -> list[str]:
    """The names in the order written, each after those that it needs; `early` ones as soon as they can run.

    Raises `Cycle`.
    """
    order = _Order(needs, early)
    for first in needs:
        stack = {} if first in order.names else {first: order.inputs(first)}
        while stack:
            name = next(reversed(stack))
            missing = next((needed for needed in stack[name] if needed not in order.names), None)
            if missing is None:
                del stack[name]
                order.run(name)
            elif missing in stack:
                names = list(stack)
                raise Cycle([*names[names.index(missing) :], missing])
            else:
                stack[missing] = order.inputs(missing)
    return list(order.names)


class _Order:
    """The names of nodes in the order they run. The `early` ones run as soon as all that they need is there."""

    def __init__(self, needs: Mapping[str, set[str]], early: Iterable[str]) -> None:
        self.names: dict[str, None] = {}
        self.needs = needs
        self.position = {name: index for index, name in enumerate(needs)}
        self.lacking = {name: len(needs[name]) for name in early}
        self.ready = [(self.position[name], name) for name, count in self.lacking.items() if count == 0]
        self.readers: dict[str, list[str]] = {}
        for name in self.lacking:
            for needed in needs[name]:
                self.readers.setdefault(needed, []).append(name)

    def inputs(self, name: str) -> Iterator[str]:
        """What a node needs, in the order written."""
        return iter(sorted(self.needs[name], key=self.position.__getitem__))

    def run(self, name: str) -> None:
        """Put a node next, and behind it the early ones that have what they need then."""
        self._note(name)
        while self.ready:
            _, early = heappop(self.ready)
            if early not in self.names:
                self._note(early)

    def _note(self, name: str) -> None:
        self.names[name] = None
        for reader in self.readers.get(name, ()):
            self.lacking[reader] -= 1
            if self.lacking[reader] == 0:
                heappush(self.ready, (self.position[reader], reader))
