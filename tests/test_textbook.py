"""Networks of the literature equal modules written by hand from their papers, and have the parameters published there.

A module here is written as its paper describes the network, not as its spec does: the table of C3 is a mask, frames are
folded into the batch, routing is a loop. Weights are copied, and then outputs must be the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import netspec


def built(name: str, **changes: Any) -> nn.Module:
    return netspec.load(name, **changes).build(seed=0).eval()


@torch.no_grad()
def lively(name: str, **changes: Any) -> nn.Module:
    """A network with weights that no layer hides: every one of them matters to the output, biases included."""
    torch.manual_seed(1)
    module = built(name, **changes)
    for parameter in module.parameters():
        if parameter.dim() > 1:
            fan_in = parameter[0].numel()
            parameter.normal_(std=math.sqrt(2 / fan_in))
        else:
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return module


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def counts(name: str, **changes: Any) -> dict[str, int]:
    """Trained parameters of each child of a network that has any."""
    children = netspec.load(name, **changes).build(device="meta").named_children()
    return {path: count(child) for path, child in children if count(child)}


def with_weights_of(theirs: nn.Module, ours: nn.Module) -> nn.Module:
    """`theirs` with the tensors of `ours`, which come in the same order under other names."""
    values = ours.state_dict().values()
    return loaded(theirs, dict(zip(theirs.state_dict(), values, strict=True)))


def loaded(theirs: nn.Module, state: dict[str, Tensor]) -> nn.Module:
    theirs.load_state_dict(state, strict=True, assign=True)
    return theirs.eval()


def close(ours: Tensor, theirs: Tensor) -> bool:
    """Whether they differ by far less than one output differs from another."""
    assert ours.shape == theirs.shape
    assert theirs.isfinite().all()
    spread = theirs.std().item()
    assert spread > 1e-3 * theirs.abs().max().item(), "outputs that are all alike compare nothing"
    return torch.allclose(ours, theirs, rtol=0, atol=1e-4 * spread)


def squash(a: Tensor) -> Tensor:
    """The activation of LeCun's networks."""
    return 1.7159 * torch.tanh(2 / 3 * a)


# LeNet-5, 1998 -------------------------------------------------------------------------------------------------------

TABLE_1 = """
    X...XXX..XXXX.XX
    XX...XXX..XXXX.X
    XXX...XXX..X.XXX
    .XXX..XXXX..X.XX
    ..XXX..XXXX.XX.X
    ...XXX..XXXX.XXX
"""
"""Which of the 6 maps of S2, in rows, each of the 16 maps of C3 sees, as the paper prints it."""

ZERO = """
    ..###..
    .#...#.
    #.....#
    #.....#
    #.....#
    #.....#
    #.....#
    #.....#
    #.....#
    #.....#
    .#...#.
    ..###..
"""


class LeNet51998(nn.Module):
    """A dense C3 under a mask, subsampling written out, and an output of distances."""

    def __init__(self, drawings: Tensor) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(1, 6, 5)
        self.s2_weight, self.s2_bias = nn.Parameter(torch.ones(6)), nn.Parameter(torch.zeros(6))
        self.c3 = nn.Conv2d(6, 16, 5)
        self.s4_weight, self.s4_bias = nn.Parameter(torch.ones(16)), nn.Parameter(torch.zeros(16))
        self.c5 = nn.Linear(400, 120)
        self.f6 = nn.Linear(120, 84)
        rows = [[mark == "X" for mark in row] for row in TABLE_1.split()]
        self.mask = torch.tensor(rows).T
        self.drawings = drawings

    @staticmethod
    def subsample(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        total = x[..., ::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, ::2] + x[..., 1::2, 1::2]
        return squash(total * weight.view(-1, 1, 1) + bias.view(-1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.subsample(squash(self.c1(x)), self.s2_weight, self.s2_bias)
        weight = self.c3.weight * self.mask[:, :, None, None]
        x = self.subsample(squash(functional.conv2d(x, weight, self.c3.bias)), self.s4_weight, self.s4_bias)
        x = squash(self.f6(squash(self.c5(x.flatten(1)))))
        return torch.stack([(x - drawing).square().sum(1) for drawing in self.drawings], dim=1)


def ink(drawing: str) -> Tensor:
    return torch.tensor([1.0 if mark == "#" else -1.0 for row in drawing.split() for mark in row])


def the_drawings(ours: nn.Module) -> Tensor:
    """The ten drawings of the spec, as 84 numbers each."""
    state = ours.state_dict()
    halves = [state[f"output.{name}"] for name in ("zero_to_four", "five_to_nine")]
    return torch.stack([half[:, digit].flatten() * 2 - 1 for half in halves for digit in range(5)])


def test_lenet5_of_1998_has_the_60_000_parameters_of_the_paper_layer_by_layer() -> None:
    published = {"C1": 156, "S2": 12, "C3": 1_516, "S4": 32, "C5": 48_120, "F6": 10_164}
    assert counts("lenet5_1998") == published
    assert sum(published.values()) == 60_000


def test_lenet5_of_1998_equals_the_network_written_by_hand() -> None:
    ours = lively("lenet5_1998")
    theirs = LeNet51998(the_drawings(ours))
    state = ours.state_dict()
    dense = torch.randn(16, 6, 5, 5)  # what the mask hides may be anything
    for index in range(16):
        dense[index, theirs.mask[index]] = state[f"C3.{index}.conv.weight"][0]
    ours_by_theirs = {
        "c1.weight": state["C1.weight"],
        "c1.bias": state["C1.bias"],
        "s2_weight": state["S2.scale.weight"].flatten(),
        "s2_bias": state["S2.scale.bias"],
        "c3.weight": dense,
        "c3.bias": torch.cat([state[f"C3.{index}.conv.bias"] for index in range(16)]),
        "s4_weight": state["S4.scale.weight"].flatten(),
        "s4_bias": state["S4.scale.bias"],
        "c5.weight": state["C5.weight"].flatten(1),
        "c5.bias": state["C5.bias"],
        "f6.weight": state["F6.weight"],
        "f6.bias": state["F6.bias"],
    }
    digits = torch.randn(4, 1, 32, 32)
    assert close(ours(digits), loaded(theirs, ours_by_theirs)(digits))


def test_lenet5_of_1998_knows_ten_different_drawings_and_does_not_train_them() -> None:
    ours = built("lenet5_1998")
    drawings = the_drawings(ours)
    assert torch.equal(drawings[0], ink(ZERO))
    assert len({tuple(drawing.tolist()) for drawing in drawings}) == 10
    assert not any("output" in path for path, _ in ours.named_parameters())


def test_a_state_that_is_a_drawing_has_the_distance_zero() -> None:
    ours = built("lenet5_1998")
    drawings = the_drawings(ours)
    distances = ours.get_submodule("output")(drawings)
    assert torch.equal(distances.argmin(1), torch.arange(10))
    assert not distances.diagonal().any()


def test_the_squashing_function_maps_1_to_1() -> None:
    squashing = netspec.loads("netspec: 1\nname: net\ninput: [3]\ngraph: {y: scaled_tanh}\n").build()
    x = torch.tensor([[1.0, -1.0, 100.0]])
    assert torch.allclose(squashing(x), torch.tensor([[1.0, -1.0, 1.7159]]), atol=1e-4)


# Zip codes, 1989 -----------------------------------------------------------------------------------------------------


class ConvNet1989(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.h1 = nn.Parameter(torch.zeros(12, 1, 5, 5))
        self.h1_bias = nn.Parameter(torch.zeros(12, 8, 8))
        self.h2 = nn.ParameterList([torch.zeros(4, 8, 5, 5) for _ in range(3)])
        self.h2_bias = nn.Parameter(torch.zeros(12, 4, 4))
        self.h3 = nn.Linear(192, 30)
        self.output = nn.Linear(30, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = squash(functional.conv2d(functional.pad(x, (2, 2, 2, 2), value=-1.0), self.h1, stride=2) + self.h1_bias)
        x = functional.pad(x, (2, 2, 2, 2), value=-1.0)
        first, middle, last = x[:, :4], x[:, 4:8], x[:, 8:]
        seen = [torch.cat(maps, 1) for maps in ((first, middle), (middle, last), (first, last))]
        x = torch.cat([functional.conv2d(maps, self.h2[i], stride=2) for i, maps in enumerate(seen)], 1)
        x = squash(x + self.h2_bias).flatten(1)
        return squash(self.output(squash(self.h3(x))))


def test_the_network_of_1989_has_the_9_760_parameters_of_the_paper() -> None:
    found = counts("convnet_1989")
    assert found["bias1"] == 768, "a bias for each of the 12 × 8 × 8 units"
    assert found["H1"] + found["bias1"] == 1_068
    assert found["H2"] + found["bias2"] == 2_592
    assert (found["H3"], found["output"]) == (5_790, 310)
    assert sum(found.values()) == 9_760


def test_the_network_of_1989_equals_the_one_written_by_hand() -> None:
    ours = lively("convnet_1989")
    state = ours.state_dict()
    theirs = loaded(ConvNet1989(), {
        "h1": state["H1.weight"], "h1_bias": state["bias1.bias"],
        **{f"h2.{i}": state[f"H2.{i}.conv.weight"] for i in range(3)}, "h2_bias": state["bias2.bias"],
        "h3.weight": state["H3.weight"], "h3.bias": state["H3.bias"],
        "output.weight": state["output.weight"], "output.bias": state["output.bias"],
    })  # fmt: skip
    digits = torch.rand(4, 1, 16, 16) * 2 - 1
    assert close(ours(digits), theirs(digits))


# AlexNet and its kin -------------------------------------------------------------------------------------------------


class ResponseNorm(nn.Module):
    """The formula of section 3.3 of the paper, channel by channel."""

    def forward(self, a: Tensor) -> Tensor:
        n, k, alpha, beta = 5, 2.0, 1e-4, 0.75
        channels = a.shape[1]
        result = []
        for i in range(channels):
            around = a[:, max(0, i - n // 2) : min(channels - 1, i + n // 2) + 1]
            result.append(a[:, i] / (k + alpha * around.square().sum(1)) ** beta)
        return torch.stack(result, 1)


def classifier(inputs: int, num_classes: int) -> list[nn.Module]:
    hidden = (nn.Linear(inputs, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout())
    return [nn.Flatten(), *hidden, nn.Linear(4096, num_classes)]


def alexnet_2012() -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(3, 96, 11, 4), nn.ReLU(), ResponseNorm(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(), ResponseNorm(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *classifier(256 * 6 * 6, 1000),
    )


def alexnet_textbook() -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(1, 96, 11, 4, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(96, 256, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *classifier(256 * 5 * 5, 10),
    )


def zfnet() -> nn.Sequential:
    """Pooled by a margin that never wins, which gives the sizes of figure 3 as a window that hangs over does."""
    return nn.Sequential(
        *(nn.Conv2d(3, 96, 7, 2, padding=1), nn.ReLU(), nn.ConstantPad2d((0, 1, 0, 1), -math.inf)),
        *(nn.MaxPool2d(3, 2), ResponseNorm()),
        *(nn.Conv2d(96, 256, 5, 2), nn.ReLU(), nn.ConstantPad2d((0, 1, 0, 1), -math.inf)),
        *(nn.MaxPool2d(3, 2), ResponseNorm()),
        *(nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *classifier(256 * 6 * 6, 1000),
    )


MAKERS = {"alexnet_2012": alexnet_2012, "alexnet_textbook": alexnet_textbook, "zfnet": zfnet}


@pytest.mark.parametrize("name", MAKERS)
def test_alexnet_and_its_kin_equal_the_networks_written_by_hand(name: str) -> None:
    ours = lively(name)
    with torch.device("meta"):
        theirs = MAKERS[name]()
    theirs = with_weights_of(theirs, ours)  # type: ignore[assignment]
    picture = torch.randn(1, *netspec.load(name).inputs["x"].shape) * 50
    with torch.no_grad():
        assert close(ours(picture), theirs(picture))


@pytest.mark.parametrize(
    ("name", "changes", "published"),
    [
        ("alexnet_2012", {}, 60_965_224),
        ("alexnet_textbook", {}, 46_764_746),
        ("alexnet_textbook", {"input": [3, 224, 224], "num_classes": 1000}, 50_844_008),
        ("zfnet", {}, 62_357_608),
    ],
)
def test_alexnet_and_its_kin_have_as_many_parameters_as_published(
    name: str, changes: dict[str, Any], published: int
) -> None:
    assert count(netspec.load(name, **changes).build(device="meta")) == published


def test_alexnet_of_2012_starts_with_biases_of_1_where_the_paper_says_so() -> None:
    ours = built("alexnet_2012")
    biases = [set(value.tolist()) for path, value in ours.named_parameters() if path.endswith("bias")]
    assert biases == [{0}, {1}, {0}, {1}, {1}, {1}, {1}, {0}]


def test_zfnet_has_the_maps_of_figure_3() -> None:
    text = str(netspec.load("zfnet"))
    for shape in ("96×110×110", "96×55×55", "256×26×26", "256×13×13", "384×13×13", "256×6×6"):
        assert f"→ {shape}\n" in text


# Channel boosting ----------------------------------------------------------------------------------------------------


class ChannelBoosted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, padding=1), nn.ReLU()
        )
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(32, 16, 2, 2), nn.ReLU(), nn.ConvTranspose2d(16, 8, 2, 2), nn.ReLU()
        )
        self.reconstruction = nn.Conv2d(8, 3, 1)
        layers: list[nn.Module] = []
        for inputs, outputs, stride in ((3 + 8, 32, 1), (32, 64, 2), (64, 128, 2)):
            conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
            layers += [conv, nn.BatchNorm2d(outputs), nn.ReLU()]
        self.classifier = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        auxiliary = self.decoder(self.encoder(x))
        return self.classifier(torch.cat([x, auxiliary], 1)), self.reconstruction(auxiliary)


def test_the_channel_boosted_network_equals_the_one_written_by_hand() -> None:
    ours = lively("channel_boosted_cnn")
    theirs = with_weights_of(ChannelBoosted(), ours)
    pictures = torch.randn(4, 3, 32, 32)
    assert close(ours(pictures), theirs(pictures)[0])
    for mine, hand in zip(ours.train()(pictures), theirs.train()(pictures), strict=True):
        assert close(mine, hand), "logits, and in training the reconstruction too"


# Capsules ------------------------------------------------------------------------------------------------------------


def squash_capsules(s: Tensor) -> Tensor:
    """Equation 1 of the paper."""
    squared = s.square().sum(-1, keepdim=True)
    return squared / (1 + squared) * s / squared.sqrt()


class CapsuleNet(nn.Module):
    """Section 4 of the paper, with the procedure of routing as a loop."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 256, 9)
        self.primary = nn.Conv2d(256, 32 * 8, 9, 2)
        self.weights = nn.ParameterList([torch.zeros(1152, 8, 10 * 16)])
        self.decoder = nn.Sequential(
            *(nn.Linear(160, 512), nn.ReLU(), nn.Linear(512, 1024), nn.ReLU(), nn.Linear(1024, 784), nn.Sigmoid())
        )

    def forward(self, x: Tensor, rounds: int = 3) -> tuple[Tensor, Tensor]:
        batch = len(x)
        maps = self.primary(functional.relu(self.conv1(x))).view(batch, 32, 8, 6, 6)
        capsules = squash_capsules(maps.permute(0, 1, 3, 4, 2).reshape(batch, 1152, 8))
        predictions = torch.einsum("bie,iejo->bijo", capsules, self.weights[0].view(1152, 8, 10, 16))
        logits = torch.zeros(batch, 1152, 10)
        for _ in range(rounds):
            coupling = logits.softmax(2)
            digits = squash_capsules(torch.einsum("bij,bijo->bjo", coupling, predictions))
            logits = logits + torch.einsum("bijo,bjo->bij", predictions, digits)
        lengths = digits.norm(dim=2)
        mask = functional.one_hot(lengths.argmax(1), 10).unsqueeze(2)
        return lengths, self.decoder((digits * mask).flatten(1)).view(batch, 1, 28, 28)


def test_the_capsule_network_has_8_2_million_parameters_and_6_8_without_its_decoder() -> None:
    found = counts("capsulenet")
    assert sum(found.values()) == 8_215_568
    assert sum(found.values()) - found["decoder"] == 6_804_224


@pytest.mark.parametrize("rounds", [1, 3])
def test_the_capsule_network_equals_the_one_written_by_hand(rounds: int) -> None:
    ours = lively("capsulenet", iterations=rounds)
    theirs = with_weights_of(CapsuleNet(), ours)
    digits = torch.rand(3, 1, 28, 28)
    lengths, reconstruction = ours(digits)
    expected_lengths, expected_reconstruction = theirs(digits, rounds)
    assert close(lengths, expected_lengths)
    assert ((lengths > 0) & (lengths < 1)).all()
    assert close(reconstruction, expected_reconstruction)


def test_routing_is_differentiable_down_to_the_first_convolution() -> None:
    ours = built("capsulenet")
    lengths, reconstruction = ours(torch.rand(2, 1, 28, 28))
    (lengths.sum() + reconstruction.sum()).backward()
    for path, parameter in ours.named_parameters():
        assert parameter.grad is not None, path
        assert parameter.grad.isfinite().all(), path
        assert parameter.grad.any(), path


# Sequences -----------------------------------------------------------------------------------------------------------


class LRCN(nn.Module):
    """Frames are samples of one batch, as in the authors' own network."""

    def __init__(self) -> None:
        super().__init__()
        self.frames = nn.Sequential(
            *(nn.Conv2d(3, 96, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True), nn.LocalResponseNorm(5)),
            *(nn.Conv2d(96, 384, 5, 2, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True)),
            *(nn.LocalResponseNorm(5), nn.Conv2d(384, 512, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(512, 512, 3, padding=1, groups=2), nn.ReLU()),
            *(nn.Conv2d(512, 384, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True)),
            *(nn.Flatten(), nn.Linear(384 * 6 * 6, 4096), nn.ReLU()),
        )
        self.lstm = nn.LSTM(4096, 256, batch_first=True)
        self.fc8 = nn.Linear(256, 101)

    def forward(self, video: Tensor) -> tuple[Tensor, Tensor]:
        batch, _, length, _, _ = video.shape
        seen = [self.frames(video[:, :, frame]) for frame in range(length)]
        scores = self.fc8(self.lstm(torch.stack(seen, 1))[0])
        assert scores.shape == (batch, length, 101)
        return scores, torch.stack([scores[:, frame].softmax(1) for frame in range(length)]).sum(0) / length


def without_time(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Kernels of 1 × height × width as kernels of height × width."""
    return [tensor.squeeze(2) if tensor.dim() == 5 else tensor for tensor in tensors]


def test_lrcn_equals_the_network_that_sees_frame_by_frame() -> None:
    ours = lively("lrcn", input=[3, 2, 227, 227])
    with torch.device("meta"):
        theirs: nn.Module = LRCN()
    theirs = loaded(theirs, dict(zip(theirs.state_dict(), without_time([*ours.state_dict().values()]), strict=True)))
    video = torch.randn(1, 3, 2, 227, 227) * 50
    with torch.no_grad():
        scores, probabilities = ours(video)
        expected_scores, expected_probabilities = theirs(video)
    assert close(scores, expected_scores)
    assert close(probabilities, expected_probabilities)


def test_lrcn_has_as_many_parameters_as_the_authors_model() -> None:
    frames = 14_208 + 461_184 + 1_769_984 + 1_180_160 + 885_120
    heads = (384 * 36 + 1) * 4096 + 257 * 101
    lstm = 4 * 256 * (4096 + 256 + 1)
    ours = count(netspec.load("lrcn").build(device="meta"))
    assert ours == frames + heads + lstm + 4 * 256, "PyTorch's LSTM has its biases twice"


class CRNN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for maps, norm, pool in (
            *((64, False, (2, 2)), (128, False, (2, 2)), (256, False, None), (256, False, (2, 1))),
            *((512, True, None), (512, True, (2, 1))),
        ):
            layers += [nn.Conv2d(channels, maps, 3, padding=1)]
            layers += [nn.BatchNorm2d(maps)] if norm else []
            layers += [nn.ReLU()]
            layers += [nn.MaxPool2d(pool, pool)] if pool else []
            channels = maps
        self.cnn = nn.Sequential(*layers, nn.Conv2d(512, 512, 2), nn.ReLU())
        self.first = nn.LSTM(512, 256, bidirectional=True)
        self.between = nn.Linear(512, 256)
        self.second = nn.LSTM(256, 256, bidirectional=True)
        self.last = nn.Linear(512, 37)

    def forward(self, x: Tensor) -> Tensor:
        columns = torch.stack([column.flatten(1) for column in self.cnn(x).unbind(3)])
        hidden = self.second(self.between(self.first(columns)[0]))[0]
        return self.last(hidden).log_softmax(2).transpose(0, 1)  # type: ignore[no-any-return]


def test_crnn_equals_the_network_written_by_hand() -> None:
    ours = lively("crnn")
    theirs = with_weights_of(CRNN(), ours)
    lines = torch.randn(2, 1, 32, 100)
    assert ours(lines).shape == (2, 24, 37)
    assert close(ours(lines), theirs(lines))
    assert close(ours.train()(lines), theirs.train()(lines)), "batch norm in training"


def test_crnn_has_8_3_million_parameters_and_reads_lines_of_any_width() -> None:
    ours = built("crnn")
    assert count(ours) == 8_330_789
    assert ours(torch.randn(1, 1, 32, 220)).shape == (1, 54, 37)


def test_crnn_can_be_trained_with_the_loss_it_was_made_for() -> None:
    ours = built("crnn")
    steps = ours(torch.randn(2, 1, 32, 100)).transpose(0, 1)
    word = torch.randint(1, 37, (2, 5))
    loss = functional.ctc_loss(steps, word, torch.tensor([24, 24]), torch.tensor([5, 5]))
    loss.backward()
    assert loss.isfinite()
    assert all(parameter.grad is not None for parameter in ours.parameters())
