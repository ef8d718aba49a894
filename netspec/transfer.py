"""What a spec says of training, checked against its graph: trained weights, what is frozen, what is checkpointed.

Nothing is read here but the spec. The weights themselves are loaded by a backend, and only when they are asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from netspec.diagnostics import Problem, Reporter, SpecError, suggest
from netspec.expressions import evaluate
from netspec.graph import Body, Graph, Node
from netspec.limits import charge
from netspec.paths import PathPattern, prefixes
from netspec.source import Scalar
from netspec.spec import Spec, WeightsSpec


def transfer(spec: Spec, graph: Graph, overridden: Collection[str], reporter: Reporter) -> None:
    """Give `graph` what `spec` says of training. `overridden` are the parameters that `load` was given."""
    if spec.weights is not None:
        graph.weights = spec.weights.place
        graph.weights_need = _needs(spec.weights, graph, reporter)
    inherited = spec.weights is not None and spec.weights.inherited
    graph.adapted = inherited or not graph.weights_need.keys() >= set(overridden)
    trained = _trained(graph) if spec.freeze else []
    for selector in spec.freeze:
        with reporter.catch(selector.span):
            parameters_at(graph, selector.text, trained)
    graph.freeze = tuple(selector.text for selector in spec.freeze)
    repeatable = _repeatable(graph) if spec.checkpoint else []
    for selector in spec.checkpoint:
        with reporter.catch(selector.span):
            nodes_at(graph, selector.text, repeatable)
    graph.checkpoint = tuple(selector.text for selector in spec.checkpoint)


def frozen_parameters(graph: Graph, freeze: Iterable[str] = ()) -> frozenset[str]:
    """Keys of the parameters that the spec of `graph` and `freeze` take out of training. Raises `SpecError`."""
    try:
        trained = _trained(graph)
        selectors = (*graph.freeze, *freeze)
        return frozenset(key for selector in selectors for key in parameters_at(graph, selector, trained))
    except Problem as problem:
        raise SpecError([problem.at(None)]) from None


def _trained(graph: Graph) -> list[str]:
    return [key for key, state in graph.state().items() if state.trainable]


def parameters_at(graph: Graph, selector: str, trained: list[str]) -> list[str]:
    """The keys of those parameters, of all that are `trained`, at the paths that `selector` means, and below them.

    Raises `Problem` where there are none, and none either in parts that were left out.
    """
    below = PathPattern(selector).holds
    found = [key for key in trained if below(key)]
    if not found and not is_left_out(graph, selector):
        help = nearest(selector, {path for key in trained for path in prefixes(key)})
        raise Problem("unmatched-freeze", f"nothing to freeze is called `{selector}`", help=help)
    return found


def checkpointed_nodes(graph: Graph, checkpoint: Iterable[str] = ()) -> frozenset[str]:
    """Paths of the nodes that the spec of `graph` and `checkpoint` have computed again in the backward pass.

    Raises `SpecError` where there are none at a path of `checkpoint`.
    """
    try:
        selectors = [*graph.checkpoint, *checkpoint]
        repeatable = _repeatable(graph) if selectors else []
        return frozenset(path for selector in selectors for path in nodes_at(graph, selector, repeatable))
    except Problem as problem:
        raise SpecError([problem.at(None)]) from None


def _repeatable(graph: Graph) -> list[str]:
    return [path for path, node in graph.walk() if node.inputs and _keeps(node)]


def _keeps(node: Node) -> bool:
    """Whether the backward pass of a node needs more than the shapes of its inputs, so that it can be spared some."""
    return isinstance(node.target, Body) or node.target.memory(*node.input_types).keeps


def nodes_at(graph: Graph, selector: str, repeatable: list[str]) -> list[str]:
    """The paths, of all that can be computed again, that `selector` means.

    Raises `Problem` where there are none, and none either in parts that were left out.
    """
    meant = PathPattern(selector).matches
    found = [path for path in repeatable if meant(path)]
    if not found and not is_left_out(graph, selector):
        spared = next((node for path, node in graph.walk() if meant(path)), None)
        if spared is None:
            help = nearest(selector, set(repeatable))
        else:
            help = (f"`{spared.kind}` keeps nothing for the backward pass: leave it out",)
        raise Problem("unmatched-checkpoint", f"nothing to checkpoint is called `{selector}`", help=help)
    return found


def is_left_out(graph: Graph, selector: str) -> bool:
    """Whether a selector means what `if` or `select` left out."""
    below = PathPattern(selector).holds
    absent = any(below(path) or selector.startswith(f"{path}.") for path in _absent(graph))
    return absent or any(map(below, graph.left_out))


def nearest(selector: str, paths: set[str]) -> tuple[str, ...]:
    """The path that a selector which means none may have meant."""
    charge(50 * len(paths))
    level = {path for path in paths if path.count(".") == selector.count(".")}
    return suggest(selector, level) or suggest(selector, paths)


def _absent(graph: Graph) -> Iterator[str]:
    """Paths of the nodes that `if` left out."""
    yield from graph.root.absent
    for path, node in graph.walk():
        if isinstance(node.target, Body):
            yield from (f"{path}.{name}" for name in node.target.absent)


def _needs(weights: WeightsSpec, graph: Graph, reporter: Reporter) -> dict[str, Any]:
    """The parameters that the weights were trained with, and their values."""
    needs: dict[str, Any] = {}
    known = graph.root.arguments
    for key, value in weights.needs:
        with reporter.catch(key.span):
            if key.text not in known:
                help = suggest(key.text, known)
                raise Problem("unknown-parameter", f"`{graph.name}` has no parameter `{key.text}`", help=help)
            if not isinstance(value, Scalar):
                raise Problem("wrong-type", f"`{key.text}` takes a single value").place(value.span)
            try:
                needs[key.text] = evaluate(value.text, {})
            except Problem as problem:
                raise problem.place(value.inner) from None
    return needs
