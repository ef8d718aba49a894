"""Writes the table of `docs/import.md`: how long imported specs are, beside those that people wrote.

Run `python docs/make_import_table.py`, which imports a model of every family and takes some minutes; with `--check`
nothing is written, and the exit status is 1 when the table is stale.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import timm
import torch
import torchvision
from pages import ROOT, Pages, main

from netspec.catalog import shipped_specs
from netspec.diagnostics import SpecError
from netspec.importing.importer import from_module
from netspec.importing.sources import find_module

PAGE = ROOT / "docs" / "import.md"
TABLE = re.compile(r"(?<=\| model \| imported \| by hand \|\n\|:--\|--:\|--:\|\n)(?:\|.*\n)*")


def sources() -> dict[str, Path]:
    """What can be imported, and the spec of the same network that somebody wrote in full."""
    found = {}
    for name, path in shipped_specs().items():
        library = "torchvision" if name in torchvision.models.list_models() else "timm"
        if (library == "torchvision" or timm.is_model(name)) and "\nextends:" not in path.read_text(encoding="utf-8"):
            found[f"{library}:{name}"] = path
    return found


def lines(text: str) -> int:
    """How many lines of a spec say what the network is."""
    return sum(bool(re.match(r"\s*[^\s#]", line)) for line in text.splitlines())


def imported(source: str) -> str:
    """The number of lines of an imported spec, or a dash where there can be none."""
    found = find_module(source)
    assert found.input is not None
    try:
        return str(lines(from_module(found.module, torch.zeros(1, *found.input), name=found.name)))
    except SpecError:
        return "–"


def pages() -> Pages:
    """The page with a new table."""
    rows = []
    for source, path in sources().items():
        rows.append(f"| `{source}` | {imported(source)} | {lines(path.read_text(encoding='utf-8'))} |\n")
    return {PAGE: TABLE.sub("".join(rows), PAGE.read_text(encoding="utf-8"))}


if __name__ == "__main__":
    warnings.simplefilter("ignore", FutureWarning)
    raise SystemExit(main(pages, "make_import_table.py"))
