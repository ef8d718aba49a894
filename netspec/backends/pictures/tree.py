"""Drawing in, text for a terminal out: one line a box, lanes for the tensors that are under way, shapes at the right.

A tensor that is still needed keeps a lane, so branches stand side by side and a shortcut runs along what it skips. What
is inside a block or group is indented.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from netspec.backends.pictures.drawing import Box, Cluster, Drawing
from netspec.quantities import short

LINE_WIDTH = 100
"""Characters of a line where no terminal says how many there are."""

_NARROWEST = 30  # characters that the text of a box gets, however narrow the terminal is
_GAP = 2
_INDENT = "  "
_ASCII = str.maketrans(
    {
        "●": "*",
        "○": "o",
        **dict.fromkeys("│", "|"),
        **dict.fromkeys("─–−", "-"),
        **dict.fromkeys("├┤┼┬┴╮╯", "+"),
        "×": "x",
        "·": "-",
        "→": "->",
        "…": "...",
    }
)


def to_tree(drawing: Drawing, width: int = LINE_WIDTH) -> str:
    """The network as lines of at most `width` characters, unless it is too narrow for its shapes."""
    rows = list(_rows(drawing))
    lanes = max((len(row.lanes.rstrip()) for row in rows), default=0) + 1
    shapes = max(len(row.shape) for row in rows)
    texts = max(len(_INDENT * row.level) + len(" · ".join(row.parts)) for row in rows)
    room = max(_NARROWEST, min(texts, width - lanes - _GAP - shapes))
    lines = [drawing.title, *drawing.subtitle, ""]
    for row in rows:
        wrapped = _wrapped(row.parts, room, _INDENT * row.level) or [""]
        for position, text in enumerate(wrapped):
            lane, shape = (row.lanes, row.shape) if position == 0 else (row.lanes_below, "")
            lines.append(f"{lane:{lanes}}{text:{room + _GAP}}{shape:>{shapes}}".rstrip())
    lines += ["", *drawing.legend.notes] if drawing.legend.notes else []
    return "\n".join(lines)


def as_ascii(text: str) -> str:
    """The same for a terminal that knows ASCII alone; other characters become question marks."""
    return text.translate(_ASCII).encode("ascii", "replace").decode("ascii")


class _Row(NamedTuple):
    """A line: its lanes, what it says, and a shape. `lanes_below` stand where the text goes on in another line."""

    lanes: str
    lanes_below: str
    level: int = 0
    parts: tuple[str, ...] = ()
    shape: str = ""


def _rows(drawing: Drawing) -> Iterator[_Row]:
    lanes = _Lanes(drawing)
    pending: list[tuple[int, Box | Cluster]] = [(0, item) for item in reversed(drawing.children)]
    while pending:
        level, item = pending.pop()
        if isinstance(item, Cluster):
            yield _Row(lanes.text(), lanes.text(), level, (item.title, *item.lines))
            pending += [(level + 1, child) for child in reversed(item.children)]
            continue
        if connector := lanes.connect(item):
            yield _Row(connector, lanes.text())
        mark = lanes.text(item.id, "○" if item.training_only else "●")
        yield _Row(mark, lanes.text(), level, _parts(item, drawing), item.output)
        lanes.close()


def _parts(box: Box, drawing: Drawing) -> tuple[str, ...]:
    """What a box says, and which of its inputs is a shortcut."""
    parameters = (f"{short(box.parameters)} params{' in all' if box.count > 1 else ''}",) if box.parameters else ()
    shortcuts = (edge.source for edge in drawing.edges if edge.target == box.id and edge.kind == "shortcut")
    return (box.title, *box.lines, *parameters, *(f"shortcut from {source}" for source in shortcuts))


def _wrapped(parts: tuple[str, ...], room: int, indent: str) -> list[str]:
    """Parts in as few lines as can be; a part that is longer than a line is cut."""
    lines: list[str] = []
    for part in parts:
        start = indent if not lines else f"{indent}{_INDENT}"
        cut = part if len(start + part) <= room else f"{part[: room - len(start) - 1]}…"
        if lines and len(lines[-1]) + 3 + len(cut) <= room:
            lines[-1] += f" · {cut}"
        else:
            lines.append(start + cut)
    return lines


class _Lanes:
    """The boxes whose output is still needed, each in its column, and how often it is."""

    def __init__(self, drawing: Drawing) -> None:
        self.columns: list[str] = []  # ids of boxes; an empty one is free
        self.needed: dict[str, int] = {}
        self.sources: dict[str, list[str]] = {}
        for edge in drawing.edges:
            self.needed[edge.source] = self.needed.get(edge.source, 0) + 1
            self.sources.setdefault(edge.target, []).append(edge.source)

    def text(self, box: str = "", mark: str = "") -> str:
        """The lanes as they run past a line, with a mark in that of `box`."""
        return " ".join(mark if id and id == box else "│" if id else " " for id in self.columns)

    def close(self) -> None:
        """Free the lanes of boxes that nothing needs any more."""
        self.columns = [id if self.needed.get(id) else "" for id in self.columns]
        while self.columns and not self.columns[-1]:
            self.columns.pop()

    def connect(self, box: Box) -> str:
        """Give `box` the first lane that leads to it. Returns the line that joins and forks lanes, or nothing.

        Where others still need the tensor of that lane, it moves to a lane of its own at the right. A box that exists
        in training alone does not push it aside.
        """
        sources = self.sources.get(box.id, [])
        entering = sorted({self.columns.index(source) for source in sources})
        for source in sources:
            self.needed[source] -= 1
        if not entering:
            self.columns[self.free(0)] = box.id
            return ""
        before, (home, *others) = list(self.columns), entering
        moved = None
        if self.needed[before[home]]:
            moved = self.free(home + 1)
            stays, goes = (before[home], box.id) if box.training_only else (box.id, before[home])
            self.columns[home], self.columns[moved] = stays, goes
        else:
            self.columns[home] = box.id
        for column in others:
            if not self.needed[before[column]]:
                self.columns[column] = ""
        last = max([home, *others, *([] if moved is None else [moved])])
        return self.connector(before, home, last, others, moved) if last > home else ""

    def free(self, start: int) -> int:
        """The first free column from `start` on."""
        for column in range(start, len(self.columns)):
            if not self.columns[column]:
                return column
        self.columns += [""] * (max(start - len(self.columns), 0) + 1)
        return len(self.columns) - 1

    def connector(self, before: list[str], home: int, last: int, others: list[int], moved: int | None) -> str:
        """A line across the columns from `home` to `last`; lanes that have no part in it pass through."""
        cells = []
        for column, after in enumerate(self.columns):
            above = column < len(before) and bool(before[column])
            if column == home:
                cell = "├"
            elif column == moved:
                cell = "╮" if column == last else "┬"
            elif column in others:
                cell = ("┤" if column == last else "┼") if after else ("╯" if column == last else "┴")
            else:
                cell = "│" if above else "─" if home < column < last else " "
            cells.append(cell + ("─" if home <= column < last else " "))
        return "".join(cells).rstrip()
