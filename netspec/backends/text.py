"""Graph in, text out: the one stable form that bug reports and golden tests show.

Every node is a line with its inputs, arguments and output types; a body that stands in several places is written out
at the first.
"""

from __future__ import annotations

from collections.abc import Iterator

from netspec.expressions import show
from netspec.graph import Body, Graph, Node
from netspec.ops.base import Op


def to_text(graph: Graph) -> str:
    """The graph as text, with a line for each node."""
    inputs = ", ".join(f"{name}: {type}" for name, type in graph.inputs.items())
    lines = [f"{graph.name}({inputs})"]
    lines.extend(_lines(graph))
    return "\n".join(lines)


def _lines(graph: Graph) -> Iterator[str]:
    written = {id(graph.root): graph.name}
    pending: list[tuple[str, str, Node | Body]] = _inside(graph.root, "", "  ")
    while pending:
        prefix, indent, item = pending.pop()
        if isinstance(item, Body):
            returned = ", ".join(f"{output.name}={output.value.name}" for output in item.outputs)
            yield f"{indent}return {item.returns}({returned})"
            continue
        yield f"{indent}{_line(item)}{_as_before(item, written)}"
        if isinstance(item.target, Body) and id(item.target) not in written and not item.shares:
            written[id(item.target)] = prefix + item.name
            pending += _inside(item.target, f"{prefix}{item.name}.", f"{indent}  ")


def _inside(body: Body, prefix: str, indent: str) -> list[tuple[str, str, Node | Body]]:
    """The lines of a body, the last first: a node stands for its own, and the body for what it returns."""
    returns = body.form == "graph" and (len(body.outputs) > 1 or body.returns != "bare")
    items: tuple[Node | Body, ...] = (*body.nodes, body) if returns else body.nodes
    return [(prefix, indent, item) for item in reversed(items)]


def _line(node: Node) -> str:
    inputs = [value.name for value in node.inputs]
    arguments = [f"{name}={show(value)}" for name, value in _arguments(node).items()]
    outputs = ", ".join(str(type) for type in node.output_types)
    marks = "  [training only]" if node.training_only else ""
    marks += f"  [shares {node.shares}]" if node.shares else ""
    return f"{node.name}: {node.kind}({', '.join(inputs + arguments)}) → {outputs}{marks}"


def _arguments(node: Node) -> dict[str, object]:
    if isinstance(node.target, Op):
        fields = type(node.target).fields()
        return node.target.changed(*fields)
    return node.target.arguments


def _as_before(node: Node, written: dict[int, str]) -> str:
    if isinstance(node.target, Body) and not node.shares and id(node.target) in written:
        return f"  [as {written[id(node.target)]}]"
    return ""
