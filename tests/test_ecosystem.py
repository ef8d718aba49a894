"""Networks take part in what their users work with: `create_model`, torch.hub, the Hugging Face hub, Lightning."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from runpy import run_path
from typing import Any

import pytest
import torch
from torch import nn

import netspec
from netspec import SpecError, create_model
from netspec.backends.graph_json import to_graph_json
from netspec.catalog import shipped_specs
from netspec.hub import HubModel
from netspec.models import Feature, FeatureInfo, backbone, features

ROOT = Path(__file__).parent.parent
SMALL = """
netspec: 1
name: small
input: [3, 32, 32]
params: {num_classes: 10}
graph:
  stem: {conv: [8, 3, 2, 1]}
  act: relu
  stage: [{conv: [16, 3, 2, 1], bias: false}, batch_norm, relu]
  pool: global_avg_pool
  fc: {linear: num_classes}
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return path


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    theirs = other.state_dict()
    return one.state_dict().keys() == theirs.keys() and all(
        torch.equal(value, theirs[key]) for key, value in one.state_dict().items()
    )


# create_model --------------------------------------------------------------------------------------------------------


def test_a_model_has_the_classes_and_the_weights_asked_for(small: Path, tmp_path: Path) -> None:
    model: Any = create_model(small, num_classes=3, seed=0)
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 3)
    torch.save(model.state_dict(), tmp_path / "three.pth")
    again: Any = create_model(small, pretrained=str(tmp_path / "three.pth"), num_classes=3)
    assert same_weights(model, again)


def test_pretrained_takes_the_weights_that_the_spec_names(small: Path, tmp_path: Path) -> None:
    small.write_text(SMALL.replace("input:", "weights: own.pth\ninput:"))
    trained: Any = create_model(small, seed=1)
    torch.save(trained.state_dict(), tmp_path / "own.pth")
    assert same_weights(create_model(small, pretrained=True), trained)
    with pytest.warns(UserWarning, match=r"initialized: `fc\.weight` is 10×16 there and 3×16 here"):
        model: Any = create_model(small, pretrained=True, num_classes=3)
    assert torch.equal(model.stem.weight, trained.stem.weight)


def test_feature_maps_are_what_their_info_says(small: Path) -> None:
    model: Any = create_model(small, features_only=True, seed=0)
    assert model.feature_info == FeatureInfo([Feature("act", 8, 2), Feature("stage", 16, 4)])
    assert model.feature_info.channels() == [8, 16]
    maps = model(torch.zeros(2, 3, 32, 32))
    assert [tuple(found.shape) for found in maps] == [(2, 8, 16, 16), (2, 16, 8, 8)]
    assert torch.equal(maps.stride_4, maps[1])


def test_feature_maps_are_those_inside_the_whole_network(small: Path) -> None:
    whole: Any = create_model(small, seed=0).eval()
    seen: dict[str, torch.Tensor] = {}
    whole.stage.register_forward_hook(lambda module, inputs, output: seen.update(stage=output))
    image = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    whole(image)
    model: Any = create_model(small, features_only=True, out_indices=[-1], seed=0).eval()
    assert torch.equal(model(image), seen["stage"])
    assert not any(key.startswith("fc") for key in model.state_dict())


def test_feature_maps_are_those_of_timm() -> None:
    timm = pytest.importorskip("timm")
    for name in ("resnet18", "densenet121", "vgg11"):
        with torch.device("meta"):
            theirs = timm.create_model(name, features_only=True).feature_info
        info = features(netspec.load(name))
        assert (info.channels(), info.reduction()) == (theirs.channels(), theirs.reduction()), name


@pytest.mark.parametrize("name", ["resnet50", "googlenet", "swin_t", "convnext_tiny", "nasnetalarge", "inception_v3"])
def test_every_backbone_gives_maps_from_large_to_small(name: str) -> None:
    graph = netspec.load(name)
    info = features(graph)
    assert info.reduction() == sorted(set(info.reduction()))
    assert info.reduction()[-1] == 32
    assert len(info) >= 4
    chosen = backbone(graph, info)
    image = next(iter(graph.inputs.values()))
    for type, feature in zip(chosen.outputs.values(), info, strict=True):
        assert type.channels == feature.channels
        wide = [length * feature.reduction for length in type.spatial]
        assert wide == pytest.approx(image.spatial, rel=0.3)


def test_channels_come_first_where_the_network_has_them_last() -> None:
    graph = netspec.loads("netspec: 1\ninput: [3, 16, 16]\ngraph: [{conv: [4, 2, 2]}, {permute: [0, 2, 3, 1]}, relu]")
    module = backbone(graph, features(graph)).build(seed=0)
    image = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(module(image), graph.build(seed=0)(image).permute(0, 3, 1, 2))


def test_a_feature_map_that_is_not_there_is_named(small: Path) -> None:
    with pytest.raises(SpecError) as error:
        create_model(small, features_only=True, out_indices=[2])
    (diagnostic,) = error.value.diagnostics
    assert str(diagnostic) == (
        "error[wrong-value]: `out_indices` are [2], but `small` has 2 feature maps\n"
        "  = help: they are 0: `act`, 1: `stage`"
    )


@pytest.mark.parametrize("wrong", [1, "12", ["1"], [], [2], [-3], [None]], ids=str)
def test_numbers_of_no_feature_maps_are_refused(small: Path, wrong: Any) -> None:
    with pytest.raises(SpecError, match=r"`out_indices` are .*, but `small` has 2 feature maps"):
        create_model(small, features_only=True, out_indices=wrong)


def test_maps_are_chosen_only_where_they_are_returned(small: Path) -> None:
    with pytest.raises(SpecError, match="`features_only=True` asks for them"):
        create_model(small, out_indices=[1])


def test_a_network_without_feature_maps_says_so(tmp_path: Path) -> None:
    (tmp_path / "flat.yaml").write_text("netspec: 1\nname: flat\ninput: [3]\ngraph: [relu]")
    with pytest.raises(SpecError) as error:
        create_model(tmp_path / "flat.yaml", features_only=True)
    (diagnostic,) = error.value.diagnostics
    assert str(diagnostic) == (
        "error[no-outputs]: `flat` has no feature maps\n  = help: `Graph.select` chooses nodes of any shape"
    )


# torch.hub -----------------------------------------------------------------------------------------------------------


def test_torch_hub_lists_and_builds_the_specs_that_ship() -> None:
    hubconf = run_path(str(ROOT / "hubconf.py"))
    entries = {name for name, value in hubconf.items() if callable(value) and not name.startswith("_")}
    assert entries == set(shipped_specs())
    model: Any = torch.hub.load(str(ROOT), "lenet5", False, 4, source="local", seed=0)
    expected = netspec.load("lenet5", num_classes=4).build(seed=0)
    assert same_weights(model, expected)
    assert "create_model" in hubconf["lenet5"].__doc__


# The Hugging Face hub ------------------------------------------------------------------------------------------------


def test_a_saved_model_comes_back_with_its_graph_and_its_weights(small: Path, tmp_path: Path) -> None:
    graph = netspec.load(small, num_classes=3)
    model: Any = HubModel.of(graph, graph.build(seed=0)).eval()
    model.save_pretrained(tmp_path / "saved")
    again: Any = HubModel.from_pretrained(tmp_path / "saved")
    assert to_graph_json(again.graph) == to_graph_json(graph)
    image = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again(image), model(image))
    again.save_pretrained(tmp_path / "twice")
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "twice" / name).read_bytes() == (tmp_path / "saved" / name).read_bytes()


def test_the_files_of_a_saved_model_are_those_of_netspec(small: Path, tmp_path: Path) -> None:
    graph = netspec.load(small)
    module = graph.build(seed=0)
    HubModel.of(graph, module).save_pretrained(tmp_path / "saved")
    loaded = netspec.load(tmp_path / "saved" / "config.json")
    again = loaded.build(weights=tmp_path / "saved" / "model.safetensors")
    assert same_weights(module, again)


def test_a_model_of_other_weights_is_refused(small: Path, tmp_path: Path) -> None:
    three, ten = netspec.load(small, num_classes=3), netspec.load(small)
    HubModel.of(three).save_pretrained(tmp_path / "three")
    HubModel.of(ten).save_pretrained(tmp_path / "ten")
    (tmp_path / "ten" / "model.safetensors").replace(tmp_path / "three" / "model.safetensors")
    with pytest.raises(SpecError, match=r"fc\.weight` is 10×16 there and 3×16 here"):
        HubModel.from_pretrained(tmp_path / "three")


def test_a_model_of_a_stranger_runs_no_code(small: Path, tmp_path: Path) -> None:
    folder = tmp_path / "stranger"
    HubModel.of(netspec.load(small)).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config["network"]["nodes"][0]["name"] = "__import__('os').mkdir('run')"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(SpecError, match="invalid-name"):
        HubModel.from_pretrained(folder)


def test_a_model_of_another_library_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"unknown-spec.*there is no file `config\.json`"):
        HubModel.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"architectures": ["BertModel"]}')
    with pytest.raises(SpecError, match=r"missing-key.*`config\.json` is no graph file"):
        HubModel.from_pretrained(tmp_path)


def test_a_hub_model_is_called_as_its_network_is() -> None:
    graph = netspec.loads("netspec: 1\ninputs: {a: [3], b: [3]}\ngraph: {c: {sub: [a, b]}}")
    two, one = torch.full((1, 3), 2.0), torch.ones(1, 3)
    assert torch.equal(HubModel.of(graph)(b=one, a=two), one)


def test_a_missing_package_is_asked_for_by_name() -> None:
    code = "import sys; sys.modules['huggingface_hub'] = None; import netspec; netspec.HubModel"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert "needs the package `huggingface_hub`, which is not installed" in done.stderr
    assert "pip install 'netspec[hub]'" in done.stderr


# Lightning -----------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")  # of Lightning about itself
def test_lightning_trains_a_network_and_reads_its_checkpoint(small: Path, tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning")

    class Classifier(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self, spec: str) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.network = netspec.load(spec).build(seed=0)

        def training_step(self, batch: list[torch.Tensor], number: int) -> torch.Tensor:
            images, labels = batch
            return nn.functional.cross_entropy(self.network(images), labels)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    generator = torch.Generator().manual_seed(0)
    images, labels = torch.randn(8, 3, 32, 32, generator=generator), torch.arange(8)
    batches = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(images, labels), batch_size=4)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    trainer = lightning.Trainer(max_epochs=2, default_root_dir=tmp_path, enable_checkpointing=False, **quiet)
    trained: Any = Classifier(str(small))
    trainer.fit(trained, batches)
    trainer.save_checkpoint(tmp_path / "trained.ckpt")

    by_hand: Any = netspec.load(small).build(seed=0)
    optimizer = torch.optim.SGD(by_hand.parameters(), lr=0.1)
    for _ in range(2):
        for batch, classes in batches:
            optimizer.zero_grad()
            nn.functional.cross_entropy(by_hand(batch), classes).backward()
            optimizer.step()
    assert torch.equal(trained.network.fc.weight, by_hand.fc.weight)
    again: Any = Classifier.load_from_checkpoint(tmp_path / "trained.ckpt")
    assert torch.equal(again.network.fc.weight, by_hand.fc.weight)
