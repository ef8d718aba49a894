"""Collects what cannot be imported, each with the line of Python that did it, the same mistake of one line once."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch

from netspec.diagnostics import Problem, SourceFile, Span, SpecError

_TORCH = Path(torch.__file__).parent
_MACHINERY = tuple(
    str(path)
    for path in (
        Path(__file__).parent,
        *(_TORCH / name for name in ("functional.py", "overrides.py", "_tensor.py", "utils", "_jit_internal.py")),
        *(_TORCH / "nn" / name for name in ("functional.py", "modules/module.py", "modules/container.py")),
    )
)
"""Where calls pass through on their way from the `forward` that somebody wrote."""


MOST = 100  # mistakes that are told


class Finding(NamedTuple):
    """A mistake, the line of code that makes it, and the path of the module."""

    problem: Problem
    span: Span | None
    path: str


class Report:
    """The mistakes of a module by what they are and where, each with the paths of the modules that make it."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str], tuple[Problem, Span | None, list[str]]] = {}

    def add(self, problem: Problem, path: str = "") -> None:
        """Keep a problem of the module at `path` that is no line of its code."""
        self.keep(Finding(problem, None, path))

    def keep(self, finding: Finding) -> None:
        """Keep a mistake, each of one line once."""
        key = (finding.problem.message, str(finding.span))
        _, _, paths = self.found.setdefault(key, (finding.problem, finding.span, []))
        if finding.path not in paths:
            paths.append(finding.path)

    def raise_if_failed(self) -> None:
        """Raise a `SpecError` with everything that was found."""
        if self.found:
            found = list(self.found.values())[:MOST]
            raise SpecError(problem.at(span, _places(paths)) for problem, span, paths in found)


def _places(paths: Iterable[str]) -> str:
    first, *others = list(paths)
    return f"{first or 'the module itself'} and {len(others)} more" if others else first


def code_line() -> Span | None:
    """The place in the code of the network that runs now."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_MACHINERY):
        assert frame.f_back is not None
        frame = frame.f_back
    name = frame.f_code.co_filename
    lines = linecache.getlines(name)
    if not lines:
        return None
    file = SourceFile(name.rpartition("/")[2], "".join(lines), Path(name) if Path(name).is_file() else None)
    start, end, column, end_column = next(islice(frame.f_code.co_positions(), frame.f_lasti // 2, None))
    if start is None or end is None or column is None or end_column is None:
        return Span(file, frame.f_lineno, 1, frame.f_lineno, len(lines[frame.f_lineno - 1]))
    if end > start:
        end, end_column = start, len(lines[start - 1].rstrip())
    return Span(file, start, column + 1, end, end_column + 1)
