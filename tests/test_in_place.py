"""Activations and sums write over their input where nobody can tell, and nowhere else."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import nn

import netspec
from netspec.backends.in_place import MAKERS
from netspec.ops import OP_NAMES, op_class
from tests.op_runner import make_module, run
from tests.test_ops import ACCEPTED, Case

HEAD = "netspec: 1\nname: net\ninput: [4, 6, 6]\n"
CONV = "  conv: {conv: [4, 3], padding: same}\n"
ACTIVATIONS = [op for op in OP_NAMES if getattr(op_class(op), "in_place", False)]
ARGUMENTS = {"threshold": "{threshold: 0.1, value: 0.0}"}


def built(graph: str) -> Any:
    return netspec.loads(f"{HEAD}graph:\n{graph}").build(seed=0)


def source(module: nn.Module) -> str:
    return inspect.getsource(type(module).forward)


def gradients(module: nn.Module) -> list[torch.Tensor]:
    """What a step calculates: the output, and the gradient of the input and of every parameter."""
    x = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    output = module(x)
    module.zero_grad()
    output.square().sum().backward()
    assert x.grad is not None
    return [output, x.grad, *(parameter.grad for parameter in module.parameters() if parameter.grad is not None)]


# Where ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", ACTIVATIONS)
def test_an_activation_behind_a_layer_runs_in_place_with_the_same_gradients(op: str) -> None:
    net = built(f"{CONV}  act: {ARGUMENTS.get(op, op)}\n")
    assert net.act.inplace
    found = gradients(net)
    net.act.inplace = False
    assert all(torch.equal(a, b) for a, b in zip(found, gradients(net), strict=True))


def test_a_sum_is_written_over_the_branch_that_a_layer_made() -> None:
    assert "conv += x" in source(built(f"{CONV}  sum: {{add: [x, conv]}}\n")).replace("out", "conv")
    assert "out += x" in source(built(f"{CONV}  norm: batch_norm\n  sum: {{add: [norm, x]}}\n"))


def test_a_sum_keeps_the_order_of_axes_in_memory_that_its_first_input_has() -> None:
    moved = "  moved: {from: x, transpose: [2, 3]}\n"
    net = built(
        f"{CONV}{moved}  sum: {{add: [moved, conv]}}\n  next: {{from: x, conv: [4, 1]}}\n  last: {{add: [sum, next]}}\n"
    )
    x = torch.randn(1, 4, 6, 6)
    moved_axes = x.transpose(2, 3)
    assert net(x).stride() == (moved_axes + net.conv(x) + net.next(x)).stride() != x.stride()


def test_the_result_of_a_block_counts_as_made_by_its_last_layer() -> None:
    block = "  block: [{conv: [4, 3], padding: same}, batch_norm]\n"
    assert built(f"{block}  relu: relu\n").relu.inplace
    assert "+= x" in source(built(f"{block}  drop: {{stochastic_depth: 0.2}}\n  sum: {{add: [drop, x]}}\n"))


@pytest.mark.parametrize("name", ["resnet18", "googlenet", "densenet121", "efficientnet_b0", "mobilenet_v3_small"])
def test_what_torchvision_runs_in_place_netspec_does_too(name: str) -> None:
    from torchvision.models import get_model

    def over(module: nn.Module) -> int:
        """How many activations write over their input; those of GoogLeNet are functions behind its batch norms."""
        found = sum(isinstance(part, nn.ReLU | nn.SiLU | nn.Hardswish) and part.inplace for part in module.modules())
        return found or sum(isinstance(part, nn.BatchNorm2d) for part in module.modules())

    with torch.device("meta"):
        theirs = get_model(name, init_weights=False) if name == "googlenet" else get_model(name)
    ours = netspec.load(name).build(device="meta")
    assert over(ours) >= over(theirs)


# Where not -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "graph",
    [
        pytest.param("  relu: relu\n", id="the input belongs to the caller"),
        pytest.param(f"{CONV}  relu: relu\n  sum: {{add: [relu, conv]}}\n", id="a later node reads it"),
        pytest.param(
            f"{CONV}  gate: sigmoid\n  relu: {{silu: , from: conv}}\n  sum: {{mul: [relu, gate]}}\n",
            id="another reads it",
        ),
        pytest.param(
            f"{CONV}  view: {{from: conv, flatten: }}\n  back: {{reshape: [4, 6, 6]}}\n  relu: relu\n",
            id="it is a view",
        ),
        pytest.param("  pad: identity\n  relu: relu\n", id="it is the input by another name"),
        pytest.param("  drop: {dropout: 0.5}\n  relu: relu\n", id="it is the input in eval mode"),
        pytest.param(f"{CONV}  first: relu\n  relu: {{call: first, from: x}}\n", id="its module is called for another"),
    ],
)
def test_what_others_can_see_is_not_written_over(graph: str) -> None:
    net = built(graph)
    assert not any(getattr(part, "inplace", False) for part in net.modules())
    x = torch.randn(2, 4, 6, 6)
    before = x.clone()
    for mode in (True, False):
        net.train(mode)(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    "graph",
    [
        pytest.param(f"{CONV}  gate: sigmoid\n  sum: {{add: [gate, x]}}\n", id="its derivative needs the result"),
        pytest.param(
            "  one: {conv: [1, 3], padding: same}\n  sum: {add: [x, one]}\n",
            id="it is smaller",
        ),
        pytest.param(f"{CONV}  sum: {{add: [conv, x, x]}}\n", id="three are added"),
    ],
)
def test_a_sum_is_new_where_no_input_can_hold_it(graph: str) -> None:
    net = built(graph)
    assert "+=" not in source(net)
    gradients(net)


def test_an_output_is_not_written_over() -> None:
    graph = netspec.loads(f"{HEAD}graph:\n{CONV}  relu: relu\n")
    assert not any(getattr(part, "inplace", False) for part in graph.build(outputs=["conv", "relu"]).modules())


# What it rests on ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [case for case in ACCEPTED if op_class(case.op).category in MAKERS], ids=str)
def test_a_maker_never_returns_memory_of_its_input(case: Case) -> None:
    inputs = case.tensors()
    call = case.create().torch(*case.inputs)
    for training in (True, False):
        module = make_module(call)
        if module is not None:
            module.train(training)
        for output in run(call, module, inputs, training):
            assert output.untyped_storage().data_ptr() not in {x.untyped_storage().data_ptr() for x in inputs}


@pytest.mark.parametrize("op", ACTIVATIONS)
def test_a_module_that_may_run_in_place_has_the_switch(op: str) -> None:
    for case in (case for case in ACCEPTED if case.op == op):
        assert getattr(make_module(case.create().torch(*case.inputs)), "inplace", None) is False
