"""regnet_x_400mf: The simplest residual networks that a search found good; the table lists channels and depth of each
stage.

Radosavovic et al., Designing network design spaces, 2020.
"""

import math
from collections import OrderedDict
from collections.abc import Callable

from torch import Tensor, nn


class ConvNormAct(nn.Sequential):
    """Convolution, normalization and activation, the brick of most networks; either of the last two may be `none`."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        groups: int = 1,
        act: Callable[..., nn.Module] | None = nn.ReLU,
    ) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(
                in_channels,
                out_channels,
                kernel_size,
                stride=stride,
                padding=kernel_size // 2,
                groups=groups,
                bias=False,
            ),
            nn.BatchNorm2d(out_channels),
        ]
        if act is not None:
            layers.append(act(inplace=True))
        super().__init__(*layers)


class ResidualF(nn.Module):
    def __init__(self, in_channels: int, a_channels: int, stride: int) -> None:
        super().__init__()
        self.a = ConvNormAct(in_channels, a_channels)
        self.b = ConvNormAct(a_channels, a_channels, kernel_size=3, stride=stride, groups=a_channels // 16)
        self.c = ConvNormAct(a_channels, a_channels, act=None)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        x = self.b(x)
        out: Tensor = self.c(x)
        return out


class Residual(nn.Module):
    def __init__(self, in_channels: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.proj: nn.Module = nn.Identity()
        if stride != 1:
            self.proj = ConvNormAct(in_channels, width, stride=stride, act=None)
        self.f = ResidualF(in_channels, width, stride)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.proj(x)
        x = self.f(x)
        y = y + x
        out: Tensor = self.activation(y)
        return out


class TrunkOutput(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block1 = nn.Sequential(OrderedDict([("block1-0", Residual(32, 32, stride=2))]))
        self.block2 = nn.Sequential(
            OrderedDict([("block2-0", Residual(32, 64, stride=2)), ("block2-1", Residual(64, 64))])
        )
        self.block3 = nn.Sequential(
            OrderedDict(
                [("block3-0", Residual(64, 160, stride=2)), *[(f"block3-{i}", Residual(160, 160)) for i in range(1, 7)]]
            ),
        )
        self.block4 = nn.Sequential(
            OrderedDict(
                [
                    ("block4-0", Residual(160, 400, stride=2)),
                    *[(f"block4-{i}", Residual(400, 400)) for i in range(1, 12)],
                ],
            ),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.block1(x)  # 32×56×56
        x = self.block2(x)  # 64×28×28
        x = self.block3(x)  # 160×14×14
        out: Tensor = self.block4(x)  # 400×7×7
        return out


class RegNetX400mf(nn.Module):
    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.stem = ConvNormAct(3, 32, kernel_size=3, stride=2)
        self.trunk_output = TrunkOutput()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(400, num_classes)
        self._init_weights()

    def _init_weights(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=math.sqrt(2 / module.weight[:, 0].numel()))
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.01)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # 32×112×112
        x = self.trunk_output(x)  # 400×7×7
        x = self.avgpool(x)  # 400×1×1
        x = self.flatten(x)  # 400
        out: Tensor = self.fc(x)  # 1000
        return out
