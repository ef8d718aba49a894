"""Files for other programs: whole and readable where they can be written, and otherwise a clear message and no file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

import netspec
from netspec import Graph, SpecError
from netspec.backends import onnx_file
from netspec.backends.export import OF_GRAPH, OF_MODULE, export
from netspec.importing.onnx.file import from_onnx
from tests.commands import Run

FORMATS = [*OF_MODULE, *OF_GRAPH]

HEAD = "netspec: 1\nname: net\ninput: [3, 8, 8]\n"
BRANCHED = """
blocks:
  unit: {graph: {conv: {conv: [4, 3], padding: same, bias: false}, norm: batch_norm, act: relu}}
graph:
  first: unit
  second: {repeat: 2, unit: }
  add: {add: [first, second]}
  aux: {from: first, flatten: , training_only: true}
  pool: global_avg_pool
  fc: {linear: 5}
outputs: {logits: fc, aux: aux}
"""
SEVERAL = "graph: {a: {conv: [4, 1]}, b: relu}\noutputs: {first: a, second: b}\n"


def exported(text: str, path: Path, training: bool = True) -> tuple[Graph, Any]:
    """The graph of a spec and its module, after it was exported."""
    graph = netspec.loads(text)
    module = graph.build(seed=0).train(training)
    with torch.no_grad():
        module(*inputs(graph, 4))
    export(graph, str(path), module)
    return graph, module


def inputs(graph: Graph, batch: int) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(batch)
    return [
        torch.randn(batch, *type.shape, generator=draw)
        if type.dtype == "float32"
        else torch.randint(0, 9, (batch, *type.shape), generator=draw)
        for type in graph.inputs.values()
    ]


def listed(result: Any) -> list[torch.Tensor]:
    if isinstance(result, torch.Tensor):
        return [result]
    return list(result.values()) if isinstance(result, Mapping) else list(result)


# Programs of PyTorch -------------------------------------------------------------------------------------------------

TWO_INPUTS = """
netspec: 1
name: two
inputs: {words: {shape: [7], dtype: int64}, others: {shape: [7], dtype: int64}}
graph:
  embed: {from: words, embedding: [10, 4]}
  same: {from: others, call: embed}
  joined: {concat: [embed, same], dim: 2}
  fc: {linear: 3}
"""

DICT = HEAD + SEVERAL.replace("{first: a, second: b}", "{dict: {first: a, second: b}}")


@pytest.mark.parametrize(
    ("text", "kind"),
    [(HEAD + BRANCHED, torch.Tensor), (HEAD + SEVERAL, tuple), (DICT, dict), (TWO_INPUTS, torch.Tensor)],
)
def test_a_program_returns_what_the_module_does_in_eval_mode(text: str, kind: type, tmp_path: Path) -> None:
    graph, module = exported(text, tmp_path / "net.pt2")
    program = torch.export.load(tmp_path / "net.pt2")
    assert program.state_dict.keys() == module.state_dict().keys()
    module.eval()
    for batch in (1, 5):
        result = program.module()(*inputs(graph, batch))
        assert type(result) is kind
        for ours, theirs in zip(listed(result), listed(module(*inputs(graph, batch))), strict=True):
            torch.testing.assert_close(ours, theirs)


def test_a_program_needs_no_netspec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, module = exported(HEAD + SEVERAL, tmp_path / "net.pt2")
    with monkeypatch.context() as patch:
        for name in [name for name in sys.modules if name.partition(".")[0] == "netspec"]:
            patch.setitem(sys.modules, name, None)  # whoever imports it fails
        program = torch.export.load(tmp_path / "net.pt2").module()
        with pytest.raises(ImportError):
            import netspec.graph  # noqa: F401
    torch.testing.assert_close(program(*inputs(graph, 3))[1], module.eval()(*inputs(graph, 3)).second)


@pytest.mark.parametrize("training", [True, False])
def test_exporting_leaves_the_module_as_it_was(training: bool, tmp_path: Path) -> None:
    _, module = exported(HEAD + BRANCHED, tmp_path / "net.pt2", training)
    assert {child.training for child in module.modules()} == {training}
    results = listed(module(torch.ones(2, 3, 8, 8)))
    assert len(results) == (2 if training else 1)


# ONNX ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def branched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Graph, Any]:
    path = tmp_path_factory.mktemp("onnx") / "net.onnx"
    return path, *exported(HEAD + BRANCHED, path)


def test_onnxruntime_gives_the_same_for_any_batch(branched: tuple[Path, Graph, Any]) -> None:
    path, graph, module = branched
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [(value.name, value.shape) for value in session.get_inputs()] == [("x", ["batch", 3, 8, 8])]
    assert [(value.name, value.shape) for value in session.get_outputs()] == [("logits", ["batch", 5])]
    module.eval()
    for batch in (1, 6):
        (x,) = inputs(graph, batch)
        (result,) = session.run(None, {"x": x.numpy()})
        torch.testing.assert_close(torch.from_numpy(result), module(x), atol=1e-5, rtol=1e-4)


def test_initializers_of_onnx_are_the_state_dict(branched: tuple[Path, Graph, Any]) -> None:
    path, _, module = branched
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    held = {item.name: torch.tensor(numpy_helper.to_array(item)) for item in model.graph.initializer}
    evaluated = {key: value for key, value in module.state_dict().items() if not key.endswith("num_batches_tracked")}
    assert {name for name in held if not name.endswith("constant")} == evaluated.keys()
    assert all(torch.equal(held[key], value) for key, value in evaluated.items())


def test_nodes_of_onnx_are_called_by_their_paths(branched: tuple[Path, Graph, Any]) -> None:
    model = onnx.load(branched[0])
    assert [node.name for node in model.graph.node] == [
        *("first.conv.Conv", "first.norm.BatchNormalization", "first.act.Relu"),
        *("second.0.conv.Conv", "second.0.norm.BatchNormalization", "second.0.act.Relu"),
        *("second.1.conv.Conv", "second.1.norm.BatchNormalization", "second.1.act.Relu"),
        *("Add", "ReduceMean", "fc.Gemm"),  # what is no module is called by its operator alone
    ]
    assert [node.output[0] for node in model.graph.node[:-1]] == [node.name for node in model.graph.node[:-1]]


def test_an_onnx_file_is_imported_as_the_network_that_was_exported(branched: tuple[Path, Graph, Any]) -> None:
    path, graph, module = branched
    again, weights = from_onnx(path)
    assert list(again.state()) == list(graph.state())
    assert (again.parameters, again.macs, again.outputs) == (graph.parameters, graph.macs, graph.outputs)
    assert all(torch.equal(value, module.state_dict()[key]) for key, value in weights.items())


def test_an_onnx_file_says_nothing_of_this_machine(branched: tuple[Path, Graph, Any]) -> None:
    data = branched[0].read_bytes()
    assert str(Path(torch.__file__).parent).encode() not in data
    assert b"Traceback" not in data
    assert b"forward" not in data


def test_several_outputs_keep_their_names_in_onnx(tmp_path: Path) -> None:
    graph, module = exported(HEAD + SEVERAL, tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_outputs()] == ["first", "second"]
    (x,) = inputs(graph, 3)
    for ours, theirs in zip(session.run(None, {"x": x.numpy()}), module(x), strict=True):
        torch.testing.assert_close(torch.from_numpy(ours), theirs)


# What goes wrong -----------------------------------------------------------------------------------------------------


def test_an_unknown_suffix_is_refused_before_anything_is_built(run: Run) -> None:
    status, out, err = run("build", "good.yaml", "-o", "good.json", "-o", "good.h5")
    assert (status, out) == (1, "")
    assert err.startswith("error[unknown-format]: unknown format `.h5` of `good.h5`\n")
    assert f"the formats are {', '.join(FORMATS)}\n" in err
    assert not Path("good.json").exists()


@pytest.mark.parametrize("suffix", [suffix for suffix in FORMATS if suffix != ".onnx"])
def test_a_folder_that_is_not_there_is_named(suffix: str, run: Run) -> None:
    status, _, err = run("build", "good.yaml", "-o", f"there/good{suffix}")
    assert status == 1
    assert err.startswith(f"error[unwritable-file]: cannot write `there/good{suffix}`: no such file or directory\n")


def test_several_files_can_be_written_at_once(run: Run) -> None:
    status, out, err = run("build", "good.yaml", "-o", "a.pth", "-o", "a.safetensors", "-o", "a.json")
    assert (status, err) == (0, "")
    assert [line.split()[1] for line in out.splitlines()[-3:]] == ["a.pth,", "a.safetensors,", "a.json,"]
    assert netspec.load("a.json").build(weights="a.pth").state_dict().keys() == torch.load("a.pth").keys()


def test_what_pytorch_refuses_is_said_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_text("old")
    with pytest.raises(SpecError) as caught:
        exported(HEAD + "graph: [{adaptive_max_pool: 3}]\n", path)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "export-failed"
    assert diagnostic.message == f"PyTorch cannot export `net` to `{path}`"
    assert "aten.adaptive_max_pool2d" in diagnostic.notes[0]
    assert (path.read_text(), list(tmp_path.iterdir())) == ("old", [path])


def test_weights_that_onnx_cannot_hold_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, "LARGEST", 100)
    with pytest.raises(SpecError, match="an ONNX file holds less than 2 GiB"):
        exported(HEAD + SEVERAL.replace("4", "40"), tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(SpecError, match=r"needs the package `onnxscript`.*\n.*netspec\[onnx\]"):
        exported(HEAD + SEVERAL, tmp_path / "net.onnx")


@pytest.mark.parametrize(
    "suffixes", [[".safetensors", ".pth", ".json"], pytest.param([".pt2", ".onnx", ".py"], marks=pytest.mark.heavy)]
)
def test_a_full_disk_leaves_no_half_file(suffixes: list[str], tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(HEAD + "graph: [{repeat: 9, conv: [90, 3], padding: same}]\n")
    for suffix in suffixes:
        (tmp_path / f"net{suffix}").write_text("old")
    code = (
        "import resource, signal\n"
        "from netspec.cli import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        f"for suffix in {suffixes}:\n"
        "    try: main(['build', 'net.yaml', '-o', f'net{suffix}'])\n"
        "    except SystemExit as end: assert end.code == 1, suffix\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    said = [line for line in ran.stderr.splitlines() if line.startswith("error")]
    refused = [f"error[unwritable-file]: cannot write `net{suffix}`: " for suffix in suffixes]
    assert [line.startswith(start) for line, start in zip(said, refused, strict=True)] == [True] * len(suffixes), said
    assert {path.name: path.read_text() for path in tmp_path.glob("net.*") if path.suffix != ".yaml"} == {
        f"net{suffix}": "old" for suffix in suffixes
    }
    assert len(list(tmp_path.iterdir())) == len(suffixes) + 1
