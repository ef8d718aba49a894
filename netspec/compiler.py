"""The whole compiler, in order: text, source, spec, graph."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netspec import catalog
from netspec.catalog import Origin
from netspec.diagnostics import Problem, Reporter, SpecError
from netspec.elaborate import elaborate
from netspec.graph import Graph
from netspec.initialize import initialize
from netspec.parse import parse
from netspec.source import Source, read, read_text
from netspec.verify import verify

InputShapes = list[int] | tuple[int, ...] | Mapping[str, list[int] | tuple[int, ...]]


def load(spec: str | Path, *, input: InputShapes | None = None, **parameters: Any) -> Graph:
    """Compile a spec into a graph whose every shape is known.

    `spec` is a file, or the name of a spec that ships, such as `resnet50`. `parameters` override those of the spec.
    `input` overrides the shape of the input, without the batch axis; with several inputs it maps names to shapes.
    Raises `SpecError` with every mistake found.
    """
    try:
        path, name = catalog.find(str(spec))
    except Problem as problem:
        raise SpecError([problem.at(None)]) from None
    return compile_source(read(path, name), Origin.of(path), path.stem, parameters, input)


def loads(
    text: str,
    *,
    name: str = "<text>",
    folder: str | Path | None = None,
    input: InputShapes | None = None,
    **parameters: Any,
) -> Graph:
    """Compile the text of a spec, as `load` does a file; `folder` is where `extends` and `imports` look for files."""
    origin = Origin.of(Path(folder) / "spec.yaml") if folder is not None else Origin(None, None)
    return compile_source(read_text(text, name), origin, "network", parameters, input)


def compile_source(
    source: Source,
    origin: Origin,
    name: str,
    parameters: Mapping[str, Any] | None = None,
    input: InputShapes | None = None,
) -> Graph:
    """The recipe behind `load`: parse the source tree, elaborate it, resolve initializers, verify."""
    reporter = Reporter()
    spec = parse(source, origin, name, reporter)
    graph = None
    if spec is not None:
        shapes = input if isinstance(input, Mapping) else {spec.inputs[0].name: input} if input and spec.inputs else {}
        root = elaborate(spec, reporter, parameters or {}, shapes)
        if root is not None and not reporter.failed:
            graph = initialize(spec, root, reporter)
            graph.overridden = frozenset(parameters or ())
    reporter.raise_if_failed()
    assert graph is not None, "a compilation without errors gives a graph"
    return verify(graph)
