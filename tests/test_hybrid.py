"""The hybrid equals a module that is put together by hand from torchvision's own blocks."""

from __future__ import annotations

import torch
from torch import nn
from torchvision.models.densenet import _DenseBlock, _Transition
from torchvision.models.efficientnet import MBConv, MBConvConfig
from torchvision.models.googlenet import Inception
from torchvision.models.resnet import Bottleneck
from torchvision.ops.misc import Conv2dNormActivation, SqueezeExcitation

import netspec


def mbconv(channels: int, stride: int, drop: float) -> MBConv:
    return MBConv(MBConvConfig(6, 5, stride, channels, 160, 1), drop, nn.BatchNorm2d)


class Hybrid(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        stem = (Conv2dNormActivation(3, 32, 3, 2), Conv2dNormActivation(32, 64, 3), nn.MaxPool2d(3, 2, 1))
        self.stem = nn.Sequential(*stem)
        self.scales = nn.Sequential(Inception(64, 32, 48, 64, 8, 16, 16), Inception(128, 48, 64, 96, 16, 32, 32))
        project = nn.Sequential(nn.Conv2d(208, 256, 1, 2, bias=False), nn.BatchNorm2d(256))
        later = [Bottleneck(256, 64) for _ in range(2)]
        self.residual = nn.Sequential(Bottleneck(208, 64, 2, project), *later)
        self.dense = _DenseBlock(4, 256, 4, 24, 0.0)
        self.transition = _Transition(352, 176)
        blocks = nn.Sequential(mbconv(176, 2, 0.0), mbconv(160, 1, 0.1))
        self.mobile = nn.Sequential(blocks, SqueezeExcitation(160, 16))
        pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Sequential(Conv2dNormActivation(160, 320, 1), pool, nn.Dropout(0.2), nn.Linear(320, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.residual(self.scales(self.stem(x)))
        x = self.transition(self.dense(x))
        return self.head(self.mobile(x))  # type: ignore[no-any-return]


def test_the_hybrid_has_the_same_keys_outputs_and_gradients_as_the_one_made_by_hand() -> None:
    theirs, ours = Hybrid(), netspec.load("hybrid").build(seed=0)
    assert set(ours.state_dict()) == set(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict(), strict=True)
    pictures = torch.randn(3, 3, 96, 96)
    for train in (False, True):
        ours.train(train), theirs.train(train)
        torch.manual_seed(1)
        expected = theirs(pictures)
        torch.manual_seed(1)
        assert torch.allclose(ours(pictures), expected, rtol=1e-5, atol=1e-6), "pooling is a mean here"
    ours(pictures).square().sum().backward()
    assert all(parameter.grad is not None for parameter in ours.parameters())


def test_the_last_norm_of_each_residual_block_starts_at_zero() -> None:
    module = netspec.load("hybrid").build(seed=0)
    assert not any(module.get_parameter(f"residual.{i}.bn3.weight").any() for i in range(3))
