"""The invariants that every backend may rely on. A graph that breaks one is a bug in netspec, not in a spec."""

from __future__ import annotations

from netspec.graph import Body, Graph, Value


def verify(graph: Graph) -> Graph:
    """Return `graph` if it is well formed; raise `AssertionError` otherwise. Shared bodies are looked at once."""
    pending, seen = [graph.root], {id(graph.root)}
    while pending:
        body = pending.pop()
        _verify_body(body)
        for node in body.nodes:
            if isinstance(node.target, Body) and id(node.target) not in seen:
                seen.add(id(node.target))
                pending.append(node.target)
    return graph


def _verify_body(body: Body) -> None:
    names = [node.name for node in body.nodes]
    assert len(set(names)) == len(names), f"two nodes of one name in {names}"
    assert set(map(id, body.schedule)) == set(map(id, body.nodes)), "the schedule runs each node once"
    known: set[Value] = set(body.inputs)
    for node in body.schedule:
        assert known.issuperset(node.inputs), f"{node.name} runs before its inputs"
        if isinstance(node.target, Body):
            inner = node.target
            assert tuple(v.type for v in inner.inputs) == node.input_types, f"{node.name} is fed other types"
            assert tuple(o.value.type for o in inner.outputs) == node.output_types, f"{node.name} gives other types"
        known.update(node.outputs)
    assert known.issuperset(output.value for output in body.outputs), "an output that nothing computes"
    assert body.outputs, "a body without output"
