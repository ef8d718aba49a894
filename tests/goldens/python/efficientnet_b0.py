"""efficientnet_b0: MBConv blocks; the table lists expansion, kernel, stride and channels of each stage, `layers` its
depth.

Tan and Le, EfficientNet: rethinking model scaling for convolutional neural networks, 2019.
"""

import math
from collections.abc import Callable

from torch import Tensor, nn
from torchvision.ops import StochasticDepth


class ConvNormAct(nn.Sequential):
    """Convolution, normalization and activation, the brick of most networks; either of the last two may be `none`."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        groups: int = 1,
        act: Callable[..., nn.Module] | None = nn.SiLU,
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


class SqueezeExcitation(nn.Module):
    """Scales each channel by what the whole picture says of it.

    Hu et al., Squeeze-and-excitation networks, 2017.
    """

    def __init__(self, in_channels: int, squeeze_channels: int) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(in_channels, squeeze_channels, 1)
        self.activation = nn.SiLU(inplace=True)
        self.fc2 = nn.Conv2d(squeeze_channels, in_channels, 1)
        self.scale_activation = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        y = self.avgpool(x)
        y = self.fc1(y)
        y = self.activation(y)
        y = self.fc2(y)
        y = self.scale_activation(y)
        out: Tensor = y * x
        return out


class MBConv(nn.Module):
    """The block of EfficientNet, an inverted residual with squeeze-and-excitation and stochastic depth."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, expand_ratio: int, drop: float, stride: int = 1
    ) -> None:
        super().__init__()
        hidden_channels = in_channels * expand_ratio
        self.residual = in_channels == out_channels
        layers: list[nn.Module] = []
        if in_channels != hidden_channels:
            layers.append(ConvNormAct(in_channels, hidden_channels, 1))
        layers += [
            ConvNormAct(hidden_channels, hidden_channels, kernel_size, stride=stride, groups=hidden_channels),
            SqueezeExcitation(hidden_channels, in_channels // 4),
            ConvNormAct(hidden_channels, out_channels, 1, act=None),
        ]
        self.block = nn.Sequential(*layers)
        if self.residual:
            self.stochastic_depth = StochasticDepth(drop, "row")

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.block(x)
        if self.residual:
            y = self.stochastic_depth(y)
            y += x
        return y


class EfficientNetB0(nn.Module):
    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.features = nn.Sequential(
            ConvNormAct(3, 32, 3, stride=2),  # 32×112×112
            nn.Sequential(MBConv(32, 16, 3, 1, 0.0)),  # 16×112×112
            nn.Sequential(MBConv(16, 24, 3, 6, 0.2 * 1 / 16, stride=2), MBConv(24, 24, 3, 6, 0.2 * 2 / 16)),  # 24×56×56
            nn.Sequential(MBConv(24, 40, 5, 6, 0.2 * 3 / 16, stride=2), MBConv(40, 40, 5, 6, 0.2 * 4 / 16)),  # 40×28×28
            nn.Sequential(  # 80×14×14
                MBConv(40, 80, 3, 6, 0.2 * 5 / 16, stride=2),
                MBConv(80, 80, 3, 6, 0.2 * 6 / 16),
                MBConv(80, 80, 3, 6, 0.2 * 7 / 16),
            ),
            nn.Sequential(  # 112×14×14
                MBConv(80, 112, 5, 6, 0.2 * 8 / 16),
                MBConv(112, 112, 5, 6, 0.2 * 9 / 16),
                MBConv(112, 112, 5, 6, 0.2 * 10 / 16),
            ),
            nn.Sequential(  # 192×7×7
                MBConv(112, 192, 5, 6, 0.2 * 11 / 16, stride=2),
                *[MBConv(192, 192, 5, 6, 0.2 * i / 16) for i in range(12, 15)],
            ),
            nn.Sequential(MBConv(192, 320, 3, 6, 0.2 * 15 / 16)),  # 320×7×7
            ConvNormAct(320, 1280, 1),  # 1280×7×7
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, num_classes))
        self._init_weights()

    def _init_weights(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Linear):
                nn.init.uniform_(
                    module.weight, a=-1 / math.sqrt(module.out_features), b=1 / math.sqrt(module.out_features)
                )
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)  # 1280×7×7
        x = self.avgpool(x)  # 1280×1×1
        x = self.flatten(x)  # 1280
        out: Tensor = self.classifier(x)  # 1000
        return out
