"""Graph in, web page out: one HTML file that opens from disk, with everything in it and nothing loaded.

The page holds each body of the graph once, however many copies there are, and lays out what is open. Python says what
there is and in which words; the scripts in `page_assets` say how it looks and what a click does.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any

from netspec.backends.pictures.captions import Arguments, copies_name, op_text
from netspec.backends.pictures.drawing import Depth, Drawing, held_fold, kind_word, to_drawing
from netspec.backends.pictures.folds import Fold, body_folds, dense_copies
from netspec.backends.pictures.palette import DARK, LIGHT
from netspec.backends.receptive import ReceptiveFields
from netspec.backends.summary import COUNTING_RULE
from netspec.diagnostics import Span
from netspec.expressions import show
from netspec.graph import Body, Graph, Node, node_macs, node_parameters, node_state
from netspec.ops.base import Op
from netspec.paths import enclosing
from netspec.windows import Reach, Reaches

_ASSETS = Path(__file__).parent / "page_assets"
_LIBRARY, _LICENSE = "vendor/dagre.min.js", "vendor/dagre.LICENSE.txt"
_MOST_FIELDS = 20_000  # nodes whose receptive fields are worked out, each on its own
_SCRIPTS = ("model.js", "plan.js", "layout.js", "scene.js", "view.js", "panel.js", "export.js", "main.js")


def to_page(graph: Graph, depth: Depth = "block", open: Sequence[str] = (), close: Sequence[str] = ()) -> str:
    """The page of a graph as HTML text. It begins with what is open in a drawing with these arguments."""
    license, library = _asset(_LICENSE), _asset(_LIBRARY).partition("//# sourceMappingURL")[0]
    scripts = [f"/*!\n{license}*/\n{library}", *map(_asset, _SCRIPTS)]
    hashes = " ".join(f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts)
    parts = {
        "title": escape(graph.name),
        "hashes": hashes,
        "style": _asset("page.css"),
        "scripts": "\n".join(f"<script>{script}</script>" for script in scripts),
        "data": _embedded(to_page_data(graph, to_drawing(graph, depth, open, close))),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda mark: parts[mark[1]], _asset("page.html"))


def to_page_data(graph: Graph, drawing: Drawing) -> dict[str, Any]:
    """What the page knows of a graph, as plain data: bodies, ops and files, each once. A drawing says what is open."""
    tables = _Tables(graph)
    root = tables.body(graph.root)
    fields, field_of = _fields(graph)
    opened = {around for box in drawing.boxes() for around in enclosing(box.id)}
    return {
        "name": graph.name,
        "about": graph.about,
        "subtitle": drawing.subtitle,
        "rule": COUNTING_RULE,
        "open": sorted(opened),
        "root": root,
        "bodies": tables.bodies,
        "ops": tables.ops,
        "files": tables.files,
        "fields": fields,
        "fieldOf": field_of,
        "palettes": {"light": asdict(LIGHT), "dark": asdict(DARK)},
    }


_Facts = tuple[tuple[str, str], ...]


def _fields(graph: Graph) -> tuple[list[_Facts], list[int]]:
    """What there is to say of receptive fields, each once, and which of it is true of each node in the order of `walk`.

    A sketch of a wrong spec has none, and a network of very many nodes goes without.
    """
    known: dict[_Facts, int] = {}
    if not graph.root.outputs or graph.root.size > _MOST_FIELDS:
        return [], []
    fields = ReceptiveFields(graph)
    several = len(graph.inputs) > 1
    places = [known.setdefault(_facts(fields.of(route), several), len(known)) for route in _routes(graph.root)]
    return list(known), places


def _routes(body: Body, above: tuple[Node, ...] = ()) -> Iterator[tuple[Node, ...]]:
    for node in body.nodes:
        route = (*above, node)
        yield route
        if isinstance(node.target, Body) and not node.shares:
            yield from _routes(node.target, route)


def _facts(fields: dict[str, Reaches], several: bool) -> _Facts:
    """Receptive field, stride and center as pairs of a label and a text; channels, which are all seen, are left out."""
    facts = []
    for name, parts in fields.items():
        axes = parts[1:] if len(parts) > 1 else parts
        extents = [part for part in axes if isinstance(part, Reach)]
        label = f"receptive field in {name}" if several else "receptive field"
        if None in axes:
            facts.append((label, "not known: positions were rearranged"))
        elif not extents:
            facts.append((label, "whole input"))
        else:
            facts.append((label, "×".join(str(part.size) if isinstance(part, Reach) else "all" for part in axes)))
            facts.append(("field moves by", "×".join(str(part.stride) for part in extents)))
            facts.append(("first field around", ", ".join(f"{float(part.center):g}" for part in extents)))
    return tuple(facts)


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _embedded(data: dict[str, Any]) -> str:
    """JSON that no parser of HTML can take for markup, whatever a spec has in its names."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


class _Tables:
    """Bodies, ops and files as rows, found again by identity, so that copies cost nothing."""

    def __init__(self, graph: Graph) -> None:
        self.arguments = Arguments(graph)
        self.bodies: list[dict[str, Any]] = []
        self.ops: list[dict[str, Any]] = []
        self.files: list[dict[str, str]] = []
        self.rows: dict[Any, int] = {}

    def body(self, body: Body) -> int:
        """The row of a body, behind those of the bodies in it.

        A value is a pair: the place of a node and the position of its output, or -1 and the position of an input.
        """
        if id(body) in self.rows:
            return self.rows[id(body)]
        values = {value: (-1, position) for position, value in enumerate(body.inputs)}
        places: dict[str, int] = {}
        for place, node in enumerate(body.nodes):
            places[node.name] = place
            values |= {value: (place, position) for position, value in enumerate(node.outputs)}
        nodes = [self.node(node) | {"inputs": [values[value] for value in node.inputs]} for node in body.nodes]
        row = {
            "inputs": [(value.name, str(value.type)) for value in body.inputs],
            "nodes": nodes,
            "folds": [self.fold(fold, places) for fold in _folds(body)],
            "outputs": [(output.name, *values[output.value], output.training_only) for output in body.outputs],
            "memory": sum(node["memory"] for node in nodes if not node.get("training")),
            "arguments": [(name, show(value)) for name, value in body.arguments.items()],
        }
        self.bodies.append(row)
        return self.rows.setdefault(id(body), len(self.bodies) - 1)

    def node(self, node: Node) -> dict[str, Any]:
        """What is known of a node wherever its body stands; what is usual is left out."""
        row: dict[str, Any] = {
            "name": node.name,
            "kind": node.kind,
            "outputs": [str(type) for type in node.output_types],
            "parameters": node_parameters(node),
            "macs": node_macs(node),
            "memory": sum(type.bytes for type in node.output_types),
            "at": self.place(node.span),
        }
        if isinstance(node.target, Body):
            row["body"] = self.body(node.target)
            row["word"] = kind_word(node)
            row["text"] = self.arguments.text((node.target,), node.kind)
            row["strip"] = _is_strip(node)
            if node.target.nodes:
                row["memory"] = self.bodies[row["body"]]["memory"]
        else:
            row["op"] = self.op(node)
        if not node.outputs:
            row["failed"] = True
        if node.training_only:
            row["training"] = True
        if node.shares:
            row["shares"] = node.shares
        return row

    def op(self, node: Node) -> int:
        """The row of an op on inputs of these types."""
        op = node.target
        assert isinstance(op, Op), f"{node.name} holds nodes"
        key = (op, node.kind, node.input_types, node.shares is None)
        if key in self.rows:
            return self.rows[key]
        fields = type(op).fields()
        row = {
            "category": op.category,
            "text": op_text(node),
            "arguments": [(name, show(getattr(op, name)), _changed(op, name)) for name in fields],
            "state": [(name, "×".join(map(str, s.shape)), s.trainable) for name, s in node_state(node).items()],
        }
        self.ops.append(row)
        return self.rows.setdefault(key, len(self.ops) - 1)

    def fold(self, fold: Fold, places: dict[str, int]) -> dict[str, Any]:
        """Units of places of nodes; copies have a name and a text for all of them."""
        row: dict[str, Any] = {"units": [[places[node.name] for node in unit] for unit in fold.units]}
        if len(fold.units) > 1:
            row["dense"] = isinstance(fold.first.target, Body) and len(fold.units[0]) > 1
            row["name"] = copies_name(tuple(unit[0].name for unit in fold.units))
            bodies = tuple(node.target for node in fold.nodes if isinstance(node.target, Body))
            row["text"] = self.arguments.text(bodies, fold.first.kind) if bodies else ""
        return row

    def place(self, span: Span) -> tuple[int, int, int]:
        """File, first line and last line."""
        if id(span.file) not in self.rows:
            self.rows[id(span.file)] = len(self.files)
            self.files.append({"name": span.file.name, "text": span.file.text})
        last = span.end_line - 1 if span.end_column == 1 and span.end_line > span.line else span.end_line
        return self.rows[id(span.file)], span.line, last


def _folds(body: Body) -> tuple[Fold, ...]:
    """The folds of a body; a densely connected one is a single fold, of copies with the concat behind each."""
    dense = dense_copies(body)
    if dense is None:
        return body_folds(body)
    return (Fold(tuple(zip(*dense, strict=True))),)


def _is_strip(node: Node) -> bool:
    """Whether all that a body holds is drawn in one box, ops that follow each other, so that the box stands for it."""
    held = held_fold((node,))
    if held is None or len(held.units) > 1:
        return False
    return isinstance(held.first.target, Op) or _is_strip(held.first)


def _changed(op: Op, name: str) -> bool:
    info = type(op).fields()[name]
    return info.required or getattr(op, name) != info.default
