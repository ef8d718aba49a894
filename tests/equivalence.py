"""A plugin of pytest that writes `docs/equivalence.md`: a row for each model, a column for each thing compared.

A test says with `@pytest.mark.proves(column)` which column it fills, with its docstring what it compares, and with the
fixture `note` what is special about a model. How it ends is the cell. `python tasks.py equivalence` runs all of them.
"""

from __future__ import annotations

import platform
from collections import defaultdict
from collections.abc import Generator
from importlib.metadata import version
from inspect import cleandoc
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

import netspec
from netspec.files import whole

COLUMNS = ("keys", "initial weights", "eval", "train", "costs")

INTRODUCTION = """\
# Equal, model by model

What netspec builds from a spec, beside what another library builds under the same name. `equal` is bit for bit. A cell
that says anything else has its reason below the tables, and so has one that is equal under a condition. Parameters and
MACs, for one picture of the spec's own size, are those of the spec.

`python tasks.py equivalence` writes this page from what its tests found, all run in one go, here with {versions}.
"""


class Finding(NamedTuple):
    """How one test of a model ended, and what must be known about it."""

    verdict: str
    notes: tuple[str, ...]


NOT_RUN = Finding("not compared", ("No test was run.",))

Findings = dict[str, dict[str, list[Finding]]]
"""What was found about each model, by column."""


class Equivalence:
    """Gathers how the tests of a run ended, and writes the page when the run is over."""

    def __init__(self, page: Path) -> None:
        self.page = page
        self.findings: dict[ModuleType, Findings] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Function, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        proves = item.get_closest_marker("proves")
        if proves and (report.when == "call" or not report.passed):
            name = item.callspec.params.get("pair") or item.callspec.params["name"]
            columns = self.findings.setdefault(item.module, {}).setdefault(str(name), defaultdict(list))
            columns[proves.args[0]].append(finding(report, call))
        return report

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        if exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            with whole(self.page) as file:
                file.write_text(self.text(), encoding="utf-8")

    def text(self) -> str:
        return page(self.findings)


def finding(report: pytest.TestReport, call: pytest.CallInfo[None]) -> Finding:
    """The verdict of one test. What is not equal has a reason: that of the mark, or what was raised."""
    if hasattr(report, "wasxfail"):
        return Finding("differs", (report.wasxfail,))
    if report.skipped:
        assert isinstance(report.longrepr, tuple)
        return Finding("not compared", (report.longrepr[2].removeprefix("Skipped: "),))
    if report.failed:
        assert call.excinfo is not None
        return Finding("failed", (f"`{call.excinfo.exconly().splitlines()[0]}`",))
    return Finding("equal", tuple(str(text) for kind, text in report.user_properties if kind == "note"))


# The page ------------------------------------------------------------------------------------------------------------


def page(findings: dict[ModuleType, Findings]) -> str:
    """The page as Markdown. Equal notes share a number."""
    numbers: dict[str, int] = {}
    packages = [f"{name} {version(name)}" for name in ("torch", "torchvision", "timm")]
    parts = [INTRODUCTION.format(versions=", ".join([f"Python {platform.python_version()}", *packages]))]
    for module, models in findings.items():
        in_order = {name: models[name] for name in module.NAMES if name in models}
        parts += [legend(module), table(in_order, numbers)]
    parts.append("".join(f"[^{number}]: {text}\n" for text, number in numbers.items()))
    return "\n".join(parts)


def legend(module: ModuleType) -> str:
    """What the tests of a module compare, by column."""
    name = module.__name__.rpartition("test_")[2]
    tests = [test for test in vars(module).values() if callable(test)]
    lines = [f"## {name}", ""]
    for column in COLUMNS:
        texts = [" ".join(cleandoc(test.__doc__ or "").split()) for test in tests if proves(test, column)]
        lines.append(f"- **{column}**: {' '.join(texts)}")
    return "\n".join(lines) + "\n"


def proves(test: Any, column: str) -> bool:
    return any(mark.name == "proves" and mark.args == (column,) for mark in getattr(test, "pytestmark", ()))


def table(models: Findings, numbers: dict[str, int]) -> str:
    lines = [f"| model | {' | '.join(COLUMNS)} | parameters | MACs |", f"|:--|{':--|' * len(COLUMNS)}--:|--:|"]
    for model, columns in models.items():
        cells = [cell(columns.get(column, [NOT_RUN]), numbers) for column in COLUMNS]
        lines.append(f"| [{model}](../specs/{model}.yaml) | {' | '.join([*cells, *costs(model)])} |")
    return "\n".join(lines) + "\n"


def cell(findings: list[Finding], numbers: dict[str, int]) -> str:
    """The verdict on one thing, which is `equal` where all of its tests say so."""
    verdict = next((finding.verdict for finding in findings if finding.verdict != "equal"), "equal")
    notes = dict.fromkeys(note for finding in findings for note in finding.notes)
    return verdict + "".join(f"[^{numbers.setdefault(note, len(numbers) + 1)}]" for note in notes)


def costs(model: str) -> tuple[str, str]:
    """Parameters and MACs of a spec as they stand on the page."""
    graph = netspec.load(model)
    return f"{graph.parameters:,}", f"{graph.macs:,}"
