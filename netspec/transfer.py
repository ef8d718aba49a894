"""What a spec says of transfer learning, checked against its graph: where trained weights are, and what is frozen.

Nothing is read here but the spec. The weights themselves are loaded by a backend, and only when they are asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from netspec.diagnostics import Problem, Reporter, SpecError, suggest
from netspec.expressions import evaluate
from netspec.graph import Body, Graph
from netspec.limits import charge
from netspec.paths import PathPattern, prefixes
from netspec.source import Scalar
from netspec.spec import Spec, WeightsSpec


def transfer(spec: Spec, graph: Graph, overridden: Collection[str], reporter: Reporter) -> None:
    """Give `graph` the `weights` and `freeze` of `spec`. `overridden` are the parameters that `load` was given."""
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
    absent = [] if found else [path for path in _absent(graph) if below(path) or selector.startswith(f"{path}.")]
    if not found and not absent and not any(map(below, graph.left_out)):
        charge(50 * len(trained))
        paths = {path for key in trained for path in prefixes(key)}
        level = {path for path in paths if path.count(".") == selector.count(".")}
        help = suggest(selector, level) or suggest(selector, paths)
        raise Problem("unmatched-freeze", f"nothing to freeze is called `{selector}`", help=help)
    return found


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
