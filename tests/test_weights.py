"""Weights of checkpoints: what loads, what is said when it does not, and that nothing is initialized in vain."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision
from safetensors.torch import save_file

import netspec
from netspec import SpecError
from netspec.backends.report import save_weights
from netspec.backends.weights import build_with_weights
from netspec.catalog import shipped_specs
from netspec.cli import main


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Path]:
    """An empty cache of `torch.hub`."""
    before = torch.hub.get_dir()
    torch.hub.set_dir(str(tmp_path))
    checkpoints = tmp_path / "checkpoints"
    checkpoints.mkdir()
    yield checkpoints
    torch.hub.set_dir(before)


@pytest.fixture
def trained() -> torch.nn.Module:
    torch.manual_seed(5)
    module: torch.nn.Module = torchvision.models.resnet18(weights=None).eval()
    return module


def problem(caught: pytest.ExceptionInfo[SpecError]) -> netspec.Diagnostic:
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


# Loading -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
def test_a_file_of_torchvision_loads_and_gives_its_outputs(
    suffix: str, tmp_path: Path, trained: torch.nn.Module
) -> None:
    path = tmp_path / f"trained{suffix}"
    if suffix == ".safetensors":
        save_file(trained.state_dict(), path)
    else:
        torch.save(trained.state_dict(), path)
    ours = netspec.load("resnet18").build(weights=path).eval()
    pictures = torch.randn(2, 3, 64, 64)
    assert torch.equal(ours(pictures), trained(pictures))
    assert all(parameter.requires_grad for parameter in ours.parameters())


def test_weights_that_were_saved_load_again(tmp_path: Path) -> None:
    module = netspec.load("hybrid").build(seed=1)
    for name in ("a.safetensors", "b.pth"):
        save_weights(module, tmp_path / name)
        again = netspec.load("hybrid").build(weights=tmp_path / name)
        assert all(torch.equal(a, b) for a, b in zip(module.parameters(), again.parameters(), strict=True))


def test_a_module_with_weights_can_be_trained_and_saved(trained: torch.nn.Module) -> None:
    ours = netspec.load("resnet18").build(weights=trained.state_dict())
    ours(torch.randn(2, 3, 64, 64)).sum().backward()
    torch.optim.SGD(ours.parameters(), 0.1).step()
    assert list(ours.state_dict()) == list(trained.state_dict())


def test_nothing_is_initialized_when_all_is_loaded(trained: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    state = trained.state_dict()
    monkeypatch.setattr(
        torch.nn.init, "kaiming_uniform_", lambda *a, **k: pytest.fail("drawn in vain") if not a[0].is_meta else a[0]
    )
    before = torch.get_rng_state()
    netspec.load("resnet18").build(weights=state)
    assert torch.equal(torch.get_rng_state(), before)


def test_buffers_that_are_not_saved_are_made(tmp_path: Path) -> None:
    graph = netspec.load("googlenet", transform_input=True)
    module = graph.build(seed=0).eval()
    again = graph.build(weights=module.state_dict()).eval()
    pictures = torch.randn(1, 3, 64, 64)
    assert torch.equal(again(pictures), module(pictures))


def test_weights_of_another_dtype_become_those_of_the_network(trained: torch.nn.Module) -> None:
    half = {key: value.half() if value.is_floating_point() else value for key, value in trained.state_dict().items()}
    assert netspec.load("resnet18").build(weights=half).get_parameter("fc.weight").dtype == torch.float32


# Published weights ---------------------------------------------------------------------------------------------------


def test_a_file_in_the_cache_of_the_hub_is_used(hub: Path, trained: torch.nn.Module) -> None:
    torch.save(trained.state_dict(), hub / "resnet18-f37072fd.pth")
    for name in ("DEFAULT", "IMAGENET1K_V1"):
        ours = netspec.load("resnet18").build(weights=name)
        assert torch.equal(ours.get_parameter("fc.weight"), trained.get_parameter("fc.weight"))


def test_without_a_network_the_file_and_its_place_are_named(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*arguments: object, **options: object) -> None:
        raise URLError("no network here")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    with pytest.raises(SpecError) as caught:
        netspec.load("resnet18").build(weights="DEFAULT")
    diagnostic = problem(caught)
    assert diagnostic.code == "download-failed"
    assert diagnostic.message == "cannot download `resnet18-f37072fd.pth`: no network here"
    assert str(hub / "resnet18-f37072fd.pth") in diagnostic.help[0]
    assert not list(hub.iterdir())


def test_a_download_is_checked_against_the_hash_in_its_name(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *a, **k: asked.extend(a))
    with pytest.raises(SpecError):
        netspec.load("resnet18").build(weights="DEFAULT")
    assert asked[0] == "https://download.pytorch.org/models/resnet18-f37072fd.pth"
    assert asked[2] == "f37072fd"


def test_names_of_published_weights_are_suggested() -> None:
    with pytest.raises(SpecError) as caught:
        netspec.load("resnet50").build(weights="IMAGENET1K_V3")
    assert problem(caught).code == "unknown-weights"
    assert "IMAGENET1K_V" in problem(caught).help[0]


def test_every_spec_with_a_model_in_torchvision_names_its_weights() -> None:
    for name in torchvision.models.list_models(module=torchvision.models):
        graph = netspec.load(name)
        assert graph.weights == f"torchvision/{name}"
        assert graph.published_weights().meta["num_params"]


def test_weights_that_were_trained_otherwise_say_so(hub: Path) -> None:
    with pytest.raises(SpecError) as caught:
        netspec.load("googlenet").build(weights="DEFAULT")
    assert problem(caught).message == "the published weights of `googlenet` were trained with `transform_input: true`"


def test_preprocessing_and_classes_come_with_published_weights() -> None:
    entry = netspec.load("resnet18").published_weights()
    assert len(entry.meta["categories"]) == 1000
    assert entry.transforms()(torch.zeros(3, 300, 300, dtype=torch.uint8)).shape == (3, 224, 224)


# Other classes, other keys -------------------------------------------------------------------------------------------


def test_a_head_for_other_classes_is_initialized_and_the_rest_kept(trained: torch.nn.Module) -> None:
    graph = netspec.load("resnet18", num_classes=2)
    with pytest.warns(UserWarning, match=r"120 tensors .* initialized: `fc.weight` is 1000×512 there and 2×512 here"):
        ours = graph.build(weights=trained.state_dict())
    assert ours.get_parameter("fc.weight").shape == (2, 512)
    assert ours.get_parameter("fc.weight").abs().max() > 0
    assert torch.equal(ours.get_parameter("layer4.1.conv2.weight"), trained.get_parameter("layer4.1.conv2.weight"))


def test_the_report_names_every_entry(trained: torch.nn.Module) -> None:
    graph = netspec.load("resnet18", num_classes=2)
    with pytest.warns(UserWarning, match=r"fc\.bias"):
        _, report = build_with_weights(graph, trained.state_dict())
    assert [mismatch.key for mismatch in report.redrawn] == ["fc.weight", "fc.bias"]
    assert len(report.loaded) == len(trained.state_dict()) - 2


def test_another_shape_is_an_error_where_nothing_was_overridden() -> None:
    state = torchvision.models.resnet18(weights=None, num_classes=2).state_dict()
    with pytest.raises(SpecError) as caught:
        netspec.load("resnet18").build(weights=state)
    assert problem(caught).notes == (
        "`fc.weight` is 2×512 there and 1000×512 here",
        "`fc.bias` is 2 there and 1000 here",
    )


def test_missing_and_unexpected_entries_are_a_short_table_with_the_nearest_names(trained: torch.nn.Module) -> None:
    state = {key.replace("fc.", "head."): value for key, value in trained.state_dict().items()}
    with pytest.raises(SpecError) as caught:
        netspec.load("resnet18").build(weights=state)
    assert problem(caught).message == "4 entries of the state_dict do not fit the network"
    assert problem(caught).notes[0].startswith("missing there: `fc.weight`")
    renamed = {f"module.{key}": value for key, value in trained.state_dict().items()}
    with pytest.raises(SpecError) as caught:
        netspec.load("resnet18").build(weights=renamed)
    assert len(problem(caught).notes) == 13


def test_auxiliary_heads_that_are_left_out_are_not_missed() -> None:
    state = torchvision.models.googlenet(weights=None, init_weights=False).state_dict()
    module = netspec.load("googlenet", aux_logits=False).build(weights=state)
    assert not any(key.startswith("aux") for key in module.state_dict())


def test_parameters_are_frozen_by_path() -> None:
    module = netspec.load("resnet18").build(seed=0, freeze=["conv1", "layer*.0", "layer4.1.conv2.weight"])
    frozen = {name for name, parameter in module.named_parameters() if not parameter.requires_grad}
    assert "conv1.weight" in frozen
    assert "layer2.0.downsample.0.weight" in frozen
    assert "layer4.1.conv2.weight" in frozen
    assert not frozen & {"bn1.weight", "layer1.1.conv1.weight", "layer4.1.bn2.weight", "fc.weight"}


def test_a_path_to_freeze_that_is_not_there_is_a_message() -> None:
    with pytest.raises(SpecError) as caught:
        netspec.load("resnet18").build(freeze=["layer5"])
    assert "did you mean `layer" in problem(caught).help[0]
    assert problem(caught).message == "nothing to freeze is called `layer5`"


# Bad files -----------------------------------------------------------------------------------------------------------


class Exploit:
    def __reduce__(self) -> tuple[object, ...]:
        return print, ("executed",)


def test_a_pickle_of_anything_but_tensors_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps({"fc.weight": Exploit()}))
    torch.save({"fc.weight": Exploit()}, tmp_path / "evil2.pth")
    for name in ("evil.pth", "evil2.pth"):
        with pytest.raises(SpecError) as caught:
            netspec.load("resnet18").build(weights=tmp_path / name)
        assert problem(caught).code == "unreadable-weights"
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\xff" * 100])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_broken_file_is_a_message(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(content)
    with pytest.raises(SpecError) as caught:
        netspec.load("resnet18").build(weights=path)
    assert problem(caught).code == "unreadable-weights"


def test_a_file_that_is_not_there_is_a_message(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        netspec.load("resnet18").build(weights=tmp_path / "nothing.pth")
    assert problem(caught).code == "unknown-weights"


def test_the_build_command_takes_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "lenet5.safetensors"
    save_weights(netspec.load("lenet5").build(seed=2), path)
    with pytest.raises(SystemExit) as caught:
        main(["build", "lenet5", "--set", "num_classes=3", "--weights", str(path)])
    assert caught.value.code == 0
    assert "8 tensors from" in capsys.readouterr().out


def test_every_shipped_spec_can_take_a_state_dict_of_its_own() -> None:
    for name in ("lenet5", "shufflenet_v2_x0_5", "squeezenet1_1", "mobilenet_v3_small"):
        assert name in shipped_specs()
        module = netspec.load(name).build(seed=0)
        again = netspec.load(name).build(weights=module.state_dict())
        assert all(torch.equal(a, b) for a, b in zip(module.parameters(), again.parameters(), strict=True))
