"""The built module is a tree of ordinary modules, and what runs is readable."""

from __future__ import annotations

import copy
import inspect
import io
import json
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import torch
from torch import nn

import netspec

HEAD = "netspec: 1\nname: net\ninput: [3, 16, 16]\n"


def built(text: str, head: str = HEAD, **parameters: Any) -> Any:
    return netspec.loads(head + dedent(text), **parameters).build(seed=0)


def pictures(batch: int = 2, size: int = 16) -> torch.Tensor:
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def resnet() -> Any:
    return netspec.load("resnet18").build(seed=0).eval()


# Structure -----------------------------------------------------------------------------------------------------------


def test_a_list_becomes_a_real_sequential_that_can_be_sliced() -> None:
    module = built("graph: [{conv: [8, 3]}, batch_norm, relu, flatten]")
    assert type(module) is nn.Sequential
    assert [type(child) for child in module] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Flatten]


def test_slices_of_a_sequential_compose() -> None:
    module = built("graph: [{conv: [8, 3]}, relu, flatten]")
    assert torch.equal(module[1:](module[:1](pictures())), module(pictures()))


def test_paths_of_the_graph_are_paths_of_the_module() -> None:
    graph = netspec.load("googlenet")
    modules = dict(graph.build(seed=0).named_modules())
    functions = {"concat", "add", "mul", "flatten"}
    assert [path for path, node in graph.walk() if node.kind not in functions and path not in modules] == []


def test_hooks_of_a_block_fire(resnet: Any) -> None:
    seen: list[tuple[int, ...]] = []
    handle = resnet.layer2[0].register_forward_hook(lambda module, inputs, output: seen.append(tuple(output.shape)))
    resnet(pictures(1, 64))
    handle.remove()
    assert seen == [(1, 128, 8, 8)]


def test_a_block_can_be_replaced(resnet: Any) -> None:
    module = copy.deepcopy(resnet)
    module.layer4 = nn.Identity()
    module.fc = nn.Linear(256, 3)
    assert module(pictures(1, 64)).shape == (1, 3)


def test_a_block_can_be_wrapped(resnet: Any) -> None:
    module = copy.deepcopy(resnet)
    module.layer1[0] = nn.Sequential(module.layer1[0], nn.Identity())
    assert torch.equal(module(pictures(1, 64)), resnet(pictures(1, 64)))


def test_a_block_can_be_called_on_its_own(resnet: Any) -> None:
    assert resnet.layer2[0](torch.randn(1, 64, 8, 8)).shape == (1, 128, 4, 4)


def test_copies_do_not_share_weights(resnet: Any) -> None:
    assert resnet.layer1[0].conv1.weight is not resnet.layer1[1].conv1.weight


def test_a_shared_module_is_one_module() -> None:
    head = "netspec: 1\nname: siamese\ninputs: {left: [3, 16, 16], right: [3, 16, 16]}\n"
    module = built("graph: {a: {from: left, conv: [8, 3]}, b: {from: right, call: a}, out: {sub: [a, b]}}", head)
    x = pictures()
    assert not module(x, x).any()
    assert [name for name, _ in module.named_children()] == ["a"]


# Copies, pickles, other processes ------------------------------------------------------------------------------------


def by_pickle(module: Any) -> Any:
    return pickle.loads(pickle.dumps(module))


def by_torch_save(module: Any) -> Any:
    buffer = io.BytesIO()
    torch.save(module, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, by_pickle, by_torch_save])
def test_a_module_and_its_parts_can_be_duplicated(resnet: Any, duplicate: Callable[[Any], Any]) -> None:
    assert torch.equal(duplicate(resnet)(pictures(1, 64)), resnet(pictures(1, 64)))
    x = torch.randn(1, 64, 8, 8)
    assert torch.equal(duplicate(resnet.layer2)(x), resnet.layer2(x))
    assert type(duplicate(resnet.layer2[0])) is type(resnet.layer2[0])


def test_a_saved_module_loads_in_another_process(resnet: Any, tmp_path: Path) -> None:
    torch.save(resnet, tmp_path / "net.pt")
    expected = resnet(torch.ones(1, 3, 64, 64)).sum().item()
    code = f"""
        import torch
        module = torch.load({str(tmp_path / "net.pt")!r}, weights_only=False)
        print(module(torch.ones(1, 3, 64, 64)).sum().item())
    """
    result = subprocess.run([sys.executable, "-c", dedent(code)], capture_output=True, text=True, check=True)
    assert float(result.stdout) == pytest.approx(expected, rel=1e-5)


# Forward -------------------------------------------------------------------------------------------------------------


def test_forward_is_straight_line_code_with_the_place_in_the_spec(resnet: Any) -> None:
    source = inspect.getsource(type(resnet.layer1[0]).forward)
    assert source == dedent(
        """\
        def forward(self, x):
            out = self.conv1(x)  # basic_block.yaml:6
            out = self.bn1(out)  # basic_block.yaml:7
            out = self.relu1(out)  # basic_block.yaml:8
            out = self.conv2(out)  # basic_block.yaml:9
            out = self.bn2(out)  # basic_block.yaml:10
            out += x  # basic_block.yaml:15
            out = self.relu(out)  # basic_block.yaml:16
            return out
        """
    )


def test_a_traceback_shows_the_line_that_failed(resnet: Any) -> None:
    with pytest.raises(RuntimeError) as caught:
        resnet(torch.randn(1, 4, 64, 64))
    text = "".join(traceback.format_exception(caught.value))
    assert "x = self.conv1(x)  # resnet18.yaml:10" in text


def test_no_tensor_outlives_its_last_use(resnet: Any) -> None:
    source = inspect.getsource(type(resnet).forward)
    assert "x = self.layer1(x)" in source
    assert "out" not in source


def test_several_outputs_are_a_named_tuple() -> None:
    module = built("graph: {a: {conv: [8, 1]}, b: relu}\noutputs: {first: a, second: b}")
    result = module(pictures())
    assert result._fields == ("first", "second")
    assert result.second.shape == (2, 8, 16, 16)


def test_outputs_declared_as_a_dict_are_a_dict() -> None:
    module = built("graph: {a: {conv: [8, 1]}, b: relu}\noutputs: {dict: {out: b}}")
    assert list(module(pictures())) == ["out"]


def test_the_outputs_of_an_inner_block_are_taken_apart() -> None:
    text = """
        blocks:
          two: {graph: {a: {conv: [4, 1]}, b: {conv: [4, 1]}}, outputs: [a, b]}
          named: {graph: {a: {conv: [4, 1]}, b: {conv: [4, 1]}}, outputs: {dict: {p: a, q: b}}}
        graph:
          two: two
          named: {from: two.a, named: }
          out: {concat: [two.b, named.q, named.p]}
        """
    assert built(text)(pictures()).shape == (2, 12, 16, 16)


def test_functions_in_a_list_are_modules_that_can_be_pickled() -> None:
    module = built("graph: [{conv: [8, 3]}, {mean: [2, 3]}, {reshape: [2, 4]}, {transpose: [1, 2]}]")
    assert module(pictures()).shape == (2, 4, 2)
    assert torch.equal(by_pickle(module)(pictures()), module(pictures()))


def test_a_recurrent_op_in_a_list_gives_its_output_alone() -> None:
    module = built("graph: [{lstm: 8}, {gru: [4, 2]}, {linear: 2}]", "netspec: 1\nname: net\ninput: [7, 3]\n")
    assert module(torch.randn(2, 7, 3)).shape == (2, 7, 2)
    assert "0.weight_ih_l0" in module.state_dict()
    assert torch.equal(by_pickle(module)(torch.ones(2, 7, 3)), module(torch.ones(2, 7, 3)))


def test_final_states_have_the_batch_in_front() -> None:
    text = "graph: {rnn: {lstm: [8, 2]}, out: {concat: [rnn.h, rnn.c]}}"
    module = built(text, "netspec: 1\nname: net\ninput: [7, 3]\n")
    assert module(torch.randn(5, 7, 3)).shape == (5, 4, 8)


def test_parameters_and_constants_belong_to_the_module_around_them() -> None:
    text = """
        graph:
          scale: {parameter: [3, 1, 1]}
          offset: {constant: , value: [[[1.0]], [[2.0]], [[3.0]]]}
          mul: {mul: [x, scale]}
          add: {add: [mul, offset]}
        init: {scale: {value: ones}}
        """
    module = built(text)
    x = pictures()
    assert torch.equal(module(x), x + torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1))
    assert list(module.state_dict()) == ["scale", "offset"]


HOLDING = """
graph:
  a.b.0: {conv: [4, 1]}
  c: {conv: [4, 1]}
  a.shift: {constant: 2.0}
  a.scale: {parameter: [4, 1, 1]}
  own: {parameter: [4, 1, 1]}
  cut.0: {from: c, chunk: 2}
  sums.0: {add: [cut.0.0, cut.0.1]}
  a.b.1: {conv: [4, 1]}
  scaled: {mul: [a.b.1, a.scale]}
  added: {add: [scaled, own]}
  shifted: {add: [added, a.shift]}
  a.d: {graph: {p: {conv: [4, 1]}, q: {conv: [5, 1]}}, outputs: {p: p, q: q}}
  again: {from: a.d.p, call: c}
  lists.0: {repeat: 2, conv: [6, 1]}
outputs: {first: lists.0, second: a.d.q}
init: {a.scale: {value: ones}, "a.b.*": {bias: ones}}
"""


def test_dots_in_names_make_modules_that_only_hold_others() -> None:
    graph = netspec.loads(HEAD + HOLDING)
    module: Any = graph.build(seed=0)
    assert [name for name, _ in module.named_children()] == ["a", "c", "lists"]
    assert [name for name, _ in module.a.named_children()] == ["b", "d"]
    assert type(module.a) is nn.Module
    assert list(graph.state()) == list(module.state_dict())
    assert list(module.state_dict())[:4] == ["own", "a.scale", "a.shift", "a.b.0.weight"]
    modules = [name for name, _ in module.named_modules()]
    only_holding = ("", "a", "a.b", "lists")
    assert [path for path, _ in graph.walk() if path in modules] == [n for n in modules if n not in only_holding]


def test_rules_and_freezing_reach_what_a_module_holds() -> None:
    module = netspec.loads(HEAD + HOLDING).build(seed=0, freeze=["a.b"])
    state = module.state_dict()
    assert all(bool((state[key] == 1).all()) for key in ("a.scale", "a.b.0.bias", "a.b.1.bias"))
    frozen = [name for name, parameter in module.named_parameters() if not parameter.requires_grad]
    assert frozen == ["a.b.0.weight", "a.b.0.bias", "a.b.1.weight", "a.b.1.bias"]


def test_weights_reach_what_a_module_holds() -> None:
    graph = netspec.loads(HEAD + HOLDING)
    given = graph.build(seed=1).state_dict()
    held = graph.build(weights=given).state_dict()
    assert [key for key in given if not torch.equal(held[key], given[key])] == []


@pytest.mark.parametrize("duplicate", [copy.deepcopy, by_pickle, by_torch_save])
def test_a_module_that_holds_others_runs_and_can_be_duplicated(duplicate: Callable[[Any], Any]) -> None:
    module = built(HOLDING)
    x = pictures()
    low, high = module.c(getattr(module.a.b, "0")(x)).chunk(2, 1)
    inner, second = module.a.d(getattr(module.a.b, "1")(low + high) * module.a.scale + module.own + 2.0)
    first = getattr(module.lists, "0")(module.c(inner))
    assert all(map(torch.equal, duplicate(module)(x), (first, second)))


def test_a_group_under_a_number_may_have_several_outputs() -> None:
    module = built("graph: {0: {graph: {a: {conv: [3, 1]}, b: relu}, outputs: [a, b]}, c: {add: [0.a, 0.b]}}")
    first, second = getattr(module, "0")(pictures())
    assert torch.equal(module(pictures()), first + second)


def test_dropout_of_attention_stops_in_eval_mode() -> None:
    text = "graph: {a: {from: [x, x, x], scaled_dot_product_attention: 0.5}}"
    module = built(text, "netspec: 1\nname: net\ninput: [2, 7, 8]\n")
    x = torch.randn(1, 2, 7, 8)
    assert not torch.equal(module(x), module(x))
    module.eval()
    assert torch.equal(module(x), module(x))


def test_names_of_a_spec_cannot_reach_into_the_code() -> None:
    for name in ("a); import os #", "__class__", "x y", "self.x", "forward", "a\\nb"):
        with pytest.raises(netspec.SpecError):
            netspec.loads(HEAD + f'graph: {{"{name}": {{conv: [8, 1]}}}}\n')


def test_the_name_of_a_file_cannot_reach_into_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = "x\n    open('reached', 'w')\n    #.yaml"
    Path(name).write_text("netspec: 1\nblocks: {b: {graph: {a: {conv: [3, 1]}, s: {add: [a, x]}}}}\n")
    module: Any = netspec.loads(HEAD + f"imports: {json.dumps(name)}\ngraph: [b]\n", folder=tmp_path).build(seed=0)
    assert module(pictures()).shape == (2, 3, 16, 16)
    assert not Path("reached").exists()
    assert "open(" in inspect.getsource(type(module[0]).forward), "it is a part of the comment"


def test_node_names_that_are_names_of_the_code_are_renamed_in_it() -> None:
    module = built("graph: {torch: {conv: [4, 1]}, nn: {from: x, conv: [4, 1]}, F: {concat: [torch, nn]}}")
    assert module(pictures()).shape == (2, 8, 16, 16)


# Seeds, devices, engines ---------------------------------------------------------------------------------------------


def test_a_seed_makes_weights_reproducible_and_leaves_the_global_state_alone() -> None:
    graph = netspec.load("lenet5")
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first, second, other = graph.build(seed=1), graph.build(seed=1), graph.build(seed=2)
    assert torch.equal(torch.get_rng_state(), before)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(next(first.parameters()), next(other.parameters()))


def test_a_network_can_be_built_on_the_meta_device() -> None:
    module = netspec.load("vgg16").build(device="meta")
    assert all(parameter.is_meta for parameter in module.parameters())


def test_torch_fx_traces_a_module(resnet: Any) -> None:
    traced = torch.fx.symbolic_trace(resnet)
    assert torch.equal(traced(pictures(1, 64)), resnet(pictures(1, 64)))


def test_torch_export_takes_a_module(resnet: Any) -> None:
    exported = torch.export.export(resnet, (pictures(1, 64),))
    assert torch.allclose(exported.module()(pictures(1, 64)), resnet(pictures(1, 64)), atol=1e-5)


# Networks without a reference in torchvision -------------------------------------------------------------------------


class LeNet5(nn.Sequential):
    """The textbook's network, by hand."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2)),
            *(nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten()),
            *(nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10)),
        )


def test_lenet5_equals_the_network_written_by_hand() -> None:
    torch.manual_seed(3)
    theirs = LeNet5()
    torch.manual_seed(3)
    ours = netspec.load("lenet5").build(init="pytorch")
    assert list(ours.state_dict()) == list(theirs.state_dict())
    digits = torch.randn(4, 1, 28, 28)
    assert torch.equal(ours(digits), theirs(digits))
    assert sum(p.numel() for p in ours.parameters()) == 61_706, "as textbooks count it"


@pytest.mark.parametrize("name", ["my net! 2", "3d", "!"])
def test_a_network_of_any_name_has_a_class_and_named_outputs(name: str) -> None:
    graph = "graph:\n  a: relu\n  b: sigmoid\noutputs: [a, b]\n"
    module = netspec.loads(f"netspec: 1\nname: {name!r}\ninput: [3, 8, 8]\n{graph}").build()
    outputs = module(torch.ones(1, 3, 8, 8))
    assert type(module).__name__.isidentifier()
    assert outputs._fields == ("a", "b")
