"""The steps of an ONNX file in, and where in the tree of modules each of them stands out.

Files of PyTorch say so in the names of weights, `layer1.0.conv1.weight`, and in those of nodes, which are
`/layer1/layer1.0/conv1/Conv` or, from netspec, `layer1.0.conv1.Conv`. A step without such a name stands beside the one
whose result it reads.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import Any

from netspec.diagnostics import Problem
from netspec.importing.onnx.tree import Called, Path, Step
from netspec.names import MAX_NAME, check_node_name

STATES = ("weight", "bias", "running_mean", "running_var")
AFTER_A_BLOCK = ("adaptive_avg_pool", "adaptive_max_pool", "global_avg_pool", "mean", "flatten", "reshape", "dropout")
"""Ops that rather belong to what surrounds a block than to its end."""

DEEPEST = 100  # levels that a name may lead down; what is behind them becomes one part


def assign_paths(steps: list[Step]) -> None:
    """Give each step a path. No two are equal, and none leads through another step."""
    scopes = [_scope(step.called) for step in steps]
    paths = [_weight_path(step.called) for step in steps]
    users = Counter(scope for scope in scopes if scope)
    around = {scope[:length] for scope in (*scopes, *paths) if scope for length in range(1, len(scope))}
    for number, (step, scope) in enumerate(zip(steps, scopes, strict=True)):
        if paths[number] is None and scope is not None:
            whole = bool(scope) and users[scope] == 1 and scope not in around
            paths[number] = scope if whole else (*scope, step.kind)
    _Places(steps, paths).fill()
    _make_unique(steps, [path or (step.kind,) for step, path in zip(steps, paths, strict=True)])


def _weight_path(called: Called) -> Path | None:
    """The path of the module that a weight belongs to; a weight that is a parameter of its own has that of itself."""
    weight = next(iter(called.weights), "")
    path, _, state = weight.rpartition(".")
    if called.operator == "parameter":
        return _path(weight) if re.fullmatch(r"[\w.-]+", weight) else None
    return _path(path) if path and state in STATES else None


def _scope(called: Called) -> Path | None:
    """The path of the module that ran a node, where the name of the node says it."""
    separator = "/" if called.node.startswith("/") else "."
    *parts, last = called.node.strip("/").split(separator)
    if not re.fullmatch(rf"{re.escape(called.operator)}(_\d+)?", last) or "" in parts:
        return None
    scope: list[str] = []
    before = ""
    for part in parts:  # PyTorch names the children of a list by their whole path in it: `/features/features.0`
        scope += part.removeprefix(f"{before}.").split(".")
        before = part
    return _path(".".join(scope)) if scope else ()


def _path(name: str) -> Path:
    """A name with dots as a path whose parts can name modules."""
    return tuple(_part(part) for part in name.split(".", DEEPEST))


def _part(part: str) -> str:
    part = re.sub(r"[^A-Za-z0-9_-]", "_", part)[:MAX_NAME]
    for candidate in (part, f"{part}_", f"n{part}"):
        try:
            check_node_name(candidate)
        except Problem:
            continue
        return candidate
    return "unnamed"


# Steps that the file does not name -----------------------------------------------------------------------------------


class _Places:
    """Finds places for the steps without a path: in the body of what they read, under a free name."""

    def __init__(self, steps: list[Step], paths: list[Path | None]) -> None:
        self.steps = steps
        self.paths = paths
        self.makers = {value: number for number, step in enumerate(steps) for value in step.outputs}
        self.readers: dict[str, list[int]] = defaultdict(list)
        self.children: dict[Path, set[str]] = defaultdict(set)
        self.used: Counter[Path] = Counter()
        for number, step in enumerate(steps):
            for value in step.inputs:
                self.readers[value].append(number)
        for path in paths:
            for length, name in enumerate(path or ()):
                self.children[(path or ())[:length]].add(name)

    def fill(self) -> None:
        following = self._following()
        for number, step in enumerate(self.steps):
            if self.paths[number] is not None:
                continue
            sources = sorted(self.makers[value] for value in step.inputs if value in self.makers)
            body = self._body(sources)
            if step.kind in AFTER_A_BLOCK and (behind := following[number]) is not None:
                body = _common(body, behind[:-1])
            path = (*body, self._name(step.kind, body, sources))
            self.children[body].add(path[-1])
            self.paths[number] = path

    def _body(self, sources: list[int]) -> Path:
        """That of the latest source, or the one around it and those others that do not go into it elsewhere."""
        bodies = [(self.paths[source] or ())[:-1] for source in sources]
        body = bodies.pop() if bodies else ()
        for source, other in zip(sources, bodies, strict=False):
            readers = (self.paths[reader] for value in self.steps[source].outputs for reader in self.readers[value])
            if not any(path is not None and path[: len(body)] == body for path in readers):
                body = _common(body, other)
        return body

    def _name(self, kind: str, body: Path, sources: list[int]) -> str:
        """The number behind that of a source, as in a list, or else the kind, with a number from the second on."""
        names = [path[len(body)] for source in sources if len(path := self.paths[source] or ()) > len(body)]
        if names and names[-1].isdigit() and (number := str(int(names[-1]) + 1)) not in self.children[body]:
            return number
        while True:
            self.used[(*body, kind)] += 1
            count = self.used[(*body, kind)]
            name = kind if count == 1 else f"{kind}_{count}"
            if name not in self.children[body]:
                return name

    def _following(self) -> list[Path | None]:
        """The path of the first step with one that reads a result of each, directly or through steps without one."""
        found: list[Path | None] = [None] * len(self.steps)
        readers: dict[str, Path | None] = {}
        for number in reversed(range(len(self.steps))):
            step = self.steps[number]
            found[number] = next((path for value in step.outputs if (path := readers.get(value))), None)
            for value in step.inputs:
                readers[value] = self.paths[number] or found[number]
        return found


def _common(one: Path, other: Path) -> Path:
    length = 0
    while length < min(len(one), len(other)) and one[length] == other[length]:
        length += 1
    return one[:length]


def _make_unique(steps: list[Step], paths: list[Path]) -> None:
    """Number equal paths, and move a step out of the way of those whose paths lead through its own.

    Steps with equal weights are one module, called again.
    """
    above = {path[:length] for path in paths for length in range(1, len(path))}
    taken: set[Path] = set()
    used: Counter[Path] = Counter()
    owners: dict[tuple[Any, ...], Step] = {}
    for step, path in zip(steps, paths, strict=True):
        wanted = first = (*path, step.kind) if path in above else path
        while wanted in taken or wanted in above:
            used[first] += 1
            word = step.kind if first[-1].isdigit() else first[-1]
            wanted = (*first[:-1], f"{word}_{used[first] + 1}")
        taken.add(wanted)
        step.path = wanted
        owner = owners.setdefault((path, step.op, step.called.weights), step) if step.weights else step
        step.shares = owner.path if owner is not step and owner.path[:-1] == wanted[:-1] else ()
