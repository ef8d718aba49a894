"""Drawing in, the same drawing out with what became of its nodes: for two pictures that stand side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from netspec.backends.pictures.drawing import SIGNS, Box, Cluster, Drawing, Mark
from netspec.paths import enclosing


def marked(drawing: Drawing, marks: Mapping[str, Mark], remarks: Mapping[str, str]) -> Drawing:
    """The drawing with the nodes at the paths of `marks` marked, and the others as the same.

    What was added or removed was so with all below it. A box that stands for several nodes says how many. `remarks`
    says by path what changed.
    """
    children = tuple(_marked(item, marks, remarks) for item in drawing.children)
    found = replace(drawing, children=children)
    present = {item.mark for item in found.walk()}
    legend = replace(drawing.legend, categories=(), marks=tuple(mark for mark in SIGNS if mark in present))
    return replace(found, legend=legend)


def with_one_legend(drawings: Sequence[Drawing]) -> Iterator[Drawing]:
    """Drawings that stand side by side, of which the last explains what it shares with the others."""
    legends = [drawing.legend for drawing in drawings]
    marks = tuple(mark for mark in SIGNS if any(mark in legend.marks for legend in legends))
    edges = tuple(dict.fromkeys(kind for legend in legends for kind in legend.edges))
    for drawing in drawings[:-1]:
        yield replace(drawing, legend=replace(drawing.legend, marks=(), edges=()))
    yield replace(drawings[-1], legend=replace(legends[-1], marks=marks, edges=edges))


def _marked(item: Box | Cluster, marks: Mapping[str, Mark], remarks: Mapping[str, str]) -> Box | Cluster:
    paths = item.paths or (item.id,)
    found = {_mark_at(path, marks) for path in paths}
    mark = found.pop() if len(found) == 1 else "changed"
    if isinstance(item, Box) and item.category == "terminal" and mark == "same":
        return item
    title, lines = SIGNS[mark] + item.title, item.lines
    if mark == "changed":
        counts = [(sum(marks.get(path) == part for path in paths), part) for part in ("added", "removed")]
        lines += tuple(f"{count} {part}" for count, part in counts if count) + _remarks(paths, remarks)
    if isinstance(item, Box):
        return replace(item, title=title, lines=lines, mark=mark)
    children = tuple(_marked(child, marks, remarks) for child in item.children)
    return replace(item, title=title, lines=lines, mark=mark, children=children)


def _remarks(paths: tuple[str, ...], remarks: Mapping[str, str]) -> tuple[str, ...]:
    """What changed in the nodes at `paths`, where it is one thing; blocks speak for what is in them."""
    own = {path for path in paths if path in remarks}
    texts = {remarks[path] for path in own if own.isdisjoint(enclosing(path))}
    return tuple(texts) if len(texts) == 1 else ()


def _mark_at(path: str, marks: Mapping[str, Mark]) -> Mark:
    """The mark of a node: its own, or that of a block around it that was added or removed as a whole."""
    if path in marks:
        return marks[path]
    whole = (mark for around in enclosing(path) if (mark := marks.get(around)) in ("added", "removed"))
    return next(whole, "same")
