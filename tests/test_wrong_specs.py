"""Every wrong spec in `wrong/` beside exactly what the user sees. The folder of a spec is its diagnostic's code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import netspec
from netspec.diagnostics import Diagnostic
from netspec.graph import Graph
from tests.conftest import Golden

WRONG = Path(__file__).parent / "wrong"
SPECS = sorted(WRONG.glob("*/*.yaml"))
SEVERAL = "several-mistakes"


def diagnosed(load: Callable[[], Graph]) -> tuple[Diagnostic, ...]:
    """What there is to say about a spec: the mistakes that make it invalid, or else the warnings of its graph."""
    try:
        return load().warnings
    except netspec.SpecError as error:
        return error.diagnostics


@pytest.mark.parametrize("path", SPECS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_wrong_spec_gets_exactly_this_message(path: Path, golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    diagnostics = diagnosed(lambda: netspec.load(path.name))
    golden(path.with_suffix(".txt"), "\n\n".join(d.render() for d in diagnostics) + "\n")
    if path.parent.name != SEVERAL:
        assert [d.code for d in diagnostics] == [path.parent.name], "one mistake, one message"


@pytest.mark.parametrize("path", SPECS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_message_reads_well(path: Path) -> None:
    text = path.with_suffix(".txt").read_text(encoding="utf-8")
    headlines = [line.partition(": ")[2] for line in text.splitlines() if line.startswith(("error[", "warning["))]
    assert headlines
    for headline in headlines:
        assert headline[0].islower() or headline[0] in "`-0123456789", "lower case"
        assert not headline.endswith("."), "no full stop"
        assert headline.count("`") % 2 == 0, "backticks in pairs"
        assert "{" not in headline.replace("{batch_norm: , eps: 0.001}", ""), "no placeholder left"


def test_every_place_is_in_the_file() -> None:
    for path in SPECS:
        text = path.with_suffix(".txt").read_text(encoding="utf-8")
        assert "-->" in text, f"{path} has a message without a place"
