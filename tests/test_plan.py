"""`netspec plan`: each device holds what PyTorch keeps there, and the cut points are such as a spec takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import netspec
from netspec.backends.parallel.plan import STATES, Job, Optimizer, to_plan
from netspec.commands.plan import OPTIMIZERS as CHOICES
from tests.commands import Run

SPEC = """
netspec: 1
name: net
input: [3, 8, 8]
graph:
  stem: [{conv: [8, 3], padding: same}, batch_norm, relu]
  body: {repeat: 3, graph: [{conv: [8, 3], padding: same}, relu]}
  pool: global_avg_pool
  head: {linear: 10}
"""

OPTIMIZERS: dict[Optimizer, Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "momentum": lambda parameters: torch.optim.SGD(parameters, momentum=0.9),
}


@pytest.fixture
def spec(tmp_path: Path, run: Run) -> str:
    (tmp_path / "net.yaml").write_text(SPEC)
    return "net.yaml"


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_one_device_holds_what_pytorch_keeps_there(optimizer: Optimizer) -> None:
    graph = netspec.loads(SPEC, input=[3, 8, 8])
    graph.freeze = ("stem",)
    module = graph.build()
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    stepping = OPTIMIZERS[optimizer](trained)
    module(torch.zeros(2, 3, 8, 8)).sum().backward()
    stepping.step()
    kept = (value for state in stepping.state.values() for value in state.values())
    states = sum(value.nbytes for value in kept if isinstance(value, torch.Tensor) and value.ndim)

    load = to_plan(graph, Job(1, 6, 1, optimizer)).ways["one device"]
    assert load.weights == sum(value.nbytes for value in module.state_dict().values())
    assert load.gradients == sum(parameter.grad.nbytes for parameter in trained if parameter.grad is not None)
    assert load.optimizer == states
    assert load.activations == graph.activation_memory(batch=6, training=True)
    assert load.total == load.weights + load.gradients + load.optimizer + load.activations


def test_the_command_takes_the_optimizers_that_a_plan_knows() -> None:
    assert tuple(STATES) == CHOICES == tuple(OPTIMIZERS)


def test_shards_of_a_parameter_are_as_large_as_the_first_device_has_them() -> None:
    graph = netspec.loads("netspec: 1\ninput: [6]\nparallel: {shard: [a, b]}\ngraph: {a: {linear: 5}, b: {linear: 7}}")
    load = to_plan(graph, Job(4, 4, 4, "sgd")).ways["sharded"]
    assert load.weights == 4 * (2 * 6 + 2 + 2 * 5 + 2)  # 5 and 7 rows over 4 devices: 2 on the first
    assert load.gathered == 4 * ((7 * 5 + 7) * 2 + 5 * 6 + 5)  # `b` with its gradients, and `a` ahead of time


def test_without_units_all_weights_are_gathered_at_once() -> None:
    graph = netspec.loads("netspec: 1\ninput: [6]\ngraph: {a: {linear: 5}, b: {linear: 7}}")
    plan = to_plan(graph, Job(2, 4, 2, "sgd"))
    assert plan.ways["sharded"].gathered == 2 * 4 * graph.parameters
    assert plan.notes == ("the spec names nothing to shard one by one, so all weights are gathered at once",)


def test_stages_hold_the_network_together_and_the_first_has_most_under_way() -> None:
    graph = netspec.loads(SPEC)
    plan = to_plan(graph, Job(3, 12, 6, "adamw"))
    whole = plan.ways["one device"]
    assert sum(stage.load.weights for stage in plan.stages) == whole.weights
    assert sum(stage.load.optimizer for stage in plan.stages) == whole.optimizer
    assert sum(stage.macs for stage in plan.stages) == graph.macs
    first, _, last = graph_stages(plan.cuts)
    assert plan.stages[0].load.activations == 3 * first.activation_memory(batch=2, training=True)
    received = 2 * sum(type.bytes for type in last.inputs.values())
    assert plan.stages[2].load.activations == last.activation_memory(batch=2, training=True) + received


def graph_stages(cuts: tuple[str, ...]) -> tuple[netspec.Graph, ...]:
    """The stages of a spec that says these cut points."""
    return netspec.loads(f"{SPEC}parallel: {{pipeline: [{', '.join(cuts)}]}}\n").stages()


def test_the_cut_points_of_a_plan_are_those_that_a_spec_takes(run: Run, spec: str) -> None:
    status, printed, _ = run("plan", spec, "--devices", "4")
    assert status == 0
    Path("cut.yaml").write_text(f"{SPEC}{printed[printed.index('parallel:') :]}")
    status, again, _ = run("plan", "cut.yaml", "--devices", "4", "--format", "json")
    _, before, _ = run("plan", spec, "--devices", "4", "--format", "json")
    assert json.loads(again) == json.loads(before)
    assert len(netspec.load("cut.yaml").stages()) == 4


def test_the_cut_points_of_the_spec_come_first(run: Run) -> None:
    Path("cut.yaml").write_text(f"{SPEC}parallel: {{pipeline: [pool]}}\n")
    _, printed, _ = run("plan", "cut.yaml", "--devices", "2", "--format", "json")
    plan = json.loads(printed)
    assert [stage["begins"] for stage in plan["stages"]] == ["stem", "pool"]
    assert plan["cuts"] == ["body.1"]
    _, printed, _ = run("plan", "cut.yaml", "--devices", "3", "--format", "json")
    assert [stage["begins"] for stage in json.loads(printed)["stages"]][1:] == json.loads(printed)["cuts"]
    assert "the spec has 2 stages and not 3, so those above are balanced ones" in json.loads(printed)["notes"]


def test_a_plan_says_what_fits(run: Run, spec: str) -> None:
    _, printed, _ = run("plan", spec, "--devices", "2", "--batch", "64", "--memory", "700KiB")
    assert [line.split()[-1] for line in printed.splitlines() if line.startswith("one device")] == ["large"]
    assert [line.split()[-1] for line in printed.splitlines() if line.startswith("sharded")] == ["fits"]
    _, printed, _ = run("plan", spec, "--devices", "2", "--memory", "2 GB", "--format", "json")
    plan = json.loads(printed)
    assert plan["memory"] == 2 * 10**9
    assert all(way["fits"] for way in plan["ways"].values())


def test_a_network_with_too_few_nodes_has_no_pipeline(run: Run, spec: str) -> None:
    status, printed, _ = run("plan", spec, "--devices", "64")
    assert status == 0
    assert printed.endswith("\nnote: no pipeline: `net` cannot be cut into 64 stages: it has places for 11 at most\n")
    assert "sharded" in printed


def test_a_batch_has_at_least_a_sample_for_each_microbatch(run: Run, spec: str) -> None:
    _, printed, _ = run("plan", spec, "--devices", "4", "--batch", "3", "--format", "json")
    assert json.loads(printed)["microbatches"] == 3
    status, _, messages = run("plan", spec, "--batch", "8", "--microbatches", "9")
    assert status == 1
    assert "a batch of 8 cannot be cut into 9 microbatches" in messages


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--memory", "80 bananas"), "argument --memory: is a number and one of KiB, MiB, GiB, TiB"),
        (("--memory", "GiB"), "argument --memory: is a number and one of KiB"),
        (("--devices", "0"), "argument --devices: must be at least 1"),
        (("--batch", "-3"), "argument --batch: must be at least 1"),
        (("--optimizer", "adam"), "argument --optimizer: invalid choice: 'adam'"),
    ],
)
def test_a_wrong_option_is_refused(run: Run, spec: str, arguments: tuple[str, ...], message: str) -> None:
    status, printed, messages = run("plan", spec, *arguments)
    assert (status, printed) == (2, "")
    assert message in messages
