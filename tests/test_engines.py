"""A network takes part in PyTorch's own ecosystem: it is compiled, traced, copied, hooked, quantized and exported.

Each test is a row of `docs/capabilities.md`. What costs more than a moment is tried on a small network in every run,
and on those of the page by `python tasks.py capabilities`.
"""

from __future__ import annotations

import copy
import io
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn
from torch.ao.quantization import get_default_qconfig_mapping, quantize_dynamic
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx
from torchvision.models.feature_extraction import create_feature_extractor

import netspec
from netspec import Graph
from netspec.backends.export import export
from tests.conftest import Note

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # PyTorch's, of its own older ways
    pytest.mark.filterwarnings("ignore::UserWarning:torch"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]

BLOCKS = {
    "small": "weighed",
    "resnet50": "layer4.2",
    "googlenet": "inception5b",
    "densenet121": "features.denseblock4",
    "efficientnet_b0": "features.7",
    "vit_b_16": "encoder.layers.encoder_layer_10",
    "hybrid": "mobile",
}
"""The networks, and a block of each, late in it, whose output people look at."""

NAMES = tuple(name for name in BLOCKS if name != "small")

SMALL = """
netspec: 1
name: small
input: [3, 32, 32]
graph:
  stem: {conv_norm_act: [8, 3, 2]}
  scales: {inception: [4, 4, 8, 2, 4, 4]}
  residual: {bottleneck: 4, stride: 2}
  weighed: {squeeze_excitation: 4}
  aux: {from: residual, auxiliary_classifier: [5, 0.5], training_only: true}
  tokens: {from: weighed, flatten: 2}
  sequence: {permute: [0, 2, 1]}
  attended: {from: [sequence, sequence, sequence], multihead_attention: 4}
  pooled: {mean: 1}
  fc: {linear: 5}
outputs: {logits: fc, aux: aux}
"""


def tried_with(*always: str) -> pytest.MarkDecorator:
    """Try something with these networks in every run, and with the others for the page."""
    others = [pytest.param(name, marks=pytest.mark.heavy) for name in NAMES if name not in always]
    return pytest.mark.parametrize("name", [*always, *others])


LIGHT = tried_with("small", "googlenet", "efficientnet_b0", "hybrid")
COSTLY = tried_with("small")
EXPORT = tried_with()  # `test_export.py` has small ones


class Network(NamedTuple):
    """A network in eval mode, pictures for it, and what it makes of them. Nobody changes it."""

    graph: Graph
    module: Any
    x: torch.Tensor
    y: torch.Tensor


@cache
def network(name: str) -> Network:
    """A network for pictures of 64 pixels, or of its own size if it is smaller, whose outputs are no noise."""
    graph = netspec.loads(SMALL) if name == "small" else netspec.load(name, input=[3, 64, 64])
    module = graph.build(seed=0)
    draw = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.02, generator=draw)  # a head of zeros gives zeros
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = 1.0  # so that one batch gives the statistics
    size = graph.inputs["x"].shape
    torch.manual_seed(0)
    with torch.no_grad():
        module(torch.randn(8, *size, generator=draw))
    module.eval()
    x = torch.randn(2, *size, generator=draw)
    return Network(graph, module, x, evaluated(module, x))


def evaluated(module: Any, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = module(x)
    return result


def assert_close(ours: torch.Tensor, theirs: torch.Tensor, tolerance: float = 1e-4) -> None:
    """The largest difference is less than a part of the largest value."""
    assert ours.shape == theirs.shape
    assert (ours.float() - theirs).abs().max() <= tolerance * theirs.abs().max()


def assert_alike(ours: torch.Tensor, theirs: torch.Tensor, cosine: float) -> None:
    """They point the same way. Nobody trained these networks, so rounding grows from layer to layer."""
    assert nn.functional.cosine_similarity(ours.float(), theirs).min() > cosine


# Copies and other processes ------------------------------------------------------------------------------------------


@LIGHT
@pytest.mark.proves("deepcopy")
def test_a_deep_copy_gives_the_same(name: str) -> None:
    """`copy.deepcopy`."""
    _, module, x, y = network(name)
    assert torch.equal(evaluated(copy.deepcopy(module), x), y)


@LIGHT
@pytest.mark.proves("pickle")
def test_a_pickled_module_gives_the_same(name: str) -> None:
    """`pickle.dumps` and `pickle.loads`."""
    _, module, x, y = network(name)
    assert torch.equal(evaluated(pickle.loads(pickle.dumps(module)), x), y)


def selected(request: pytest.FixtureRequest, test: str) -> list[str]:
    """The networks that a test of this run is about."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    return [str(item.callspec.params["name"]) for item in items if item.originalname == test]


@pytest.fixture(scope="module")
def loaded_elsewhere(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[float]]:
    """What each network gives in another process, which loads its module whole."""
    folder = tmp_path_factory.mktemp("modules")
    for name in selected(request, "test_a_saved_module_gives_the_same_in_another_process"):
        torch.save((network(name).module, network(name).x), folder / f"{name}.pt")
    code = (
        "import json, sys, torch\n"
        "from pathlib import Path\n"
        "torch.set_num_threads(1)\n"
        "found = {}\n"
        "for path in Path(sys.argv[1]).iterdir():\n"
        "    module, x = torch.load(path, weights_only=False)\n"
        "    with torch.no_grad(): found[path.stem] = module(x).flatten().tolist()\n"
        "print(json.dumps(found))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    found: dict[str, list[float]] = json.loads(ran.stdout)
    return found


@tried_with("small", "hybrid")
@pytest.mark.proves("torch.save of the module")
def test_a_saved_module_gives_the_same_in_another_process(name: str, loaded_elsewhere: dict[str, list[float]]) -> None:
    """`torch.save` of the whole module, and `torch.load` in a process that has netspec and nothing of this one."""
    y = network(name).y
    assert_close(torch.tensor(loaded_elsewhere[name]).view_as(y), y, 1e-5)


# Looking inside ------------------------------------------------------------------------------------------------------


@LIGHT
@pytest.mark.proves("hooks, Grad-CAM")
def test_hooks_see_what_a_block_gives_and_its_gradient(name: str) -> None:
    """Forward and backward hooks on a late block. Grad-CAM weighs its channels by their gradients."""
    module, x = copy.deepcopy(network(name).module), network(name).x
    block = module.get_submodule(BLOCKS[name])
    seen: dict[str, torch.Tensor] = {}

    def forward_hook(_: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        seen["output"] = output
        output.register_hook(lambda gradient: seen.update(gradient=gradient))

    block.register_forward_hook(forward_hook)
    block.register_full_backward_hook(lambda _, inputs, outputs: seen.update(by_module=outputs[0]))
    y = module(x)
    torch.testing.assert_close(y, network(name).y)
    y[:, 0].sum().backward()
    assert torch.equal(seen["gradient"], seen["by_module"])
    spatial = tuple(range(2, x.ndim)) if seen["output"].ndim == x.ndim else (1,)
    weights = seen["gradient"].mean(spatial, keepdim=True)
    heat = (weights * seen["output"]).sum(1 if len(spatial) > 1 else 2).relu()
    assert heat.shape == seen["output"].select(1 if len(spatial) > 1 else 2, 0).shape
    assert heat.any(), "some place speaks for the class"


@LIGHT
@pytest.mark.proves("feature_extraction")
def test_feature_extraction_takes_a_block(name: str) -> None:
    """`create_feature_extractor` of torchvision, for what a late block gives."""
    module, x = network(name).module, network(name).x
    seen: list[torch.Tensor] = []
    handle = module.get_submodule(BLOCKS[name]).register_forward_hook(lambda _, inputs, output: seen.append(output))
    module(x)
    handle.remove()
    features = create_feature_extractor(module, {BLOCKS[name]: "block"}, suppress_diff_warning=True)
    assert torch.equal(features.eval()(x)["block"], seen[0])


@LIGHT
@pytest.mark.proves("torch.fx")
def test_fx_traces_it(name: str) -> None:
    """`torch.fx.symbolic_trace`."""
    _, module, x, y = network(name)
    assert torch.equal(evaluated(torch.fx.symbolic_trace(module), x), y)


# Numbers and memory --------------------------------------------------------------------------------------------------


@LIGHT
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
@pytest.mark.proves("autocast")
def test_autocast_computes_in_half_precision(name: str, dtype: torch.dtype) -> None:
    """`torch.autocast` to bfloat16 and to float16, a cosine above 0.9; in bfloat16 with gradients."""
    module, x, y = copy.deepcopy(network(name).module), network(name).x, network(name).y
    with torch.autocast("cpu", dtype):
        result = module(x)
    assert result.dtype is dtype
    assert_alike(result, y, 0.9)
    if dtype is torch.bfloat16:
        result.float().logsumexp(1).sum().backward()
        assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in module.parameters())
        assert any(p.grad is not None and bool(p.grad.any()) for p in module.parameters())


@LIGHT
@pytest.mark.proves("half, bfloat16")
def test_the_module_itself_may_be_of_half_precision(name: str) -> None:
    """`module.half()` and `module.bfloat16()`, a cosine above 0.9."""
    _, module, x, y = network(name)
    assert_alike(copy.deepcopy(module).half()(x.half()), y, 0.9)
    assert_alike(copy.deepcopy(module).bfloat16()(x.bfloat16()), y, 0.9)


@LIGHT
@pytest.mark.proves("channels-last")
def test_channels_may_be_last(name: str) -> None:
    """Module and pictures in `torch.channels_last`."""
    _, module, x, y = network(name)
    last = copy.deepcopy(module).to(memory_format=torch.channels_last)
    assert_close(last(x.contiguous(memory_format=torch.channels_last)), y)


# Compilers -----------------------------------------------------------------------------------------------------------


@COSTLY
@pytest.mark.proves("torch.compile")
def test_torch_compile_makes_one_graph_of_it(name: str) -> None:
    """`torch.compile(fullgraph=True)`, forward with the backend `eager`; the gradients of training with `aot_eager`."""
    _, module, x, y = network(name)
    torch.compiler.reset()
    compiled: Any = torch.compile(module, fullgraph=True, backend="eager")
    assert_close(evaluated(compiled, x), y)
    ours, theirs = (copy.deepcopy(module).train() for _ in range(2))
    compiled = torch.compile(ours, fullgraph=True, backend="aot_eager")
    for trained, run in ((ours, compiled), (theirs, theirs)):
        for layer in trained.modules():
            if "Dropout" in type(layer).__name__ or "StochasticDepth" in type(layer).__name__:
                layer.p = 0.0  # the two draw other numbers
        result = run(x)
        sum(output.logsumexp(1).sum() for output in (result if isinstance(result, tuple) else (result,))).backward()
    for (key, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, atol=1e-3, rtol=1e-3, msg=key)


@COSTLY
@pytest.mark.proves("torch.jit.trace")
def test_torchscript_traces_it(name: str) -> None:
    """`torch.jit.trace`, which PyTorch calls deprecated."""
    _, module, x, y = network(name)
    buffer = io.BytesIO()
    with torch.no_grad():
        torch.jit.save(torch.jit.trace(module, (x,)), buffer)
    buffer.seek(0)
    assert_close(evaluated(torch.jit.load(buffer), x), y)


@COSTLY
@pytest.mark.proves("torch.jit.script")
def test_torchscript_compiles_it(name: str) -> None:
    """`torch.jit.script`, which PyTorch calls deprecated."""
    graph, module, x, y = network(name)
    if len(graph.root.outputs) > 1:
        with pytest.raises(RuntimeError, match="is not defined in the false branch"):
            torch.jit.script(module)
        pytest.xfail("TorchScript wants results of one type, and in training this network has auxiliary ones, too.")
    assert_close(evaluated(torch.jit.script(module), x), y)


# Files ---------------------------------------------------------------------------------------------------------------


@EXPORT
@pytest.mark.proves(".pt2")
def test_an_exported_program_gives_the_same(name: str, tmp_path: Path) -> None:
    """`netspec build -o model.pt2`, loaded again, for another number of pictures than it was exported with."""
    graph, module, x, y = network(name)
    export(graph, str(tmp_path / "net.pt2"), module)
    program = torch.export.load(tmp_path / "net.pt2")
    assert program.state_dict.keys() == module.state_dict().keys()
    result = program.module()(torch.cat([x, x, x]))
    assert_close(result[0] if isinstance(result, tuple) else result, torch.cat([y, y, y]))


@EXPORT
@pytest.mark.proves(".onnx")
def test_onnxruntime_gives_the_same(name: str, tmp_path: Path) -> None:
    """`netspec build -o model.onnx`, run by onnxruntime, for another number of pictures than it was exported with."""
    import onnxruntime

    graph, module, x, y = network(name)
    export(graph, str(tmp_path / "net.onnx"), module)
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {"x": torch.cat([x, x, x]).numpy()})
    assert_close(torch.from_numpy(result), torch.cat([y, y, y]))


@LIGHT
@pytest.mark.proves(".json")
def test_what_is_built_of_a_graph_file_gives_the_same(name: str, tmp_path: Path) -> None:
    """`netspec build -o model.json`, read by `netspec.load` and built; weights are loaded with `strict=True`."""
    graph, module, x, y = network(name)
    export(graph, str(tmp_path / "net.json"))
    again = netspec.load(tmp_path / "net.json").build(weights=module.state_dict()).eval()
    assert torch.equal(evaluated(again, x), y)


@COSTLY
@pytest.mark.proves("netspec.from_module")
def test_the_module_comes_back_as_a_spec_of_itself(name: str) -> None:
    """`netspec.from_module` of the built module writes a spec that is built again; weights are loaded strictly."""
    _, module, x, y = network(name)
    again = netspec.loads(netspec.from_module(module, x[:1])).build(weights=module.state_dict()).eval()
    assert torch.equal(evaluated(again, x), y)


# Quantization --------------------------------------------------------------------------------------------------------


def quantized_statically(module: nn.Module, x: torch.Tensor) -> nn.Module:
    prepared = prepare_fx(module, get_default_qconfig_mapping("x86"), (x,))
    prepared(x)
    converted: nn.Module = convert_fx(prepared)
    return converted


def quantized_dynamically(module: nn.Module, x: torch.Tensor) -> nn.Module:
    changed: nn.Module = quantize_dynamic(module, {nn.Linear}, dtype=torch.qint8)
    return changed


@COSTLY
@pytest.mark.parametrize("quantized", [quantized_statically, quantized_dynamically], ids=["static", "dynamic"])
@pytest.mark.proves("quantization")
def test_quantization_keeps_the_outputs(
    name: str, quantized: Callable[[nn.Module, torch.Tensor], nn.Module], note: Note
) -> None:
    """`torch.ao.quantization`: static by `prepare_fx` and `convert_fx`, or dynamic; outputs with cosine above 0.75."""
    note("PyTorch keeps its newer way, PT2E, in the package torchao. It begins with `torch.export`, as `.pt2` does.")
    _, module, x, y = network(name)
    result = quantized(copy.deepcopy(module), x)(x)
    assert_alike(result, y, 0.75)
