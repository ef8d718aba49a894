"""Paths of nodes, such as `layer1.0.conv1`: the patterns that select some, and the fewest that stand for many."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from netspec.limits import charge


class PathPattern:
    """The paths that a selector means: `*` stands for one name of a path, `**` for any number.

    No regular expression: one with many stars can take forever, and selectors come from specs of strangers.
    """

    def __init__(self, selector: str) -> None:
        self._parts = [part for part in re.split(r"(\*+)", selector) if part]

    def matches(self, path: str, start: int = 0) -> bool:
        """Whether the path, from the character `start` on, is meant."""
        return len(path) in self._ends(path, start)

    def holds(self, path: str) -> bool:
        """Whether the path is meant, or stands below one that is."""
        return any(end == len(path) or path[end] == "." for end in self._ends(path, 0))

    def _ends(self, path: str, start: int) -> set[int]:
        """Where the selector can end in the path."""
        charge(25 + len(self._parts) * len(path) // 2)
        ends = {start}
        for part in self._parts:
            if not ends:
                break
            if part == "*":
                ends = _within_a_name(path, ends)
            elif part[0] == "*":
                ends = set(range(min(ends), len(path) + 1))
            else:
                ends = {end + len(part) for end in ends if path.startswith(part, end)}
        return ends


def _within_a_name(path: str, starts: set[int]) -> set[int]:
    """The positions that lead from one of `starts` to the next dot."""
    reached: set[int] = set()
    for start in sorted(starts):
        if start not in reached:
            dot = path.find(".", start)
            reached.update(range(start, (dot if dot >= 0 else len(path)) + 1))
    return reached


def covering(keys: Iterable[str], others: Iterable[str]) -> list[str]:
    """The shortest paths that stand for `keys`, and for none of `others`: `fc` for `fc.weight` and `fc.bias`."""
    taken = {prefix for key in others for prefix in prefixes(key)}
    return list(dict.fromkeys(next((path for path in prefixes(key) if path not in taken), key) for key in keys))


def enclosing(path: str) -> Iterator[str]:
    """The paths around one, from the outside in: `layer1` and `layer1.0` for `layer1.0.conv1`."""
    return (path[: dot.start()] for dot in re.finditer(r"\.", path))


def prefixes(path: str) -> Iterator[str]:
    """The paths around one, and itself."""
    yield from enclosing(path)
    yield path
