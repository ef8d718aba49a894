"""A spec is the network: everything about it equals torchvision's, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pytest
import torch
import torchvision
from torch import nn

import netspec
from netspec import Graph

MODELS = {
    "alexnet": 96,
    "vgg16": 64,
    "googlenet": 96,
    "inception_v3": 299,  # its auxiliary classifier does not fit a smaller picture
    "resnet18": 64,
    "resnet50": 64,
    "resnext50_32x4d": 64,
    "densenet121": 64,
    "mobilenet_v2": 64,
    "efficientnet_b0": 64,
}
"""Name of each model, and a size other than its own at which it is trained."""


@dataclass(frozen=True)
class Pair:
    """A network as torchvision makes it and as its spec does, both initialized from one seed."""

    name: str
    graph: Graph
    theirs: nn.Module
    ours: nn.Module


@lru_cache(maxsize=1)
def make_pair(name: str) -> Pair:
    graph = netspec.load(name)
    return Pair(name, graph, *made(name, graph))


def made(name: str, graph: Graph, **options: Any) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    theirs = torchvision.models.get_model(name, weights=None, **options)
    torch.manual_seed(0)
    return theirs, graph.build()


@pytest.fixture(params=MODELS, scope="module")
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    yield make_pair(request.param)
    make_pair.cache_clear()


def tensors(result: Any) -> list[torch.Tensor]:
    return [result] if isinstance(result, torch.Tensor) else list(result)


def same(ours: Any, theirs: Any) -> bool:
    return len(ours) == len(theirs) and all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_state_dict_keys_are_equal_and_in_the_same_order(pair: Pair) -> None:
    ours, theirs = pair.ours.state_dict(), pair.theirs.state_dict()
    assert list(ours) == list(theirs)
    assert [(v.shape, v.dtype) for v in ours.values()] == [(v.shape, v.dtype) for v in theirs.values()]


def test_the_graph_knows_the_state_dict_without_building_it(pair: Pair) -> None:
    static = pair.graph.state()
    built = pair.theirs.state_dict()
    assert [(key, state.shape, state.dtype) for key, state in static.items()] == [
        (key, tuple(value.shape), str(value.dtype).removeprefix("torch.")) for key, value in built.items()
    ]


def test_initial_weights_under_one_seed_are_equal(pair: Pair) -> None:
    assert same(pair.ours.state_dict().values(), pair.theirs.state_dict().values())


def test_parameters_and_macs_equal_the_published_ones(pair: Pair) -> None:
    meta = torchvision.models.get_model_weights(pair.name).DEFAULT.meta
    graph = pair.graph
    if pair.name in ("googlenet", "inception_v3"):
        graph = netspec.load(pair.name, aux_logits=False)  # the published figures leave the auxiliary heads out
    published = meta["num_params"]
    if pair.name == "inception_v3":
        published = sum(p.numel() for n, p in pair.theirs.named_parameters() if not n.startswith("AuxLogits"))
        assert pair.graph.parameters == meta["num_params"], "for this one, parameters include the auxiliary head"
    elif pair.name == "googlenet":
        published = sum(p.numel() for n, p in pair.theirs.named_parameters() if not n.startswith("aux"))
        assert published == meta["num_params"]
    assert graph.parameters == published
    assert graph.macs / 1e9 == pytest.approx(meta["_ops"], abs=0.0006)


def test_weights_load_strictly_both_ways(pair: Pair) -> None:
    pair.ours.load_state_dict(pair.theirs.state_dict(), strict=True)
    pair.theirs.load_state_dict(pair.ours.state_dict(), strict=True)


@pytest.mark.parametrize("batch", [1, 3])
def test_eval_outputs_are_equal(pair: Pair, batch: int) -> None:
    own = pair.graph.inputs["x"].spatial[0]
    pair.ours.eval(), pair.theirs.eval()
    pictures = torch.randn(batch, 3, own if batch == 1 else max(MODELS[pair.name], 96), own if batch == 1 else 128)
    with torch.inference_mode():
        assert torch.equal(pair.ours(pictures), pair.theirs(pictures))


def test_train_outputs_gradients_and_buffers_are_equal(pair: Pair) -> None:
    pair.ours.train(), pair.theirs.train()
    size = MODELS[pair.name]
    pictures = torch.randn(2, 3, size, size)
    outputs = []
    for module in (pair.ours, pair.theirs):
        module.zero_grad()
        torch.manual_seed(1)
        result = tensors(module(pictures))
        sum(value.square().sum() for value in result).backward()  # type: ignore[union-attr]
        outputs.append(result)
    assert same(*outputs)
    ours, theirs = (dict(module.named_parameters()) for module in (pair.ours, pair.theirs))
    different = [key for key in theirs if not torch.equal(ours[key].grad, theirs[key].grad)]  # type: ignore[arg-type]
    assert different == []
    assert same(list(pair.ours.buffers()), list(pair.theirs.buffers()))


def test_another_number_of_classes_is_equal(pair: Pair) -> None:
    options: dict[str, Any] = {"num_classes": 7}
    if pair.name in ("googlenet", "inception_v3"):
        options["aux_logits"] = False
    theirs, ours = made(pair.name, netspec.load(pair.name, **options), **options)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert same(ours.state_dict().values(), theirs.state_dict().values())


def test_outputs_are_named_as_torchvision_names_them() -> None:
    ours, theirs = make_pair("googlenet").ours, make_pair("googlenet").theirs
    pictures = torch.randn(2, 3, 96, 96)
    ours.train(), theirs.train()
    assert ours(pictures)._fields == theirs(pictures)._fields == ("logits", "aux_logits2", "aux_logits1")
    ours.eval()
    assert isinstance(ours(pictures), torch.Tensor)
