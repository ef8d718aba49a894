"""Fixtures of all tests, golden files, which `--update` writes, and pages of what tests prove (`--equivalence` ...)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.capabilities import Capabilities
from tests.commands import BAD, GOOD, Run
from tests.equivalence import Equivalence

Golden = Callable[[Path, str], None]
Note = Callable[[str], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="write the golden files instead of comparing with them")
    parser.addoption("--equivalence", metavar="PAGE", type=Path, help="write what the tests prove about each model")
    parser.addoption("--capabilities", metavar="PAGE", type=Path, help="write what can be done with each network")


def pytest_configure(config: pytest.Config) -> None:
    if page := config.getoption("--equivalence"):
        config.pluginmanager.register(Equivalence(page))
    if page := config.getoption("--capabilities"):
        config.pluginmanager.register(Capabilities(page))


@pytest.fixture
def note(record_property: Callable[[str, object], None]) -> Note:
    """Say what is special about the model that a test compares."""
    return partial(record_property, "note")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Compare a text with a file, or write it there under `--update`."""

    def compare(path: Path, text: str) -> None:
        if request.config.getoption("--update"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.is_file(), f"{path} is missing: run pytest --update"
        assert text == path.read_text(encoding="utf-8")

    return compare


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command line, in a folder of its own that has `good.yaml` and `bad.yaml`."""
    monkeypatch.chdir(tmp_path)
    Path("good.yaml").write_text(GOOD)
    Path("bad.yaml").write_text(BAD)
    return Run(capsys)
