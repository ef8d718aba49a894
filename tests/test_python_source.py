"""The Python file of a network: read by people, run by PyTorch, and the same network as the graph it was made of."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from torch import nn

import netspec
from netspec.backends.class_names import class_name
from netspec.backends.python.python import folded_python, to_plain_python, to_python
from netspec.backends.python.replay import is_network
from netspec.catalog import library_blocks, shipped_specs
from netspec.graph import Graph
from netspec.ops import op_class
from netspec.ops.base import StateCall
from tests.commands import Run
from tests.conftest import Golden
from tests.test_goldens import ARGUMENTS, FAMILIES
from tests.test_random_networks import QUICK, specs

GOLDENS = Path(__file__).parent / "goldens" / "python"
READ = [
    "resnet50",
    "googlenet",
    "densenet121",
    "efficientnet_b0",
    "lenet5",
    "vgg16",
    "vit_b_16",
    "inception_v3",
    "swin_t",
    "swin_v2_t",
    "hybrid",
    "res2net50_26w_4s",
    "shufflenet_v2_x1_0",
    "regnet_x_400mf",
    "capsulenet",
    "lenet5_1998",
]
LINES = {"resnet50": 130, "googlenet": 160, "densenet121": 120, "efficientnet_b0": 180}
SMALL = ["lenet5", "resnet18", "googlenet", "densenet121", "efficientnet_b0", "hybrid", "shufflenet_v2_x0_5", "crnn"]
SIZES = {"resnet18": [3, 64, 64], "googlenet": [3, 64, 64], "densenet121": [3, 64, 64], "efficientnet_b0": [3, 64, 64]}
SIZES |= {"shufflenet_v2_x0_5": [3, 64, 64]}


def module_of(graph: Graph, source: str | None = None) -> nn.Module:
    """The network that the file makes."""
    variables: dict[str, Any] = {"__name__": "model"}
    exec(compile(to_python(graph) if source is None else source, "model.py", "exec"), variables)  # noqa: S102
    module = variables[class_name(graph.name)]()
    assert isinstance(module, nn.Module)
    return module


def state_of(module: nn.Module) -> dict[str, tuple[tuple[int, ...], str]]:
    return {key: (tuple(value.shape), str(value.dtype)) for key, value in module.state_dict().items()}


def tensors(result: Any) -> list[torch.Tensor]:
    if isinstance(result, torch.Tensor):
        return [result]
    return list(result.values()) if isinstance(result, dict) else list(result)


@pytest.mark.parametrize("name", READ)
def test_the_file_is_the_golden_one(name: str, golden: Golden) -> None:
    golden(GOLDENS / f"{name}.py", to_python(netspec.load(name)))


@pytest.mark.parametrize("name", LINES)
def test_the_file_is_short(name: str) -> None:
    assert len(to_python(netspec.load(name)).splitlines()) <= LINES[name]


@pytest.mark.parametrize("name", shipped_specs())
def test_every_spec_has_a_file_with_one_class_for_each_kind_of_block(name: str) -> None:
    assert folded_python(netspec.load(name)) is not None


@pytest.mark.parametrize("name", FAMILIES)
def test_the_state_is_that_of_the_graph(name: str) -> None:
    graph = netspec.load(name)
    with torch.device("meta"):
        module = module_of(graph)
    expected = {key: (state.shape, f"torch.{state.dtype}") for key, state in graph.state().items()}
    assert list(state_of(module).items()) == list(expected.items())


def compare(graph: Graph) -> None:
    """Outputs, gradients and running statistics of the file's network and of the built one, bit for bit."""
    built, written = graph.build(seed=0), module_of(graph)
    written.load_state_dict(built.state_dict())
    inputs = [
        torch.randn(2, *type.shape)
        if type.dtype == "float32"
        else torch.zeros(2, *type.shape, dtype=getattr(torch, type.dtype))
        for type in graph.inputs.values()
    ]
    for training in (False, True):
        found = []
        for module in (built, written):
            torch.manual_seed(1)
            outputs = tensors(module.train(training)(*inputs))
            if training:
                torch.stack([output.square().mean() for output in outputs]).sum().backward()
            found.append(outputs)
        assert len(found[0]) == len(found[1])
        assert all(map(torch.equal, *found))
    pairs = zip(built.named_parameters(), written.named_parameters(), strict=True)
    for (name, expected), (_, parameter) in pairs:
        assert (expected.grad is None) is (parameter.grad is None), name
        assert expected.grad is None or parameter.grad is None or torch.equal(expected.grad, parameter.grad), name
    assert all(map(torch.equal, built.state_dict().values(), written.state_dict().values()))


@pytest.mark.parametrize("name", SMALL)
def test_outputs_and_gradients_are_those_of_the_built_module(name: str) -> None:
    compare(netspec.load(name, input=SIZES[name]) if name in SIZES else netspec.load(name))


@pytest.mark.heavy
@pytest.mark.parametrize("name", shipped_specs())
def test_outputs_and_gradients_of_every_spec_are_those_of_the_built_module(name: str) -> None:
    compare(netspec.load(name))


@pytest.mark.parametrize("name", ["resnet18", "googlenet", "densenet121", "efficientnet_b0", "hybrid", "squeezenet1_0"])
def test_initial_weights_are_those_of_the_built_module_under_the_same_seed(name: str) -> None:
    check_initial(netspec.load(name))


@pytest.mark.heavy
@pytest.mark.parametrize("name", FAMILIES)
def test_initial_weights_of_every_family_are_those_of_the_built_module(name: str) -> None:
    check_initial(netspec.load(name))


def check_initial(graph: Graph) -> None:
    expected = graph.build(init="pytorch", seed=3).state_dict()
    torch.manual_seed(3)
    found = module_of(graph).state_dict()
    assert [key for key in expected if not torch.equal(expected[key], found[key])] == []


@settings(QUICK, max_examples=25)
@given(specs())
def test_the_file_of_a_random_network_is_that_network(text: str) -> None:
    graph = netspec.loads(text)
    assert folded_python(graph) is not None
    assert is_network(to_plain_python(graph), graph)


@pytest.mark.parametrize("name", sorted(set(library_blocks()) & set(ARGUMENTS)))
def test_a_library_block_in_a_file_has_the_outputs_of_the_built_one(name: str) -> None:
    compare(netspec.loads(f"netspec: 1\ninput: [8, 16, 16]\ngraph: {{a: {{{name}: {ARGUMENTS[name]}}}}}\n"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("stride=stride, padding=1", "stride=1, padding=1"),
        ("nn.ReLU(inplace=True)", "nn.GELU()"),
        ("x = self.layer3(x)", "x = self.layer2(x)"),
        ("y += x", "y -= x"),
        ("bn2", "bn_2"),
        ("for _ in range(2)", "for _ in range(3)"),
    ],
)
def test_a_file_with_another_network_is_found_out(before: str, after: str) -> None:
    graph = netspec.load("resnet18", layers=[2, 2, 2, 3])
    source = to_python(graph)
    assert before in source
    assert is_network(source, graph)
    assert not is_network(source.replace(before, after), graph)


def test_nothing_that_a_spec_says_of_itself_is_run() -> None:
    text = "netspec: 1\nname: quoted\nabout: '{}'\nreference: '{}'\ninput: [4]\ngraph: {{fc: {{linear: 2}}}}\n"
    for words in ('a""" + boom() + """b', 'ends with "', "back\\\\slash \\", '\\""" + boom() #'):
        graph = netspec.loads(text.format(words, words))
        assert folded_python(graph) is not None
        assert isinstance(module_of(graph), nn.Module)


def test_code_for_a_constant_says_what_its_values_say() -> None:
    for op in ("relative_position_index", "relative_position_offsets"):
        for window in ((7, 7), (3, 5), (4, 4, 2)):
            call = op_class(op)(window_size=window).torch()
            assert isinstance(call, StateCall)
            *statements, value = call.code
            variables: dict[str, Any] = {"torch": torch}
            exec("\n".join([*statements, f"value = {value}"]), variables)  # noqa: S102
            assert torch.equal(variables["value"], torch.tensor(call.values, dtype=variables["value"].dtype))


def test_build_writes_the_file_without_pytorch(tmp_path: Path) -> None:
    target = tmp_path / "model.py"
    program = (
        "import sys; sys.modules['torch'] = None\n"
        f"from netspec.cli import main\nmain(['build', 'resnet18', '-o', {str(target)!r}])\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert str(target) in result.stdout
    assert target.read_text(encoding="utf-8") == to_python(netspec.load("resnet18"))


def test_an_unknown_suffix_lists_python_among_the_formats(run: Run) -> None:
    status, _, stderr = run("build", "good.yaml", "-o", "model.txt")
    assert status == 1
    assert ".py" in stderr
    assert not Path("model.txt").exists()
