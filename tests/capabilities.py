"""A plugin of pytest that writes `docs/capabilities.md`: a column for each network, a row for each thing tried with it.

It gathers how tests end as the page of equivalences does. `python tasks.py capabilities` runs all of them.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import version
from inspect import cleandoc
from types import ModuleType

from tests.equivalence import NOT_RUN, Equivalence, Finding, Findings

PACKAGES = ("torch", "torchvision", "onnx", "onnxscript", "onnxruntime")

INTRODUCTION = """\
# What can be done with a network

What PyTorch and its surroundings can do with an ordinary module, tried with networks that netspec builds: residual,
with auxiliary classifiers, dense, with squeeze and excitation, a transformer, and a hybrid of them. A cell that says
no has its reason below the table. Data parallelism, shards, split layers and pipelines are tried with networks of
their own: see [several devices](parallel.md). So are the [hubs and Lightning](ecosystem.md).

`python tasks.py capabilities` writes this page from how its tests ended, here with {versions}, on the CPU.
"""

VERDICTS = {"equal": "yes", "differs": "no", "not compared": "not tried", "failed": "failed"}


class Capabilities(Equivalence):
    """Gathers how the tests of a run ended, and writes the page when the run is over."""

    def text(self) -> str:
        return "\n".join(page(*item) for item in self.findings.items())


def page(module: ModuleType, networks: Findings) -> str:
    """The page as Markdown. Equal reasons share a number."""
    versions = [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in PACKAGES)]
    numbers: dict[str, int] = {}
    rows = dict(tests(module))
    lines = [
        INTRODUCTION.format(versions=", ".join(versions)),
        f"| | {' | '.join(f'[{name}](../specs/{name}.yaml)' for name in module.NAMES)} |",
        f"|:--|{':--|' * len(module.NAMES)}",
    ]
    for row in rows:
        cells = [cell(networks.get(name, {}).get(row, [NOT_RUN]), numbers) for name in module.NAMES]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    lines += ["", "What is tried, and what must come of it:", ""]
    lines += [f"- **{row}**: {text}" for row, text in rows.items()]
    lines += ["", *(f"[^{number}]: {text}" for text, number in numbers.items())]
    return "\n".join(lines).rstrip() + "\n"


def tests(module: ModuleType) -> Iterator[tuple[str, str]]:
    """The row of each test, and what the test says it does, in the order of the file."""
    for test in vars(module).values():
        for mark in getattr(test, "pytestmark", ()) if callable(test) else ():
            if mark.name == "proves":
                yield mark.args[0], " ".join(cleandoc(test.__doc__ or "").split())


def cell(findings: list[Finding], numbers: dict[str, int]) -> str:
    """`yes` where all tests of a thing ended well."""
    verdict = next((finding.verdict for finding in findings if finding.verdict != "equal"), "equal")
    notes = dict.fromkeys(note for finding in findings for note in finding.notes)
    return VERDICTS[verdict] + "".join(f"[^{numbers.setdefault(note, len(numbers) + 1)}]" for note in notes)
