"""Weights of checkpoints: what loads, what is said when it does not, and that nothing is initialized in vain."""

from __future__ import annotations

import pickle
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import URLError

import huggingface_hub
import pytest
import timm
import torch
import torchvision
from hypothesis import given
from hypothesis.strategies import integers, text
from PIL import Image
from safetensors.torch import save_file

import netspec
from netspec import SpecError
from netspec.backends.published import find_published
from netspec.backends.report import build_and_report, save_weights
from netspec.backends.weights import build_with_weights
from netspec.catalog import shipped_specs
from netspec.cli import main
from netspec.paths import PathPattern, covering
from tests.effort import examples
from tests.test_timm import NAMES, NAMES_IN_TIMM


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


def test_a_file_of_an_old_pytorch_loads(tmp_path: Path, trained: torch.nn.Module) -> None:
    path = tmp_path / "old.pth"
    state = {key: value for key, value in trained.state_dict().items() if not key.endswith("num_batches_tracked")}
    torch.save(state, path, _use_new_zipfile_serialization=False)
    graph = netspec.load("resnet18")
    pictures = torch.randn(2, 3, 64, 64)
    assert torch.equal(graph.build(weights=path).eval()(pictures), trained(pictures))
    report = build_with_weights(graph, path)[1]
    assert str(report) == f"102 of 122 tensors from {path}; 20 counters of batch norms start at 0"


@pytest.mark.parametrize("wrapper", ["state_dict", "model"])
def test_what_training_scripts_put_beside_the_tensors_is_left_alone(
    wrapper: str, tmp_path: Path, trained: torch.nn.Module
) -> None:
    torch.save({wrapper: trained.state_dict(), "epoch": 90}, tmp_path / "checkpoint.pth")
    ours = netspec.load("resnet18").build(weights=tmp_path / "checkpoint.pth")
    assert torch.equal(ours.get_parameter("fc.weight"), trained.get_parameter("fc.weight"))


def test_names_of_old_vision_transformers_load_as_torchvision_loads_them() -> None:
    theirs = torchvision.models.VisionTransformer(32, 16, 1, 2, 16, 32, num_classes=5)
    old = {
        key.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): torch.randn_like(value)
        for key, value in theirs.state_dict().items()
    }
    theirs.load_state_dict(dict(old))
    sizes: dict[str, Any] = {"num_layers": 1, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 32, "num_classes": 5}
    assert_equal(netspec.load("vit_b_16", input=[3, 32, 32], **sizes).build(weights=old), theirs)


def test_names_of_old_densenets_load_as_torchvision_loads_them() -> None:
    theirs = torchvision.models.densenet121(weights=None)
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", key): torch.randn_like(value)
        for key, value in theirs.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    published = SimpleNamespace(get_state_dict=lambda **options: dict(old))
    torchvision.models.densenet._load_state_dict(theirs, published, progress=False)
    assert_equal(netspec.load("densenet121").build(weights=old), theirs)


def assert_equal(ours: torch.nn.Module, theirs: torch.nn.Module) -> None:
    state = theirs.state_dict()
    assert [key for key, value in ours.state_dict().items() if not torch.equal(value, state[key])] == []


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
    assert problem(caught).message == "the weights of `googlenet` were trained with `transform_input: true`"


def test_preprocessing_and_classes_come_with_published_weights() -> None:
    entry = netspec.load("resnet18").published_weights()
    assert len(entry.meta["categories"]) == 1000
    assert entry.transforms()(torch.zeros(3, 300, 300, dtype=torch.uint8)).shape == (3, 224, 224)


# timm ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_spec_with_a_model_in_timm_names_its_weights(name: str) -> None:
    graph = netspec.load(name)
    assert graph.weights == f"timm/{NAMES_IN_TIMM.get(name, name)}"
    weights = graph.published_weights()
    assert weights == graph.published_weights(weights.name)._replace(transforms=weights.transforms)
    assert len(weights.meta["categories"]) == 1000
    assert weights.url.startswith("https://")


def made_by_timm(name: str) -> Any:
    """timm's own transform for evaluation."""
    data: Any = timm.data
    config: Any = timm.get_pretrained_cfg(name)
    return data.create_transform(**data.resolve_data_config(config.to_dict()))


@pytest.mark.parametrize("name", NAMES)
def test_pictures_are_prepared_as_timm_prepares_them(name: str) -> None:
    theirs = made_by_timm(NAMES_IN_TIMM.get(name, name))
    picture = Image.effect_noise((400, 300), 80).convert("RGB")
    assert torch.allclose(netspec.load(name).published_weights().transforms()(picture), theirs(picture), atol=1e-6)


def test_a_file_in_the_cache_of_the_hub_is_used_for_timm_too(hub: Path) -> None:
    theirs = timm.create_model("skresnet18", pretrained=False)
    save_file(theirs.state_dict(), hub / "skresnet18.ra_in1k.safetensors")
    for name in ("DEFAULT", "ra_in1k"):
        ours = netspec.load("skresnet18").build(weights=name)
        assert torch.equal(ours.get_parameter("fc.weight"), theirs.get_parameter("fc.weight"))


def test_a_file_that_timm_has_downloaded_is_used(hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = tmp_path / "models--timm--skresnet18.ra_in1k" / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0123")
    theirs = timm.create_model("skresnet18", pretrained=False)
    save_file(theirs.state_dict(), snapshot / "model.safetensors")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    ours = netspec.load("skresnet18").build(weights="DEFAULT")
    assert torch.equal(ours.get_parameter("fc.weight"), theirs.get_parameter("fc.weight"))


def test_without_a_network_the_file_of_timm_and_its_place_are_named(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(SpecError) as caught:
        netspec.load("dla34").build(weights="DEFAULT")
    diagnostic = problem(caught)
    assert diagnostic.code == "download-failed"
    assert diagnostic.message.startswith("cannot download `dla34.in1k.safetensors`: ")
    url = "https://huggingface.co/timm/dla34.in1k/resolve/main/model.safetensors"
    assert diagnostic.help == (f"download {url} elsewhere and put it at {hub / 'dla34.in1k.safetensors'}",)


def test_without_timm_the_message_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(SpecError) as caught:
        netspec.load("dla34").build(weights="DEFAULT")
    assert problem(caught).code == "missing-extra"
    assert problem(caught).help == ("pip install 'netspec[timm]'",)


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_a_model_that_a_library_does_not_have_is_a_message(library: str) -> None:
    with pytest.raises(SpecError) as caught:
        find_published("net", f"{library}/nothing", "DEFAULT")
    assert problem(caught).message == f"{library} publishes no weights for a model `nothing`"


def test_pictures_are_squashed_where_timm_squashes_them_and_never_framed() -> None:
    name = "convnext_tiny.fb_in22k_ft_in1k_384"
    theirs = made_by_timm(name)
    picture = Image.effect_noise((400, 300), 80).convert("RGB")
    ours = find_published("net", "timm/convnext_tiny", name.partition(".")[2]).transforms()
    assert torch.allclose(ours(picture), theirs(picture), atol=1e-6)
    configs: dict[str, Any] = {name: timm.get_pretrained_cfg(name) for name in timm.list_pretrained()}
    framed = next(name for name, config in configs.items() if config.crop_mode == "border")
    with pytest.raises(SpecError) as caught:
        find_published("net", f"timm/{framed.partition('.')[0]}", framed.partition(".")[2]).transforms()
    assert problem(caught).code == "unknown-preprocessing"


# Files that a spec names ---------------------------------------------------------------------------------------------

NET = """\
netspec: 1
name: net
input: [4]
params: {num_classes: 3}
weights: %s
graph: {body: {linear: 5}, fc: {linear: num_classes}}
"""


def test_the_file_of_a_spec_is_beside_the_spec_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "net.yaml").write_text(NET % "./trained/net.safetensors")
    (tmp_path / "child.yaml").write_text("netspec: 1\nextends: base/net.yaml\n")
    module = netspec.load(tmp_path / "base" / "net.yaml").build(seed=3)
    (tmp_path / "base" / "trained").mkdir()
    save_weights(module, tmp_path / "base" / "trained" / "net.safetensors")
    for spec in ("base/net.yaml", "child.yaml"):
        again = netspec.load(tmp_path / spec).build(weights="DEFAULT")
        assert torch.equal(again.get_parameter("fc.weight"), module.get_parameter("fc.weight"))


def test_the_file_of_a_spec_is_read_when_it_is_asked_for_and_not_before(tmp_path: Path) -> None:
    graph = netspec.loads(NET % "nothing.pth", folder=tmp_path)
    graph.build()
    with pytest.raises(SpecError) as caught:
        graph.build(weights="DEFAULT")
    assert problem(caught).message == f"there is no file `{tmp_path / 'nothing.pth'}`"
    with pytest.raises(SpecError) as caught:
        graph.build(weights="IMAGENET1K_V1")
    assert problem(caught).help == ("`DEFAULT` is `nothing.pth`",)
    with pytest.raises(SpecError) as caught:
        graph.published_weights()
    assert problem(caught).help == ("`nothing.pth` is a file, which tells neither transforms nor classes",)


@pytest.mark.parametrize("path", ["../net.pth", "/net.pth", "inside/../../net.pth", "link.pth", "loop.pth"])
def test_no_spec_names_a_file_outside_its_folder(path: str, tmp_path: Path) -> None:
    folder = tmp_path / "specs"
    (folder / "inside").mkdir(parents=True)
    (tmp_path / "net.pth").touch()
    (folder / "link.pth").symlink_to(tmp_path / "net.pth")
    (folder / "loop.pth").symlink_to(folder / "loop.pth")
    with pytest.raises(SpecError) as caught:
        netspec.loads(NET % path, folder=folder)
    assert problem(caught).code == "outside-folder"
    assert problem(caught).span is not None


@pytest.mark.parametrize(
    "place", ["https://example.org/net.pth", "file:///net.pth", "keras/resnet50", "resnet50", "[]"]
)
def test_weights_of_a_spec_are_published_ones_or_a_file(place: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        netspec.loads(NET % place, folder=tmp_path)
    assert problem(caught).code == "wrong-value"


@pytest.mark.parametrize(
    ("needs", "code"),
    [
        ("{classes: 3}", "unknown-parameter"),
        ("{num_classes: 1 +}", "invalid-expression"),
        ("{num_classes: [3]}", "wrong-type"),
        ("num_classes", "wrong-type"),
    ],
)
def test_what_weights_need_is_checked(needs: str, code: str) -> None:
    with pytest.raises(SpecError) as caught:
        netspec.loads(NET % f"{{published: torchvision/resnet50, needs: {needs}}}")
    assert problem(caught).code == code


# Other classes, other keys -------------------------------------------------------------------------------------------


def test_a_head_for_other_classes_is_initialized_and_the_rest_kept(trained: torch.nn.Module) -> None:
    graph = netspec.load("resnet18", num_classes=2)
    with pytest.warns(
        UserWarning, match=r"120 of 122 tensors .* initialized: `fc.weight` is 1000×512 there and 2×512 here"
    ):
        ours = graph.build(weights=trained.state_dict())
    assert ours.get_parameter("fc.weight").shape == (2, 512)
    assert ours.get_parameter("fc.weight").abs().max() > 0
    assert torch.equal(ours.get_parameter("layer4.1.conv2.weight"), trained.get_parameter("layer4.1.conv2.weight"))


def test_the_report_names_every_entry(trained: torch.nn.Module) -> None:
    graph = netspec.load("resnet18", num_classes=2)
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


def test_what_an_extending_spec_changes_is_initialized_and_skipped(trained: torch.nn.Module) -> None:
    graph = netspec.loads(
        """
        netspec: 1
        extends: resnet18
        graph:
          fc: null
          head: {linear: 2}
        """
    )
    with pytest.warns(UserWarning, match="tensors") as caught:
        ours = graph.build(weights=trained.state_dict())
    assert str(caught[0].message) == (
        "120 of 122 tensors from the state_dict; initialized: `head` is missing there; skipped: `fc`"
    )
    assert torch.equal(ours.get_parameter("conv1.weight"), trained.get_parameter("conv1.weight"))


def test_weights_of_its_own_must_fit_a_spec_that_extends_another(trained: torch.nn.Module) -> None:
    graph = netspec.loads("netspec: 1\nextends: resnet18\nweights: torchvision/resnet18\nparams: {num_classes: 2}")
    with pytest.raises(SpecError):
        graph.build(weights=trained.state_dict())
    assert netspec.loads("netspec: 1\nextends: resnet18\nweights: null").weights == ""


def test_a_checkpoint_of_which_nothing_fits_is_an_error_always(trained: torch.nn.Module) -> None:
    renamed = {f"module.{key}": value for key, value in trained.state_dict().items()}
    with pytest.raises(SpecError) as caught:
        netspec.load("resnet18", num_classes=2).build(weights=renamed)
    assert problem(caught).code == "weights-mismatch"


def test_parts_that_were_left_out_are_skipped_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    state = torchvision.models.googlenet(weights=None, init_weights=False).state_dict()
    graph = netspec.load("googlenet", aux_logits=False)
    _, report = build_with_weights(graph, state)
    assert str(report) == "344 tensors from the state_dict; skipped: `aux1`, `aux2`"
    graph.build(weights=state)
    netspec.load("resnet18").build(weights=torchvision.models.resnet18().state_dict(), outputs="layer2")
    assert not recwarn.list


def test_a_seed_makes_a_new_head_reproducible(trained: torch.nn.Module) -> None:
    graph = netspec.load("resnet18", num_classes=2)
    before = torch.get_rng_state()
    one, two, other = (build_with_weights(graph, trained.state_dict(), seed=seed)[0] for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.get_parameter("fc.weight"), two.get_parameter("fc.weight"))
    assert not torch.equal(one.get_parameter("fc.weight"), other.get_parameter("fc.weight"))


def test_the_build_command_says_exactly_what_became_of_the_weights(tmp_path: Path, trained: torch.nn.Module) -> None:
    path = tmp_path / "f.pth"
    torch.save({**trained.state_dict(), "ema.decay": torch.ones(1)}, path)
    graph = netspec.load("resnet18", num_classes=2)
    frozen = ["conv1", "bn1"]
    report = build_and_report(graph, weights=str(path), seed=0, freeze=frozen, batch=1, outputs=())
    said = (
        f"120 of 122 tensors from {path}; initialized: `fc.weight` is 1000×512 there and 2×512 here, "
        "`fc.bias` is 1000 there and 2 here; skipped: `ema`"
    )
    assert f"\nweights     {said}" in report
    assert "\nfrozen      9,536 parameters in conv1, bn1; 11,168,002 are trained" in report


def test_keys_are_named_by_the_shortest_path_that_holds_no_other() -> None:
    assert covering(["a.b.c", "a.b.d", "e.f", "g"], ["a.x", "e.y.z"]) == ["a.b", "e.f", "g"]
    assert covering(["a.b.weight"], ["a.b.bias"]) == ["a.b.weight"]
    assert covering(["conv1.weight"], ["conv.weight"]) == ["conv1"]


@examples(100)
@given(text("ab.*", max_size=8), text("ab.", max_size=10), integers(0, 3))
def test_a_selector_means_what_a_regular_expression_says(selector: str, path: str, start: int) -> None:
    parts = re.split(r"(\*+)", selector)
    expression = "".join("[^.]*" if part == "*" else ".*" if "*" in part else re.escape(part) for part in parts)
    start = min(start, len(path))
    pattern = PathPattern(selector)
    assert pattern.matches(path, start) == bool(re.compile(expression).fullmatch(path, start))
    assert pattern.holds(path) == bool(re.match(rf"{expression}(?=\.|\Z)", path))


def test_many_stars_take_no_time() -> None:
    assert not PathPattern("**a" * 30 + "b").matches("a" * 200)


# Freezing ------------------------------------------------------------------------------------------------------------


def frozen(module: torch.nn.Module) -> set[str]:
    return {name for name, parameter in module.named_parameters() if not parameter.requires_grad}


def test_parameters_are_frozen_by_path() -> None:
    module = netspec.load("resnet18").build(seed=0, freeze=["conv1", "layer*.0", "layer4.1.conv2.weight"])
    names = frozen(module)
    assert {"conv1.weight", "layer2.0.downsample.0.weight", "layer4.1.conv2.weight"} <= names
    assert not names & {"bn1.weight", "layer1.1.conv1.weight", "layer4.1.bn2.weight", "fc.weight"}


FROZEN = """
netspec: 1
input: [4]
params: {deep: true}
freeze: [body, "*.0.bias"]
graph:
  body: {linear: 5}
  more: [{linear: 5}, {linear: 5}]
  deep: {linear: 5, if: deep}
  fc: {linear: 2}
"""


def test_a_spec_freezes_and_an_argument_of_build_freezes_more() -> None:
    graph = netspec.loads(FROZEN)
    assert frozen(graph.build()) == {"body.weight", "body.bias", "more.0.bias"}
    assert frozen(graph.build(freeze=["fc"])) == {"body.weight", "body.bias", "more.0.bias", "fc.weight", "fc.bias"}
    assert frozen(netspec.loads("netspec: 1\nextends: resnet18\nfreeze: conv1").build()) == {"conv1.weight"}


def test_what_was_left_out_need_not_be_frozen() -> None:
    deep = FROZEN.replace("[body,", "[deep.weight,")
    assert frozen(netspec.loads(deep).build()) == {"deep.weight", "more.0.bias"}
    assert frozen(netspec.loads(deep, deep=False).build()) == {"more.0.bias"}
    assert frozen(netspec.loads(deep).build(outputs="body")) == set()


def test_a_path_to_freeze_is_checked_without_building() -> None:
    with pytest.raises(SpecError) as caught:
        netspec.loads(FROZEN.replace("[body,", "[boody,"))
    diagnostic = problem(caught)
    assert diagnostic.code == "unmatched-freeze"
    assert diagnostic.help == ("did you mean `body`?",)
    assert diagnostic.span is not None
    assert (diagnostic.span.line, diagnostic.span.column) == (5, 10)


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


def test_a_file_of_another_format_is_a_message(tmp_path: Path) -> None:
    (tmp_path / "model.bin").touch()
    with pytest.raises(SpecError) as caught:
        netspec.load("resnet18").build(weights=tmp_path / "model.bin")
    assert problem(caught).code == "unknown-format"


def test_weights_of_another_type_are_a_message() -> None:
    with pytest.raises(SpecError, match="`weights` is a file, a name or a `state_dict`, got a int"):
        netspec.load("lenet5").build(weights=3)  # type: ignore[arg-type]


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
    assert "8 of 10 tensors from" in capsys.readouterr().out


def test_every_shipped_spec_can_take_a_state_dict_of_its_own() -> None:
    for name in ("lenet5", "shufflenet_v2_x0_5", "squeezenet1_1", "mobilenet_v3_small"):
        assert name in shipped_specs()
        module = netspec.load(name).build(seed=0)
        again = netspec.load(name).build(weights=module.state_dict())
        assert all(torch.equal(a, b) for a, b in zip(module.parameters(), again.parameters(), strict=True))
