"""A spec is the network: everything about it equals torchvision's, bit for bit.

Every model that torchvision classifies pictures with is compared on the meta device: keys, shapes, parameters, costs.
All that fit a small machine are compared in full as well: initial weights, outputs, gradients, buffers. The largest are
marked `heavy`, which `python tasks.py equivalence` runs and a plain run leaves out.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models.regnet import BlockParams

import netspec
from netspec import Graph
from netspec.catalog import shipped_specs
from tests.conftest import Note

NAMES = torchvision.models.list_models(module=torchvision.models)

WITH_AUXILIARY_HEADS = ("googlenet", "inception_v3")

TRAIN_SIZES = {"inception_v3": 299, "googlenet": 96}
"""Pictures are 64 pixels wide in training, unless an auxiliary classifier needs more."""

FIXED_SIZE = tuple(name for name in NAMES if name.startswith(("vit_", "swin_", "maxvit")))
"""Models whose modules are built for pictures of one size: windows and positions are part of the code."""

HEAVY_PARAMETERS = 25_000_000
REPRESENTATIVES = (
    "alexnet",
    "vgg16",
    "resnet50",
    "inception_v3",
    "densenet161",
    "convnext_tiny",
    "swin_t",
    "maxvit_t",
    "vit_b_32",
)
"""Models above that size which are compared in full in every run, one of each large family."""

PUBLISHED = {"vit_h_14": "IMAGENET1K_SWAG_LINEAR_V1", "regnet_y_128gf": "IMAGENET1K_SWAG_LINEAR_V1"}
"""The weights whose costs are compared, where the best ones are for larger pictures than the builder's own."""

PUBLISHED_WITHOUT_AUXILIARY_HEADS = ("googlenet",)


def published(name: str) -> dict[str, Any]:
    meta: dict[str, Any] = torchvision.models.get_model_weights(name)[PUBLISHED.get(name, "DEFAULT")].meta
    return meta


def heavy(name: str) -> bool:
    return published(name)["num_params"] > HEAVY_PARAMETERS and name not in REPRESENTATIVES


IN_FULL = [pytest.param(name, marks=pytest.mark.heavy) if heavy(name) else name for name in NAMES]


@dataclass(frozen=True)
class Pair:
    """A network as torchvision makes it and as its spec does, both initialized from one seed."""

    name: str
    graph: Graph
    theirs: nn.Module
    ours: nn.Module

    @property
    def train_size(self) -> int:
        return self.graph.inputs["x"].spatial[0] if self.name in FIXED_SIZE else TRAIN_SIZES.get(self.name, 64)


def made(name: str, graph: Graph, **options: Any) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    theirs = torchvision.models.get_model(name, weights=None, **options)
    torch.manual_seed(0)
    return theirs, graph.build(init="pytorch")


def made_on_meta(name: str, **options: Any) -> nn.Module:
    """torchvision's model without memory. RegNet computes its widths with tensors, which need a real device."""
    widths = BlockParams.from_init_params

    def on_cpu(*arguments: Any, **keywords: Any) -> BlockParams:
        with torch.device("cpu"):
            return widths(*arguments, **keywords)

    with pytest.MonkeyPatch.context() as patch, torch.device("meta"):
        patch.setattr(BlockParams, "from_init_params", on_cpu)
        made: nn.Module = torchvision.models.get_model(name, weights=None, **options)
    return made


@lru_cache(maxsize=1)
def make_pair(name: str) -> Pair:
    gc.collect()
    graph = netspec.load(name)
    return Pair(name, graph, *made(name, graph))


@pytest.fixture(params=IN_FULL, scope="module")
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    yield make_pair(request.param)
    make_pair.cache_clear()


def tensors(result: Any) -> list[torch.Tensor]:
    return [result] if isinstance(result, torch.Tensor) else list(result)


def same(ours: Any, theirs: Any) -> bool:
    return len(ours) == len(theirs) and all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


# Every model, on the meta device -------------------------------------------------------------------------------------


def test_every_classification_model_of_torchvision_ships() -> None:
    assert len(NAMES) == 80
    assert set(NAMES) <= set(shipped_specs())


@pytest.mark.proves("keys")
@pytest.mark.parametrize("name", NAMES)
def test_keys_shapes_dtypes_and_parameters_are_equal(name: str) -> None:
    """Names, order, shapes and dtypes of the `state_dict`, and which of it is trained."""
    graph = netspec.load(name)
    theirs = made_on_meta(name)
    expected = [(key, tuple(value.shape), str(value.dtype)[6:]) for key, value in theirs.state_dict().items()]
    assert [(key, state.shape, state.dtype) for key, state in graph.state().items()] == expected
    ours = graph.build(device="meta").state_dict()
    assert [(key, tuple(value.shape), str(value.dtype)[6:]) for key, value in ours.items()] == expected
    trained = {key for key, state in graph.state().items() if state.trainable}
    assert trained == {key for key, _ in theirs.named_parameters()}


@pytest.mark.proves("costs")
@pytest.mark.parametrize("name", NAMES)
def test_parameters_and_macs_are_those_that_torchvision_publishes(name: str, note: Note) -> None:
    """Parameters and MACs that torchvision publishes with its best weights; MACs are rounded to millions there."""
    meta = published(name)
    graph = netspec.load(name)
    counted = graph.parameters
    if name in PUBLISHED_WITHOUT_AUXILIARY_HEADS:
        counted = netspec.load(name, aux_logits=False).parameters
        note(f"Published, and compared, without the auxiliary classifiers: {counted:,} parameters.")
    if name in PUBLISHED:
        note(f"Compared with what is published for `{PUBLISHED[name]}`: the best weights are for larger pictures.")
    assert counted == meta["num_params"]
    assert graph.macs / 1e9 == pytest.approx(meta["_ops"], abs=0.0006)


# In full -------------------------------------------------------------------------------------------------------------


@pytest.mark.proves("initial weights")
def test_initial_weights_under_one_seed_are_equal(pair: Pair) -> None:
    """All parameters and buffers of new modules, made under one seed with `init="pytorch"`."""
    assert same(pair.ours.state_dict().values(), pair.theirs.state_dict().values())


@pytest.mark.proves("keys")
def test_weights_load_strictly_both_ways(pair: Pair) -> None:
    """Weights load with `strict=True` both ways."""
    pair.ours.load_state_dict(pair.theirs.state_dict(), strict=True)
    pair.theirs.load_state_dict(pair.ours.state_dict(), strict=True)


@pytest.mark.proves("eval")
@pytest.mark.parametrize("batch", [1, 3])
def test_eval_outputs_are_equal(pair: Pair, batch: int, note: Note) -> None:
    """Outputs for one picture of the spec's own size, and for three of another size that are not square."""
    height = width = pair.graph.inputs["x"].spatial[0]
    if pair.name in FIXED_SIZE:
        note(f"Built for pictures of {height} pixels, and compared with no others.")
    elif batch > 1:
        height, width = max(pair.train_size, 96), 128
    pair.ours.eval(), pair.theirs.eval()
    pictures = torch.randn(batch, 3, height, width)
    with torch.inference_mode():
        assert torch.equal(pair.ours(pictures), pair.theirs(pictures))


@pytest.mark.proves("train")
def test_train_outputs_gradients_and_buffers_are_equal(pair: Pair, note: Note) -> None:
    """Outputs, gradients of all parameters and updated buffers, for two pictures of 64 pixels."""
    if pair.name in FIXED_SIZE:
        note(f"Built for pictures of {pair.train_size} pixels, and compared with no others.")
    elif pair.name in TRAIN_SIZES:
        note(f"With pictures of {pair.train_size} pixels, which the auxiliary classifier needs.")
    pair.ours.train(), pair.theirs.train()
    pictures = torch.randn(2, 3, pair.train_size, pair.train_size)
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


@pytest.mark.proves("keys")
@pytest.mark.parametrize("name", NAMES)
def test_another_number_of_classes_is_equal(name: str, note: Note) -> None:
    """The same names and shapes with `num_classes: 7`."""
    options: dict[str, Any] = {"num_classes": 7}
    if name in WITH_AUXILIARY_HEADS:
        note("With auxiliary classifiers for 1000 classes, without them for 7.")
        options |= {"aux_logits": False, "init_weights": False}
    ours = netspec.load(name, **{key: value for key, value in options.items() if key != "init_weights"}).state()
    theirs = made_on_meta(name, **options).state_dict()
    assert [(key, state.shape) for key, state in ours.items()] == [(k, tuple(v.shape)) for k, v in theirs.items()]


@pytest.mark.proves("eval")
@pytest.mark.parametrize("name", WITH_AUXILIARY_HEADS)
def test_pictures_can_be_prepared_as_the_published_weights_need_them(name: str) -> None:
    """The same with `transform_input: true`, for models that have it."""
    options: dict[str, Any] = {"transform_input": True, "aux_logits": False}
    theirs = torchvision.models.get_model(name, weights=None, init_weights=False, **options).eval()
    ours = netspec.load(name, **options).build(weights=theirs.state_dict()).eval()
    pictures = torch.randn(2, 3, 96, 96)
    assert torch.equal(ours(pictures), theirs(pictures))


def test_outputs_are_named_as_torchvision_names_them() -> None:
    ours, theirs = make_pair("googlenet").ours, make_pair("googlenet").theirs
    pictures = torch.randn(2, 3, 96, 96)
    ours.train(), theirs.train()
    assert ours(pictures)._fields == theirs(pictures)._fields == ("logits", "aux_logits2", "aux_logits1")
    ours.eval()
    assert isinstance(ours(pictures), torch.Tensor)
