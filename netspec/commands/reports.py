"""What `netspec check` found, for programs: JSON, the annotations of GitHub, and SARIF for editors and code scanning.

Each report is a function from the results to the text that goes to stdout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netspec.commands.common import Result
from netspec.diagnostics import Diagnostic, Span

if TYPE_CHECKING:
    from netspec.graph import Graph
    from netspec.shapes import TensorType

SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def json_report(results: Sequence[Result]) -> str:
    """A list with an object for each spec: its costs and shapes where it is valid, and its diagnostics."""
    return _dumped([_described(result) for result in results])


def github_report(results: Sequence[Result]) -> str:
    """A workflow command a line, which GitHub shows as an annotation of a file in a pull request.

    Source: https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
    """
    return "".join(f"{_workflow_command(diagnostic)}\n" for diagnostic in _all(results))


def sarif_report(results: Sequence[Result]) -> str:
    """A SARIF 2.1.0 log, with a rule for each code that occurs, which holds the page that `netspec explain` prints.

    Source: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
    """
    from netspec import __version__

    found = list(_all(results))
    codes = sorted({diagnostic.code for diagnostic in found})
    driver = {"name": "netspec", "version": __version__, "rules": [_rule(code) for code in codes]}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_sarif_result(diagnostic, codes.index(diagnostic.code)) for diagnostic in found],
    }
    return _dumped({"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]})


REPORTS: dict[str, Callable[[Sequence[Result]], str]] = {
    "json": json_report,
    "github": github_report,
    "sarif": sarif_report,
}


def _all(results: Sequence[Result]) -> Iterator[Diagnostic]:
    return (diagnostic for result in results for diagnostic in result.diagnostics)


def _dumped(data: Any) -> str:
    import json

    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def _text(diagnostic: Diagnostic) -> str:
    """All that a diagnostic says, without its place in the file."""
    details = [("at", diagnostic.at)] if diagnostic.at else []
    details += [("note", note) for note in diagnostic.notes] + [("help", text) for text in diagnostic.help]
    headline = f"{diagnostic.message} ({diagnostic.label})" if diagnostic.label else diagnostic.message
    return "\n".join([headline, *(f"{kind}: {text}" for kind, text in details)])


def _file(span: Span | None) -> Path | None:
    """The file of a place, from the working directory on where it is below; None where the text is from no file."""
    if span is None or span.file.path is None:
        return None
    path = span.file.path.resolve()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


# JSON ----------------------------------------------------------------------------------------------------------------


def _described(result: Result) -> dict[str, Any]:
    mistakes = [diagnostic.as_dict() for diagnostic in result.diagnostics]
    return {"spec": result.spec, **_facts(result.graph), "diagnostics": mistakes}


def _facts(graph: Graph | None) -> dict[str, Any]:
    if graph is None:
        return {"valid": False}
    return {
        "valid": True,
        "parameters": graph.parameters,
        "macs": graph.macs,
        "inputs": _types(graph.inputs),
        "outputs": _types(graph.outputs),
    }


def _types(types: dict[str, TensorType]) -> dict[str, Any]:
    return {name: {"shape": list(type.shape), "dtype": type.dtype} for name, type in types.items()}


# GitHub --------------------------------------------------------------------------------------------------------------


def _workflow_command(diagnostic: Diagnostic) -> str:
    properties: dict[str, Any] = {}
    span, file = diagnostic.span, _file(diagnostic.span)
    if span is not None and file is not None:
        properties = {"file": file.as_posix(), "line": span.line, "col": span.column, "endLine": span.end_line}
    properties["title"] = f"netspec {diagnostic.code}"
    listed = ",".join(f"{name}={_escaped(str(value), ':,')}" for name, value in properties.items())
    return f"::{diagnostic.level} {listed}::{_escaped(_text(diagnostic))}"


def _escaped(text: str, also: str = "") -> str:
    """Percent-encoded as the runner decodes it: a property also needs what ends it encoded."""
    for character in "%\r\n" + also:
        text = text.replace(character, f"%{ord(character):02X}")
    return text


# SARIF ---------------------------------------------------------------------------------------------------------------


def _rule(code: str) -> dict[str, Any]:
    from netspec.codes import explanation, headline, reason

    page = explanation(code)
    return {
        "id": code,
        "shortDescription": {"text": headline(code)},
        "fullDescription": {"text": reason(code)},
        "help": {"text": page, "markdown": page},
    }


def _sarif_result(diagnostic: Diagnostic, rule: int) -> dict[str, Any]:
    return {
        "ruleId": diagnostic.code,
        "ruleIndex": rule,
        "level": diagnostic.level,
        "message": {"text": _text(diagnostic)},
        "locations": list(_locations(diagnostic)),
    }


def _locations(diagnostic: Diagnostic) -> Iterator[dict[str, Any]]:
    span, file = diagnostic.span, _file(diagnostic.span)
    if span is None or file is None:
        return
    region = {
        "startLine": span.line,
        "startColumn": span.column,
        "endLine": span.end_line,
        "endColumn": span.end_column,
    }
    location: dict[str, Any] = {"physicalLocation": {"artifactLocation": {"uri": _uri(file)}, "region": region}}
    if diagnostic.at:
        location["logicalLocations"] = [{"fullyQualifiedName": diagnostic.at}]
    yield location


def _uri(path: Path) -> str:
    from urllib.parse import quote

    return path.as_uri() if path.is_absolute() else quote(path.as_posix())
