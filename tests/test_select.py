"""Other outputs of a network: the values are those of the whole network, the keys too, and nothing else is computed."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import torch
import torchvision

import netspec
from netspec import Graph, SpecError
from netspec.verify import verify

CHOICES = {
    "resnet18": ["layer2", "layer4"],
    "googlenet": ["inception4a", "inception4e.branch2.0"],
    "densenet121": ["features.denseblock1", "features.denseblock4.denselayer16.conv1"],
    "vgg11": ["features.4", "classifier.0"],
    "mobilenet_v3_small": ["features.1.block.1", "avgpool"],
    "swin_t": ["features.3", "features.5.1.mlp"],
}


@pytest.mark.parametrize("name", CHOICES)
def test_chosen_outputs_are_those_that_hooks_see_in_the_whole_network(name: str) -> None:
    theirs = torchvision.models.get_model(name, weights=None).eval()
    ours = netspec.load(name).build(weights=theirs.state_dict(), outputs=CHOICES[name]).eval()
    seen: dict[str, torch.Tensor] = {}
    for path in CHOICES[name]:
        keep = lambda module, inputs, result, path=path: seen.update({path: result.clone()})  # noqa: E731
        theirs.get_submodule(path).register_forward_hook(keep)
    pictures = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        theirs(pictures)
        result = ours(pictures)
    assert list(result) == CHOICES[name]
    assert all(torch.equal(result[path], seen[path]) for path in seen)
    assert [key for key in theirs.state_dict() if key in ours.state_dict()] == list(ours.state_dict())


def test_what_no_output_needs_is_left_out() -> None:
    graph = netspec.load("resnet50").select(["layer2", "layer3.0.conv2"])
    assert [path for path, _ in graph.walk() if path.count(".") == 0] == [
        *("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3")
    ]
    assert [path for path, _ in graph.walk() if path.startswith("layer3.")] == [
        *("layer3.0", "layer3.0.conv1", "layer3.0.bn1", "layer3.0.relu1", "layer3.0.conv2")
    ]
    assert {key.split(".")[0] for key in graph.left_out} == {"layer3", "layer4", "fc"}
    assert graph.parameters == sum(p.numel() for p in graph.build(device="meta").parameters())
    assert verify(graph).outputs["layer2"].shape == (512, 28, 28)


def test_the_graph_that_was_selected_from_stays_as_it_is() -> None:
    graph = netspec.load("googlenet")
    before = str(graph)
    graph.select(["inception4e.branch2.0", "inception3a"])
    assert str(graph) == before


def test_one_path_gives_a_bare_tensor_and_a_mapping_names_the_outputs() -> None:
    graph = netspec.load("resnet18", input=[3, 64, 64])
    pictures = torch.randn(1, 3, 64, 64)
    bare = graph.build(outputs="layer1.0.conv2")
    assert bare(pictures).shape == (1, 64, 16, 16)
    named = graph.build(outputs={"c4": "layer3", "c5": "layer4"})
    assert {name: tuple(value.shape) for name, value in named(pictures).items()} == {
        "c4": (1, 256, 4, 4),
        "c5": (1, 512, 2, 2),
    }


def test_a_chain_that_ends_early_stays_a_sequential() -> None:
    module = netspec.load("vgg11").build(outputs="features.4", device="meta")
    assert isinstance(module.get_submodule("features"), torch.nn.Sequential)
    assert [name for name, _ in module.get_submodule("features").named_children()] == ["0", "1", "2", "3", "4"]


def test_selecting_from_a_selection_works() -> None:
    twice = netspec.load("resnet18").select(["layer1.0.conv1", "layer2"]).select("layer1.0.conv1")
    assert str(twice) == str(netspec.load("resnet18").select("layer1.0.conv1"))
    assert twice.left_out == netspec.load("resnet18").select("layer1.0.conv1").left_out


def test_a_selected_network_is_initialized_copied_pickled_and_drawn(tmp_path: Path) -> None:
    graph = netspec.load("resnet18", input=[3, 64, 64]).select(["layer1.1.conv1", "layer2"])
    module = graph.build(seed=3).eval()
    assert {rule.path.partition(".")[0] for rule in graph.initializers} == {"conv1", "layer1", "layer2"}
    pictures = torch.randn(1, 3, 64, 64)
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module)), graph.build(seed=3).eval()):
        assert torch.equal(other(pictures)["layer2"], module(pictures)["layer2"])
    compiled = torch.compile(module, fullgraph=True, backend="eager")
    assert torch.equal(compiled(pictures)["layer1.1.conv1"], module(pictures)["layer1.1.conv1"])
    graph.draw(tmp_path / "selected.svg")
    assert "layer2" in graph.summary()


SEVERAL = """
netspec: 1
name: several
input: [4, 8]
blocks:
  pair:
    graph:
      left: {linear: 3}
      right: {linear: 5, from: x}
    outputs: {left: left, right: right}
  twice:
    graph:
      inner: {linear: 8}
graph:
  lstm: {lstm: 6}
  pair: {pair: , from: lstm.output}
  again: {twice: , from: x}
  shared: {call: again}
  head: {linear: 2, from: shared}
  sum: {add: [head, head]}
  extra: {linear: 1, from: pair.left, training_only: true}
  last: {concat: [pair.right, pair.left], dim: 2}
outputs: {sum: sum, last: last, extra: extra}
"""


@pytest.fixture(scope="module")
def several() -> Graph:
    return netspec.loads(SEVERAL)


def test_one_of_several_outputs_is_named_after_its_node(several: Graph) -> None:
    graph = several.select(["lstm.output", "pair.right"])
    assert verify(graph).outputs["pair.right"].shape[-1] == 5
    assert not {"pair.left.weight", "head.weight"} & graph.state().keys()
    assert "pair.right.weight" in graph.state()


def test_a_module_that_is_called_again_stays_under_its_own_name(several: Graph) -> None:
    graph = verify(several.select("head"))
    assert list(graph.state()) == ["again.inner.weight", "again.inner.bias", "head.weight", "head.bias"]


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ("pear", "`several` has no node `pear`"),
        ("head.output", "`several` has no node `head.output`"),
        ("", "`several` has no node ``"),
        ("lstm", "`lstm` has 3 outputs"),
        ("pair.inner", "`several` has no node `pair.inner`"),
        ("extra", "`extra` exists in training alone"),
        ("again.inner", "`again.inner` is inside `again`, which is called more than once, so it has several values"),
        ([], "no outputs are chosen"),
    ],
)
def test_a_path_without_one_value_is_a_message(several: Graph, outputs: str | list[str], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        several.select(outputs)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.message == message


def test_the_nearest_path_is_suggested(several: Graph) -> None:
    with pytest.raises(SpecError) as caught:
        several.select("again.iner")
    assert caught.value.diagnostics[0].help == ("did you mean `again.inner`?",)
