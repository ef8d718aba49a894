"""Blocks of the library against the modules of torchvision that they describe."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torchvision.models.densenet import _DenseBlock, _DenseLayer, _Transition
from torchvision.models.efficientnet import FusedMBConv, FusedMBConvConfig, MBConv, MBConvConfig
from torchvision.models.googlenet import Inception, InceptionAux
from torchvision.models.mobilenetv2 import InvertedResidual
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.models.shufflenetv2 import InvertedResidual as ShuffleUnit
from torchvision.models.squeezenet import Fire
from torchvision.ops.misc import Conv2dNormActivation, SqueezeExcitation

import netspec

norm = nn.BatchNorm2d

PAIRS: dict[str, Callable[[], nn.Module]] = {
    "{auxiliary_classifier: 10}": lambda: InceptionAux(8, 10),
    "{basic_block: 8}": lambda: BasicBlock(8, 8),
    "{bottleneck: 2}": lambda: Bottleneck(8, 2),
    "{bottleneck: [2, 1, 4, 64, 2]}": lambda: Bottleneck(8, 2, groups=4, dilation=2),
    "{conv_norm_act: [12, 3, 2]}": lambda: Conv2dNormActivation(8, 12, 3, 2),
    "{conv_norm_act: [12, 5], norm: none, act: silu}": lambda: Conv2dNormActivation(
        8, 12, 5, norm_layer=None, activation_layer=nn.SiLU
    ),
    "{dense_block: [3, 4]}": lambda: _DenseBlock(3, 8, 4, 4, 0.0),
    "{dense_layer: [4, 2]}": lambda: _DenseLayer(8, 4, 2, 0.0),
    "{fire: [2, 4, 6]}": lambda: Fire(8, 2, 4, 6),
    "{fused_mbconv: [8, 3, 1, 4]}": lambda: FusedMBConv(FusedMBConvConfig(4, 3, 1, 8, 8, 1), 0.0, norm),
    "{fused_mbconv: [16, 3, 2, 1]}": lambda: FusedMBConv(FusedMBConvConfig(1, 3, 2, 8, 16, 1), 0.0, norm),
    "{inception: [4, 2, 6, 2, 4, 4]}": lambda: Inception(8, 4, 2, 6, 2, 4, 4),
    "{inverted_residual: 8}": lambda: InvertedResidual(8, 8, 1, 6),
    "{inverted_residual: [12, 2, 1]}": lambda: InvertedResidual(8, 12, 2, 1),
    "{mbconv: 8}": lambda: MBConv(MBConvConfig(6, 3, 1, 8, 8, 1), 0.0, norm),
    "{mbconv: [16, 5, 2, 1]}": lambda: MBConv(MBConvConfig(1, 5, 2, 8, 16, 1), 0.0, norm),
    "{shuffle_unit: 8}": lambda: ShuffleUnit(8, 8, 1),
    "{shuffle_unit: [16, 2]}": lambda: ShuffleUnit(8, 16, 2),
    "{squeeze_excitation: 2}": lambda: SqueezeExcitation(8, 2),
    "transition": lambda: _Transition(8, 4),
}


@pytest.mark.parametrize("node", PAIRS)
def test_a_block_equals_the_one_of_torchvision(node: str) -> None:
    text = f"netspec: 1\nname: net\ninput: [8, 12, 12]\ngraph: {{block: {node}}}\n"
    ours = netspec.loads(text).build(seed=0).get_submodule("block")
    theirs = PAIRS[node]()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict(), strict=True)
    for train in (False, True):
        ours.train(train), theirs.train(train)
        x = torch.randn(2, 8, 12, 12, generator=torch.Generator().manual_seed(0))
        pair = [x.clone().requires_grad_() for _ in range(2)]
        results = []
        for module, value in zip((ours, theirs), pair, strict=True):
            torch.manual_seed(1)
            results.append(module(value))
            results[-1].square().sum().backward()
        assert torch.equal(*results)
        assert torch.equal(*(value.grad for value in pair))  # type: ignore[arg-type]


def test_a_depthwise_separable_convolution_is_two_convolutions() -> None:
    text = "netspec: 1\nname: net\ninput: [8, 12, 12]\ngraph: {block: {depthwise_separable: [12, 5, 2]}}\n"
    ours = netspec.loads(text).build(seed=0).get_submodule("block")
    theirs = nn.Sequential(Conv2dNormActivation(8, 8, 5, 2, groups=8), Conv2dNormActivation(8, 12, 1))
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    x = torch.randn(2, 8, 12, 12)
    assert torch.equal(ours(x), theirs(x))
