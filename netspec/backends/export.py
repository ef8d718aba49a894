"""A graph, or the module built of it, to a file for other programs: the suffix of its name says which."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from netspec.files import unknown_format, whole
from netspec.quantities import byte_size

if TYPE_CHECKING:
    from torch import nn

    from netspec.graph import Graph


def _graph_file(graph: Graph) -> str:
    from netspec.backends.graph_json import to_graph_json

    return to_graph_json(graph)


def _weights(graph: Graph, module: nn.Module, path: Path) -> None:
    from netspec.backends.report import save_weights

    save_weights(module, path)


def _program(graph: Graph, module: nn.Module, path: Path) -> None:
    from netspec.backends.program import save_program

    save_program(graph, module, path)


def _onnx(graph: Graph, module: nn.Module, path: Path) -> None:
    from netspec.backends.onnx_file import save_onnx

    save_onnx(graph, module, path)


def _python_file(graph: Graph) -> str:
    from netspec.backends.python.python import to_python

    return to_python(graph)


OF_GRAPH: dict[str, Callable[[Graph], str]] = {".json": _graph_file, ".py": _python_file}
"""The texts that are made of a graph alone, without PyTorch."""

OF_MODULE: dict[str, Callable[[Graph, nn.Module, Path], None]] = {
    ".safetensors": _weights,
    ".pth": _weights,
    ".pt2": _program,
    ".onnx": _onnx,
}
"""What writes the files that hold weights, by suffix."""


def check_formats(paths: Iterable[str]) -> None:
    """Raise `SpecError` where the suffix of a path names no format."""
    for path in paths:
        if Path(path).suffix not in OF_GRAPH | OF_MODULE:
            raise unknown_format(path, [*OF_MODULE, *OF_GRAPH])


def needs_module(path: str) -> bool:
    """Whether what is written there holds weights, so that the network is built for it."""
    return Path(path).suffix in OF_MODULE


def export(graph: Graph, path: str, module: nn.Module | None = None) -> str:
    """Write the file at `path`, whole or not at all, and say how large it is. Raises `SpecError`."""
    suffix = Path(path).suffix
    if suffix in OF_GRAPH:
        text = OF_GRAPH[suffix](graph)
        with whole(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    else:
        assert module is not None, f"{path} holds weights"
        OF_MODULE[suffix](graph, module, Path(path))
    return f"{path}, {byte_size(Path(path).stat().st_size)}"
