"""hybrid: Inception, residual, dense and MBConv blocks in one network, a starting point for your own. Inception
modules see several scales, a residual stage deepens them, a dense block reuses features, and MBConv blocks finish
cheaply.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torchvision.ops import StochasticDepth


class ConvNormAct(nn.Sequential):
    """Convolution, normalization and activation, the brick of most networks; either of the last two may be `none`."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        act: Callable[..., nn.Module] | None,
        stride: int = 1,
        groups: int = 1,
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


class BasicConv(nn.Module):
    """The convolution of the Inception networks, with their batch norm.

    Szegedy et al., Rethinking the Inception architecture for computer vision, 2015.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = self.bn(x)
        out: Tensor = self.relu(x)
        return out


class Inception(nn.Module):
    """Four views of one input side by side, each cheap because a 1×1 convolution first reduces its channels.

    Szegedy et al., Going deeper with convolutions, 2014.
    """

    def __init__(self, in_channels: int, c1: int, c3_reduce: int, c3: int, c5_reduce: int, c5: int) -> None:
        super().__init__()
        self.branch1 = BasicConv(in_channels, c1)
        self.branch2 = nn.Sequential(
            BasicConv(in_channels, c3_reduce), BasicConv(c3_reduce, c3, kernel_size=3, padding=1)
        )
        self.branch3 = nn.Sequential(
            BasicConv(in_channels, c5_reduce), BasicConv(c5_reduce, c5, kernel_size=3, padding=1)
        )
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1, ceil_mode=True), BasicConv(in_channels, c5))

    def forward(self, x: Tensor) -> Tensor:
        y = self.branch1(x)
        branch2 = self.branch2(x)
        branch3 = self.branch3(x)
        x = self.branch4(x)
        return torch.cat([y, branch2, branch3, x], 1)


class Bottleneck(nn.Module):
    """A 3×3 convolution between two 1×1, which reduce and restore the channels, with a shortcut around them.

    He et al., Deep residual learning for image recognition, 2015.
    """

    def __init__(self, in_channels: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        out_channels = 4 * planes
        self.conv1 = nn.Conv2d(in_channels, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv3 = nn.Conv2d(planes, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.downsample: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False), nn.BatchNorm2d(out_channels)
            )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(x)
        y = self.bn1(y)
        y = self.relu1(y)
        y = self.conv2(y)
        y = self.bn2(y)
        y = self.relu2(y)
        y = self.conv3(y)
        y = self.bn3(y)
        x = self.downsample(x)
        y += x
        out: Tensor = self.relu(y)
        return out


class DenseLayer(nn.Module):
    """One layer of a dense block; it adds `growth_rate` channels to all that came before.

    Huang et al., Densely connected convolutional networks, 2016.
    """

    def __init__(self, in_channels: int, growth_rate: int, bn_size: int) -> None:
        super().__init__()
        hidden_channels = bn_size * growth_rate
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(in_channels, hidden_channels, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(hidden_channels)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(hidden_channels, growth_rate, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm1(x)
        x = self.relu1(x)
        x = self.conv1(x)
        x = self.norm2(x)
        x = self.relu2(x)
        out: Tensor = self.conv2(x)
        return out


class DenseBlock(nn.Module):
    """Layers that each see the outputs of all layers before them.

    Huang et al., Densely connected convolutional networks, 2016.
    """

    def __init__(self, in_channels: int, growth_rate: int) -> None:
        super().__init__()
        for i in range(4):
            self.add_module(f"denselayer{i + 1}", DenseLayer(in_channels + i * growth_rate, growth_rate, 4))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.children():
            x = torch.cat([x, layer(x)], 1)
        return x


class Transition(nn.Module):
    """Between dense blocks, half the channels and half the size.

    Huang et al., Densely connected convolutional networks, 2016.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(in_channels, 176, 1, bias=False)
        self.pool = nn.AvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        x = self.relu(x)
        x = self.conv(x)
        out: Tensor = self.pool(x)
        return out


class SqueezeExcitation(nn.Module):
    """Scales each channel by what the whole picture says of it.

    Hu et al., Squeeze-and-excitation networks, 2017.
    """

    def __init__(self, in_channels: int, squeeze_channels: int, act: Callable[..., nn.Module] = nn.SiLU) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(in_channels, squeeze_channels, 1)
        self.activation = act(inplace=True)
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
    """The block of EfficientNet, an inverted residual with squeeze-and-excitation and stochastic depth.

    Tan and Le, EfficientNet: rethinking model scaling for convolutional neural networks, 2019.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        hidden_channels = 6 * in_channels
        self.residual = in_channels == out_channels
        self.block = nn.Sequential(
            ConvNormAct(in_channels, hidden_channels, 1, nn.SiLU),
            ConvNormAct(hidden_channels, hidden_channels, 5, nn.SiLU, stride=stride, groups=hidden_channels),
            SqueezeExcitation(hidden_channels, in_channels // 4),
            ConvNormAct(hidden_channels, out_channels, 1, None),
        )
        if self.residual:
            self.stochastic_depth = StochasticDepth(0.1, "row")

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.block(x)
        if self.residual:
            y = self.stochastic_depth(y)
            y += x
        return y


class GlobalAvgPool(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean([2, 3])


class Hybrid(nn.Module):
    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            ConvNormAct(3, 32, 3, nn.ReLU, stride=2),
            ConvNormAct(32, 64, 3, nn.ReLU),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        self.scales = nn.Sequential(Inception(64, 32, 48, 64, 8, 16), Inception(128, 48, 64, 96, 16, 32))
        self.residual = nn.Sequential(Bottleneck(208, 64, stride=2), *[Bottleneck(256, 64) for _ in range(2)])
        self.dense = DenseBlock(256, 24)
        self.transition = Transition(352)
        self.mobile = nn.Sequential(
            nn.Sequential(MBConv(176, 160, 2), MBConv(160, 160, 1)), SqueezeExcitation(160, 16, act=nn.ReLU)
        )
        self.head = nn.Sequential(
            ConvNormAct(160, 320, 1, nn.ReLU), GlobalAvgPool(), nn.Dropout(0.2), nn.Linear(320, num_classes)
        )
        self._init_weights()

    def _init_weights(self) -> None:
        for name, module in self.named_modules():
            if name in ("residual.0.bn3", "residual.1.bn3", "residual.2.bn3") and isinstance(module, nn.BatchNorm2d):
                nn.init.zeros_(module.weight)
            elif isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # 64×24×24
        x = self.scales(x)  # 208×24×24
        x = self.residual(x)  # 256×12×12
        x = self.dense(x)  # 352×12×12
        x = self.transition(x)  # 176×6×6
        x = self.mobile(x)  # 160×3×3
        out: Tensor = self.head(x)  # 10
        return out
