"""An optimized module computes what the original does, for every family of networks, and leaves the original alone."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

import netspec
from netspec.backends.optimize import fusion
from netspec.backends.optimize.optimize import Optimized, optimize
from netspec.backends.optimize.plan import Plan
from netspec.diagnostics import SpecError
from tests.commands import Run

FUSING = not fusion.operators_missing(torch.device("cpu"))
fusing = pytest.mark.skipif(not FUSING, reason="PyTorch has no fused operators for this processor")

ROUNDING = 1e-5  # of float32, relative to the largest output
COARSE = 0.05  # of bfloat16, whose numbers have 8 bits


@pytest.fixture(autouse=True)
def any_gain_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what was optimized though networks for tests are too small to gain by it."""
    monkeypatch.setattr("netspec.backends.optimize.optimize._compare", lambda *arguments: (2.0, 1.0))


def trained(module: nn.Module) -> Any:
    """The module in eval mode, with batch norms that do something, as after training."""
    generator = torch.Generator().manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.running_mean.normal_(0, 0.1, generator=generator)  # type: ignore[union-attr]
            part.running_var.uniform_(0.5, 2, generator=generator)  # type: ignore[union-attr]
            nn.init.uniform_(part.weight, 0.5, 1.5, generator)
            nn.init.normal_(part.bias, 0, 0.1, generator)
    return module.eval()


def built(graph: str, head: str = "netspec: 1\nname: net\ninput: [3, 16, 16]\n") -> Any:
    return trained(netspec.loads(f"{head}graph:\n{graph}").build(seed=0))


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def tensors(result: Any) -> Iterator[torch.Tensor]:
    if isinstance(result, torch.Tensor):
        yield result
    else:
        for part in result.values() if isinstance(result, dict) else result:
            yield from tensors(part)


def assert_equal(module: nn.Module, fast: nn.Module, *inputs: torch.Tensor, within: float = ROUNDING) -> None:
    """The same tensors in the same container, with the same dtypes, laid out as the original lays them out."""
    with torch.no_grad():
        expected, result = module(*inputs), fast(*inputs)
    assert type(result) is type(expected)
    for theirs, ours in zip(tensors(expected), tensors(result), strict=True):
        assert (ours.shape, ours.dtype, ours.is_contiguous()) == (theirs.shape, theirs.dtype, theirs.is_contiguous())
        assert (ours - theirs).abs().max() <= within * theirs.abs().max()


# The same outputs ----------------------------------------------------------------------------------------------------

FAMILIES = {
    "lenet5": (1, 28),
    "resnet18": (3, 64),
    "googlenet": (3, 64),
    "mobilenet_v3_small": (3, 64),
    "capsulenet": (1, 28),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_outputs_are_equal_for_any_batch(name: str) -> None:
    channels, size = FAMILIES[name]
    module = trained(netspec.load(name).build(seed=0))
    for dtype, within in (("float32", ROUNDING), ("bfloat16", COARSE)):
        fast = optimize(module, noise(1, channels, size, size), dtype=dtype)
        assert fast.code, str(fast.plan)
        for batch in (1, 3):
            assert_equal(module, fast, noise(batch, channels, size, size), within=within)


def test_other_sizes_of_the_input_are_taken_as_before() -> None:
    module = trained(netspec.load("resnet18").build(seed=0))
    fast = optimize(module, noise(1, 3, 32, 32))
    assert_equal(module, fast, noise(2, 3, 64, 96))


def test_a_module_that_netspec_did_not_build_is_optimized_too() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 3, padding=1)
            self.norm = nn.BatchNorm2d(4)
            self.act = nn.ReLU(inplace=True)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            y = self.act(self.norm(self.conv(image)))
            y += image
            return functional.dropout(torch.flatten(self.act(y), 1), training=self.training)

    module = trained(Block())
    fast = optimize(module, noise(1, 4, 8, 8))
    assert_equal(module, fast, noise(2, 4, 8, 8))
    assert torch.equal(fast(image=noise(1, 4, 8, 8)), fast(noise(1, 4, 8, 8)))
    assert "batch_norm" not in fast.code
    assert "dropout" not in fast.code


def test_every_spelling_of_an_operation_is_understood() -> None:
    class Spellings(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 1)
            self.scale = nn.Parameter(torch.tensor([2.0]))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = functional.relu(self.conv(x), True)
            y = torch.add(y, x, alpha=2).relu_().mul(self.scale)
            y = functional.hardtanh(self.conv(y), -1.0, 1.0, True) + functional.silu(y, inplace=False)
            sizes = (y.shape[0] + 0, -1) + (y.size(2),)  # noqa: RUF005 - a sum of tuples
            return y.permute(0, 2, 3, 1).contiguous().view(sizes).view(y.size(0), -1) * 0.5

    module = Spellings().eval()
    fast = optimize(module, noise(1, 4, 8, 8))
    assert fast.code, str(fast.plan)
    assert_equal(module, fast, noise(3, 4, 8, 8))


# Folding -------------------------------------------------------------------------------------------------------------

NORMED = {
    "conv1d": (nn.Conv1d(4, 6, 3), nn.BatchNorm1d(6), (2, 4, 9)),
    "conv2d": (nn.Conv2d(4, 6, 3, bias=False), nn.BatchNorm2d(6), (2, 4, 9, 9)),
    "conv3d": (nn.Conv3d(4, 6, 3), nn.BatchNorm3d(6), (2, 4, 5, 5, 5)),
    "grouped": (nn.Conv2d(4, 6, 3, groups=2), nn.BatchNorm2d(6), (2, 4, 9, 9)),
    "depthwise": (nn.Conv2d(4, 4, 3, groups=4), nn.BatchNorm2d(4, affine=False), (2, 4, 9, 9)),
    "transposed": (nn.ConvTranspose2d(4, 6, 3, stride=2), nn.BatchNorm2d(6), (2, 4, 9, 9)),
    "transposed and grouped": (nn.ConvTranspose2d(4, 6, 3, groups=2, bias=False), nn.BatchNorm2d(6), (2, 4, 9, 9)),
    "linear": (nn.Linear(4, 6), nn.BatchNorm1d(6), (2, 4)),
}


@pytest.mark.parametrize("kind", NORMED)
def test_a_batch_norm_is_folded_into_the_layer_before_it(kind: str) -> None:
    layer, norm, shape = NORMED[kind]
    if norm.affine:
        nn.init.uniform_(norm.weight, -1.5, 1.5)
        nn.init.normal_(norm.bias)
    assert isinstance(norm.running_mean, torch.Tensor)
    assert isinstance(norm.running_var, torch.Tensor)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    module = nn.Sequential(layer, norm).eval()
    fast = optimize(module, noise(*shape))
    assert_equal(module, fast, noise(*shape))
    assert "batch_norm" not in fast.code


def test_a_batch_norm_over_another_axis_than_a_linear_layer_makes_stays() -> None:
    module = nn.Sequential(nn.Linear(4, 6), trained(nn.BatchNorm1d(6))).eval()
    assert_equal(module, optimize(module, noise(2, 6, 4)), noise(3, 6, 4))


def test_a_result_that_is_read_twice_is_not_folded_away() -> None:
    module = built("  conv: {conv: [3, 3, 1, 1]}\n  norm: batch_norm\n  sum: {add: [conv, norm]}")
    fast = optimize(module, noise(1, 3, 16, 16))
    assert_equal(module, fast, noise(2, 3, 16, 16))


def test_a_layer_that_is_called_twice_keeps_its_weights_for_both_calls() -> None:
    module = built(
        "  conv: {conv: [3, 3, 1, 1]}\n  norm: batch_norm\n  again: {call: conv}\n  other: batch_norm\n"
        "  sum: {add: [norm, other]}\n  act: relu"
    )
    fast = optimize(module, noise(1, 3, 16, 16))
    assert "batch_norm" not in fast.code
    assert_equal(module, fast, noise(2, 3, 16, 16))


def test_a_residual_is_not_written_over_while_its_own_convolution_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    fused_first = "netspec.backends.optimize.optimize._seconds"
    monkeypatch.setattr(fused_first, lambda ways, values: {way: float(way != "fused") for way in ways})
    module = built(
        "  stem: {conv: [3, 3, 1, 1]}\n  conv: {conv: [3, 3, 1, 1]}\n  sum: {add: [conv, stem]}\n  act: relu"
    )
    fast = optimize(module, noise(1, 3, 16, 16))
    assert "fused" in fast.plan.ways.values()
    assert_equal(module, fast, noise(2, 3, 16, 16))


def test_a_batch_norm_before_a_convolution_is_computed_with_its_activation() -> None:
    module = built("  norm: batch_norm\n  act: relu\n  conv: {conv: [4, 3]}")
    assert_equal(module, optimize(module, noise(1, 3, 16, 16)), noise(2, 3, 16, 16))


# Fusing --------------------------------------------------------------------------------------------------------------

ACTIVATIONS = (
    *("relu", "relu6", "silu", "hardswish", "hardsigmoid", "gelu", "sigmoid", "tanh"),
    *("leaky_relu: 0.2", "hardtanh: [-0.5, 0.25]"),
)
RESIDUAL = "  conv: {{conv: [3, 3, 1, 1]}}\n  sum: {{add: [conv, image]}}\n  act: {{{}}}"
HEAD = "netspec: 1\nname: net\ninputs: {image: [3, 16, 16]}\n"


def everywhere(module: nn.Module, way: str, *inputs: torch.Tensor, dtype: str = "float32") -> Optimized:
    """The module with one way for all layers that have it, whatever is fastest."""
    plan = optimize(module, *inputs, dtype=dtype).plan
    return optimize(module, *inputs, dtype=dtype, plan=Plan(**{**vars(plan), "ways": dict.fromkeys(plan.ways, way)}))


@pytest.mark.parametrize("way", [fusion.PLAIN, pytest.param(fusion.FUSED, marks=fusing)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_an_activation_and_a_sum_are_computed_with_the_layer(activation: str, way: str) -> None:
    act = activation if ":" in activation else f"{activation}: "
    for graph in (
        RESIDUAL.format(act),
        f"  conv: {{conv: [5, 1]}}\n  act: {{{act}}}",
        f"  f: flatten\n  fc: {{linear: 7}}\n  act: {{{act}}}",
    ):
        module = built(graph, HEAD)
        fast = everywhere(module, way, noise(1, 3, 16, 16))
        assert ("mkldnn" in fast.code) == (way == fusion.FUSED)
        assert_equal(module, fast, noise(2, 3, 16, 16))


@fusing
def test_a_residual_block_of_two_layers_is_two_operators() -> None:
    module = built(
        "  first: [{conv: [3, 3, 1, 1]}, batch_norm, relu]\n"
        "  second: [{conv: [3, 3, 1, 1]}, batch_norm]\n  sum: {add: [second, image]}\n  act: relu",
        HEAD,
    )
    fast = everywhere(module, fusion.FUSED, noise(1, 3, 16, 16))
    assert fast.code.count("mkldnn") == 2
    assert_equal(module, fast, noise(2, 3, 16, 16))


@fusing
@pytest.mark.parametrize("way", [fusion.MATRIX, fusion.SCALED, fusion.SINGLE])
def test_every_other_way_computes_the_same(way: str) -> None:
    module = built(
        "  norm: batch_norm\n  conv: {conv: [8, 1]}\n  pool: global_avg_pool\n  fc: {linear: 4}\n  act: relu"
    )
    fast = everywhere(module, way, noise(1, 3, 16, 16), dtype="bfloat16")
    assert set(fast.plan.ways.values()) == {way}
    assert_equal(module, fast, noise(2, 3, 16, 16), within=COARSE)


def test_values_that_are_read_again_are_not_written_over() -> None:
    module = built(
        "  a: {conv: [3, 1]}\n  b: {add: [a, image]}\n  c: {mul: [a, b]}\n  d: {relu: , from: b}\n"
        "  e: {add: [b, d]}\n  f: {mul: [e, c]}\n  g: {add: [f, a]}",
        HEAD,
    )
    for way in (fusion.PLAIN, fusion.FUSED):
        assert_equal(module, everywhere(module, way, noise(1, 3, 16, 16)), noise(2, 3, 16, 16))


def test_an_axis_of_length_one_may_be_broadcast_for_another_input() -> None:
    module = built(
        "  conv: {conv: [3, 1]}\n  pool: {adaptive_avg_pool: 1, from: image}\n  sum: {add: [conv, pool]}", HEAD
    )
    fast = everywhere(module, fusion.FUSED, noise(1, 3, 1, 1))
    assert_equal(module, fast, noise(2, 3, 8, 8))


# The contract --------------------------------------------------------------------------------------------------------


def test_inputs_and_outputs_by_name_stay_what_they_are() -> None:
    graph = "  left: {conv: [4, 3], from: a}\n  right: {conv: [4, 3], from: b}\n  sum: {add: [left, right]}"
    for outputs in ("outputs: [left, sum]\n", "outputs: {mine: left, yours: sum}\n", "outputs: sum\n"):
        head = f"netspec: 1\ninputs: {{a: [3, 8, 8], b: [3, 8, 8]}}\n{outputs}"
        module = built(graph, head)
        for dtype, within in (("float32", ROUNDING), ("bfloat16", COARSE)):
            fast = optimize(module, noise(1, 3, 8, 8), noise(1, 3, 8, 8), dtype=dtype)
            assert_equal(module, fast, noise(2, 3, 8, 8), noise(2, 3, 8, 8), within=within)


def test_the_original_stays_as_it_is() -> None:
    module = built("  conv: {conv: [4, 3]}\n  norm: batch_norm\n  act: relu\n  fc: [flatten, {linear: 3}]").train()
    before = copy.deepcopy(module.state_dict())
    picture = noise(1, 3, 16, 16)
    fast = optimize(module, picture)
    assert all(part.training for part in module.modules())
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert list(before) == list(module.state_dict())
    assert all(torch.equal(value, module.state_dict()[key]) for key, value in before.items())
    expected = fast(picture)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    assert torch.equal(fast(picture), expected), "training the original later does not change what was made of it"


def test_what_is_for_training_alone_does_not_run() -> None:
    module = built(
        "  a: {conv: [4, 3]}\n  aux: {conv: [2, 3], training_only: true}\n  b: {conv: [4, 3], from: a}"
    ).train()
    fast = optimize(module, noise(1, 3, 16, 16))
    assert fast.plan.ways.keys() == {"a", "b"}
    assert_equal(module.eval(), fast, noise(2, 3, 16, 16))


def test_it_neither_trains_nor_moves_nor_pickles() -> None:
    fast = optimize(built("  conv: {conv: [4, 3]}"), noise(1, 3, 16, 16))
    assert not fast.training
    assert fast.eval() is fast
    for refused in (fast.train, fast.double):
        with pytest.raises(RuntimeError, match="an optimized module"):
            refused()
    with pytest.raises(TypeError, match="save the original's weights, and the plan"):
        pickle.dumps(fast)
    assert torch.equal(copy.deepcopy(fast)(noise(1, 3, 16, 16)), fast(noise(1, 3, 16, 16)))


# Plans ---------------------------------------------------------------------------------------------------------------


def test_a_saved_plan_is_used_again_without_measuring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, picture = (
        built("  conv: {conv: [4, 3]}\n  norm: batch_norm\n  act: relu\n  last: {conv: [4, 1]}"),
        noise(1, 3, 16, 16),
    )
    plan = everywhere(module, fusion.PLAIN, picture).plan
    plan.save(tmp_path / "plan.json")
    monkeypatch.setattr("netspec.backends.optimize.optimize._time", None)
    again = optimize(module, picture, plan=tmp_path / "plan.json")
    assert again.plan.ways == plan.ways == {"conv": "plain", "last": "plain"}
    assert_equal(module, again, noise(2, 3, 16, 16))


def test_a_plan_says_what_was_measured() -> None:
    plan = optimize(built("  conv: {conv: [8, 3]}\n  act: relu"), noise(2, 3, 16, 16), dtype="bfloat16").plan
    assert plan.inputs == ((2, 3, 16, 16),)
    assert 0 < plan.error < COARSE * plan.scale
    first, times, layers, outputs = str(plan).splitlines()
    assert first.startswith(f"bfloat16, {torch.get_num_threads()} threads, ")
    assert first.endswith("measured for 2×3×16×16")
    assert " times as fast: " in times
    assert layers.startswith("1 layers: 1 ")
    assert outputs.startswith("outputs differ by ")


def test_a_network_that_gets_no_faster_runs_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    module = built("  conv: {conv: [4, 3]}\n  act: relu")
    monkeypatch.setattr("netspec.backends.optimize.optimize._compare", lambda *arguments: (1.0, 1.5))
    fast = optimize(module, noise(1, 3, 16, 16))
    assert fast.plan.notes == ("it runs as it was: that takes 1e+03 ms here, and 1.5e+03 ms optimized",)
    with torch.no_grad():
        assert torch.equal(fast(noise(2, 3, 16, 16)), module(noise(2, 3, 16, 16)))
    monkeypatch.setattr("netspec.backends.optimize.optimize._compare", None)
    assert optimize(module, noise(1, 3, 16, 16), plan=fast.plan).plan.notes == fast.plan.notes


def test_without_fused_operators_there_is_a_plain_path_and_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fusion, "operators_missing", lambda device: "there are none")
    module = built("  conv: {conv: [8, 3]}\n  norm: batch_norm\n  act: relu\n  fc: [flatten, {linear: 3}]")
    fast = optimize(module, noise(1, 3, 16, 16))
    assert fast.plan.notes[0] == "without fused operators: there are none"
    assert_equal(module, fast, noise(2, 3, 16, 16))


def test_operators_of_the_cpu_are_not_for_other_devices() -> None:
    assert "the weights are on meta" in fusion.operators_missing(torch.device("meta"))


@pytest.mark.parametrize(
    ("forward", "note"),
    [
        (lambda self, x: self.conv(x) if x.sum() > 0 else x, "symbolically traced variables"),
        (lambda self, x: self.conv(x).add_(1).view(-1).clamp_(min=0), "in place with `clamp_`"),
        (lambda self, x: functional.relu(torch.chunk(self.conv(x), 2)[0], inplace=True), "may share memory"),
    ],
)
def test_code_that_cannot_be_traced_runs_as_it_was(forward: Any, note: str) -> None:
    module = type("Odd", (nn.Module,), {"forward": forward})()
    module.conv = nn.Conv2d(3, 4, 1)
    fast = optimize(module.eval(), noise(1, 3, 4, 4))
    assert note in str(fast.plan)
    assert fast.code == ""
    assert_equal(module, fast, noise(2, 3, 4, 4))


def test_what_bfloat16_cannot_do_is_computed_in_float32() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.LocalResponseNorm(3)).eval()
    fast = optimize(module, noise(1, 3, 8, 8), dtype="bfloat16")
    assert fast.plan.dtype == "float32"
    assert "not in bfloat16: " in str(fast.plan)
    assert_equal(module, fast, noise(2, 3, 8, 8))


# Mistakes ------------------------------------------------------------------------------------------------------------


def wrong(*arguments: Any, **named: Any) -> netspec.Diagnostic:
    with pytest.raises(SpecError) as error:
        netspec.optimize(*arguments, **named)
    (diagnostic,) = error.value.diagnostics
    return diagnostic


def test_a_graph_needs_weights_and_a_module_inputs() -> None:
    graph = netspec.loads("{netspec: 1, name: small, input: [3, 8, 8], graph: [{conv: [4, 3]}]}")
    assert wrong(graph)[:2] == ("missing-example", "`small` is a graph, which has no weights")
    assert wrong("small.yaml")[:2] == ("wrong-type", "`optimize` takes a module or a graph, got a str")
    assert wrong(graph.build())[:2] == ("missing-example", "a module needs inputs to measure it with")
    module = graph.build(seed=0).eval()
    fast = netspec.optimize(graph, weights=module.state_dict())
    assert_equal(module, fast, noise(2, 3, 8, 8))


def test_a_dtype_and_a_plan_must_fit(tmp_path: Path) -> None:
    module, picture = built("  conv: {conv: [4, 3]}"), noise(1, 3, 16, 16)
    assert wrong(module, picture, dtype=torch.float64).message == "cannot compute with `float64`"
    other = optimize(built("  first: {conv: [4, 3]}"), picture).plan
    diagnostic = wrong(module, picture, plan=other)
    assert diagnostic[:2] == ("wrong-plan", "the plan is for another network: only one of them has a layer `conv`")
    assert wrong(module, picture, plan=other, dtype="bfloat16").message == "the plan is for float32, not bfloat16"
    (tmp_path / "plan.json").write_text("[]")
    assert wrong(module, picture, plan=tmp_path / "plan.json").message.startswith("cannot read the plan `")
    assert wrong(module, picture, plan=tmp_path / "none.json").code == "wrong-plan"


def test_an_input_that_does_not_fit_is_the_callers_mistake() -> None:
    with pytest.raises(RuntimeError, match="channels"):
        optimize(built("  conv: {conv: [4, 3]}"), noise(1, 5, 16, 16))


# The command ---------------------------------------------------------------------------------------------------------


def test_build_says_what_optimizing_gains(run: Run) -> None:
    status, out, err = run("build", "lenet5", "--optimize", "--dtype", "bfloat16")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("optimized   bfloat16, "))
    assert " times as fast: " in lines[start + 1]
    assert lines[start + 2].strip().startswith("5 layers: ")
