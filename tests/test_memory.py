"""Peak memory before a run, held to what PyTorch allocates; and what is computed again, held to what it replaces."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import netspec
from benchmarks import allocations
from netspec.backends.in_place import in_place
from netspec.graph import Body, Graph
from netspec.ops.base import Memory
from netspec.shapes import TensorType
from tests.commands import Run
from tests.op_runner import make_module, run
from tests.test_ops import ACCEPTED, BATCH, Case

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:torch")


def bytes_of(types: tuple[TensorType, ...]) -> int:
    return sum(type.bytes * (BATCH if type.batched else 1) for type in types)


# What an op keeps ----------------------------------------------------------------------------------------------------


class Kept:
    """The storages that autograd saves while ops run."""

    def __init__(self) -> None:
        self.storages: dict[int, torch.UntypedStorage] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        with torch.autograd.graph.saved_tensors_hooks(self.save, lambda tensor: tensor):
            yield

    def save(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        self.storages[storage.data_ptr()] = storage
        return tensor

    def leave_out(self, tensors: Any) -> None:
        for tensor in tensors:
            self.storages.pop(address(tensor), None)

    @property
    def bytes(self) -> int:
        return sum(storage.nbytes() for storage in self.storages.values())


def address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def tensors_for(case: Case) -> list[Tensor]:
    drawn = [torch.randn(tensor.shape) if tensor.is_floating_point() else tensor for tensor in case.tensors()]
    return [tensor.requires_grad_(tensor.is_floating_point()) for tensor in drawn]


KEEPING = [case for case in ACCEPTED if case.op not in ("lstm", "gru", "rnn")]


@pytest.mark.parametrize("case", KEEPING, ids=str)
def test_an_op_keeps_what_autograd_saves(case: Case) -> None:
    op, inputs, kept = case.create(), tensors_for(case), Kept()
    call = op.torch(*case.inputs)
    module = make_module(call)
    with kept.watching():
        outputs = run(call, module, inputs)
    memory = op.memory(*case.inputs) if any(output.requires_grad for output in outputs) else Memory()
    kept.leave_out([*module.parameters(), *module.buffers()] if module else [])
    assert {n for n, x in enumerate(inputs) if address(x) in kept.storages} == set(memory.inputs)
    kept.leave_out(inputs)
    assert (address(outputs[0]) in kept.storages) == memory.output
    kept.leave_out(outputs)
    assert kept.bytes == bytes_of(memory.own)


@pytest.mark.parametrize("case", [case for case in KEEPING if case.op != "window_reverse"], ids=str)
def test_the_outputs_of_a_view_lie_in_its_input(case: Case) -> None:
    op, inputs = case.create(), tensors_for(case)
    call = op.torch(*case.inputs)
    outputs = run(call, make_module(call), inputs)
    assert all((address(output) in map(address, inputs)) == op.is_view(training=True) for output in outputs)


@pytest.mark.parametrize("op", ["gru", "lstm", "rnn"])
def test_a_recurrent_layer_keeps_about_what_autograd_saves(op: str) -> None:
    case = Case(op, (TensorType((40, 64)),), {"hidden_size": 128})
    call, kept = case.create().torch(*case.inputs), Kept()
    module = make_module(call)
    assert module is not None
    with kept.watching():
        run(call, module, tensors_for(case))
    kept.leave_out(module.parameters())
    assert bytes_of(case.create().memory(*case.inputs).own) == pytest.approx(kept.bytes, rel=0.25)


IN_PLACE = ["relu", "relu6", "leaky_relu", "silu", "hardswish", "hardtanh"]


@pytest.mark.parametrize("op", IN_PLACE)
def test_an_activation_in_place_keeps_what_autograd_saves(op: str) -> None:
    case, kept = Case(op, (TensorType((4, 5, 6)),)), Kept()
    module: Any = make_module(case.create().torch(*case.inputs))
    module.inplace = True
    x = tensors_for(case)[0] * 1
    with kept.watching():
        module(x)
    memory = case.create().memory_in_place(0, *case.inputs)
    assert (address(x) in kept.storages) == memory.output
    kept.leave_out([x])
    assert (memory.inputs, bytes_of(memory.own)) == ((), kept.bytes)


# Peaks ---------------------------------------------------------------------------------------------------------------

HEAD = "netspec: 1\nname: net\ninput: [3, 16, 16]\n"

NETWORKS = {
    "residual": """
blocks:
  block:
    params: {channels: int}
    graph:
      conv: {conv: [channels, 3], padding: same, bias: false}
      norm: batch_norm
      relu: relu
      skip: {from: x, conv: [channels, 1], if: x.channels != channels}
      add: {add: [relu, skip]}
      out: silu
graph: [{conv: [16, 3], padding: same}, {block: 16}, {block: 32, repeat: 3}, {avg_pool: 2}, flatten, {linear: 10}]
""",
    "u-net": """
graph:
  down: [{conv: [16, 3], padding: same}, relu]
  deep: [{max_pool: 2}, {conv: [32, 3], padding: same}, leaky_relu, {upsample: , scale_factor: 2}]
  joined: {concat: [down, deep]}
  up: [{conv: [16, 3], padding: same}, batch_norm, gelu, {conv: [2, 1]}]
""",
    "gates": """
graph:
  conv: {conv: [32, 3], padding: same}
  parts: {chunk: 2}
  gate: {from: parts.1, sigmoid: }
  mul: {mul: [parts.0, gate]}
  squeeze: [{adaptive_avg_pool: 1}, {conv: [16, 1]}, hardsigmoid]
  scaled: {mul: [mul, squeeze]}
  drop: {dropout: 0.2}
  pool: global_max_pool
""",
    "attention": """
graph:
  patches: {conv: [32, 4, 4]}
  rows: {reshape: [32, 16]}
  tokens: {transpose: [1, 2]}
  token: {parameter: [1, 1, 32]}
  all: {concat: [token, tokens]}
  norm: layer_norm
  attention: {multihead_attention: 4}
  add: {add: [all, attention]}
  mlp: [layer_norm, {linear: 128}, gelu, {dropout: 0.1}, {linear: 32}]
  sum: {add: [add, mlp]}
  first: {select: [1, 0]}
  head: {linear: 10}
""",
    "two outputs": """
graph:
  stem: [{conv: [16, 3], padding: same}, batch_norm, relu]
  aux: {from: stem, training_only: true, graph: [{avg_pool: 4}, flatten, {linear: 5}]}
  more: {from: stem, repeat: 4, graph: [{conv: [16, 3], padding: same}, batch_norm, relu]}
  head: [flatten, {linear: 10}]
outputs: [head, aux]
""",
}
SHIPPED: dict[str, tuple[list[int], dict[str, Any]]] = {
    "googlenet": ([3, 64, 64], {}),
    "mobilenet_v3_small": ([3, 32, 32], {}),
    "densenet121": ([3, 32, 32], {"layers": [2, 3, 2, 2]}),
}


def network(name: str) -> Graph:
    if name in NETWORKS:
        return netspec.loads(HEAD + NETWORKS[name])
    shape, parameters = SHIPPED[name]
    return netspec.load(name, input=shape, **parameters)


def is_right(stated: int, measured: allocations.Peak, tolerance: float = 0.03) -> bool:
    """Whether a peak is that of the tensors, or up to what kernels take besides."""
    return measured.tensors * (1 - tolerance) <= stated <= measured.kernels * (1 + tolerance)


@pytest.mark.parametrize("name", [*NETWORKS, *SHIPPED])
def test_the_peak_is_what_pytorch_allocates(name: str) -> None:
    graph, batch = network(name), 3
    module, inputs = graph.build(), [torch.randn(batch, *type.shape) for type in graph.inputs.values()]
    assert is_right(graph.activation_memory(batch=batch), allocations.inference(module, *inputs))
    assert is_right(graph.activation_memory(batch=batch, training=True), allocations.training(module, *inputs))


def test_what_is_frozen_needs_no_activations() -> None:
    graph = netspec.loads(HEAD + 'freeze: ["0", "1"]\n' + NETWORKS["residual"])
    module = graph.build()
    measured = allocations.training(module, torch.randn(3, 3, 16, 16))
    assert is_right(graph.activation_memory(batch=3, training=True), measured, tolerance=0.15)
    assert measured.tensors < 0.95 * network("residual").activation_memory(batch=3, training=True)


def test_memory_grows_with_the_batch() -> None:
    one, four = (network("googlenet").activation_memory(batch=batch) for batch in (1, 4))
    assert four == pytest.approx(4 * one, rel=0.01)


def test_equal_bodies_are_followed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    followed: list[Body] = []
    from netspec.backends import memory

    start = memory._Run.__init__

    def counted(self: Any, follower: Any, body: Body, *rest: Any) -> None:
        followed.append(body)
        start(self, follower, body, *rest)

    monkeypatch.setattr(memory._Run, "__init__", counted)
    deep = "graph: [{conv: [8, 3], padding: same}, {repeat: 500, graph: [{conv: [8, 3], padding: same}, relu]}]\n"
    netspec.loads(HEAD + deep).activation_memory(training=True)
    assert len(followed) == 3  # the network, the repeat and one copy


# Checkpoints ---------------------------------------------------------------------------------------------------------

DENSE = """
params: {rate: 0.0, depth: 5}
graph:
  stem: {conv: [8, 3], padding: same}
  block: {dense_block: [depth, 4, 2, rate]}
  head: [{adaptive_avg_pool: 1}, flatten, {linear: 10}]
"""
PATTERNS = ["block.*", "block", "**", "block.denselayer2.*", "head"]


def trained(module: Any, *inputs: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The output, and the gradients of a step in training mode."""
    torch.manual_seed(1)
    output = module(*inputs)
    output.square().sum().backward()
    return output, [parameter.grad for parameter in module.parameters() if parameter.grad is not None]


def assert_equal_training(graph: Graph, patterns: list[str]) -> None:
    plain, again = graph.build(seed=0), graph.build(seed=0, checkpoint=patterns)
    inputs = torch.randn(2, *graph.inputs["x"].shape)
    (output, gradients), (other_output, others) = trained(plain, inputs), trained(again, inputs)
    assert torch.equal(output, other_output)
    for (name, _), gradient, other in zip(plain.named_parameters(), gradients, others, strict=True):
        assert torch.equal(gradient, other), name
    assert list(plain.state_dict()) == list(again.state_dict())
    for key, value in plain.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key


@pytest.mark.parametrize("rate", [0.0, 0.3])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_what_is_computed_again_gives_the_same_gradients_and_statistics(pattern: str, rate: float) -> None:
    assert_equal_training(netspec.loads(HEAD + DENSE, rate=rate), [pattern])


@pytest.mark.parametrize("name", ["residual", "u-net", "gates", "attention"])
def test_any_node_can_be_computed_again(name: str) -> None:
    assert_equal_training(network(name), ["*"])
    assert_equal_training(network(name), ["**"])


@pytest.mark.parametrize("pattern", ["block.*", "block", "head"])
def test_the_peak_with_checkpoints_is_what_pytorch_allocates(pattern: str) -> None:
    graph = netspec.loads(HEAD + DENSE)
    measured = allocations.training(graph.build(checkpoint=[pattern]), torch.randn(8, 3, 16, 16))
    assert is_right(graph.activation_memory(batch=8, training=True, checkpoint=[pattern]), measured, tolerance=0.05)


def test_dense_layers_computed_again_keep_memory_linear() -> None:
    def peak(depth: int, *checkpoint: str) -> int:
        return netspec.loads(HEAD + DENSE, depth=depth).activation_memory(training=True, checkpoint=checkpoint)

    assert peak(80) > 3 * peak(40)
    assert peak(80, "block.*") < 2.2 * peak(40, "block.*")


def test_the_forward_of_a_dense_block_joins_when_it_has_to() -> None:
    module: Any = netspec.loads(HEAD + DENSE, depth=3).build(checkpoint=["block.*"])
    lines = [line.partition("  #")[0].strip() for line in inspect.getsource(type(module.block).forward).splitlines()]
    assert lines[1:] == [
        "denselayer1 = checkpoint(self.denselayer1, x, training=self.training)",
        "x = [x, denselayer1]",
        "denselayer2 = checkpoint(self.denselayer2, x, join=1, training=self.training)",
        "x = [*x, denselayer2]",
        "denselayer3 = checkpoint(self.denselayer3, x, join=1, training=self.training)",
        "x = torch.cat([*x, denselayer3], 1)",
        "return x",
    ]


def runs_of(module: nn.Module, work: Callable[[], object]) -> int:
    """How often a module runs while some work is done."""
    count = 0

    def counted(*_: object) -> None:
        nonlocal count
        count += 1

    handle = module.register_forward_pre_hook(counted)
    work()
    handle.remove()
    return count


def test_nothing_is_computed_again_outside_of_training() -> None:
    module: Any = netspec.loads(HEAD + DENSE).build(checkpoint=["block.*"])
    x, layer = torch.randn(2, 3, 16, 16), module.block.denselayer1
    assert runs_of(layer, lambda: module(x).sum().backward()) == 2
    with torch.no_grad():
        assert runs_of(layer, lambda: module(x)) == 1
    module.eval()
    assert runs_of(layer, lambda: module(x).sum().backward()) == 1


def test_a_second_backward_pass_computes_again() -> None:
    module = netspec.loads(HEAD + DENSE).build(checkpoint=["block.*"], seed=0)
    state = copy.deepcopy(module.state_dict())
    module(torch.randn(2, 3, 16, 16)).sum().backward(retain_graph=True)
    once = {key: value.clone() for key, value in module.state_dict().items()}
    assert any(not torch.equal(once[key], state[key]) for key in state)
    loss = module(torch.randn(2, 3, 16, 16)).sum()
    counted = {key: value.clone() for key, value in module.state_dict().items()}
    loss.backward(retain_graph=True)
    loss.backward()
    assert all(torch.equal(value, counted[key]) for key, value in module.state_dict().items())


def test_a_module_with_checkpoints_can_be_copied() -> None:
    module = netspec.loads(HEAD + NETWORKS["residual"]).build(checkpoint=["*"], seed=0)
    copies: list[Any] = [copy.deepcopy(module), pickle.loads(pickle.dumps(module))]
    x = torch.randn(2, 3, 16, 16)
    expected = trained(module, x)[0]
    for copied in copies:
        assert isinstance(copied, nn.Sequential)
        assert torch.equal(trained(copied, x)[0], expected)


def test_nothing_is_written_over_that_is_needed_again() -> None:
    graph = netspec.loads(HEAD + "graph: [{conv: [8, 3]}, batch_norm, relu]\n")
    assert [node.name for node in in_place(graph.root)] == ["2"]
    assert not in_place(graph.root, frozenset({"2"}))
    assert_equal_training(graph, ["2"])


def test_a_compiled_network_with_checkpoints_has_no_graph_break() -> None:
    module = netspec.loads(HEAD + DENSE, depth=2).build(checkpoint=["block.*"], seed=0)
    plain = copy.deepcopy(module)
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
    x = torch.randn(2, 3, 16, 16)
    (output, gradients), (other, others) = trained(plain, x), trained(compiled, x)
    torch.testing.assert_close(output, other)
    torch.testing.assert_close(gradients, others)
    torch.testing.assert_close(dict(plain.state_dict()), dict(module.state_dict()))


# Spec, command line --------------------------------------------------------------------------------------------------


def test_a_spec_names_what_is_computed_again_and_build_names_more() -> None:
    graph = netspec.loads(HEAD + "checkpoint: [block.*]\n" + DENSE, depth=2)
    assert graph.checkpointed() == {"block.denselayer1", "block.denselayer2"}
    assert graph.checkpointed(["head"]) == {"block.denselayer1", "block.denselayer2", "head"}
    assert "checkpoint(self.block, x" in inspect.getsource(type(graph.build(checkpoint=["block"])).forward)


def test_what_a_choice_of_outputs_leaves_out_is_no_mistake() -> None:
    graph = netspec.loads(HEAD + "checkpoint: [block.*, head]\n" + DENSE, depth=2).select("block.denselayer1")
    assert graph.checkpointed() == {"block.denselayer1"}


def test_a_path_to_compute_again_that_is_not_there_is_a_message() -> None:
    with pytest.raises(netspec.SpecError, match="nothing to checkpoint is called `blok`"):
        netspec.loads(HEAD + DENSE).build(checkpoint=["blok"])


def test_the_summary_says_the_peaks_and_what_checkpoints_spare() -> None:
    plain = netspec.loads(HEAD + DENSE).summary()
    spared = netspec.loads(HEAD + "checkpoint: block.*\n" + DENSE).summary()
    assert "activations of one sample take 80.0 KiB at most in eval mode, " in plain
    assert " without checkpoints)" in spared
    assert " without checkpoints)" not in plain


def test_build_takes_paths_to_compute_again(run: Run) -> None:
    status, printed, _ = run("build", "good.yaml", "--checkpoint", "*")
    assert status == 0
    assert "activations take" in printed
