"""res2net50_26w_4s: ResNet-50 whose 3×3 convolutions work on quarters of the channels, each on top of the quarter
before it.

Gao et al., Res2Net: a new multi-scale backbone architecture, 2019.
"""

import torch
from torch import Tensor, nn


class Bottle2neck(nn.Module):
    def __init__(self, in_channels: int, planes: int, base_width: int, convs_channels: int, stride: int = 1) -> None:
        super().__init__()
        hidden_channels = base_width * planes // 16
        out_channels = 4 * planes
        self.convs_channels = convs_channels
        self.residual = in_channels == out_channels
        self.conv1 = nn.Conv2d(in_channels, hidden_channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(hidden_channels)
        self.act1 = nn.ReLU(inplace=True)
        self.convs = nn.ModuleList(
            [nn.Conv2d(convs_channels, convs_channels, 3, stride=stride, padding=1, bias=False) for _ in range(3)]
        )
        self.bns = nn.ModuleList([nn.BatchNorm2d(convs_channels) for _ in range(3)])
        self.relu0 = nn.ReLU(inplace=True)
        self.relu1 = nn.ReLU(inplace=True)
        self.relu2 = nn.ReLU(inplace=True)
        self.pool: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.pool = nn.AvgPool2d(3, stride=stride, padding=1)
        self.conv3 = nn.Conv2d(4 * convs_channels, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.downsample: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False), nn.BatchNorm2d(out_channels)
            )
        self.relu = nn.ReLU(inplace=True)
        nn.init.zeros_(self.bn3.weight)

    def forward(self, x: Tensor) -> Tensor:
        act1 = self.conv1(x)
        act1 = self.bn1(act1)
        act1 = self.act1(act1)
        y, relu1, relu2, pool = act1.split(self.convs_channels, 1)
        y = self.convs[0](y)
        y = self.bns[0](y)
        y = self.relu0(y)
        if self.residual:
            relu1 = relu1 + y
        relu1 = self.convs[1](relu1)
        relu1 = self.bns[1](relu1)
        relu1 = self.relu1(relu1)
        if self.residual:
            relu2 = relu2 + relu1
        relu2 = self.convs[2](relu2)
        relu2 = self.bns[2](relu2)
        relu2 = self.relu2(relu2)
        pool = self.pool(pool)
        y = torch.cat([y, relu1, relu2, pool], 1)
        y = self.conv3(y)
        y = self.bn3(y)
        x = self.downsample(x)
        y += x
        out: Tensor = self.relu(y)
        return out


class Res2net5026w4s(nn.Module):
    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.act1 = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = nn.Sequential(Bottle2neck(64, 64, 26, 26), *[Bottle2neck(256, 64, 26, 26) for _ in range(2)])
        self.layer2 = nn.Sequential(
            Bottle2neck(256, 128, 26, 52, stride=2), *[Bottle2neck(512, 128, 26, 52) for _ in range(3)]
        )
        self.layer3 = nn.Sequential(
            Bottle2neck(512, 256, 26, 104, stride=2), *[Bottle2neck(1024, 256, 26, 104) for _ in range(5)]
        )
        self.layer4 = nn.Sequential(
            Bottle2neck(1024, 512, 26, 208, stride=2), *[Bottle2neck(2048, 512, 26, 208) for _ in range(2)]
        )
        self.fc = nn.Linear(2048, num_classes)
        self._init_weights()

    def _init_weights(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)  # 64×112×112
        x = self.bn1(x)
        x = self.act1(x)
        x = self.maxpool(x)  # 64×56×56
        x = self.layer1(x)  # 256×56×56
        x = self.layer2(x)  # 512×28×28
        x = self.layer3(x)  # 1024×14×14
        x = self.layer4(x)  # 2048×7×7
        x = x.mean([2, 3])  # 2048
        out: Tensor = self.fc(x)  # 1000
        return out
