"""The whole compiler, in order: text, source, spec, graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from netspec import catalog
from netspec.catalog import Origin
from netspec.diagnostics import Problem, Reporter, SourceFile, SpecError
from netspec.elaborate import elaborate
from netspec.graph import Graph
from netspec.initialize import initialize
from netspec.limits import Limits, TooLarge, in_force
from netspec.limits import limits as limits_in_force
from netspec.parse import parse
from netspec.recursion import deep_recursion
from netspec.source import Source, read_file, text_file, tree
from netspec.transfer import transfer
from netspec.verify import verify
from netspec.warn import warn

InputShapes = list[int] | tuple[int, ...] | Mapping[str, list[int] | tuple[int, ...]]


def load(
    spec: str | Path, /, *, input: InputShapes | None = None, limits: Limits | None = None, **parameters: Any
) -> Graph:
    """Compile a spec into a graph whose every shape is known.

    `spec` is a file, or the name of a spec that ships, such as `resnet50`. `parameters` override those of the spec.
    `input` overrides the shape of the input, without the batch axis; with several inputs it maps names to shapes.
    `limits` are the most that the spec may ask for. Raises `SpecError` with every mistake found.

    A graph file, which `netspec build SPEC -o model.json` writes, gives the graph that it was made of.
    """
    try:
        path, name = catalog.find(str(spec))
    except Problem as problem:
        raise SpecError([problem.at(None)]) from None
    with in_force(limits):
        return _compile(read_file(path, name), Origin.of(path), path.stem, parameters, input)


def loads(
    text: str,
    /,
    *,
    name: str = "<text>",
    folder: str | Path | None = None,
    input: InputShapes | None = None,
    limits: Limits | None = None,
    **parameters: Any,
) -> Graph:
    """Compile the text of a spec, as `load` does a file; `folder` is where `extends` and `imports` look for files."""
    origin = Origin.of(Path(folder) / "spec.yaml") if folder is not None else Origin(None, None)
    with in_force(limits):
        return _compile(text_file(text, name), origin, "network", parameters, input)


@deep_recursion
def _compile(
    file: SourceFile, origin: Origin, name: str, parameters: Mapping[str, Any], input: InputShapes | None
) -> Graph:
    """The graph of a spec, or that of a graph file, which is JSON."""
    if file.text.lstrip()[:1] == "{" and '"netspec_graph"' in file.text:
        from netspec.graph_file import read_graph  # only for who has one

        return read_graph(file, overridden=bool(parameters or input))
    return compile_source(tree(file), origin, name, parameters, input)


def compile_source(
    source: Source,
    origin: Origin,
    name: str,
    parameters: Mapping[str, Any] | None = None,
    input: InputShapes | None = None,
) -> Graph:
    """The recipe behind `load`: parse the source tree, elaborate it, resolve what refers to its paths, verify, warn."""
    reporter = Reporter(most=limits_in_force().mistakes)
    spec = graph = None
    with _given_up(reporter, source):
        spec = parse(source, origin, name, reporter)
        if spec is not None:
            single = {spec.inputs[0].name: input} if input and spec.inputs else {}
            shapes = input if isinstance(input, Mapping) else single
            root = elaborate(spec, reporter, parameters or {}, shapes)
            if root is not None and reporter.failed:
                graph = Graph(spec.network.name, root, spec.network.about)
            elif root is not None:
                graph = initialize(spec, root, reporter)
                transfer(spec, graph, (parameters or {}).keys(), reporter)
                if spec.parallel is not None:
                    from netspec.parallel import spread  # only for who says how

                    spread(spec.parallel, graph, reporter)
    reporter.raise_if_failed(sketch=graph)
    assert spec is not None, "a compilation without errors gives a spec"
    assert graph is not None, "a compilation without errors gives a graph"
    graph.warnings = warn(spec, verify(graph))
    return graph


@contextmanager
def _given_up(reporter: Reporter, source: Source) -> Iterator[None]:
    """Report what a stage cannot go on with: a spec that asks for too much, or limits beyond Python's own."""
    try:
        yield
    except TooLarge as error:
        reporter.error("network-too-large", str(error), error.span or source.span)
    except RecursionError:
        help = ("raise `sys.setrecursionlimit` with the limit of levels, or nest less",)
        reporter.error("too-deep", "nested deeper than Python can go", source.span, help=help)
