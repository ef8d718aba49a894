"""Initial weights: each drawn once, on its device, from the distribution that PyTorch's constructors draw from.

The other truth is `init="pytorch"`, which leaves it to those constructors, and which other tests hold to torchvision
bit for bit.
"""

from __future__ import annotations

import copy
import gc
import sys
from collections.abc import Callable, Iterator
from math import sqrt
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import netspec
from netspec import Graph, SpecError
from netspec.backends.module import Init

MODES: tuple[Init, ...] = ("once", "pytorch")

HEAD = "netspec: 1\nname: net\n"

MANY_OPS = (
    HEAD
    + """
input: [3, 12, 12]
blocks:
  brick:
    params: [channels]
    graph: {conv: {conv: [channels, 3]}, norm: batch_norm, act: prelu}
    init: {conv: {bias: {constant: 0.5}}}
graph:
  first: {brick: 4}
  second: {brick: 6}
  scale: {parameter: [6, 1, 1]}
  offset: {constant: 2.0}
  index: {relative_position_index: [3]}
  scaled: {mul: [second, scale]}
  moved: {add: [scaled, offset]}
  flat: {flatten: 2}
  attention: {multihead_attention: 4}
  rnn: [{lstm: 5}, {layer_norm: 1}, {linear: 2}]
init: {conv: {weight: orthogonal}, second.conv: {bias: ones}, scale: {value: ones}}
"""
)

CONSTANT = (
    HEAD
    + """
input: [3, 8, 8]
blocks:
  brick:
    graph: {a: {conv: [3, 3]}, b: {conv: [3, 1]}}
    init: {conv: {weight: {constant: 1}, bias: {constant: 2}}, b: {weight: {constant: 3}}}
graph: {p: {parameter: [3, 1, 1]}, x1: {from: x, brick: }, x2: brick, sum: {add: [x2, p]}, again: {call: x1}}
init: {conv: {bias: {constant: 4}}, x2.a: {weight: {constant: 5}}, "*.b": {bias: {constant: 6}}, p: {value: ones}}
"""
)


class Watch(TorchDispatchMode):
    """Notes every tensor that an operator gives: the operator, the device, and the tensor's bytes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: list[tuple[str, str, int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.seen.append((func.overloadpacket.__name__, result.device.type, result.nbytes))
        return result


def watched(build: Callable[[], object]) -> list[tuple[str, str, int]]:
    watch = Watch()
    with watch:
        build()
    return watch.seen


def load(name: str) -> Graph:
    return netspec.loads(MANY_OPS) if name == "many ops" else netspec.load(name, input=[3, 96, 96])


def state(graph: Graph, init: Init, seed: int = 0) -> dict[str, torch.Tensor]:
    return graph.build(init=init, seed=seed).state_dict()


# Distributions -------------------------------------------------------------------------------------------------------


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    """The statistic of Kolmogorov and Smirnov for two samples of one size, in units of its spread."""
    from_one = torch.cat([one, other]).argsort() < len(one)
    return float(from_one.double().mul(2).sub(1).cumsum(0).abs().max()) / sqrt(2 * len(one))


@pytest.mark.parametrize("name", ["resnet18", "googlenet", "many ops"])
def test_weights_have_the_distribution_that_pytorch_gives_them(name: str) -> None:
    graph = load(name)
    ours, theirs = state(graph, "once"), state(graph, "pytorch", seed=1)
    assert list(ours) == list(theirs)
    for key, expected in theirs.items():
        assert (ours[key].shape, ours[key].dtype) == (expected.shape, expected.dtype)
        if expected.numel() and expected.min() == expected.max():
            assert torch.equal(ours[key], expected), key
        elif expected.dtype.is_floating_point:
            samples = [tensor.flatten()[:20_000] for tensor in (ours[key], expected)]
            assert distance(*samples) < 2.3, key  # one pair in 20,000 is farther apart


def test_the_distance_tells_distributions_apart() -> None:
    """A normal and a uniform distribution of one mean and spread are the nearest that a mistake would mix up."""
    torch.manual_seed(0)
    normal, uniform = torch.randn(8000), torch.empty(8000).uniform_(-sqrt(3), sqrt(3))
    assert distance(normal, uniform) > 2.3
    assert distance(normal, torch.randn(8000)) < 2.3


def test_a_cut_that_acts_cuts_and_one_that_cannot_act_changes_nothing() -> None:
    rule = "\ninit: {{linear: {{weight: {{trunc_normal: {{std: {std}, a: -1, b: 1}}}}}}}}"
    text = HEAD + "input: [300]\ngraph: [{{linear: 300}}]" + rule
    for std in (1.0, 0.5, 0.12, 0.05):
        weights = [state(netspec.loads(text.format(std=std)), mode)["0.weight"].flatten() for mode in MODES]
        assert all(weight.abs().max() <= 1 for weight in weights)
        assert distance(*weights) < 2.3
        largest = weights[0].abs().max()
        assert largest > 0.99 if std >= 0.5 else 3.9 * std < largest < 6 * std


def test_the_initializer_with_the_last_word_fills_a_parameter() -> None:
    graph = netspec.loads(CONSTANT)
    once, pytorch = state(graph, "once"), state(graph, "pytorch")
    assert {key: value.unique().item() for key, value in once.items()} == {
        **{"p": 1, "x1.a.weight": 1, "x1.a.bias": 2, "x1.b.weight": 3, "x1.b.bias": 6},
        **{"x2.a.weight": 5, "x2.a.bias": 2, "x2.b.weight": 3, "x2.b.bias": 6},
    }
    assert all(torch.equal(once[key], pytorch[key]) for key in pytorch)


# The same module -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["resnet18", "many ops"])
def test_both_ways_build_the_same_module(name: str) -> None:
    graph = load(name)
    once, pytorch = (graph.build(init=init, seed=0) for init in MODES)
    assert repr(once) == repr(pytorch)
    assert [name for name, _ in once.named_parameters()] == [name for name, _ in pytorch.named_parameters()]
    assert [name for name, _ in once.named_buffers()] == [name for name, _ in pytorch.named_buffers()]
    once.load_state_dict(pytorch.state_dict(), strict=True)
    x = torch.randn(2, *graph.inputs["x"].shape)
    assert torch.equal(once.eval()(x), pytorch.eval()(x))
    assert all(parameter.requires_grad and parameter.is_leaf for parameter in once.parameters())


def test_what_is_copied_is_what_a_constructor_makes() -> None:
    once, pytorch = (netspec.loads(MANY_OPS).build(init=init, seed=0) for init in MODES)
    for ours, theirs in zip(once.modules(), pytorch.modules(), strict=True):
        assert type(ours) is type(theirs)
        assert {name: type(value) for name, value in vars(ours).items()} == {
            name: type(value) for name, value in vars(theirs).items()
        }
        settings = {name for name, value in vars(theirs).items() if isinstance(value, int | float | str | tuple)}
        assert [getattr(ours, name) for name in settings] == [getattr(theirs, name) for name in settings]


def test_modules_share_nothing_but_what_the_spec_shares() -> None:
    module: Any = netspec.loads(HEAD + "input: [4]\ngraph: [{linear: 4}, {linear: 4}, relu, relu]").build(seed=0)
    module[0].register_forward_hook(lambda *_: None)
    module[2].extra = 1
    assert not module[1]._forward_hooks
    assert not hasattr(module[3], "extra")
    assert not torch.equal(module[0].weight, module[1].weight)


def test_a_recurrent_module_knows_its_weights() -> None:
    module: Any = netspec.loads(HEAD + "input: [5, 3]\ngraph: [{lstm: [4, 2]}]").build(seed=0)
    pairs = zip(module[0]._flat_weights, module[0].parameters(), strict=True)
    assert all(held is parameter for held, parameter in pairs)
    assert torch.equal(copy.deepcopy(module)(torch.ones(1, 5, 3)), module(torch.ones(1, 5, 3)))


class CountingLinear(nn.Linear):
    """What somebody may put in the place of PyTorch's class: its constructor does more than a copy could repeat."""

    made = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register_buffer("number", torch.tensor(CountingLinear.made))
        CountingLinear.made += 1

    def reset_parameters(self) -> None:
        nn.init.constant_(self.weight, 7.0)
        nn.init.constant_(self.bias, 8.0)


def test_a_class_that_is_not_pytorchs_is_constructed_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn, "Linear", CountingLinear)
    text = "input: [4]\ngraph: [{linear: 4}, {linear: 4}]\ninit: {1: {bias: zeros}}"
    module: Any = netspec.loads(HEAD + text).build(seed=0)
    assert [module[0].number.item(), module[1].number.item()] == [0, 1]
    assert [tensor.unique().item() for tensor in module.parameters()] == [7, 8, 7, 0]


# Seeds, devices, dtypes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("init", MODES)
def test_a_seed_makes_weights_reproducible_in_both_ways(init: Init) -> None:
    graph = netspec.load("lenet5")
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first, second, other = (state(graph, init, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["0.weight"], other["0.weight"])
    torch.manual_seed(1)
    assert torch.equal(graph.build(init=init).state_dict()["0.weight"], first["0.weight"])


def test_another_way_to_initialize_is_a_mistake() -> None:
    with pytest.raises(SpecError, match="`init` is `once` or `pytorch`, got `torch`"):
        netspec.load("lenet5").build(init="torch")  # type: ignore[arg-type]


@pytest.fixture
def default_dtype() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("init", MODES)
def test_floats_are_of_the_default_dtype(init: Init, default_dtype: None) -> None:
    graph = netspec.loads(MANY_OPS)
    module = graph.build(init=init, seed=0)
    floats = [tensor for tensor in module.state_dict().values() if tensor.is_floating_point()]
    assert {tensor.dtype for tensor in floats} == {torch.float64}
    assert module(torch.randn(2, 3, 12, 12)).dtype == torch.float64
    assert graph.build(weights=module.state_dict()).state_dict()["scale"].dtype == torch.float64


@pytest.mark.parametrize("init", MODES)
def test_the_device_of_the_context_is_obeyed(init: Init) -> None:
    with torch.device("meta"):
        module = netspec.loads(MANY_OPS).build(init=init, seed=0)
    assert all(tensor.is_meta for tensor in module.state_dict().values())
    with torch.device("meta"):
        module = netspec.loads(MANY_OPS).build(init=init, seed=0, device="cpu")
    assert not any(tensor.is_meta for tensor in module.state_dict().values())


# Cost ----------------------------------------------------------------------------------------------------------------


def bytes_of(graph: Graph) -> int:
    module = graph.build(device="meta")
    return sum(tensor.nbytes for tensor in [*module.parameters(), *module.buffers()])


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "many ops"])
def test_nothing_is_made_on_the_cpu_for_the_meta_device(name: str) -> None:
    graph = load(name)
    assert {device for _, device, _ in watched(lambda: graph.build(device="meta"))} == {"meta"}


def test_every_weight_is_drawn_once_and_there_is_no_other_memory() -> None:
    graph = netspec.load("resnet18")
    seen = watched(lambda: graph.build(seed=0))
    drawn = sum(size for name, _, size in seen if name in ("normal_", "uniform_"))
    random = {key: value for key, value in graph.state().items() if len(value.shape) > 1 or key == "fc.bias"}
    assert drawn == sum(value.bytes for value in random.values())
    made = sum(size for name, device, size in seen if name in ("empty", "zeros", "ones") and device == "cpu")
    assert made == bytes_of(graph)


def calls(build: Callable[[], object]) -> int:
    """How many functions of Python are called, which says what it costs on any machine."""
    count = 0

    def count_call(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(count_call)
    try:
        build()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("spec", ["{repeat: COUNT, linear: 4}", "{repeat: COUNT, graph: [{linear: 4}, relu]}"])
@pytest.mark.parametrize("given", [False, True], ids=["drawn", "given"])
def test_building_is_linear(spec: str, given: bool) -> None:
    costs = []
    for count in (100, 200, 400):
        graph = netspec.loads(HEAD + f"input: [4]\ngraph: [{spec.replace('COUNT', str(count))}]")
        weights = graph.build(seed=0).state_dict() if given else None
        costs.append(calls(lambda graph=graph, weights=weights: graph.build(weights=weights, seed=0)))  # type: ignore[misc]
    assert costs[2] - costs[1] == pytest.approx(2 * (costs[1] - costs[0]), rel=0.01)


def test_the_garbage_collector_is_as_before() -> None:
    graph = netspec.load("lenet5")
    graph.build()
    assert gc.isenabled()
    gc.disable()
    try:
        graph.build()
        assert not gc.isenabled()
    finally:
        gc.enable()
