"""A module that is imported is the network: its spec has the same keys and gives the same bits.

Small modules are imported, one for each thing that code written by hand does. Models of torchvision are compared with
the specs that ship, too; most of them are marked `heavy`.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import timm
import torch
import torchvision
from hypothesis import given
from torch import Tensor, nn
from torch.nn import functional

import netspec
from netspec import Graph, SpecError
from netspec.importing.capture.capture import capture
from netspec.importing.equality import equal
from tests.commands import Run
from tests.effort import examples
from tests.test_random_networks import specs

PICTURE = torch.zeros(1, 3, 8, 8)


def imported(module: nn.Module, *examples: Tensor, **options: Any) -> Graph:
    """The graph of the spec of a module, whose outputs and keys are compared here once more."""
    graph = netspec.loads(netspec.from_module(module, *examples, **options))
    theirs = module.eval()
    ours = graph.build(weights=theirs.state_dict()).eval()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    inputs = [torch.randn(5, *x.shape[1:]) if x.is_floating_point() else x for x in examples]
    with torch.no_grad():
        assert same(ours(*inputs), theirs(*inputs))
    return graph


def same(first: Any, second: Any) -> bool:
    if isinstance(first, Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    return len(first) == len(second) and all(map(same, first, second))


def refused(module: nn.Module, *examples: Tensor) -> tuple[str, ...]:
    """The messages of a module that cannot be imported."""
    with pytest.raises(SpecError) as error:
        netspec.from_module(module, *examples)
    return tuple(str(diagnostic) for diagnostic in error.value.diagnostics)


class Function(nn.Module):
    """A function of a convolution's output, in `forward`."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(self.conv(x))


# Published models ----------------------------------------------------------------------------------------------------

SMALL = ("mnasnet0_5", "mobilenet_v3_small", "resnet18", "shufflenet_v2_x0_5", "squeezenet1_1")
FIXED_SIZE = ("inception_v3", "maxvit", "swin_", "vit_")
ATTENTION_IN_WINDOWS = ("maxvit", "swin_")
"""Models whose specs move axes in other steps than the code of torchvision does."""
OTHERS = [name for name in torchvision.models.list_models(module=torchvision.models) if name not in SMALL]
MODELS = [*SMALL, *(pytest.param(name, marks=pytest.mark.heavy) for name in OTHERS)]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_model_of_torchvision_is_the_spec_that_ships(name: str) -> None:
    shipped = netspec.load(name)
    size = shipped.inputs["x"].spatial[0] if name.startswith(FIXED_SIZE) else 64
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    module = torchvision.models.get_model(name, **options)
    graph = imported(module, torch.zeros(1, 3, size, size), name=name)
    if not name.startswith(ATTENTION_IN_WINDOWS):
        assert equal(graph, netspec.load(name, input=[3, size, size])) is None


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "vit_tiny_patch16_224"])
def test_a_model_of_timm_is_imported(name: str) -> None:
    options: dict[str, Any] = {"img_size": 64} if name.startswith("vit") else {}
    assert imported(timm.create_model(name, **options), torch.zeros(1, 3, 64, 64)).parameters > 1_000_000


@examples(10)
@given(specs())
def test_a_random_network_comes_back_as_the_same_graph(text: str) -> None:
    graph = netspec.loads(text)
    (type,) = graph.inputs.values()
    again = netspec.from_module(graph.build(seed=0), torch.zeros(1, *type.shape))
    assert equal(graph, netspec.loads(again)) is None


def test_a_residual_network_is_as_short_as_one_written_by_hand() -> None:
    text = netspec.from_module(torchvision.models.resnet18(), torch.zeros(1, 3, 64, 64), name="resnet18", verify=False)
    assert len(text.splitlines()) <= 20
    assert "basic_block" in text


# What code does ------------------------------------------------------------------------------------------------------

FUNCTIONS = {
    "a module made on the fly": nn.Softmax(dim=1),
    "a division": lambda x: x / 4,
    "a loop over a shape": lambda x: sum(x[:, i : i + 1] for i in range(x.shape[1])),
    "a maximum": lambda x: x.amax((2, 3)),
    "a mean": lambda x: x.mean((2, 3), keepdim=True),
    "a new axis": lambda x: x[:, None].squeeze(1),
    "a number minus": lambda x: 1 - x,
    "a product": lambda x: x.flatten(2) @ x.flatten(2).transpose(1, 2),
    "a shift": lambda x: 2 + x - 0.5,
    "a square": lambda x: x**2,
    "a stack": lambda x: torch.stack([x, x * 2], 2),
    "channels last": lambda x: functional.layer_norm(x.permute(0, 2, 3, 1), (4,)).permute(0, 3, 1, 2),
    "chunks": lambda x: torch.cat(x.chunk(2, 1)[::-1], 1),
    "einsum": lambda x: torch.einsum("bcij,bckj->bcik", x, x),
    "in place": lambda x: x.relu_().add_(x),
    "interpolation": lambda x: functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False),
    "limits": lambda x: x.clamp(max=0.5).clamp_(-0.5),
    "padding": lambda x: functional.pad(x, (1, 0, 1, 0)),
    "pieces": lambda x: x.split([1, 3], 1)[1],
    "roll": lambda x: torch.roll(x, (1, -1), (2, 3)),
    "shuffled channels": lambda x: x.view(len(x), 2, 2, 8, 8).transpose(1, 2).reshape(len(x), 4, 8, 8),
    "the batch behind": lambda x: x.flatten(2).permute(2, 0, 1).softmax(-1).permute(1, 2, 0),
    "the batch in front of windows": lambda x: x.reshape(-1, 8, 8).softmax(-1).view(-1, 4, 64),
    "the last one": lambda x: x[..., -1],
    "unbound": lambda x: x.unbind(1)[0] - x.select(1, 3),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_becomes_an_op(name: str) -> None:
    imported(Function(FUNCTIONS[name]), PICTURE)


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.block = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        twice: Tensor = self.block(self.block(x))
        return twice + x


def test_a_module_that_is_called_twice_is_shared() -> None:
    graph = imported(Shared(), PICTURE)
    assert graph.parameters == 4 * 3 + 4 + 4 * 4 * 9 + 4


class Held(nn.Module):
    """Weights that are used as no layer uses them: in lists, by themselves, and by functions."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)])
        self.out = nn.Linear(4, 2)
        self.scale = nn.Parameter(torch.ones(4, 1, 1))
        self.token = nn.Parameter(torch.randn(1, 1, 4))
        self.shift: Tensor
        self.register_buffer("shift", torch.tensor([0.5, 1.0, 2.0, 4.0]).view(4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = conv(x)
        x = (x * self.scale + self.shift).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
        return functional.linear(x, self.out.weight, self.out.bias)


def test_weights_that_no_module_is_called_for_keep_their_keys() -> None:
    graph = imported(Held(), PICTURE)
    assert {"scale", "token", "shift", "convs.0.weight", "out.weight"} <= graph.state().keys()


class NormAndActivation(nn.BatchNorm2d):
    """A layer that does more than its base class, as in timm."""

    def forward(self, input: Tensor) -> Tensor:
        return functional.relu(super().forward(input))


def test_a_layer_that_does_more_is_the_layer_and_what_it_does() -> None:
    graph = imported(nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 4, 1), norm=NormAndActivation(4))), PICTURE)
    assert [node.kind for _, node in graph.walk()] == ["conv", "batch_norm", "relu"]


class Outputs(NamedTuple):
    logits: Tensor
    aux: Tensor | None


class Auxiliary(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 4, 1)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(4, 2)
        self.aux = nn.Sequential(nn.Flatten(), nn.Linear(256, 2))

    def forward(self, x: Tensor) -> Outputs | Tensor:
        x = self.body(x)
        aux = self.aux(x) if self.training else None
        logits = self.head(self.dropout(x.mean((2, 3))))
        return Outputs(logits, aux) if self.training else logits


def test_what_runs_in_training_alone_is_found() -> None:
    graph = imported(Auxiliary(), PICTURE)
    assert [output.name for output in graph.root.outputs if output.training_only] == ["aux"]
    assert graph.build().train()(torch.randn(2, 3, 8, 8))._fields == ("logits", "aux")


class Training(nn.Module):
    """Returns `training(y, main, aux)` in training and `evaluation(y, main)` in eval mode."""

    def __init__(self, training: Any, evaluation: Any) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 4, 1)
        self.main = nn.Conv2d(4, 2, 1)
        self.aux = nn.Conv2d(4, 2, 1)
        self.results = training, evaluation

    def forward(self, x: Tensor) -> Any:
        y = self.body(x)
        training, evaluation = self.results
        return training(y, self.main(y), self.aux) if self.training else evaluation(y, self.main(y))


@pytest.mark.parametrize(
    ("training", "evaluation"),
    [
        (lambda y, main, aux: (main, aux(y)), lambda y, main: main),
        (lambda y, main, aux: (aux(y.relu()).mean((2, 3)), main), lambda y, main: main),
        (lambda y, main, aux: [main, aux(y), y], lambda y, main: [main, y]),
        (lambda y, main, aux: {"main": main, "aux": aux(y)}, lambda y, main: {"main": main}),
    ],
)
def test_a_layer_that_runs_in_training_alone_is_returned_as_the_module_does(training: Any, evaluation: Any) -> None:
    module = Training(training, evaluation)
    ours = imported(module, PICTURE).build(weights=module.state_dict()).train()
    picture = torch.randn(2, 3, 8, 8)
    assert same(ours(picture), module.train()(picture))
    assert isinstance(ours.eval()(picture), Tensor) == isinstance(module.eval()(picture), Tensor)


@pytest.mark.parametrize(
    ("training", "evaluation", "difference"),
    [
        (lambda y, main, aux: {"main": main, "aux": aux(y)}, lambda y, main: main, "another kind of result"),
        (lambda y, main, aux: {"a": main, "b": aux(y)}, lambda y, main: {"main": main}, "other names of results"),
        (lambda y, main, aux: aux(y), lambda y, main: main, "other values"),
        (lambda y, main, aux: (main, y), lambda y, main: main, "other values"),
    ],
)
def test_results_that_no_spec_has_in_both_modes_are_refused(training: Any, evaluation: Any, difference: str) -> None:
    messages = refused(Training(training, evaluation), PICTURE)
    assert any(f"the module returns {difference} in training than in eval mode" in message for message in messages)


class Passing(nn.Module):
    def forward(self, identity: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        return other, identity


def test_a_network_that_does_nothing_is_one_node() -> None:
    for module in (nn.Sequential(), nn.Sequential(nn.Identity()), nn.Identity()):
        assert [node.kind for _, node in imported(module, PICTURE).walk()] == ["identity"]
    assert [node.kind for _, node in imported(Passing(), PICTURE, torch.zeros(1, 4)).walk()] == ["identity"]


class Several(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(9, 4)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.lstm = nn.LSTM(4, 3, batch_first=True)
        self.look = nn.Linear(6, 4)

    def forward(self, tokens: Tensor, picture: Tensor) -> dict[str, Tensor]:
        words = self.embed(tokens)
        seen, _ = self.attention(words, words, words, need_weights=False)
        steps, (last, _) = self.lstm(seen)
        return {"steps": steps, "last": last[0] * 2, "look": functional.gelu(self.look(picture))}


def test_several_inputs_and_outputs_keep_their_names() -> None:
    tokens = torch.tensor([[1, 2, 3], [4, 5, 8]])
    graph = imported(Several(), tokens, torch.zeros(1, 6))
    assert list(graph.inputs) == ["tokens", "picture"]
    assert list(graph.outputs) == ["steps", "last", "look"]


def test_deep_modules_can_be_written_in_line_with_the_same_keys() -> None:
    module = torchvision.models.squeezenet1_1(num_classes=5)
    graph = capture(module, torch.zeros(1, 3, 64, 64), max_depth=0)
    assert not any(isinstance(node.target, netspec.Body) for _, node in graph.walk())
    assert list(graph.state()) == list(module.state_dict())


def test_the_module_stays_as_it_was() -> None:
    module = Auxiliary().train()
    module.dropout.eval()
    state = {key: value.clone() for key, value in module.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    netspec.from_module(module, PICTURE)
    assert torch.equal(torch.rand(1), expected)
    assert (module.training, module.dropout.training) == (True, False)
    assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())
    assert not any(child._forward_hooks or child._forward_pre_hooks for child in module.modules())


def test_of_a_compiled_module_the_one_inside_is_imported() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
    compiled: Any = torch.compile(module)
    assert netspec.from_module(compiled, PICTURE) == netspec.from_module(module, PICTURE)


def test_many_layers_are_many_nodes() -> None:
    layers: list[nn.Module] = []
    for width in range(150):
        layers += [nn.Conv1d(1 + width % 3, 1 + (width + 1) % 3, 1), nn.ReLU()]
    graph = capture(nn.Sequential(*layers), torch.zeros(1, 1, 4))
    assert graph.root.size == 300


# What cannot be imported ---------------------------------------------------------------------------------------------


def test_a_function_without_an_op_is_shown_where_it_is_called() -> None:
    (message,) = refused(Function(lambda x: torch.fft.rfft(x).real), PICTURE)
    assert message.startswith("error[cannot-import]: the function `fft_rfft` has no op in the language")
    assert "test_import.py" in message
    assert "torch.fft.rfft(x).real" in message


def test_all_that_cannot_be_imported_is_said_at_once() -> None:
    def several(x: Tensor) -> Tensor:
        x = x.sort(1)[0] + 1
        return x.erf()

    first = refused(nn.Sequential(Function(several), Function(several)), torch.zeros(1, 3, 8, 8))
    assert len(first) == 1, "what depends on a failure stays silent"

    def apart(x: Tensor) -> Tensor:
        return torch.cat([x.erf(), x.erfc()], 1)

    messages = refused(Function(apart), PICTURE)
    assert [message.split("`")[1] for message in messages] == ["erf", "erfc"]


def test_control_flow_that_depends_on_numbers_is_refused() -> None:
    (message,) = refused(Function(lambda x: x if x.sum((1, 2, 3))[0] > 0 else -x), PICTURE)
    assert message.startswith("error[")
    (message,) = refused(Function(lambda x: x * x[:, 0, 0].mean(1).tolist()[0]), PICTURE)
    assert message.startswith("error[data-dependent]: what the network does depends on the numbers in a tensor")
    assert "test_import.py" in message


def test_samples_that_are_mixed_are_refused() -> None:
    (message,) = refused(Function(lambda x: x.mean(0)), PICTURE)
    assert "works along the batch axis" in message


def test_weights_that_no_run_reaches_are_refused() -> None:
    module = Function(lambda x: x)
    module.unused = nn.Linear(2, 2)
    (message,) = refused(module, PICTURE)
    assert message.startswith("error[unreached-weights]: 2 of 4 tensors of the module are never used: `unused.weight`")


def test_a_single_layer_has_no_name() -> None:
    (message,) = refused(nn.Conv2d(3, 4, 1), PICTURE)
    assert "help: put it into an `nn.Sequential`" in message
    (message,) = refused(nn.LSTM(3, 4, batch_first=True), torch.zeros(1, 5, 3))
    assert "help: import a module whose `forward` calls it and returns tensors" in message


class LastStep(nn.Module):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4, **options)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.lstm(x)[0]
        return output


def test_a_recurrent_layer_has_the_batch_in_front() -> None:
    assert [node.kind for _, node in imported(LastStep(batch_first=True), torch.zeros(1, 5, 3)).walk()] == ["lstm"]
    (message,) = refused(LastStep(), torch.zeros(1, 5, 3))
    assert "help: such layers have an op with `batch_first=True`" in message


def test_layers_without_weights_have_to_run_first() -> None:
    module = nn.Sequential(nn.LazyConv2d(4, 1), nn.Flatten(), nn.LazyLinear(5))
    (message,) = refused(module, PICTURE)
    assert "`0` and `2` got no weights yet" in message
    assert "help: run the module once first: `module(example)`" in message
    module(PICTURE)
    assert [node.kind for _, node in imported(module, PICTURE).walk()] == ["conv", "flatten", "linear"]


@pytest.mark.parametrize("name", ["x", "class"])
def test_a_key_that_is_no_name_is_to_be_renamed_in_the_module(name: str) -> None:
    (message,) = refused(nn.Sequential(OrderedDict({name: nn.Conv2d(3, 4, 1)})), PICTURE)
    assert message.startswith(f"error[invalid-name]: `{name}` cannot name a node")
    assert "help: rename it in the module" in message


def test_an_input_that_is_called_like_a_layer_gives_way() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.look = nn.Linear(3, 4)
            self.weight = nn.Parameter(torch.randn(4, 4))

        def forward(self, look: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
            seen = self.look(look)
            return functional.linear(seen, self.weight), seen + other

    graph = imported(Named(), torch.zeros(1, 3), torch.zeros(1, 4))
    assert list(graph.inputs) == ["look2", "other"]


def test_tied_weights_are_refused() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    module[2].weight = module[0].weight
    (message,) = refused(module, torch.zeros(1, 4))
    assert "`0.weight` and `2.weight` are one tensor" in message


def test_random_numbers_in_eval_mode_are_refused() -> None:
    (message,) = refused(Function(lambda x: x + torch.rand(4, 8, 8)), PICTURE)
    assert message.startswith("error[import-differs]: the spec computes something else than the module")


def test_a_network_that_differs_in_training_is_refused() -> None:
    class Differs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            return x.relu() if self.training else x.sigmoid()

    assert any("runs in eval mode, but not in the same way in training" in text for text in refused(Differs(), PICTURE))


def test_a_view_that_is_written_over_is_refused() -> None:
    def over(x: Tensor) -> Tensor:
        whole = x + 1
        whole[:, 0].mul_(2)
        return whole

    assert any("written over through another view" in text for text in refused(Function(over), PICTURE))


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def test_a_function_with_a_gradient_of_its_own_is_refused() -> None:
    (message,) = refused(Function(lambda x: Doubled.apply(x) + 1), PICTURE)
    assert "`Doubled` has a gradient of its own" in message
    assert torch.equal(Doubled.apply(torch.ones(1)), torch.tensor([2.0]))


def test_a_forward_that_fails_is_told_apart() -> None:
    (message,) = refused(Function(lambda x: x), torch.zeros(1, 5, 8, 8))
    assert message.startswith("error[forward-failed]: the module fails in eval mode on a batch of 3")
    assert "at: conv" in message


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ("resnet18", {}, "`from_module` takes a module, got a str"),
        (nn.ReLU, {}, "`from_module` takes a module, got the class `ReLU`"),
        (nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()), {"max_depth": -1}, "`max_depth` is an integer of at least 0"),
    ],
)
def test_a_wrong_argument_is_told(given: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        netspec.from_module(given, PICTURE, **options)


def test_an_example_needs_a_batch_axis() -> None:
    (message,) = refused(Function(lambda x: x))
    assert "running it on an example input" in message
    (message,) = refused(Function(lambda x: x), torch.tensor(1.0))
    assert "a tensor with a batch axis, got one of shape ()" in message


@pytest.mark.parametrize(
    ("module", "example"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), torch.zeros(3, 16, 16)),
        (nn.Sequential(nn.ZeroPad2d(1), nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(64, 2)), torch.zeros(1, 4, 4)),
        (nn.Sequential(nn.MaxPool1d(2)), torch.zeros(3, 8)),
        (nn.Sequential(nn.BatchNorm2d(3)), torch.zeros(3, 8, 8)),
        (nn.Sequential(nn.Linear(64, 2)), torch.zeros(64)),
    ],
)
def test_an_example_that_is_one_sample_is_told(module: nn.Module, example: Tensor) -> None:
    (message,) = refused(module, example)
    shape = tuple(example.unsqueeze(0).shape)
    assert f"an example has a batch axis in front: `example.unsqueeze(0)`, or `torch.zeros{shape}`" in message


def test_a_batch_axis_is_asked_for_only_where_it_is_missing() -> None:
    assert imported(nn.Sequential(nn.Linear(64, 2)), torch.zeros(1, 64)).inputs["x"].shape == (64,)
    (message,) = refused(nn.Sequential(nn.Linear(64, 2)), torch.zeros(1, 65))
    assert message.startswith("error[forward-failed]")
    assert "batch axis" not in message


# The command ---------------------------------------------------------------------------------------------------------


def test_the_command_prints_a_spec_or_writes_it_whole(run: Run, tmp_path: Path) -> None:
    source = "torchvision:squeezenet1_1"
    status, out, err = run("import", source, "--input", "[3, 64, 64]", "--no-verify")
    assert (status, err) == (0, "")
    assert netspec.loads(out).parameters == netspec.load("squeezenet1_1").parameters
    folder = tmp_path / "written"
    folder.mkdir()
    path = folder / "net.yaml"
    status, printed, _ = run("import", source, "--input", "[3, 64, 64]", "--no-verify", "-o", str(path))
    assert (status, printed) == (0, f"saved       {path}\n")
    assert path.read_text(encoding="utf-8") == out
    assert list(folder.iterdir()) == [path]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnet50"], "`resnet50` names no module to import"),
        (["torchvision:resnet19"], "did you mean `resnet18`?"),
        (["timm:resnet26dd"], "timm has no model `resnet26dd`"),
        (["tests.test_import:Shared"], "error[code-not-allowed]: `tests.test_import:Shared` is code"),
        (["tests.test_import:Nothing", "--allow-code"], "cannot be made"),
        (["builtins:dict", "--allow-code"], "makes no `nn.Module`, but a dict"),
        (["tests.test_import:Shared", "--allow-code"], "error[missing-example]: the shape of the input is not known"),
        (["torchvision:resnet18", "-o", "net.json"], "unknown format `.json`"),
        (["torchvision:resnet18", "--input", "[3, x]"], "is not a list of positive integers"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_wrong_source_is_a_message(arguments: list[str], message: str, run: Run) -> None:
    status, out, err = run("import", *arguments)
    assert (status, out) == (1, "")
    assert message in err


def test_code_is_called_where_it_is_allowed(run: Run) -> None:
    status, out, err = run("import", "tests.test_import:Shared", "--allow-code", "--input", "[3, 8, 8]")
    assert (status, err) == (0, "")
    assert netspec.loads(out).outputs["add"].shape == (4, 8, 8)
