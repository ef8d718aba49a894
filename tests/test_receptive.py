"""Receptive fields against PyTorch: what an output depends on is what changes it, and where its gradient is not 0."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import netspec
from netspec.backends.receptive import ReceptiveFields
from netspec.windows import WHOLE, Reach, Reaches
from tests.effort import examples
from tests.op_runner import make_module, run
from tests.test_ops import ACCEPTED, Case

SMALL = 400  # elements of an input, each of which is changed once


def _depends(case: Case, number: int) -> Tensor:
    """Whether each element of the first output depends on each of an input: elements of the input × output."""
    op = case.create()
    call = op.torch(*case.inputs)
    module = make_module(call)
    if module is not None:
        module.double().eval()
    x = case.inputs[number]
    base = [
        torch.rand(1, *type.shape, dtype=torch.double).expand(1 + 2 * x.elements, *type.shape) for type in case.inputs
    ]
    bump = torch.eye(x.elements, dtype=torch.double).reshape(x.elements, *x.shape) * 10
    base[number] = base[number] + torch.cat([torch.zeros(1, *x.shape), bump, -bump])
    with torch.no_grad():
        result = run(call, module, base, training=False)[0]
    changed = ~torch.isclose(result[1:], result[:1], rtol=0, atol=1e-9, equal_nan=True)  # vector units round unevenly
    return changed[: x.elements] | changed[x.elements :]


def _told(case: Case) -> bool:
    """A case that can be asked: numbers that have a batch axis, and an op that says what it reads."""
    batch_statistics = case.op == "batch_norm" and not case.arguments.get("track_running_stats", True)
    masked = case.arguments.get("is_causal")  # a position sees less than all, but no range that moves along
    numbers = all(x.dtype == "float32" and x.batched and x.elements <= SMALL for x in case.inputs)
    return bool(case.inputs) and numbers and not batch_statistics and not masked


@pytest.mark.parametrize("case", [case for case in ACCEPTED if _told(case)], ids=str)
def test_an_op_reads_what_changes_its_output(case: Case) -> None:
    torch.manual_seed(0)
    (*reaches,) = case.create().reach(*case.inputs)
    assert len(reaches) == len(case.inputs)
    for number, (x, reach) in enumerate(zip(case.inputs, reaches, strict=True)):
        assert len(reach) == x.rank
        if not any(reach):
            continue
        depends = _depends(case, number).reshape(*x.shape, *case.create().outputs(*case.inputs)[0].shape)
        _check(reach, depends, x.rank)


def _check(reaches: Reaches, depends: Tensor, rank: int) -> None:
    for axis, part in enumerate(reaches):
        others = [other for other in range(rank) if other != axis]
        along = depends.any(dim=others) if others else depends  # positions of the input × output
        if part == WHOLE:
            assert bool(along.flatten(1).any(dim=1).all())
        elif isinstance(part, Reach):
            rest = [other for other in range(1, along.dim()) if other != part.axis + 1]
            pairs = along.any(dim=rest) if rest else along
            inside = 0
            for position, column in enumerate(pairs.T):
                low, high = part.low(position), part.high(position)
                if low >= 0 and high < len(column):
                    found = column.nonzero().flatten().tolist()
                    assert not found or (found[0], found[-1]) == (low, high)
                    inside += bool(found)
            assert inside or len(pairs) < part.size


# Networks ------------------------------------------------------------------------------------------------------------


def _window(draw: st.DrawFn) -> str:
    kernel, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 2))
    stride, padding = draw(st.integers(1, 3)), draw(st.integers(0, 2))
    return draw(
        st.sampled_from(
            [
                f"{{conv: [1, {kernel}, {stride}, {padding}], dilation: {dilation}, bias: false}}",
                f"{{avg_pool: [{kernel}, {stride}, {min(padding, kernel // 2)}], ceil_mode: true}}",
                f"{{conv: [1, {2 * kernel - 1}, {stride}], padding: same, bias: false}}",
            ]
        )
    )


@st.composite
def chains(draw: st.DrawFn) -> list[str]:
    """Layers that shrink the map, ways that part and meet again, and layers that enlarge it."""
    layers = [_window(draw) for _ in range(draw(st.integers(1, 3)))]
    first, second = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    branches = ", ".join(
        f"{name}: {{conv: [1, {2 * kernel - 1}, 2], padding: same, bias: false}}"
        for name, kernel in (("a", first), ("b", second))
    )
    layers += draw(st.sampled_from([[], [f"{{branches: {{{branches}}}, merge: add}}"]]))
    stride = draw(st.integers(1, 3))
    kernel = stride + draw(st.integers(0, 2))
    enlarging = [
        f"{{conv_transpose: [1, {kernel}, {stride}, 1], bias: false}}",
        f"{{upsample: , scale_factor: {stride}}}",
        f"{{upsample: , scale_factor: {stride}, mode: linear}}",
    ]
    layers += draw(st.lists(st.sampled_from(enlarging), max_size=2))
    return layers + [_window(draw) for _ in range(draw(st.integers(0, 1)))]


def _gradients(graph: netspec.Graph, x: Tensor) -> Tensor:
    """The output against the input of one axis, with all weights 1."""
    module = graph.build().double()
    for parameter in module.parameters():
        torch.nn.init.ones_(parameter)
    x.requires_grad_()
    rows = [torch.autograd.grad(y, x, retain_graph=True)[0].flatten() for y in module(x).flatten()]
    return torch.stack(rows) != 0


@examples(30)
@given(chains())
def test_the_field_of_a_network_is_where_its_gradient_is_not_0(layers: list[str]) -> None:
    length = 200
    text = f"netspec: 1\ninput: [1, {length}]\ngraph:\n" + "".join(
        f"  n{i}: {layer}\n" for i, layer in enumerate(layers)
    )
    graph = netspec.loads(text)
    (field,) = ReceptiveFields(graph).of(graph.route(f"n{len(layers) - 1}")).values()
    reach = field[1]
    assert isinstance(reach, Reach)
    sizes = set()
    for position, row in enumerate(_gradients(graph, torch.rand(1, 1, length, dtype=torch.double))):
        found = row.nonzero().flatten().tolist()
        low, high = reach.low(position), reach.high(position)
        if low >= 40 and high < length - 40:  # far from the padding of every layer
            assert (found[0], found[-1]) == (low, high)
            sizes.add(high - low + 1)
    assert not sizes or max(sizes) <= reach.size


def test_axes_have_fields_of_their_own() -> None:
    graph = netspec.loads(
        "netspec: 1\ninput: [1, 30, 40]\ngraph:\n  c: {conv: [1, [3, 5], [1, 2]]}\n  t: {transpose: [2, 3]}"
    )
    assert ReceptiveFields(graph).of(graph.route("t"))["x"] == (WHOLE, Reach(2, (0,), (2,)), Reach(1, (0,), (4,), 2))


def test_each_input_has_a_field_of_its_own() -> None:
    text = "netspec: 1\ninputs: {a: [1, 9, 9], b: [1, 9, 9]}\ngraph:\n"
    text += "  c: {from: a, conv: [1, 3], padding: same}\n  d: {add: [c, b]}"
    graph = netspec.loads(text)
    fields = ReceptiveFields(graph)
    assert list(fields.of(graph.route("c"))) == ["a"]
    found = fields.of(graph.route("d"))
    assert [part.size for part in found["a"][1:] if isinstance(part, Reach)] == [3, 3]
    assert [part.size for part in found["b"][1:] if isinstance(part, Reach)] == [1, 1]


def test_ways_that_drift_apart_meet_in_one_field() -> None:
    up = "up: {upsample: , scale_factor: 2, mode: linear, align_corners: true}"
    text = f"netspec: 1\ninput: [1, 20]\ngraph:\n  down: {{avg_pool: 2}}\n  {up}\n  sum: {{add: [up, x]}}"
    graph = netspec.loads(text)
    reach = ReceptiveFields(graph).of(graph.route("sum"))["x"][1]
    assert isinstance(reach, Reach)
    for position, row in enumerate(_gradients(graph, torch.rand(1, 1, 20, dtype=torch.double))):
        found = row.nonzero().flatten().tolist()
        assert (found[0], found[-1]) == (reach.low(position), reach.high(position))


PUBLISHED = {
    ("alexnet", "features"): (195, 32),
    ("vgg16", "features.28"): (196, 16),
    ("vgg16", "features"): (212, 32),
    ("inception_v3", "Mixed_7c"): (1311, 32),
    ("inception_v4", "features"): (2071, 32),
    ("inception_resnet_v2", "conv2d_7b"): (3039, 32),
}
"""Araujo et al., Computing receptive fields of convolutional neural networks, 2019, table 1; conv5_3 is well known."""


@pytest.mark.parametrize(("name", "path"), PUBLISHED)
def test_published_fields_are_found(name: str, path: str) -> None:
    graph = netspec.load(name)
    field = ReceptiveFields(graph).of(graph.route(path))["x"]
    assert {(part.size, int(part.stride)) for part in field[1:] if isinstance(part, Reach)} == {PUBLISHED[name, path]}


@pytest.mark.parametrize("name", ["resnet50", "vit_b_16", "swin_t", "densenet121"])
def test_the_last_layer_sees_all_of_the_input(name: str) -> None:
    graph = netspec.load(name)
    last = graph.root.nodes[-1].name
    assert ReceptiveFields(graph).of(graph.route(last))["x"] == (WHOLE, WHOLE, WHOLE)
