"""Networks on several devices: stages, shards and split layers compute what the whole network does on one."""

from __future__ import annotations

import random
import subprocess
import sys
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.pipelining import ScheduleGPipe

import netspec
from netspec.backends.graph_json import to_graph_json
from netspec.cuts import SLACK, Line
from netspec.diagnostics import Problem
from netspec.parallel import shard_units, split_layers
from netspec.stages import stages
from netspec.verify import verify

ROOT = Path(__file__).parent.parent
HEAD = "netspec: 1\ninput: [4, 6, 6]\n"

NETWORKS = {
    "chain": "graph: [{conv: [4, 3]}, batch_norm, relu, flatten, {linear: 3}]",
    "residual": """
blocks:
  block: {graph: {conv: {conv: [4, 3], padding: same}, norm: batch_norm, relu: relu, add: {add: [relu, x]}}}
graph: {stem: {conv: [4, 1]}, body: {repeat: 3, block: }, long: {add: [body, stem]}, head: global_avg_pool}
""",
    "dense": "graph: {body: {repeat: 3, connect: dense, graph: [{conv: [2, 1]}, relu]}, head: {conv: [3, 1]}}",
    "branches": """
graph:
- {branches: [{conv: [2, 1]}, [{conv: [2, 1]}, {conv: [3, 1]}]], merge: concat}
- [relu, [{conv: [4, 1]}, [tanh]]]
""",
    "called twice": """
graph:
  a: {conv: [4, 1]}
  b: {graph: [{conv: [4, 1]}, relu]}
  c: tanh
  d: {call: b}
  e: {conv: [2, 1]}
""",
    "parameters and constants": """
graph:
  scale: {parameter: [4, 1, 1]}
  shift: {constant: , shape: [4, 1, 1], fill: 2}
  a: {conv: [4, 1], from: x}
  b: {mul: [a, scale]}
  c: {add: [b, shift]}
  d: relu
  e: {add: [d, shift]}
init: {scale: {value: {normal: {std: 1}}}}
""",
    "several outputs": """
graph:
  parts: {split: 1, dim: 1}
  a: {conv: [4, 1], from: parts.0}
  b: {mul: [a, parts.3]}
  c: {conv: [2, 3]}
outputs: {first: a, last: c}
""",
    "outputs by name": """
graph: {a: {conv: [2, 1]}, b: relu, c: {conv: [3, 1]}}
outputs: {dict: {low: a, high: c, raw: b}}
""",
    "in training alone": """
graph:
  a: {conv: [2, 1]}
  aux: {conv: [5, 1], training_only: true}
  b: {relu: , from: a}
  c: {conv: [3, 1]}
outputs: {main: c, side: aux}
""",
    "names that are none of variables": "graph: {a-1: {conv: [4, 1]}, self: {conv: [4, 1]}, d: {add: [a-1, self]}}",
    "checkpointed": """
checkpoint: [body, body.1]
graph: {body: {repeat: 3, graph: [{conv: [4, 1]}, relu]}, head: {conv: [2, 1]}}
""",
}


def cut_everywhere(text: str) -> tuple[netspec.Graph, Line, tuple[netspec.Graph, ...]]:
    graph = netspec.loads(HEAD + text)
    line = Line(graph)
    return graph, line, stages(line, sorted(line.places))


def tensors(output: Any) -> list[Tensor]:
    """What a network returns, in order."""
    if isinstance(output, Tensor):
        return [output]
    return list(output.values() if isinstance(output, dict) else output)


# Stages --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
@pytest.mark.parametrize("name", NETWORKS)
def test_stages_one_after_the_other_are_the_network(name: str, training: bool) -> None:
    graph, _, parts = cut_everywhere(NETWORKS[name])
    whole = graph.build(seed=0).train(training)
    state = {key: value.clone() for key, value in whole.state_dict().items()}
    modules = [verify(part).build(weights=state).train(training) for part in parts]
    x = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(0))

    expected = tensors(whole(x))
    values = [x]
    for module in modules:
        values = tensors(module(*values))
    assert all(map(torch.equal, values, expected))
    for outputs in (expected, values):
        sum(output.square().sum() for output in outputs).backward()  # type: ignore[union-attr]
    gradients = {key: value.grad for module in modules for key, value in module.named_parameters()}
    for key, parameter in whole.named_parameters():
        torch.testing.assert_close(gradients[key], parameter.grad)


@pytest.mark.parametrize("name", NETWORKS)
def test_stages_share_out_what_a_network_holds_and_computes(name: str) -> None:
    graph, line, parts = cut_everywhere(NETWORKS[name])
    assert len(parts) == len(line.places) + 1 > 1
    keys = [key for part in parts for key in part.state()]
    assert sorted(keys) == sorted(graph.state())
    assert sum(part.parameters for part in parts) == graph.parameters
    assert sum(part.macs for part in parts) == graph.macs
    for part, following in pairwise(parts):
        assert list(part.root.outputs[0].value.type.shape) == list(next(iter(following.inputs.values())).shape)


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_no_place_for_a_cut_is_refused(name: str) -> None:
    line = Line(netspec.loads(HEAD + NETWORKS[name]))
    refused = []
    for cut in range(len(line.steps)):
        try:
            line.check(cut, line.names[cut])
        except Problem:
            refused.append(cut)
    assert refused == [cut for cut in range(len(line.steps)) if cut not in line.places]
    inside = {"called twice": {"c", "d"}, "in training alone": {"b", "c"}}.get(name, set())
    assert {line.names[cut] for cut in refused[1:]} == inside


@pytest.mark.parametrize("name", ["resnet18", "shufflenet_v2_x1_0", "densenet121"])
def test_stages_of_a_known_network_return_what_it_does(name: str) -> None:
    graph = netspec.load(name, input=[3, 32, 32])
    line = Line(graph)
    whole = graph.build(seed=0).eval()
    x = value = torch.randn(1, 3, 32, 32)
    values = [value]
    for part in stages(line, line.balanced(6)):
        values = tensors(part.build(weights=whole.state_dict()).eval()(*values))
    assert torch.equal(values[0], whole(x))


def test_stages_begin_where_the_spec_says() -> None:
    text = "parallel: {pipeline: [body.2, body.1.1]}\n" + NETWORKS["checkpointed"]
    parts = netspec.loads(HEAD + text).stages()
    assert [sorted(part.state()) for part in parts] == [
        ["body.0.0.bias", "body.0.0.weight", "body.1.0.bias", "body.1.0.weight"],
        [],
        ["body.2.0.bias", "body.2.0.weight", "head.bias", "head.weight"],
    ]
    assert [sorted(part.checkpointed()) for part in parts] == [["body", "body.1"], ["body", "body.1"], ["body"]]


def test_a_stage_trains_what_the_spec_does_not_freeze() -> None:
    text = "freeze: [body.0, head.bias]\nparallel: {pipeline: [body.1]}\n" + NETWORKS["checkpointed"]
    parts = netspec.loads(HEAD + text).stages()
    assert [sorted(part.frozen()) for part in parts] == [["body.0.0.bias", "body.0.0.weight"], ["head.bias"]]


def test_a_graph_without_cuts_is_one_stage() -> None:
    graph = netspec.loads(HEAD + NETWORKS["chain"])
    (only,) = graph.stages()
    assert str(only) == str(graph)


# Balance -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_balanced_cuts_are_the_best_of_all(seed: int) -> None:
    draw = random.Random(seed)
    layers = [draw.choice([f"{{linear: {draw.randint(1, 9)}}}", "relu", "tanh"]) for _ in range(9)]
    skip = f"b: {{linear: 6}}\n  c: {{add: [x, b]}}\n  d: [{', '.join(layers)}]"
    line = Line(netspec.loads(f"netspec: 1\ninput: [6]\ngraph:\n  {skip}"))
    count = draw.randint(2, 5)

    def largest(cuts: tuple[int, ...]) -> int:
        ends = [0, *cuts, len(line.steps)]
        return max(sum(step.macs for step in line.steps[first:end]) for first, end in pairwise(ends))

    def moved(cuts: tuple[int, ...]) -> int:
        return sum(wire.type.bytes for cut in cuts for wire in line.crossing(cut))

    all_cuts = list(combinations(sorted(line.places), count - 1))
    most = SLACK * min(map(largest, all_cuts))
    found = tuple(line.balanced(count))
    assert found in all_cuts
    assert largest(found) <= most
    assert moved(found) == min(moved(cuts) for cuts in all_cuts if largest(cuts) <= most)


# Shards and split layers ---------------------------------------------------------------------------------------------

UNITS = """
parallel: {shard: SHARD}
blocks: {block: {graph: [{conv: [4, 1]}, batch_norm, relu]}}
graph:
  stem: {conv: [4, 1]}
  body: {repeat: 2, block: }
  again: {call: stem}
  scale: {parameter: [4, 1, 1]}
  end: {mul: [again, scale]}
"""


@pytest.mark.parametrize(
    ("selectors", "units"),
    [
        ("[stem, body.*]", ["stem", "body.0", "body.1"]),
        ("[body.0.*]", ["body.0.0", "body.0.1"]),
        ("block", ["body.0", "body.1"]),
        ("['**']", ["stem", "body", "body.0", "body.0.0", "body.0.1", "body.1", "body.1.0", "body.1.1"]),
        ("[]", []),
    ],
)
def test_units_are_modules_with_parameters_by_path_or_kind(selectors: str, units: list[str]) -> None:
    assert shard_units(netspec.loads(HEAD + UNITS.replace("SHARD", selectors))) == units


BETWEEN = {
    "an activation": ("b: {linear: 8}\n  c: gelu\n  d: {linear: 4}", "b d", True),
    "nothing": ("b: {linear: 8}\n  d: {linear: 4}", "b d", True),
    "a product of two": (
        "a: {linear: 8}\n  b: {linear: 8, from: x}\n  c: {mul: [a, b]}\n  d: {linear: 4}",
        "a b d",
        True,
    ),
    "a norm": ("b: {linear: 8}\n  c: layer_norm\n  d: {linear: 4}", "b d", False),
    "a softmax": ("b: {linear: 8}\n  c: {softmax: -1}\n  d: {linear: 4}", "b d", False),
    "another reader": (
        "b: {linear: 8}\n  c: relu\n  d: {linear: 4}\n  e: {linear: 4, from: b}\n  f: {add: [d, e]}",
        "b d",
        False,
    ),
    "a sum with what is whole": (
        "a: {linear: 8}\n  b: {linear: 8, from: x}\n  c: {add: [a, b]}\n  d: {linear: 4}",
        "b d",
        False,
    ),
    "numbers that all draw": ("b: {linear: 8}\n  c: {stochastic_depth: 0.5}\n  d: {linear: 4}", "b d", False),
    "a second call": ("b: {linear: 4}\n  c: relu\n  d: {linear: 4}\n  e: {call: d}", "b d", False),
}


@pytest.mark.parametrize("name", BETWEEN)
def test_features_stay_split_only_where_each_device_can_go_on(name: str) -> None:
    graph, paths, stays = BETWEEN[name]
    *first, last = paths.split()
    styles = ", ".join([*(f"{path}: colwise" for path in first), f"{last}: rowwise"])
    layers = split_layers(
        netspec.loads(f"netspec: 1\ninput: [4]\nparallel: {{tensor: {{{styles}}}}}\ngraph:\n  {graph}")
    )
    assert list(layers) == paths.split()
    assert {split.gives_part for path, split in layers.items() if path != last} == {stays}
    assert (layers[last].takes_part, layers[last].gives_part) == (stays, False)


@pytest.mark.parametrize("name", ["parameters and constants", "residual"])
def test_a_module_made_without_memory_gets_the_weights_of_one_made_with_it(name: str) -> None:
    graph = netspec.loads(HEAD + NETWORKS[name])
    module = graph.materialize(graph.build(device="meta"), device="cpu", seed=3)
    expected = graph.build(seed=3)
    assert list(module.state_dict()) == list(expected.state_dict())
    for mine, other in zip(module.state_dict().values(), expected.state_dict().values(), strict=True):
        assert torch.equal(mine, other)
    assert [parameter.requires_grad for parameter in module.parameters()] == [True] * len(list(module.parameters()))


# The spec ------------------------------------------------------------------------------------------------------------

WHOLE = "parallel: {shard: [body.*], pipeline: [body.1], tensor: {head: colwise}}\n"
LINEAR = "graph: {body: {repeat: 2, graph: [{conv: [4, 1]}]}, flat: flatten, head: {linear: 4}}\n"


def test_a_spec_changes_what_the_one_it_extends_says_of_devices(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(HEAD + WHOLE + LINEAR)
    graph = netspec.loads("netspec: 1\nextends: base.yaml\nparallel: {pipeline: [flat], shard: []}\n", folder=tmp_path)
    assert graph.parallel == ((), ("flat",), (("head", "colwise"),))


def test_a_graph_file_keeps_what_is_said_of_devices() -> None:
    graph = netspec.loads(HEAD + WHOLE + LINEAR)
    again = netspec.loads(to_graph_json(graph))
    assert again.parallel == graph.parallel
    assert again.parallel.tensor == (("head", "colwise"),)
    text = to_graph_json(graph).replace('["body.1"]', '["boddy"]')
    with pytest.raises(netspec.SpecError, match="no node is called `boddy`"):
        netspec.loads(text)


def test_what_is_left_out_need_not_be_spread() -> None:
    graph = netspec.loads(HEAD + WHOLE + LINEAR).select("body.0")
    assert (shard_units(graph), split_layers(graph), len(graph.stages())) == (["body.0"], {}, 1)


def test_a_stage_takes_its_part_of_a_checkpoint() -> None:
    graph = netspec.loads(HEAD + WHOLE + LINEAR)
    weights = graph.build(seed=7).state_dict()
    parts = [part.build(weights=weights).state_dict() for part in graph.stages()]
    assert [sorted(part) for part in parts] == [
        ["body.0.0.bias", "body.0.0.weight"],
        ["body.1.0.bias", "body.1.0.weight", "head.bias", "head.weight"],
    ]
    assert all(torch.equal(value, weights[key]) for part in parts for key, value in part.items())


def test_there_is_no_stage_beyond_the_last() -> None:
    with pytest.raises(netspec.SpecError, match="`network` has 2 stages, and none of number 2"):
        netspec.loads(HEAD + WHOLE + LINEAR).pipeline_stage(2, device="cpu")
    with pytest.raises(netspec.SpecError, match="`network` has one stage, and none of number 1"):
        netspec.loads(HEAD + LINEAR).pipeline_stage(1, device="cpu")


@pytest.mark.parametrize("outputs", ["{a: x1, b: x2}", "{dict: {a: x1, b: x2}}"])
def test_the_loss_gets_a_bare_tuple_of_several_outputs(outputs: str, tmp_path: Path) -> None:
    graph = netspec.loads(f"netspec: 1\ninput: [4]\ngraph: {{x1: {{linear: 2}}, x2: relu}}\noutputs: {outputs}\n")
    taken: set[type] = set()
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        stage = graph.pipeline_stage(0, device="cpu")

        def loss(given: Any, target: Tensor) -> Tensor:
            taken.add(type(given))
            return given[1].sum() - target.sum()  # type: ignore[no-any-return]

        ScheduleGPipe(stage, n_microbatches=2, loss_fn=loss).step(torch.zeros(4, 4), target=torch.zeros(4))
    finally:
        dist.destroy_process_group()
    assert taken == {tuple}


# Several processes ---------------------------------------------------------------------------------------------------

CHECKS = {
    2: ("replicated", "sharded", "sharded_with_the_rest", "split", "two_stages"),
    4: ("replicated", "sharded", "split", "split_and_sharded", "four_stages", "staged_and_sharded"),
}


def test_training_in_several_processes_is_that_of_one(tmp_path: Path) -> None:
    """All checks of `tests/distributed.py` in one go, for processes that import PyTorch are slow to start."""
    command = [sys.executable, "-m", "tests.distributed", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    passed = [f"{name} {count}" for count, names in CHECKS.items() for name in names]
    assert done.stdout.splitlines() == passed, done.stderr[-5000:]
