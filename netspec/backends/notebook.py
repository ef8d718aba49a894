"""Graph in, what a notebook shows of it out: its picture, and its summary as a table.

A notebook asks for every form it could show, so the picture of the last graph is kept for the next question.
"""

from __future__ import annotations

from functools import lru_cache
from html import escape

from netspec.backends.pictures.drawing import to_drawing
from netspec.backends.summary import to_summary
from netspec.diagnostics import Diagnostic, SpecError
from netspec.graph import Graph


def to_html(graph: Graph) -> str:
    """The picture with the table folded under it. Without an engine to lay it out, what to install and the table."""
    try:
        picture, state = _picture(graph), ""
    except SpecError as error:
        picture, state = "".join(map(_said, error.diagnostics)), " open"
    table = f"<details{state}><summary>Summary of {escape(graph.name)}</summary>{to_summary(graph).html()}</details>"
    return f'<div style="overflow-x: auto">{picture}</div>{table}'


def _said(diagnostic: Diagnostic) -> str:
    helps = "".join(f"<pre>{escape(help)}</pre>" for help in diagnostic.help)
    return f"<p>{escape(diagnostic.message)}</p>{helps}"


def to_svg(graph: Graph) -> str | None:
    """The picture, or nothing without an engine to lay it out: the notebook then shows another form."""
    try:
        return _picture(graph)
    except SpecError:
        return None


@lru_cache(maxsize=1)
def _picture(graph: Graph) -> str:
    from netspec.backends.pictures.picture import to_picture

    return to_picture(to_drawing(graph))
