"""A graph whose outputs are other nodes of it: what feature extraction, detection and segmentation start from.

Nodes that no chosen output needs are left out, and every body on the way to a chosen node returns it besides its own
output. Paths stay what they are, so the keys of what remains do too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from netspec.diagnostics import Problem, SpecError
from netspec.graph import Body, Graph, Node, Output, Value
from netspec.names import underscored

Choice = str | Iterable[str] | Mapping[str, str]


class _Wanted(NamedTuple):
    """A value below a body: the nodes on the way to it, and which output of the last one it is."""

    route: tuple[Node, ...]
    output: int

    @property
    def path(self) -> str:
        last = self.route[-1]
        names = [node.name for node in self.route[:-1]]
        return ".".join([*names, last.outputs[self.output].name])

    @property
    def inner(self) -> _Wanted:
        return _Wanted(self.route[1:], self.output)


def select(graph: Graph, outputs: Choice) -> Graph:
    """The graph with the nodes at the paths of `outputs` as its outputs.

    One path gives a bare tensor. Several give a dict, whose names are the paths, or those of a mapping from name to
    path. A node with several outputs needs one of their names after its path, such as `lstm.h`. The inputs stay
    as they are. Raises `SpecError` where a path names nothing, or nothing that has one value in eval mode.
    """
    named = {outputs: outputs} if isinstance(outputs, str) else dict(_named(outputs))
    if not named:
        raise SpecError([Problem("no-outputs", "no outputs are chosen", help=("name at least one node",)).at(None)])
    wanted = {name: _find(graph, path) for name, path in named.items()}
    body, _, values = _expose(graph.root, set(), list(wanted.values()))
    returned = tuple(Output(name, values[item.path]) for name, item in wanted.items())
    root = replace(
        body, inputs=graph.root.inputs, outputs=returned, returns="bare" if isinstance(outputs, str) else "dict"
    )
    chosen = replace(graph, root=root)
    kept = {path for path, _ in chosen.walk()}
    chosen.initializers = tuple(assignment for assignment in graph.initializers if assignment.path in kept)
    chosen.left_out = graph.left_out | (graph.state().keys() - chosen.state().keys())
    return chosen


def _named(outputs: Iterable[str] | Mapping[str, str]) -> Iterable[tuple[str, str]]:
    return outputs.items() if isinstance(outputs, Mapping) else ((path, path) for path in outputs)


def _find(graph: Graph, path: str) -> _Wanted:
    """The value that `path` means. Raises `SpecError`."""
    route, output = graph.route(path), ""
    if not route:
        route, output = graph.route(path.rpartition(".")[0]), path.rpartition(".")[2]
    names = [value.name.removeprefix(f"{route[-1].name}.") for value in route[-1].outputs] if route else []
    if not route or (output and (len(names) == 1 or output not in names)):
        raise graph.no_node(path)
    if len(names) > 1 and not output:
        help = tuple(f"choose `{path}.{name}`" for name in names)
        raise SpecError([Problem("ambiguous-output", f"`{path}` has {len(names)} outputs", help=help).at(None)])
    if any(node.training_only for node in route):
        raise SpecError([Problem("training-only-output", f"`{path}` exists in training alone").at(None)])
    body = graph.root
    for node in route[:-1]:
        if any(node.name in (other.shares, node.shares and other.name) for other in body.nodes if other is not node):
            message = f"`{path}` is inside `{node.name}`, which is called more than once, so it has several values"
            raise SpecError([Problem("ambiguous-output", message).at(None)])
        assert isinstance(node.target, Body)
        body = node.target
    return _Wanted(route, names.index(output) if output else 0)


def _expose(body: Body, kept: set[int], wanted: list[_Wanted]) -> tuple[Body, list[int], dict[str, Value]]:
    """A body that keeps the outputs at the positions `kept` and returns what is `wanted` below it as well.

    Also gives the positions of the inputs that it still reads, and the value inside it of each wanted path.
    """
    needed = {body.outputs[position].value for position in kept}
    values = {item.path: item.route[0].outputs[item.output] for item in wanted if len(item.route) == 1}
    needed |= set(values.values())
    inner: dict[str, list[_Wanted]] = {}
    for item in wanted:
        if len(item.route) > 1:
            inner.setdefault(item.route[0].name, []).append(item.inner)
    changed: dict[str, Node] = {}
    called_again = {node.shares for node in body.nodes if node.shares}
    modules: set[str] = set()  # whose results are not needed, but which another node calls
    for node in reversed(body.schedule):
        live = {position for position, value in enumerate(node.outputs) if value in needed}
        below = inner.get(node.name, [])
        if not live and not below and node.name not in modules:
            continue
        if node.shares:
            modules.add(node.shares)
        made = node
        if isinstance(node.target, Body) and not node.shares and node.name not in called_again:
            made, found = _exposing(node, live, below)
            values |= {f"{node.name}.{path}": value for path, value in found.items()}
        changed[node.name] = made
        needed |= set(made.inputs)
    read = [position for position, value in enumerate(body.inputs) if value in needed]
    nodes = tuple(changed[node.name] for node in body.nodes if node.name in changed)
    schedule = tuple(changed[node.name] for node in body.schedule if node.name in changed)
    outputs = [body.outputs[position] for position in sorted(kept)]
    taken = {output.name for output in outputs}
    for path, value in values.items():
        if value not in {output.value for output in outputs}:
            outputs.append(Output(underscored(path, taken), value))
            taken.add(outputs[-1].name)
    still_chain = body.form == "chain" and len(outputs) == 1 and schedule[-1].outputs == (outputs[0].value,)
    exposing = replace(
        body,
        form="chain" if still_chain else "graph",
        inputs=tuple(body.inputs[position] for position in read),
        nodes=nodes,
        schedule=schedule,
        outputs=tuple(outputs),
        returns=body.returns if len(outputs) == len(kept) else "bare" if len(outputs) == 1 else "dict",
    )
    return exposing, read, values


def _exposing(node: Node, live: set[int], wanted: list[_Wanted]) -> tuple[Node, dict[str, Value]]:
    """A node whose body keeps the outputs `live` and exposes what is `wanted`, and the node's value of each path."""
    assert isinstance(node.target, Body)
    if not wanted and len(live) == len(node.outputs):
        return node, {}
    body, read, inside = _expose(node.target, live, wanted)
    gives = [node.outputs[position] for position in sorted(live)]
    gives += [Value(f"{node.name}.{output.name}", output.value.type) for output in body.outputs[len(live) :]]
    found = {output.value: value for output, value in zip(body.outputs, gives, strict=True)}
    made = replace(node, target=body, inputs=tuple(node.inputs[position] for position in read), outputs=tuple(gives))
    return made, {path: found[value] for path, value in inside.items()}
