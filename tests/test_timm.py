"""A spec is the network, outside of torchvision too: those below equal the models of timm, bit for bit.

Keys, shapes and parameters are compared on the meta device; initial weights, outputs, gradients and buffers on small
pictures. The largest are marked `heavy`, which `python tasks.py equivalence` runs and a plain run leaves out.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import Any

import pytest
import timm
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import netspec
from netspec import Graph
from netspec.catalog import shipped_specs
from tests.conftest import Note

NAMES = (
    "cspresnet50", "dla34", "dpn68", "inception_resnet_v2", "inception_v4", "mixnet_s", "nasnetalarge",
    "pnasnet5large", "res2net50_26w_4s", "skresnet18", "xception",
)  # fmt: skip

NAMES_IN_TIMM = {"xception": "legacy_xception"}

SIZES = {"inception_resnet_v2": 107, "inception_v4": 107, "nasnetalarge": 83, "pnasnet5large": 75}
"""Pictures are 64 pixels wide, unless that is too small or padded in another way than the spec's own, odd size."""

HEAVY = ("nasnetalarge", "pnasnet5large")
IN_FULL = [pytest.param(name, marks=pytest.mark.heavy) if name in HEAVY else name for name in NAMES]

NUMBERS_DRAWN_BESIDE = {"mixnet_s": 144}
"""timm builds a squeeze-and-excitation of 8 channels to see what arguments it takes, and throws it away."""


@dataclass(frozen=True)
class Pair:
    """A network as timm makes it and as its spec does, both initialized from one seed."""

    name: str
    theirs: nn.Module
    ours: nn.Module

    def pictures(self, note: Note) -> torch.Tensor:
        size = SIZES.get(self.name, 64)
        if self.name in SIZES:
            note(f"With pictures of {size} pixels: 64 are too few, or padded in another way than the spec's own size.")
        return torch.randn(2, 3, size, size)


def made(name: str, **options: Any) -> nn.Module:
    model: nn.Module = timm.create_model(NAMES_IN_TIMM.get(name, name), pretrained=False, **options)
    return model


def made_on_meta(name: str, **options: Any) -> nn.Module:
    with torch.device("meta"):
        return made(name, **options)


def small(name: str) -> Graph:
    size = SIZES.get(name, 64)
    return netspec.load(name, input=[3, size, size])


def described(theirs: nn.Module) -> list[tuple[str, tuple[int, ...], str]]:
    return [(key, tuple(value.shape), str(value.dtype)[6:]) for key, value in theirs.state_dict().items()]


@pytest.fixture(params=IN_FULL, scope="module")
def pair(request: pytest.FixtureRequest) -> Pair:
    gc.collect()
    torch.manual_seed(0)
    theirs = made(request.param)
    torch.manual_seed(0)
    torch.rand(NUMBERS_DRAWN_BESIDE.get(request.param, 0))
    return Pair(request.param, theirs, small(request.param).build(init="pytorch"))


def test_all_of_them_ship() -> None:
    assert set(NAMES) <= set(shipped_specs())


@pytest.mark.proves("keys")
@pytest.mark.parametrize("name", NAMES)
def test_keys_shapes_dtypes_and_parameters_are_equal(name: str, note: Note) -> None:
    """Names, order, shapes and dtypes of the `state_dict`, and which of it is trained."""
    if name in NAMES_IN_TIMM:
        note(f"The model of timm is `{NAMES_IN_TIMM[name]}`.")
    graph = netspec.load(name)
    theirs = made_on_meta(name)
    assert [(key, state.shape, state.dtype) for key, state in graph.state().items()] == described(theirs)
    assert described(graph.build(device="meta")) == described(theirs)
    assert {key for key, state in graph.state().items() if state.trainable} == dict(theirs.named_parameters()).keys()


@pytest.mark.proves("costs")
@pytest.mark.parametrize("name", NAMES)
def test_parameters_and_macs_are_those_that_pytorch_counts(name: str) -> None:
    """Parameters of timm's module, and half the FLOPs that PyTorch counts in it for a picture of the spec's size."""
    graph = netspec.load(name)
    theirs = made_on_meta(name).eval()
    assert graph.parameters == sum(parameter.numel() for parameter in theirs.parameters())
    with FlopCounterMode(display=False) as counter:
        theirs(torch.empty(1, *graph.inputs["x"].shape, device="meta"))
    assert 2 * graph.macs == counter.get_total_flops()


@pytest.mark.proves("keys")
@pytest.mark.parametrize("name", NAMES)
def test_another_number_of_classes_is_equal(name: str) -> None:
    """The same with `num_classes: 7`."""
    graph = netspec.load(name, num_classes=7)
    assert [(key, state.shape, state.dtype) for key, state in graph.state().items()] == described(
        made_on_meta(name, num_classes=7)
    )


@pytest.mark.proves("initial weights")
def test_initial_weights_under_one_seed_are_equal(pair: Pair, note: Note) -> None:
    """All parameters and buffers of new modules, made under one seed with `init="pytorch"`."""
    if pair.name in NUMBERS_DRAWN_BESIDE:
        note(f"After {NUMBERS_DRAWN_BESIDE[pair.name]} random numbers that timm draws for a module it throws away.")
    ours, theirs = pair.ours.state_dict(), pair.theirs.state_dict()
    assert [key for key in theirs if not torch.equal(ours[key], theirs[key])] == []


@pytest.mark.proves("keys")
def test_weights_load_strictly_both_ways(pair: Pair) -> None:
    """Weights load with `strict=True` both ways."""
    pair.ours.load_state_dict(pair.theirs.state_dict(), strict=True)
    pair.theirs.load_state_dict(pair.ours.state_dict(), strict=True)


@pytest.mark.proves("eval")
def test_eval_outputs_are_equal(pair: Pair, note: Note) -> None:
    """Outputs for two pictures of 64 pixels."""
    pair.ours.load_state_dict(pair.theirs.state_dict(), strict=True)
    pair.ours.eval(), pair.theirs.eval()
    pictures = pair.pictures(note)
    with torch.inference_mode():
        assert torch.equal(pair.ours(pictures), pair.theirs(pictures))


@pytest.mark.proves("train")
def test_train_outputs_gradients_and_buffers_are_equal(pair: Pair, note: Note) -> None:
    """Outputs, gradients of all parameters and updated buffers, for the same pictures."""
    pair.ours.load_state_dict(pair.theirs.state_dict(), strict=True)
    pair.ours.train(), pair.theirs.train()
    pictures = pair.pictures(note)
    outputs = []
    for module in (pair.ours, pair.theirs):
        torch.manual_seed(1)
        outputs.append(module(pictures))
        outputs[-1].square().sum().backward()
    assert torch.equal(*outputs)
    ours, theirs = (dict(module.named_parameters()) for module in (pair.ours, pair.theirs))
    different = [key for key in theirs if not torch.equal(ours[key].grad, theirs[key].grad)]  # type: ignore[arg-type]
    assert different == []
    assert all(torch.equal(a, b) for a, b in zip(pair.ours.buffers(), pair.theirs.buffers(), strict=True))
