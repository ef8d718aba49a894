"""`netspec diff`: what it calls added, removed and changed, what that costs, and how it says so."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import torch

import netspec
from netspec.backends.diff import Difference
from netspec.backends.diff_text import to_text
from netspec.backends.pictures.picture import draw_difference
from netspec.catalog import shipped_specs
from netspec.cli import main
from netspec.graph import Graph
from tests.conftest import Golden

GOLDENS = Path(__file__).parent / "goldens"

PAIRS = [
    ("resnet50", "resnext50_32x4d"),
    ("resnet50", "wide_resnet50_2"),
    ("resnet50", "resnet101"),
    ("resnet50", "googlenet"),
    ("vgg16", "vgg16_bn"),
    ("densenet121", "densenet169"),
    ("efficientnet_b0", "efficientnet_b1"),
]

CHAIN = "[{conv: [8, 3]}, relu, {conv: [16, 3]}, relu, {conv: [32, 3]}, relu]"


def network(graph: str, shape: str = "[3, 16, 16]", name: str = "network") -> Graph:
    return netspec.loads(f"netspec: 1\nname: {name}\ninput: {shape}\ngraph: {graph}\n")


def found(before: str, after: str) -> Difference:
    return Difference(network(before), network(after))


def marks(difference: Difference) -> list[str]:
    """What was added, removed and changed, each with its path."""
    return [f"{change.mark} {change.side.path}" for change in difference.changes if change.mark != "follows"]


# What is found -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", shipped_specs())
def test_a_network_equals_itself(name: str) -> None:
    difference = Difference(netspec.load(name), netspec.load(name))
    assert difference.equal
    assert (difference.changes, difference.moves, difference.params) == ((), (), {})
    assert " are equal: " in to_text(difference)


def test_a_node_put_into_a_list_is_one_addition_and_the_nodes_behind_it_have_moved() -> None:
    difference = found(CHAIN, CHAIN.replace("relu,", "batch_norm, relu,", 1))
    assert marks(difference) == ["added 1"]
    assert [change.mark for change in difference.changes] == ["added"]
    assert [(move.before, move.after) for move in difference.moves] == [(str(n), str(n + 1)) for n in range(1, 6)]


def test_a_node_taken_out_of_a_list_is_one_removal() -> None:
    assert marks(found(CHAIN, CHAIN.replace("relu, ", "", 1))) == ["removed 1"]


def test_an_argument_that_differs_is_a_change_and_what_stands_behind_it_follows() -> None:
    difference = found(CHAIN, CHAIN.replace("[8, 3]", "[4, 3]"))
    first, *others = difference.changes
    assert first.arguments == {"out_channels": (8, 4)}
    assert [(change.mark, change.side.path) for change in others] == [("follows", "1"), ("follows", "2")]
    assert [side.inputs for side in others[1][:2] if side] == [("8×14×14",), ("4×14×14",)]


def test_another_op_of_the_same_category_is_a_change() -> None:
    difference = found(CHAIN, CHAIN.replace("relu", "silu", 1))
    assert marks(difference) == ["changed 1"]
    assert "relu → silu" in to_text(difference)


def test_a_block_under_another_name_has_moved() -> None:
    difference = found(
        "{a: {conv: [8, 3]}, body: [{conv: [8, 3]}, relu]}", "{a: {conv: [8, 3]}, trunk: [{conv: [8, 3]}, relu]}"
    )
    assert marks(difference) == []
    assert [tuple(move) for move in difference.moves] == [("body", "trunk", "chain")]
    assert difference.fit.renamed == {"body.0.weight": "trunk.0.weight", "body.0.bias": "trunk.0.bias"}


def test_another_source_of_an_input_is_a_change() -> None:
    graph = "{a: {conv: [8, 1]}, b: {conv: [8, 1]}, c: {conv: [8, 1]}, sum: {add: [b, c]}, out: {add: [sum, a]}}"
    difference = found(graph, graph.replace("[sum, a]", "[sum, b]").replace("[b, c]", "[a, c]"))
    assert [(change.side.path, change.arguments) for change in difference.changes] == [
        ("sum", {"inputs": (("b", "c"), ("a", "c"))}),
        ("out", {"inputs": (("sum", "a"), ("sum", "b"))}),
    ]


def test_a_node_between_two_others_does_not_change_them() -> None:
    graph = "{a: {conv: [8, 1]}, b: {conv: [8, 1]}, sum: {add: [a, b]}}"
    more = "{a: {conv: [8, 1]}, b: {conv: [8, 1]}, gate: {squeeze_excitation: 2}, sum: {add: [a, gate]}}"
    assert marks(found(graph, more)) == ["added gate"]
    assert marks(found(more, graph)) == ["removed gate"]


def test_another_result_is_a_change_of_the_network() -> None:
    spec = "netspec: 1\ninput: [3, 8, 8]\ngraph:\n  a: {conv: [3, 1]}\n  b: relu\noutputs: "
    difference = Difference(netspec.loads(f"{spec}{{y: a, z: b}}\n"), netspec.loads(f"{spec}{{y: b, z: a}}\n"))
    assert [(change.side.path, change.arguments) for change in difference.changes] == [
        ("", {"returns": (("a", "b"), ("b", "a"))})
    ]


def test_another_way_to_return_is_a_change_of_the_network() -> None:
    spec = "netspec: 1\ninput: [3, 8, 8]\ngraph:\n  a: {conv: [3, 1]}\n  b: relu\noutputs: "
    difference = Difference(netspec.loads(f"{spec}[a, b]\n"), netspec.loads(f"{spec}{{dict: {{y: a, z: b}}}}\n"))
    assert [change.arguments for change in difference.changes] == [{"returns": ("tuple of a, b", "dict of y, z")}]


def test_copies_inside_equal_repeats_are_compared_once() -> None:
    difference = Difference(netspec.load("resnet50"), netspec.load("resnet50", layers=[3, 4, 23, 3]))
    assert marks(difference) == [f"added layer3.{number}" for number in range(6, 23)]
    assert difference.params == {"layers": ((3, 4, 6, 3), (3, 4, 23, 3))}


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_the_other_way_round_added_is_removed(first: str, second: str) -> None:
    there = Difference(netspec.load(first), netspec.load(second))
    back = Difference(netspec.load(second), netspec.load(first))

    def paths(difference: Difference, mark: str) -> set[str]:
        return {change.side.path for change in difference.changes if change.mark == mark}

    assert paths(there, "added") == paths(back, "removed")
    assert paths(there, "removed") == paths(back, "added")
    assert {(move.after, move.before) for move in there.moves} == {move[:2] for move in back.moves}


# What it costs -------------------------------------------------------------------------------------------------------

MIXED = list(
    itertools.pairwise(["lenet5", "hybrid", "googlenet", "vgg11_bn", "swin_t", "crnn", "resnet18", "mixnet_s"])
)


@pytest.mark.parametrize(("first", "second"), [*PAIRS, *MIXED])
def test_costs_of_the_changes_add_up_to_those_of_the_networks(first: str, second: str) -> None:
    before, after = netspec.load(first), netspec.load(second)
    difference = Difference(before, after)
    assert sum(change.parameters for change in difference.changes) == after.parameters - before.parameters
    assert sum(change.macs for change in difference.changes) == after.macs - before.macs
    removed = sum(change.before.nodes for change in difference.changes if change.before)
    added = sum(change.after.nodes for change in difference.changes if change.after)
    assert added - removed == after.root.size - before.root.size


@pytest.mark.parametrize(("first", "second"), [("resnet50", "resnext50_32x4d"), ("vgg16", "vgg16_bn")])
def test_totals_and_tensors_are_those_of_the_modules(first: str, second: str) -> None:
    graphs = netspec.load(first), netspec.load(second)
    difference = Difference(*graphs)
    modules = [graph.build(device="meta") for graph in graphs]
    states = [module.state_dict() for module in modules]
    parameters = [sum(parameter.numel() for parameter in module.parameters()) for module in modules]
    assert list(difference.totals["parameters"]) == parameters
    sizes = [sum(tensor.numel() * tensor.element_size() for tensor in state.values()) for state in states]
    assert list(difference.totals["state_bytes"]) == sizes
    ours, theirs = states
    assert set(difference.fit.kept) == {key for key in ours if key in theirs and ours[key].shape == theirs[key].shape}
    assert set(difference.fit.reshaped) == ours.keys() & theirs.keys() - set(difference.fit.kept)
    assert set(difference.fit.missing) == theirs.keys() - ours.keys()
    assert set(difference.fit.unexpected) == ours.keys() - theirs.keys()


def test_weights_under_their_new_names_give_the_same_outputs() -> None:
    before, after = network(CHAIN), network(CHAIN.replace("relu,", "identity, relu,", 1))
    ours, theirs = before.build(seed=0), after.build(seed=1)
    renamed = Difference(before, after).fit.renamed
    theirs.load_state_dict({renamed.get(key, key): tensor for key, tensor in ours.state_dict().items()})
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(ours(x), theirs(x))


def test_a_tensor_that_fits_into_another_node_by_chance_is_told_apart() -> None:
    chain = "[{conv: [3, 1]}, {conv: [3, 1]}, {conv: [8, 1]}]"
    fit = found(chain, chain.replace("[", "[{conv: [3, 1], bias: false}, ", 1)).fit
    assert fit.misplaced == ("0.weight", "1.weight", "1.bias")
    assert fit.renamed["0.weight"] == "1.weight"


# How it is said ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_the_text_is_the_golden_one(first: str, second: str, golden: Golden) -> None:
    difference = Difference(netspec.load(first), netspec.load(second))
    golden(GOLDENS / f"{first}-{second}.diff.txt", to_text(difference) + "\n")


def test_the_page_on_building_shows_what_is_printed() -> None:
    page = (GOLDENS.parent.parent / "docs" / "building.md").read_text(encoding="utf-8")
    assert f"```text\n{(GOLDENS / 'resnet50-resnext50_32x4d.diff.txt').read_text(encoding='utf-8')}```" in page


@pytest.mark.parametrize(("first", "second"), [*PAIRS, *MIXED])
def test_the_text_is_bounded_and_all_of_it_names_every_node(first: str, second: str) -> None:
    difference = Difference(netspec.load(first), netspec.load(second))
    assert len(to_text(difference).splitlines()) <= 45
    lines = to_text(difference, everything=True).splitlines()
    for change in difference.changes:
        assert any(line[2:].split(" ")[0] == change.side.path for line in lines), change


def test_names_of_groups_mean_those_nodes_alone() -> None:
    before = "{a: {repeat: 4, conv: [8, 1]}, b: {repeat: 4, conv: [8, 1]}}"
    lines = to_text(found(before, before.replace("repeat: 4", "repeat: 6"))).splitlines()
    assert [line.split("  ")[0] for line in lines if line.startswith("+")] == ["+ a.4–5", "+ b.4–5"]


def test_json_holds_every_change_with_its_figures() -> None:
    before, after = netspec.load("vgg16"), netspec.load("vgg16_bn")
    document = json.loads(Difference(before, after).json())
    assert list(document) == [
        *("before", "after", "equal", "inputs", "outputs", "params", "changes", "moves", "totals", "state_dict"),
    ]  # fmt: skip
    assert document["params"] == {"norm": {"before": None, "after": "batch_norm"}}
    assert document["changes"][0] == {
        "mark": "added",
        "before": None,
        "after": {
            "path": "features.1",
            "kind": "batch_norm",
            "caption": "batch_norm",
            "inputs": ["64×224×224"],
            "outputs": ["64×224×224"],
            "nodes": 1,
            "parameters": 128,
            "macs": 0,
        },
        "arguments": {},
    }
    assert document["moves"][0] == {"before": "features.1", "after": "features.2", "kind": "relu"}
    assert document["totals"]["parameters"] == {"before": before.parameters, "after": after.parameters}
    assert document["state_dict"]["renamed"]["features.2.weight"] == "features.3.weight"


@pytest.mark.parametrize(("first", "second"), MIXED)
def test_every_difference_can_be_written_as_json(first: str, second: str) -> None:
    difference = Difference(netspec.load(first), netspec.load(second))
    assert len(json.loads(difference.json())["changes"]) == len(difference.changes)


def test_the_picture_marks_what_differs_by_color_and_by_sign(tmp_path: Path) -> None:
    draw_difference(found(CHAIN, CHAIN.replace("relu,", "{max_pool: 2}, relu,", 1)), tmp_path / "a.svg")
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    texts = ["".join(text.itertext()).strip() for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "+ 1 · max_pool 2×2, /2" in texts
    assert texts.count("+ added") == 1
    assert "#2e7d32" in (tmp_path / "a.svg").read_text()


# The command ---------------------------------------------------------------------------------------------------------


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(["diff", *arguments])
    return int(caught.value.code or 0), *capsys.readouterr()


def test_overrides_are_for_the_second_network(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "lenet5", "--input", "[1, 32, 32]")
    assert status == 0
    assert out.splitlines()[:2] == ["lenet5 → lenet5", "  input: 1×28×28 → 1×32×32"]


def test_the_exit_status_says_whether_they_differ_where_it_is_asked_to(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "resnet18", "resnet34")[0] == 0
    assert run(capsys, "resnet18", "resnet34", "--exit-code")[0] == 1
    assert run(capsys, "resnet18", "resnet18", "--exit-code")[0] == 0


def test_a_network_alone_has_nothing_to_be_compared_with(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, "resnet18")
    assert status == 2
    assert "give B, or what --set or --input changes in A" in err


def test_comparing_never_imports_torch(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from netspec.cli import main\n"
        f"main(['diff', 'resnet18', 'resnet34', '-o', {str(tmp_path / 'a.svg')!r}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_picture_of_two_is_svg_or_png(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, _, err = run(capsys, "lenet5", "alexnet", "-o", str(tmp_path / "a.dot"))
    assert status == 1
    assert "error[unknown-format]" in err
    assert run(capsys, "lenet5", "alexnet", "-o", str(tmp_path / "a.png"))[0] == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
