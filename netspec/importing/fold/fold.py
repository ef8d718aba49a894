"""A graph in, the text of a short spec out that a person might have written for it.

Bodies become terms, from the inside out: library blocks, blocks with parameters, repeats and loops take the place of
what they stand for. The text is compiled again and compared with the graph; where a reading of it is not the network, a
plainer one is tried, and the plainest writes every node out.
"""

from __future__ import annotations

from collections.abc import Callable

from netspec.compiler import loads
from netspec.diagnostics import Problem, SpecError
from netspec.formulas import DifferentError
from netspec.graph import Graph
from netspec.importing.equality import equal
from netspec.importing.fold.blocks import BlockFinder
from netspec.importing.fold.library_blocks import library_use
from netspec.importing.fold.reading import input_names
from netspec.importing.fold.settling import settle
from netspec.importing.fold.yaml_text import spec_text
from netspec.recursion import deep_recursion


@deep_recursion
def fold(graph: Graph) -> str:
    """The text of a spec that compiles to this graph. Raises `SpecError` where the language cannot say what it is."""
    readings: tuple[Callable[[Graph], str], ...] = (_short, _without_loops, _plain)
    for reading in readings:
        try:
            text = reading(graph)
            difference = equal(graph, loads(text))
        except (DifferentError, SpecError) as error:
            difference = str(error)
        if difference is None:
            return text
    help = ("report it as a mistake of netspec",)
    notes = (f"what was written differs: {difference}",)
    raise SpecError(
        [Problem("cannot-import", f"`{graph.name}` cannot be written as a spec", notes=notes, help=help).at(None)]
    )


def _short(graph: Graph) -> str:
    return _text(graph, BlockFinder(graph.root, library_use))


def _without_loops(graph: Graph) -> str:
    return _text(graph, BlockFinder(graph.root, library_use), loops=False)


def _plain(graph: Graph) -> str:
    return _text(graph, BlockFinder(graph.root, lambda body: None, plain=True), loops=False)


def _text(graph: Graph, finder: BlockFinder, *, loops: bool = True) -> str:
    network, blocks = settle(finder.find(), finder.definitions, loops=loops)
    inputs = dict(zip(input_names(graph.root), graph.inputs.values(), strict=True))
    return spec_text(graph.name, graph.about, inputs, network, blocks)
