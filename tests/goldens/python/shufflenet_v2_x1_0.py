"""shufflenet_v2_x1_0: Half of the channels pass each unit untouched, and a shuffle mixes the halves.

Ma et al., ShuffleNet V2: practical guidelines for efficient CNN architecture design, 2018.
"""

import torch
from torch import Tensor, nn


class ConvNormAct(nn.Sequential):
    """Convolution, normalization and activation, the brick of most networks; either of the last two may be `none`."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size, stride=stride, padding=kernel_size // 2, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class ShuffleUnit(nn.Module):
    """Half of the channels pass through, half are filtered, and a shuffle mixes them; with a stride, both are
    filtered.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        hidden_channels = out_channels // 2
        self.branch1 = nn.Sequential(
            nn.Conv2d(in_channels, in_channels, 3, stride=2, padding=1, groups=in_channels, bias=False),
            nn.BatchNorm2d(in_channels),
            nn.Conv2d(in_channels, hidden_channels, 1, bias=False),
            nn.BatchNorm2d(hidden_channels),
            nn.ReLU(inplace=True),
        )
        self.branch2 = nn.Sequential(
            nn.Conv2d(in_channels, hidden_channels, 1, bias=False),
            nn.BatchNorm2d(hidden_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden_channels, hidden_channels, 3, stride=2, padding=1, groups=hidden_channels, bias=False),
            nn.BatchNorm2d(hidden_channels),
            nn.Conv2d(hidden_channels, hidden_channels, 1, bias=False),
            nn.BatchNorm2d(hidden_channels),
            nn.ReLU(inplace=True),
        )
        self.shuffle = nn.ChannelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.branch1(x)
        x = self.branch2(x)
        y = torch.cat([y, x], 1)
        out: Tensor = self.shuffle(y)
        return out


class ShuffleUnit2(nn.Module):
    """Half of the channels pass through, half are filtered, and a shuffle mixes them; with a stride, both are
    filtered.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        hidden_channels = in_channels // 2
        branch2_channels = out_channels // 2
        self.branch2 = nn.Sequential(
            nn.Conv2d(hidden_channels, branch2_channels, 1, bias=False),
            nn.BatchNorm2d(hidden_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden_channels, branch2_channels, 3, padding=1, groups=hidden_channels, bias=False),
            nn.BatchNorm2d(hidden_channels),
            nn.Conv2d(hidden_channels, branch2_channels, 1, bias=False),
            nn.BatchNorm2d(hidden_channels),
            nn.ReLU(inplace=True),
        )
        self.shuffle = nn.ChannelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        y, branch2 = x.chunk(2, 1)
        branch2 = self.branch2(branch2)
        y = torch.cat([y, branch2], 1)
        out: Tensor = self.shuffle(y)
        return out


class ShuffleNetV2X10(nn.Module):
    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = ConvNormAct(3, 24, 3, 2)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.stage2 = nn.Sequential(ShuffleUnit(24, 116), *[ShuffleUnit2(116, 116) for _ in range(3)])
        self.stage3 = nn.Sequential(ShuffleUnit(116, 232), *[ShuffleUnit2(232, 232) for _ in range(7)])
        self.stage4 = nn.Sequential(ShuffleUnit(232, 464), *[ShuffleUnit2(464, 464) for _ in range(3)])
        self.conv5 = ConvNormAct(464, 1024, 1, 1)
        self.fc = nn.Linear(1024, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)  # 24×112×112
        x = self.maxpool(x)  # 24×56×56
        x = self.stage2(x)  # 116×28×28
        x = self.stage3(x)  # 232×14×14
        x = self.stage4(x)  # 464×7×7
        x = self.conv5(x)  # 1024×7×7
        x = x.mean([2, 3])  # 1024
        out: Tensor = self.fc(x)  # 1000
        return out
