"""The page of equivalences says what the tests found, and it is not stale."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests import test_timm, test_torchvision
from tests.equivalence import COLUMNS, costs, legend

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "equivalence.md").read_text(encoding="utf-8")
COMPARED = (test_torchvision, test_timm)

EXAMPLE = '''
import pytest

NAMES = ("zfnet", "lenet5")

@pytest.mark.proves("eval")
@pytest.mark.parametrize("name", ["lenet5", pytest.param("zfnet", marks=pytest.mark.skip(reason="Too large."))])
def test_eval(name):
    """What comes out."""

@pytest.mark.proves("keys")
@pytest.mark.parametrize("name", NAMES)
def test_keys(name, note):
    """What is inside."""
    if name == "lenet5":
        note("Without a bias.")

@pytest.mark.proves("keys")
@pytest.mark.parametrize("name", NAMES)
def test_more_keys(name, note):
    """Again."""
    note("Without a bias.")
    assert name != "zfnet", "they differ"

@pytest.mark.proves("train")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.xfail(reason="Random numbers differ.")
def test_train(name):
    """What is learned."""
    raise ValueError
'''


def rows(page: str) -> dict[str, list[str]]:
    """The cells of each model, without its name."""
    return {
        name: cells.split(" | ") for name, cells in re.findall(r"^\| \[(\w+)\]\(.*?\) \| (.*) \|$", page, re.MULTILINE)
    }


def test_a_cell_says_how_its_tests_ended_and_why(tmp_path: Path) -> None:
    (tmp_path / "test_example.py").write_text(EXAMPLE, encoding="utf-8")
    plugin = ["-p", "tests.conftest", "--equivalence", "page.md"]
    command = [sys.executable, "-m", "pytest", "-q", *plugin, "test_example.py"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 1, run.stdout + run.stderr
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    differ, not_run, too_large, random_numbers, bias = (f"[^{number}]" for number in range(1, 6))
    absent, different = f"not compared{not_run}", f"differs{random_numbers}"
    assert {name: cells[: len(COLUMNS)] for name, cells in rows(page).items()} == {
        "zfnet": [f"failed{differ}", absent, f"not compared{too_large}", different, absent],
        "lenet5": [f"equal{bias}", absent, "equal", different, absent],
    }
    assert page.endswith(
        "[^1]: `AssertionError: they differ`\n"
        "[^2]: No test was run.\n"
        "[^3]: Too large.\n"
        "[^4]: Random numbers differ.\n"
        "[^5]: Without a bias.\n"
    )
    assert "- **keys**: What is inside. Again.\n" in page


def test_the_page_has_every_model_in_order_with_the_costs_of_its_spec() -> None:
    found = [(name, *cells[len(COLUMNS) :]) for name, cells in rows(PAGE).items()]
    assert found == [(name, *costs(name)) for module in COMPARED for name in module.NAMES]


def test_every_cell_of_the_page_is_equal_or_has_its_reason() -> None:
    footnotes = set(re.findall(r"^\[\^(\d+)\]: .", PAGE, re.MULTILINE))
    for name, cells in rows(PAGE).items():
        for cell in cells[: len(COLUMNS)]:
            reasons = re.findall(r"\[\^(\d+)\]", cell)
            assert cell == "equal" or (reasons and footnotes.issuperset(reasons)), f"{name}: {cell}"


def test_the_page_says_what_the_tests_compare() -> None:
    assert [legend(module) for module in COMPARED if legend(module) not in PAGE] == []
