"""Graph in, networkx graph out, for whoever wants to search, measure or rewrite the architecture as a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netspec.files import extra
from netspec.graph import Body, Graph, Value

if TYPE_CHECKING:
    import networkx


def to_networkx(graph: Graph) -> networkx.DiGraph:
    """One node for each input and each op, named by path, with `op` and `shape`; an edge carries the shape it passes.

    Blocks are dissolved: an edge leads from the op that makes a value to the op that uses it.
    """
    nx = extra("networkx", "networkx", "a networkx graph")
    result: networkx.DiGraph = nx.DiGraph(name=graph.name)
    made: dict[Value, str] = {}
    for value in graph.root.inputs:
        result.add_node(value.name, op="input", shape=value.type.shape)
        made[value] = value.name
    _add(result, graph.root, "", made)
    return result


def _add(result: networkx.DiGraph, body: Body, prefix: str, made: dict[Value, str]) -> None:
    """Add the ops of `body`; `made` names the op that makes each value, and is local to one body."""
    for node in body.schedule:
        path = prefix + node.name
        sources = [made[value] for value in node.inputs]
        if isinstance(node.target, Body):
            inner = dict(zip(node.target.inputs, sources, strict=True))
            _add(result, node.target, path + ".", inner)
            made |= {v: inner[o.value] for v, o in zip(node.outputs, node.target.outputs, strict=True)}
            continue
        result.add_node(path, op=node.kind, shape=node.output_types[0].shape)
        for value, source in zip(node.inputs, sources, strict=True):
            result.add_edge(source, path, shape=value.type.shape)
        made |= dict.fromkeys(node.outputs, path)
