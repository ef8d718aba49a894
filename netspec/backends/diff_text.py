"""A difference in, text for people out: a line for what changed alike, causes first, then totals and weights.

Paths that differ in their numbers alone share a line when the same happened to them: `layer*.*.conv2` stands for all
such nodes, `layer3.6–22` for some.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator
from functools import cached_property
from itertools import combinations, takewhile
from typing import Any, NamedTuple

from netspec.backends.diff import Change, Difference, Side, Total
from netspec.expressions import show
from netspec.graph import Graph
from netspec.quantities import byte_size, short

_SIGNS = {"added": "+", "removed": "−", "changed": "~", "follows": "·"}
_MOST_ROWS = 24
_MOST_ROWS_OF_OTHERS = 12  # where the networks have little in common
_MOST_NAMES = 5  # of a list in a sentence
_MOST_VALUES = 4  # that are written out, where copies have different ones
_NEARLY_ALL = 0.75  # share of all nodes that a name means, from which on it is used for those that changed
_MOST_PATHS = 8  # that are written out in a name for all of them
_MOST_PARTS = 6  # lines that a group of nodes without a common name is split into
_LITTLE = 0.2  # share of nodes in common below which two networks are different ones


def to_text(difference: Difference, everything: bool = False) -> str:
    """The difference for a terminal. With `everything`, each node has a line of its own."""
    before, after = difference.before, difference.after
    if difference.equal:
        return f"{before.name} and {after.name} are equal: {before.root.size:,} nodes, {_costs(before)}"
    rows = _Rows(difference, everything)
    parts = [
        [f"{before.name} → {after.name}", *_facts(difference), *_remark(difference)],
        _table(rows.listed),
        rows.sentences(),
        _totals(difference),
        _weights(difference),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def remarks(difference: Difference) -> dict[str, str]:
    """For a picture of the second network: what changed in a node, by its path."""
    changed = (change for change in difference.changes if change.mark == "changed")
    return {change.side.path: _alteration([change]) for change in changed}


def _costs(graph: Graph) -> str:
    return f"{short(graph.parameters)} parameters, {short(graph.macs)}MACs"


# Head ----------------------------------------------------------------------------------------------------------------


def _facts(difference: Difference) -> Iterator[str]:
    for word, (before, after) in difference.interface.items():
        yield f"  {word}: {before} → {after}"
    if difference.params:
        yield f"  {params_text(difference)}"


def params_text(difference: Difference) -> str:
    """The parameters that both specs have, where their values differ: `params: groups 1 → 32`."""
    changed = [f"{name} {_value(a)} → {_value(b)}" for name, (a, b) in difference.params.items()]
    return f"params: {', '.join(changed)}" if changed else ""


def _remark(difference: Difference) -> Iterator[str]:
    if difference.common < _LITTLE:
        yield f"  two different networks: {100 * difference.common:.0f} % of their nodes are in both"


# Rows ----------------------------------------------------------------------------------------------------------------


class Row(NamedTuple):
    """One line: what happened to the nodes of `label`, and what it costs in all."""

    label: str
    text: str
    parameters: int
    macs: int


class _Rows:
    """The changes of a difference, with those in one line that are alike."""

    def __init__(self, difference: Difference, everything: bool) -> None:
        self.difference = difference
        self.everything = everything
        added = {change.after.path for change in difference.changes if change.mark == "added" and change.after}
        kept = Names(difference.after, added)
        names = Names(difference.before), Names(difference.after), kept, kept
        self.names = dict(zip(("removed", "added", "changed", "follows"), names, strict=True))

    @cached_property
    def listed(self) -> list[Row]:
        """What was added, removed and changed, in the order of the network; with `everything`, what follows, too."""
        if self.everything:
            return [_listed([change]) for change in self.difference.changes]
        causes = [change for change in self.difference.changes if change.mark != "follows"]
        found = [_listed(group, label) for label, group in self.groups(list(_outermost(causes)))]
        most = _MOST_ROWS if self.difference.common >= _LITTLE else _MOST_ROWS_OF_OTHERS
        if len(found) <= most:
            return found
        rest = found[most - 1 :]
        text = f"{len(rest)} more lines, which --all shows"
        more = Row("…", text, sum(row.parameters for row in rest), sum(row.macs for row in rest))
        return [*found[: most - 1], more]

    def sentences(self) -> list[str]:
        """What is no cause: nodes with other shapes, and nodes with other names."""
        if self.everything:
            return [f"> {move.before} → {move.after}" for move in self.difference.moves]
        return [*self.followers(), *self.moves()]

    def followers(self) -> Iterator[str]:
        found = [change for change in self.difference.changes if change.mark == "follows"]
        if found:
            row = _row("", "", found)
            costs = [f"{_signed(n)} {word}" for n, word in ((row.parameters, "parameters"), (row.macs, "MACs")) if n]
            total = f" ({', '.join(costs)})" if costs else ""
            groups = self.groups(sorted(found, key=lambda change: -abs(change.parameters)))
            labels = [_said(label, group[0].side.kind) for label, group in groups]
            nodes = "1 node only has" if len(found) == 1 else f"{len(found):,} nodes only have"
            yield f"{nodes} other shapes{total}: {self.some(labels)}"

    def moves(self) -> Iterator[str]:
        moves = [f"{move.before} → {move.after}" for move in self.difference.moves]
        if moves:
            nodes = "1 node has another name" if len(moves) == 1 else f"{len(moves):,} nodes have other names"
            yield f"{nodes}: {self.some(moves)}"

    @staticmethod
    def some(words: list[str]) -> str:
        return ", ".join(words if len(words) <= _MOST_NAMES else [*words[:_MOST_NAMES], "…"])

    def groups(self, changes: list[Change]) -> Iterator[tuple[str, list[Change]]]:
        """The changes that are alike, under a name for all of them."""
        alike: dict[Any, list[Change]] = {}
        for change in changes:
            path = change.side.path
            what = (template(path), change.mark, *_kinds(change), *sorted(change.arguments))
            alike.setdefault(what, []).append(change)
        for group in alike.values():
            names = self.names[group[0].mark]
            by_path = {change.side.path: change for change in group}
            for label, paths in names.labelled(group[0].side.kind, list(by_path)):
                yield label, [by_path[path] for path in paths]


def _outermost(changes: list[Change]) -> Iterator[Change]:
    """Without the blocks that changed because the block around them did; the nodes in them say what it came to."""
    outer = ""
    for change in changes:
        path = change.side.path
        counted = change.before is None or change.after is None or change.before.nodes
        if counted or not outer or not path.startswith(f"{outer}."):
            yield change
            outer = outer if counted else path


def _said(label: str, kind: str) -> str:
    """A label that says what it is a label of, which a number alone does not."""
    return label if any(map(str.isalpha, label.rpartition(".")[2])) else f"{label} ({kind})"


def _listed(group: list[Change], label: str | None = None) -> Row:
    """The row of changes that are alike."""
    path = (group[0].side.path if label is None else label) or "the network"
    return _row(f"{_SIGNS[group[0].mark]} {path}", _change_text(group), group)


def _kinds(change: Change) -> tuple[str | None, str | None]:
    return change.before.kind if change.before else None, change.after.kind if change.after else None


def _row(label: str, text: str, group: list[Change]) -> Row:
    return Row(label, text, sum(change.parameters for change in group), sum(change.macs for change in group))


def _change_text(group: list[Change]) -> str:
    """`16 × conv: groups 1 → 32`, or `batch_norm` where it is added or removed."""
    times = f"{len(group)} × " if len(group) > 1 else ""
    before, after = _kinds(group[0])
    if before is None or after is None:
        return times + _caption([change.side for change in group])
    text = _alteration(group) if group[0].mark == "changed" else _reshaping(group[0])
    named = before == after and group[0].side.path
    return f"{times}{f'{after}: ' if named else ''}{text}"


def _reshaping(change: Change) -> str:
    """The shapes that a node gives before and after, or those that it takes where it gives the same."""
    assert change.before is not None
    assert change.after is not None, "a node with other shapes is in both networks"
    before, after = change.before.outputs, change.after.outputs
    if before == after:
        before, after = change.before.inputs, change.after.inputs
    return f"{', '.join(before)} → {', '.join(after)}{' in' if change.before.outputs == change.after.outputs else ''}"


def _alteration(group: list[Change]) -> str:
    """What became of nodes that both networks have: `groups 1 → 32`, or `relu → silu`."""
    before, after = _kinds(group[0])
    kinds = [] if before == after else [f"{before} → {after}"]
    arguments = [f"{name} {_values([change.arguments[name] for change in group])}" for name in group[0].arguments]
    return ", ".join(kinds + arguments)


def _caption(sides: list[Side]) -> str:
    """What nodes are, in a few words that hold for all of them."""
    captions = {side.caption for side in sides}
    if len(captions) == 1:
        return captions.pop()
    copies = {caption.partition(" × ")[2] for caption in captions}
    return f"{sides[0].kind} of {copy}" if len(copies) == 1 and (copy := copies.pop()) else sides[0].kind


def _values(pairs: list[tuple[Any, Any]]) -> str:
    """Values before and after. Where copies have different ones, they are listed, or their range is given."""
    texts = list(dict.fromkeys((_value(before), _value(after)) for before, after in pairs))
    if len(texts) <= _MOST_VALUES:
        return " → ".join("/".join(side if len(set(side)) > 1 else side[:1]) for side in zip(*texts, strict=True))
    return " → ".join(_range(side) for side in zip(*pairs, strict=True))


def _range(values: tuple[Any, ...]) -> str:
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        low, high = _value(min(values)), _value(max(values))
        return low if low == high else f"{low}…{high}"
    texts = list(dict.fromkeys(map(_value, values)))
    return ", ".join(texts) if len(texts) <= _MOST_VALUES else f"{texts[0]}, …, {texts[-1]}"


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return show(value)


# Names of groups -----------------------------------------------------------------------------------------------------


def template(path: str) -> str:
    """A path with `*` for every number."""
    return re.sub(r"\d+", "*", path)


class Names:
    """Short names for groups of nodes of one network whose paths differ in their numbers alone."""

    def __init__(self, graph: Graph, without: Container[str] = ()) -> None:
        self.graph = graph
        self.without = without  # paths that are passed over, and all below them

    @cached_property
    def paths(self) -> dict[tuple[str, str], list[tuple[str, ...]]]:
        """The numbers in the paths of all nodes, by template and kind."""
        found: dict[tuple[str, str], list[tuple[str, ...]]] = {}
        passed = " "
        for path, node in self.graph.walk():
            if path in self.without:
                passed = f"{path}."
            elif not path.startswith(passed):
                found.setdefault((template(path), node.kind), []).append(_numbers(path))
        return found

    def labelled(self, kind: str, paths: list[str]) -> Iterator[tuple[str, list[str]]]:
        """Names for paths of one template, split into as few groups as have a name that means them and no others."""
        if len(paths) == 1:
            yield paths[0], paths
            return
        shape = template(paths[0])
        columns = [set(column) for column in zip(*map(_numbers, paths), strict=True)]
        varying = [place for place, column in enumerate(columns) if len(column) > 1]
        others = self.paths[shape, kind]
        for starred in (chosen for n in range(len(varying), -1, -1) for chosen in combinations(varying, n)):
            listed = [None if place in starred else column for place, column in enumerate(columns)]
            if sum(_meant(numbers, listed) for numbers in others) == len(paths):
                yield _label(shape, listed), paths
                return
        stars = [None if place in varying else column for place, column in enumerate(columns)]
        most = f"{_label(shape, stars)} ({len(paths)} of {len(others)})"
        if len(paths) >= _NEARLY_ALL * len(others):
            yield most, paths
            return
        if len(paths) <= _MOST_PATHS:
            yield _braced(paths), paths
            return
        parts: dict[str, list[str]] = {}
        for path in paths:
            parts.setdefault(_numbers(path)[varying[0]], []).append(path)
        if len(parts) > _MOST_PARTS:
            yield most, paths
            return
        for part in parts.values():
            yield from self.labelled(kind, part)


def _numbers(path: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\d+", path))


def _meant(numbers: tuple[str, ...], listed: list[set[str] | None]) -> bool:
    return all(column is None or number in column for number, column in zip(numbers, listed, strict=True))


def _label(shape: str, listed: list[set[str] | None]) -> str:
    texts = iter("*" if column is None else _ranges(column) for column in listed)
    return re.sub(r"\*", lambda _: next(texts), shape)


def _braced(paths: list[str]) -> str:
    """`features.{1.1, 2.2}`: what paths share, and the rest of each."""
    columns = zip(*(path.split(".") for path in paths), strict=True)
    start = "".join(f"{column[0]}." for column in takewhile(lambda column: len(set(column)) == 1, columns))
    return f"{start}{{{', '.join(path.removeprefix(start) for path in paths)}}}"


def _ranges(numbers: set[str]) -> str:
    """`6–22`, or `1,4,8`; of many, the first and the last."""
    runs: list[list[int]] = []
    for number in sorted(map(int, numbers)):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    texts = [str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs]
    return ",".join(texts if len(texts) <= _MOST_PATHS else [*texts[:2], "…", texts[-1]])


# Tables --------------------------------------------------------------------------------------------------------------


def _table(rows: list[Row]) -> list[str]:
    """The rows in columns, costs ahead of the text, which may be long."""
    if not rows:
        return []
    cells = [(row.label, _signed(row.parameters), _signed(row.macs), row.text) for row in rows]
    table = [("", "parameters", "MACs", ""), *cells]
    label, parameters, macs = (max(len(line[place]) for line in table) for place in range(3))
    return [f"{a:<{label}}  {b:>{parameters}}  {c:>{macs}}  {text}".rstrip() for a, b, c, text in table]


def _signed(number: int) -> str:
    """`+1.20 k`, or nothing for 0."""
    return f"{'+' if number > 0 else '−'}{short(abs(number)).strip()}" if number else ""


_FIGURES: dict[str, tuple[str, Callable[[float], str]]] = {
    "parameters": ("parameters", short),
    "macs": ("MACs", short),
    "state_bytes": ("state_dict", byte_size),
    "output_bytes": ("outputs of all nodes", byte_size),
    "nodes": ("nodes", lambda number: f"{number:,.0f}"),
}


def _totals(difference: Difference) -> list[str]:
    lines = []
    for name, total in difference.totals.items():
        word, text = _FIGURES[name]
        values = f"{text(total.before)} → {text(total.after)} ({_percent(total)})"
        lines.append(f"{word:<22}{values if total.before != total.after else f'{text(total.before)} (same)'}")
    return lines


def _percent(total: Total) -> str:
    if not total.before:
        return "new"
    percent = 100 * (total.after - total.before) / total.before
    digits = 1 if abs(percent) < 99.95 else 0
    text = f"{abs(percent):,.{digits}f}"
    return f"{'+' if percent > 0 else '−'}{text if text != '0.0' else '<0.1'} %"


def _weights(difference: Difference) -> list[str]:
    """Whether a checkpoint of the first network can be loaded into the second."""
    fit = difference.fit
    count = len(fit.kept) + len(fit.reshaped) + len(fit.unexpected)
    if len(fit.kept) == count and not fit.missing and not fit.misplaced:
        return [f"A state_dict of {difference.before.name} fits: all {count:,} tensors."]
    facts = [
        (len(fit.reshaped), "of another shape"),
        (len(fit.unexpected), "without a place"),
        (len(fit.missing), "missing"),
    ]
    rest = ", ".join(f"{number:,} {fact}" for number, fact in facts if number)
    others = f", {len(fit.misplaced):,} of them by chance into another node" if fit.misplaced else ""
    lines = [f"A state_dict of {difference.before.name}: {len(fit.kept):,} of {count:,} tensors fit{others}; {rest}."]
    if fit.renamed:
        lines.append(f"Renamed as their nodes were, {len(fit.renamed):,} of them fit.")
    return lines
