"""inception_v3: Inception modules whose large kernels are factorized into smaller ones, and into rows and columns.

Szegedy et al., Rethinking the Inception architecture for computer vision, 2015.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class BasicConv(nn.Module):
    """The convolution of the Inception networks, with their batch norm."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride=stride, bias=False, padding=padding)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = self.bn(x)
        out: Tensor = self.relu(x)
        return out


class InceptionA(nn.Module):
    def __init__(self, in_channels: int, pool_features: int) -> None:
        super().__init__()
        self.branch1x1 = BasicConv(in_channels, 64, 1)
        self.branch5x5_1 = BasicConv(in_channels, 48, 1)
        self.branch5x5_2 = BasicConv(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = BasicConv(in_channels, 64, 1)
        self.branch3x3dbl_2 = BasicConv(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = BasicConv(96, 96, 3, padding=1)
        self.pool = nn.AvgPool2d(3, stride=1, padding=1)
        self.branch_pool = BasicConv(in_channels, pool_features, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.branch1x1(x)
        branch5x5_2 = self.branch5x5_1(x)
        branch5x5_2 = self.branch5x5_2(branch5x5_2)
        branch3x3dbl_3 = self.branch3x3dbl_1(x)
        branch3x3dbl_3 = self.branch3x3dbl_2(branch3x3dbl_3)
        branch3x3dbl_3 = self.branch3x3dbl_3(branch3x3dbl_3)
        x = self.pool(x)
        x = self.branch_pool(x)
        return torch.cat([y, branch5x5_2, branch3x3dbl_3, x], 1)


class InceptionB(nn.Module):
    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.branch3x3 = BasicConv(in_channels, 384, 3, stride=2)
        self.branch3x3dbl_1 = BasicConv(in_channels, 64, 1)
        self.branch3x3dbl_2 = BasicConv(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = BasicConv(96, 96, 3, stride=2)
        self.pool = nn.MaxPool2d(3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.branch3x3(x)
        branch3x3dbl_3 = self.branch3x3dbl_1(x)
        branch3x3dbl_3 = self.branch3x3dbl_2(branch3x3dbl_3)
        branch3x3dbl_3 = self.branch3x3dbl_3(branch3x3dbl_3)
        x = self.pool(x)
        return torch.cat([y, branch3x3dbl_3, x], 1)


class InceptionC(nn.Module):
    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.branch1x1 = BasicConv(in_channels, 192, 1)
        self.branch7x7_1 = BasicConv(in_channels, width, 1)
        self.branch7x7_2 = BasicConv(width, width, (1, 7), padding=(0, 3))
        self.branch7x7_3 = BasicConv(width, 192, (7, 1), padding=(3, 0))
        self.branch7x7dbl_1 = BasicConv(in_channels, width, 1)
        self.branch7x7dbl_2 = BasicConv(width, width, (7, 1), padding=(3, 0))
        self.branch7x7dbl_3 = BasicConv(width, width, (1, 7), padding=(0, 3))
        self.branch7x7dbl_4 = BasicConv(width, width, (7, 1), padding=(3, 0))
        self.branch7x7dbl_5 = BasicConv(width, 192, (1, 7), padding=(0, 3))
        self.pool = nn.AvgPool2d(3, stride=1, padding=1)
        self.branch_pool = BasicConv(in_channels, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.branch1x1(x)
        branch7x7_3 = self.branch7x7_1(x)
        branch7x7_3 = self.branch7x7_2(branch7x7_3)
        branch7x7_3 = self.branch7x7_3(branch7x7_3)
        branch7x7dbl_5 = self.branch7x7dbl_1(x)
        branch7x7dbl_5 = self.branch7x7dbl_2(branch7x7dbl_5)
        branch7x7dbl_5 = self.branch7x7dbl_3(branch7x7dbl_5)
        branch7x7dbl_5 = self.branch7x7dbl_4(branch7x7dbl_5)
        branch7x7dbl_5 = self.branch7x7dbl_5(branch7x7dbl_5)
        x = self.pool(x)
        x = self.branch_pool(x)
        return torch.cat([y, branch7x7_3, branch7x7dbl_5, x], 1)


class InceptionAux(nn.Module):
    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(5, stride=3)
        self.conv0 = BasicConv(in_channels, 128, 1)
        self.conv1 = BasicConv(128, in_channels, 5)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(in_channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(x)
        x = self.conv0(x)
        x = self.conv1(x)
        x = self.avgpool(x)
        x = self.flatten(x)
        out: Tensor = self.fc(x)
        return out


class InceptionD(nn.Module):
    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.branch3x3_1 = BasicConv(in_channels, 192, 1)
        self.branch3x3_2 = BasicConv(192, 320, 3, stride=2)
        self.branch7x7x3_1 = BasicConv(in_channels, 192, 1)
        self.branch7x7x3_2 = BasicConv(192, 192, (1, 7), padding=(0, 3))
        self.branch7x7x3_3 = BasicConv(192, 192, (7, 1), padding=(3, 0))
        self.branch7x7x3_4 = BasicConv(192, 192, 3, stride=2)
        self.pool = nn.MaxPool2d(3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.branch3x3_1(x)
        y = self.branch3x3_2(y)
        branch7x7x3_4 = self.branch7x7x3_1(x)
        branch7x7x3_4 = self.branch7x7x3_2(branch7x7x3_4)
        branch7x7x3_4 = self.branch7x7x3_3(branch7x7x3_4)
        branch7x7x3_4 = self.branch7x7x3_4(branch7x7x3_4)
        x = self.pool(x)
        return torch.cat([y, branch7x7x3_4, x], 1)


class InceptionE(nn.Module):
    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.branch1x1 = BasicConv(in_channels, 320, 1)
        self.branch3x3_1 = BasicConv(in_channels, 384, 1)
        self.branch3x3_2a = BasicConv(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3_2b = BasicConv(384, 384, (3, 1), padding=(1, 0))
        self.branch3x3dbl_1 = BasicConv(in_channels, 448, 1)
        self.branch3x3dbl_2 = BasicConv(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = BasicConv(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3dbl_3b = BasicConv(384, 384, (3, 1), padding=(1, 0))
        self.pool = nn.AvgPool2d(3, stride=1, padding=1)
        self.branch_pool = BasicConv(in_channels, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.branch1x1(x)
        branch3x3_2b = self.branch3x3_1(x)
        branch3x3 = self.branch3x3_2a(branch3x3_2b)
        branch3x3_2b = self.branch3x3_2b(branch3x3_2b)
        branch3x3 = torch.cat([branch3x3, branch3x3_2b], 1)
        branch3x3dbl_3b = self.branch3x3dbl_1(x)
        branch3x3dbl_3b = self.branch3x3dbl_2(branch3x3dbl_3b)
        branch3x3dbl = self.branch3x3dbl_3a(branch3x3dbl_3b)
        branch3x3dbl_3b = self.branch3x3dbl_3b(branch3x3dbl_3b)
        branch3x3dbl = torch.cat([branch3x3dbl, branch3x3dbl_3b], 1)
        x = self.pool(x)
        x = self.branch_pool(x)
        return torch.cat([y, branch3x3, branch3x3dbl, x], 1)


class InceptionV3Outputs(NamedTuple):
    logits: Tensor
    aux_logits: Tensor


class InceptionV3(nn.Module):
    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = BasicConv(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = BasicConv(32, 32, 3)
        self.Conv2d_2b_3x3 = BasicConv(32, 64, 3, padding=1)
        self.maxpool1 = nn.MaxPool2d(3, stride=2)
        self.Conv2d_3b_1x1 = BasicConv(64, 80, 1)
        self.Conv2d_4a_3x3 = BasicConv(80, 192, 3)
        self.maxpool2 = nn.MaxPool2d(3, stride=2)
        self.Mixed_5b = InceptionA(192, 32)
        self.Mixed_5c = InceptionA(256, 64)
        self.Mixed_5d = InceptionA(288, 64)
        self.Mixed_6a = InceptionB(288)
        self.Mixed_6b = InceptionC(768, 128)
        self.Mixed_6c = InceptionC(768, 160)
        self.Mixed_6d = InceptionC(768, 160)
        self.Mixed_6e = InceptionC(768, 192)
        self.AuxLogits = InceptionAux(768, num_classes)
        self.Mixed_7a = InceptionD(768)
        self.Mixed_7b = InceptionE(1280)
        self.Mixed_7c = InceptionE(2048)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.5)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(2048, num_classes)
        self._init_weights()

    def _init_weights(self) -> None:
        for name, module in self.named_modules():
            if name == "AuxLogits.fc" and isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.001)
            elif isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.1)

    def forward(self, x: Tensor) -> Tensor | InceptionV3Outputs:
        x = self.Conv2d_1a_3x3(x)  # 32×149×149
        x = self.Conv2d_2a_3x3(x)  # 32×147×147
        x = self.Conv2d_2b_3x3(x)  # 64×147×147
        x = self.maxpool1(x)  # 64×73×73
        x = self.Conv2d_3b_1x1(x)  # 80×73×73
        x = self.Conv2d_4a_3x3(x)  # 192×71×71
        x = self.maxpool2(x)  # 192×35×35
        x = self.Mixed_5b(x)  # 256×35×35
        x = self.Mixed_5c(x)  # 288×35×35
        x = self.Mixed_5d(x)
        x = self.Mixed_6a(x)  # 768×17×17
        x = self.Mixed_6b(x)
        x = self.Mixed_6c(x)
        x = self.Mixed_6d(x)
        x = self.Mixed_6e(x)
        if self.training:
            aux_logits = self.AuxLogits(x)  # 1000
        x = self.Mixed_7a(x)  # 1280×8×8
        x = self.Mixed_7b(x)  # 2048×8×8
        x = self.Mixed_7c(x)
        x = self.avgpool(x)  # 2048×1×1
        x = self.dropout(x)
        x = self.flatten(x)  # 2048
        x = self.fc(x)  # 1000
        if self.training:
            return InceptionV3Outputs(x, aux_logits)
        return x
