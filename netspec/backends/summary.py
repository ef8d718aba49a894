"""Graph in, table out: for every node its output, parameters, multiply-accumulates and memory; and the peak memory.

Equal copies in a row are one row with a count. Every figure of a row is that of one copy; a total is the sum over the
rows at the ends of the tree, each times how often it stands there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from html import escape
from typing import Any, NamedTuple

from netspec.backends.memory import peak_memory
from netspec.graph import Body, Graph, Node, node_macs, node_parameters
from netspec.quantities import byte_size, short

COUNTING_RULE = (
    "MACs are multiply-accumulates of convolutions, matrix products, attention and recurrent layers for one sample in "
    "eval mode; FLOPs are 2 × MACs, PyTorch's flop count; memory is that of all outputs of one sample"
)


_HEAD = ("op", "output", "parameters", "MACs", "memory")


@dataclass(frozen=True, slots=True)
class Row:
    """One node, or `count` equal ones in a row. Figures are for one of them; memory is in bytes."""

    path: str
    name: str
    op: str
    outputs: tuple[str, ...]
    parameters: int
    macs: int
    memory: int
    count: int
    training_only: bool
    children: tuple[Row, ...]

    def as_dict(self) -> dict[str, Any]:
        """The row and all below it as plain data."""
        return {
            "path": self.path,
            "op": self.op,
            "count": self.count,
            "outputs": list(self.outputs),
            "parameters": self.parameters,
            "macs": self.macs,
            "memory": self.memory,
            "training_only": self.training_only,
            "children": [child.as_dict() for child in self.children],
        }


class PeakMemory(NamedTuple):
    """Peak bytes of the activations of one sample; `kept` is that of training if nothing were checkpointed."""

    inference: int
    training: int
    kept: int


@dataclass(frozen=True, slots=True)
class Summary:
    """The table of a graph. `parameters`, `macs` and `memory` (in bytes) are totals."""

    name: str
    inputs: dict[str, str]
    outputs: dict[str, str]
    rows: tuple[Row, ...]
    peak: PeakMemory

    @property
    def parameters(self) -> int:
        return sum(row.parameters * row.count for row in self.rows)

    @property
    def macs(self) -> int:
        return sum(row.macs * row.count for row in self.rows)

    @property
    def memory(self) -> int:
        return sum(row.memory * row.count for row in self.rows)

    def text(self, depth: int | None = 2) -> str:
        """The table for a terminal, `depth` levels of it, or all with None."""
        table: list[tuple[str, ...]] = [("", *_HEAD)]
        table += [_cells(row, level) for row, level in self._visible(depth)]
        table.append(("total", "", "", f"{self.parameters:,}", short(self.macs), byte_size(self.memory)))
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [_aligned(cells, widths) for cells in table]
        rule = "─" * max(map(len, lines))
        return "\n".join([self._title(), "", lines[0], rule, *lines[1:-1], rule, lines[-1], "", self._totals()])

    def markdown(self, depth: int | None = 2) -> str:
        """The table as Markdown."""
        lines = [f"**{self._title()}**", "", "| node | op | output | parameters | MACs | memory |"]
        lines.append("|:-----|:---|:-------|-----------:|-----:|-------:|")
        for row, level in self._visible(depth):
            name, *rest = _cells(row, 0)
            lines.append(f"| {'&emsp;' * level}{name} | {' | '.join(rest)} |")
        total = (f"{self.parameters:,}", short(self.macs), byte_size(self.memory))
        lines += [f"| **total** | | | **{'** | **'.join(total)}** |", "", self._totals()]
        return "\n".join(lines)

    def html(self, depth: int | None = 2) -> str:
        """The table as HTML."""
        lines = [f"<p><b>{escape(self._title())}</b></p>", "<table>", _html_row("th", ("", *_HEAD))]
        for row, level in self._visible(depth):
            name, *rest = map(escape, _cells(row, 0))
            lines.append(_html_row("td", (f"{'&emsp;' * level}{name}", *rest)))
        costs = (f"{self.parameters:,}", short(self.macs), byte_size(self.memory))
        lines += [_html_row("th", ("total", "", "", *costs)), "</table>"]
        return "\n".join([*lines, f"<p>{escape(self._totals())}</p>"])

    def json(self, depth: int | None = None) -> str:
        """The tree as JSON; sizes are in bytes."""
        del depth  # the whole tree: a reader takes what it wants
        document = {
            "name": self.name,
            "inputs": self.inputs,
            "outputs": self.outputs,
            "parameters": self.parameters,
            "macs": self.macs,
            "flops": 2 * self.macs,
            "memory": self.memory,
            "peak_memory": {"inference": self.peak.inference, "training": self.peak.training},
            "counting_rule": COUNTING_RULE,
            "rows": [row.as_dict() for row in self.rows],
        }
        return json.dumps(document, indent=2, ensure_ascii=False)

    def _visible(self, depth: int | None) -> Iterator[tuple[Row, int]]:
        pending = [(row, 0) for row in reversed(self.rows)]
        while pending:
            row, level = pending.pop()
            yield row, level
            if depth is None or level + 1 < depth:
                pending.extend((child, level + 1) for child in reversed(row.children))

    def _title(self) -> str:
        inputs = ", ".join(self.inputs.values())
        return f"{self.name}: {inputs} → {', '.join(self.outputs.values())}"

    def _totals(self) -> str:
        costs = f"{self.parameters:,} parameters ({byte_size(4 * self.parameters)} in float32)"
        return f"{costs}, {short(self.macs)}MACs, {short(2 * self.macs)}FLOPs\n{self._peaks()}\n{COUNTING_RULE}"

    def _peaks(self) -> str:
        inference, training, kept = map(byte_size, self.peak)
        spared = f" ({kept} without checkpoints)" if self.peak.training < self.peak.kept else ""
        return f"activations of one sample take {inference} at most in eval mode, {training} in training{spared}"


def to_summary(graph: Graph) -> Summary:
    """The summary of a graph."""
    inputs = {name: str(type) for name, type in graph.inputs.items()}
    outputs = {name: str(type) for name, type in graph.outputs.items()}
    return Summary(graph.name, inputs, outputs, _rows(graph.root, "", False), _peak(graph))


def _peak(graph: Graph) -> PeakMemory:
    training = peak_memory(graph, batch=1, training=True)
    kept = peak_memory(replace(graph, checkpoint=()), batch=1, training=True) if graph.checkpoint else training
    return PeakMemory(peak_memory(graph, batch=1, training=False), training, kept)


def _rows(body: Body, prefix: str, training_only: bool) -> tuple[Row, ...]:
    rows: list[Row] = []
    for run in _runs(body.nodes):
        first = run[0]
        aside = training_only or first.training_only
        path = prefix + first.name
        children = _rows(first.target, path + ".", aside) if isinstance(first.target, Body) else ()
        name = first.name if len(run) == 1 else f"{first.name}-{run[-1].name}"
        own = sum(type.bytes for type in first.output_types)
        rows.append(
            Row(
                prefix + name,
                name,
                f"{first.kind} (shares {first.shares})" if first.shares else first.kind,
                tuple(str(type) for type in first.output_types),
                node_parameters(first),
                0 if aside else node_macs(first),
                sum(child.memory * child.count for child in children) if children else 0 if aside else own,
                len(run),
                aside,
                children,
            )
        )
    return tuple(rows)


def _runs(nodes: tuple[Node, ...]) -> Iterator[list[Node]]:
    """Groups of neighbors that are the same body under numbered names."""
    run: list[Node] = []
    for node in nodes:
        if run and not (node.target is run[-1].target and isinstance(node.target, Body) and node.name.isdigit()):
            yield run
            run = []
        run.append(node)
    if run:
        yield run


def _cells(row: Row, level: int) -> tuple[str, ...]:
    name = f"{'  ' * level}{row.name}" + (f" ×{row.count}" if row.count > 1 else "")
    op = f"{row.op} (training only)" if row.training_only else row.op
    parameters = f"{row.parameters:,}" if row.parameters else ""
    macs = short(row.macs) if row.macs else ""
    return name, op, ", ".join(row.outputs), parameters, macs, byte_size(row.memory) if row.memory else ""


def _html_row(tag: str, cells: tuple[str, ...]) -> str:
    """A row of a table: texts to the left, figures to the right."""
    aligned = zip(cells, ("left",) * 3 + ("right",) * 3, strict=True)
    return "<tr>" + "".join(f'<{tag} style="text-align: {side}">{cell}</{tag}>' for cell, side in aligned) + "</tr>"


def _aligned(cells: tuple[str, ...], widths: list[int]) -> str:
    left = [cell.ljust(width) for cell, width in zip(cells[:3], widths[:3], strict=True)]
    right = [cell.rjust(width) for cell, width in zip(cells[3:], widths[3:], strict=True)]
    return "  ".join(left + right).rstrip()
