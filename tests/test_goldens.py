"""Golden graphs and summaries of every spec that ships: a change in what a spec means shows as a difference here."""

from __future__ import annotations

from pathlib import Path

import pytest

import netspec
from netspec.backends.summary import to_summary
from netspec.catalog import library_blocks, shipped_specs
from tests.conftest import Golden

GOLDENS = Path(__file__).parent / "goldens"

FAMILIES = [name for name, path in shipped_specs().items() if "\nextends:" not in path.read_text(encoding="utf-8")]
"""The specs that stand on their own; the others vary one of them."""

LINES = {"resnet50": 60, "resnext50_32x4d": 8, "googlenet": 70}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_graph_is_the_golden_one(name: str, golden: Golden) -> None:
    golden(GOLDENS / f"{name}.graph.txt", str(netspec.load(name)) + "\n")


@pytest.mark.parametrize("name", FAMILIES)
def test_the_summary_is_the_golden_one(name: str, golden: Golden) -> None:
    golden(GOLDENS / f"{name}.summary.txt", to_summary(netspec.load(name)).text(depth=3) + "\n")


def test_specs_are_short() -> None:
    for name, most in LINES.items():
        assert len(shipped_specs()[name].read_text(encoding="utf-8").splitlines()) <= most


@pytest.mark.parametrize("name", shipped_specs())
def test_every_spec_says_what_it_is_and_where_it_comes_from(name: str) -> None:
    graph = netspec.load(name)
    assert graph.name == name
    assert graph.about
    assert graph.reference or name == "hybrid"


@pytest.mark.parametrize("name", library_blocks())
def test_every_library_block_says_what_it_does_and_is_tidy(name: str) -> None:
    text = library_blocks()[name].read_text(encoding="utf-8")
    assert text.startswith("netspec: 1\nabout: ")
    assert max(map(len, text.splitlines())) <= 120


ARGUMENTS = {
    "auxiliary_classifier": "10", "basic_block": "8", "basic_conv": "8", "bottleneck": "4", "conv_norm_act": "8",
    "dense_block": "2", "dense_layer": "4", "depthwise_separable": "8", "fire": "[2, 4, 4]", "fused_mbconv": "8",
    "inception": "[4, 4, 4, 4, 4, 4]", "inverted_residual": "8", "mbconv": "8", "shuffle_unit": "8",
    "squeeze_excitation": "2", "transition": "",
}  # fmt: skip


@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_library_block_builds(name: str) -> None:
    text = f"netspec: 1\ninput: [8, 16, 16]\ngraph: {{a: {{{name}: {ARGUMENTS[name]}}}}}\n"
    graph = netspec.loads(text)
    assert list(graph.state()) == list(graph.build(device="meta").state_dict())


def test_every_library_block_is_built_here_or_part_of_a_spec() -> None:
    parts = {node.kind for name in FAMILIES for _, node in netspec.load(name).walk()}
    assert set(library_blocks()) <= parts | set(ARGUMENTS) | {"imagenet_to_inception"}
