"""Five hundred slips in the specs that ship: none ends in a traceback, and most messages are where the slip is."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.effort import EFFORT
from tests.mutations import KINDS, Mutation, mutations, outcome, tally

SECURITY = Path(__file__).parent.parent / "docs" / "security.md"
COUNT = 300 * EFFORT


def test_mutations_are_valid_or_reported_at_their_place(record_property: Callable[[str, object], None]) -> None:
    verdicts, misplaced = tally(COUNT, seed=1)
    record_property("verdicts", dict(verdicts))
    assert [f"{mutation}: {result.message}" for mutation, result in misplaced if result.verdict == "traceback"] == []
    assert verdicts.total() == COUNT
    good = verdicts["valid"] + verdicts["at its place"] + verdicts["named"]
    claimed = re.search(r"(\d+)% of the mutations", SECURITY.read_text(encoding="utf-8"))
    assert claimed is not None, "docs/security.md states the share"
    assert 100 * good / COUNT >= int(claimed[1])


def test_mutations_are_the_same_for_the_same_seed_and_of_every_kind() -> None:
    made = list(mutations(30, seed=7))
    assert made == list(mutations(30, seed=7))
    assert made != list(mutations(30, seed=8))
    assert {mutation.kind for mutation in made} == set(KINDS)


TEXT = "netspec: 1\ninput: [3, 8, 8]\ngraph:\n  - {conv: [4, 3]}\n  - %s\n  - relu\n"


@pytest.mark.parametrize(
    ("node", "line", "verdict"),
    [
        ("gelu", 5, "valid"),
        ("gellu", 5, "at its place"),
        ("gellu", 6, "elsewhere"),
        ("{basic_block: [8, 0]}", 5, "named"),
    ],
)
def test_an_outcome_depends_on_the_place_of_the_message(node: str, line: int, verdict: str) -> None:
    mutation = Mutation("resnet18", "misspell a word", "", TEXT % node, line, line)
    assert outcome(mutation).verdict == verdict
