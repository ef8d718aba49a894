"""A spec is the network, outside of torchvision too: those below equal the models of timm, bit for bit.

Keys, shapes and parameters are compared on the meta device; initial weights, outputs, gradients and buffers on small
pictures. The largest are marked `heavy`, which `python tasks.py heavy` runs and a plain run leaves out.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import Any

import pytest
import timm
import torch
from torch import nn

import netspec
from netspec import Graph
from netspec.catalog import shipped_specs

NAMES = (
    "cspresnet50", "dla34", "dpn68", "inception_resnet_v2", "inception_v4", "mixnet_s", "nasnetalarge",
    "pnasnet5large", "skresnet18", "xception",
)  # fmt: skip

NAMES_IN_TIMM = {"xception": "legacy_xception"}

SIZES = {
    "inception_resnet_v2": 107, "inception_v4": 107, "nasnetalarge": 83, "pnasnet5large": 75, "xception": 75,
}  # fmt: skip
"""Pictures are 64 pixels wide, unless the architecture needs more or pads odd sizes in another way than even ones."""

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

    def pictures(self) -> torch.Tensor:
        size = SIZES.get(self.name, 64)
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
    return Pair(request.param, theirs, small(request.param).build())


def test_all_of_them_ship() -> None:
    assert set(NAMES) <= set(shipped_specs())


@pytest.mark.parametrize("name", NAMES)
def test_keys_shapes_dtypes_and_parameters_are_equal(name: str) -> None:
    graph = netspec.load(name)
    theirs = made_on_meta(name)
    assert [(key, state.shape, state.dtype) for key, state in graph.state().items()] == described(theirs)
    assert described(graph.build(device="meta")) == described(theirs)
    assert {key for key, state in graph.state().items() if state.trainable} == dict(theirs.named_parameters()).keys()
    assert graph.parameters == sum(parameter.numel() for parameter in theirs.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_another_number_of_classes_is_equal(name: str) -> None:
    graph = netspec.load(name, num_classes=7)
    assert [(key, state.shape, state.dtype) for key, state in graph.state().items()] == described(
        made_on_meta(name, num_classes=7)
    )


def test_initial_weights_under_one_seed_are_equal(pair: Pair) -> None:
    ours, theirs = pair.ours.state_dict(), pair.theirs.state_dict()
    assert [key for key in theirs if not torch.equal(ours[key], theirs[key])] == []


def test_weights_load_strictly_both_ways(pair: Pair) -> None:
    pair.ours.load_state_dict(pair.theirs.state_dict(), strict=True)
    pair.theirs.load_state_dict(pair.ours.state_dict(), strict=True)


def test_eval_outputs_are_equal(pair: Pair) -> None:
    pair.ours.load_state_dict(pair.theirs.state_dict(), strict=True)
    pair.ours.eval(), pair.theirs.eval()
    pictures = pair.pictures()
    with torch.inference_mode():
        assert torch.equal(pair.ours(pictures), pair.theirs(pictures))


def test_train_outputs_gradients_and_buffers_are_equal(pair: Pair) -> None:
    pair.ours.load_state_dict(pair.theirs.state_dict(), strict=True)
    pair.ours.train(), pair.theirs.train()
    pictures = pair.pictures()
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
