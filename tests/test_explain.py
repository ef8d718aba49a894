"""`netspec explain SPEC PATH`: all arithmetic that it shows is true, and four nodes look as they should."""

from __future__ import annotations

import json
import re
from math import ceil, floor, prod
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import netspec
from netspec.backends.explain import explain
from netspec.diagnostics import Problem
from netspec.graph import Body, node_macs, node_parameters
from netspec.ops import OP_NAMES, op_class
from netspec.ops.base import Op
from netspec.windows import TransposedWindow, Window
from tests.commands import Run
from tests.conftest import Golden
from tests.test_ops import ACCEPTED, Case

GOLDENS = Path(__file__).parent / "goldens" / "explain"
SIGNS = {"·": "*", "−": "-", "⌊": "floor(", "⌋": ")", "⌈": "ceil(", "⌉": ")", "²": "**2"}


def calculated(arithmetic: str, op: Op | None = None) -> float:
    """The value of an arithmetic text, in which the names are fields of the op."""
    code = re.sub(f"[{''.join(SIGNS)}]", lambda sign: SIGNS[sign[0]], arithmetic)
    assert re.fullmatch(r"[\w\s+\-*/().]*", code), arithmetic
    fields = {name: getattr(op, name) for name in type(op).fields()} if op is not None else {}
    return float(eval(code, {"floor": floor, "ceil": ceil, **fields}))  # noqa: S307  texts of our own ops


# Arithmetic ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ACCEPTED, ids=str)
def test_the_arithmetic_of_a_shape_gives_the_shape(case: Case) -> None:
    op = case.create()
    shape = op.outputs(*case.inputs)[0].shape
    texts = op.arithmetic(*case.inputs)
    assert len(texts) in (0, len(shape))
    for axis, (text, length) in enumerate(zip(texts, shape, strict=False)):
        if text:
            assert calculated(text, op) == length
        else:
            assert length in case.inputs[0].shape, axis


SIZES = st.integers(1, 30)


@given(SIZES, st.integers(1, 6), st.integers(1, 6), st.integers(0, 3), st.integers(1, 3), st.booleans())
def test_the_arithmetic_of_a_window_gives_the_number_of_windows(
    size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool
) -> None:
    padding = min(padding, kernel // 2)
    window = Window(size, kernel, stride, padding, dilation, ceil_mode)
    pool = nn.MaxPool1d(kernel, stride, padding, dilation, ceil_mode=ceil_mode)
    try:
        length = pool(torch.empty(1, size)).shape[1]
    except RuntimeError:
        with pytest.raises(Problem):
            _ = window.length
    else:
        assert calculated(window.arithmetic) == window.length == length


@given(SIZES, st.integers(1, 6), st.integers(1, 6), st.integers(0, 3), st.integers(0, 3), st.integers(1, 3))
def test_the_arithmetic_of_a_transposed_window_gives_its_length(
    size: int, kernel: int, stride: int, padding: int, extra: int, dilation: int
) -> None:
    window = TransposedWindow(size, kernel, stride, padding, extra, dilation)
    assert calculated(window.arithmetic) == window.length
    if window.length > 0 and extra < max(stride, dilation):
        conv = nn.ConvTranspose1d(1, 1, kernel, stride, padding, extra, dilation=dilation)
        assert conv(torch.empty(1, size)).shape[1] == window.length


EXPLAINED = {
    "adaptive_avg_pool", "adaptive_max_pool", "avg_pool", "concat", "conv", "conv_transpose", "crop", "embedding",
    "flatten", "glu", "gru", "linear", "lp_pool", "lstm", "max_pool", "pad", "pixel_shuffle", "pixel_unshuffle",
    "reshape", "rnn", "upsample", "window_partition",
}  # fmt: skip


@pytest.mark.parametrize("op", OP_NAMES)
def test_ops_that_calculate_a_length_say_how(op: str) -> None:
    texts = [text for case in ACCEPTED if case.op == op for text in case.create().arithmetic(*case.inputs)]
    assert any(texts) == (op in EXPLAINED)


@pytest.mark.parametrize("op", OP_NAMES)
def test_the_cost_of_an_op_is_the_sum_of_its_products(op: str) -> None:
    assert op_class(op).macs is Op.macs


@pytest.mark.parametrize("name", ["crnn", "googlenet", "vit_b_16"])
def test_the_sums_of_a_network_are_right(name: str) -> None:
    graph = netspec.load(name)
    for path, node in graph.walk():
        found = explain(graph, path)
        if isinstance(node.target, Body):
            assert found.parameters == sum(child.parameters for child in found.children)
        elif node_parameters(node):
            assert sum(calculated(item.arithmetic) for item in found.parameter_sums) == node_parameters(node)
        if found.macs_arithmetic:
            assert calculated(found.macs_arithmetic) == node_macs(node)
        assert [calculated(axis.arithmetic, _op(node.target)) for axis in found.axes] == [a.value for a in found.axes]


def _op(target: Op | Body) -> Op | None:
    return target if isinstance(target, Op) else None


# The place in the network --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["crnn", "googlenet"])
def test_inputs_and_readers_are_each_others(name: str) -> None:
    graph = netspec.load(name)
    found = {path: explain(graph, path) for path, _ in graph.walk()}
    for path, item in found.items():
        for place in item.inputs:
            if place.path not in graph.inputs and place.path in found:
                assert any(path == reader or path.startswith(f"{reader}.") for reader in found[place.path].readers)
        for reader in item.readers:
            assert reader in found or reader.startswith("the output ")


@pytest.mark.parametrize("name", ["crnn", "resnet50"])
def test_the_keys_of_all_nodes_are_the_state_of_the_network(name: str) -> None:
    graph = netspec.load(name)
    keys = {key for path, _ in graph.walk() for key in explain(graph, path).state}
    assert keys == graph.state().keys()


def test_the_way_begins_at_the_input_and_ends_at_the_node() -> None:
    way = explain(netspec.load("resnet50"), "layer2.0.conv2").way
    assert [str(place) for place in way] == [
        "x 3×224×224",
        "conv1 64×112×112",
        "maxpool 64×56×56",
        "layer1 256×56×56",
        "layer2.0.conv1 128×56×56",
        "layer2.0.conv2 128×28×28",
    ]


def test_a_block_is_shown_as_it_is_written_and_with_its_values() -> None:
    repeat, block = explain(netspec.load("resnet50"), "layer2.1.conv2").origins
    assert "stride: 2 if i > 0 and first else 1" in repeat.written
    assert (block.kind, block.copy) == ("bottleneck", ", copy 2 of 4")
    assert block.arguments["stride"] == "1"


# The command ---------------------------------------------------------------------------------------------------------

NODES = {
    ("resnet50", "layer2.0.conv2"),
    ("resnet50", "layer2.0"),
    ("googlenet", "inception3a.concat"),
    ("vit_b_16", "encoder.layers.encoder_layer_0.self_attention"),
}


@pytest.mark.parametrize(("name", "path"), sorted(NODES))
def test_the_explanation_is_the_golden_one(run: Run, golden: Golden, name: str, path: str) -> None:
    status, out, err = run("explain", name, path)
    assert (status, err) == (0, "")
    golden(GOLDENS / f"{name}.{path}.txt", out)


def test_explain_takes_overrides(run: Run) -> None:
    _, out, _ = run("explain", "resnet50", "fc", "--set", "num_classes=7", "--input", "[3, 64, 64]")
    assert "weight: 7·2048 = 14,336" in out
    assert "all of x 3×64×64" in out


def test_explain_writes_json(run: Run) -> None:
    _, out, _ = run("explain", "alexnet", "features.0", "--format", "json")
    document = json.loads(out)
    assert document["state"] == {"features.0.weight": "64×3×11×11", "features.0.bias": "64"}
    assert document["parameters"] == prod((64, 3, 11, 11)) + 64
    assert document["receptive_field"]["x"][1] == {"size": 11, "stride": "4", "center": 3.0}


def test_explain_suggests_a_node_that_is_near(run: Run) -> None:
    status, out, err = run("explain", "resnet50", "layer2.0.conf2")
    assert (status, out) == (1, "")
    assert err.startswith("error[unknown-node]: `resnet50` has no node `layer2.0.conf2`\n")
    assert "did you mean `layer2.0.conv2`?" in err
