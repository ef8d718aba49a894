"""googlenet: Nine inception modules, and two auxiliary classifiers that exist in training alone.

Szegedy et al., Going deeper with convolutions, 2014.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class BasicConv(nn.Module):
    """The convolution of the Inception networks, with their batch norm.

    Szegedy et al., Rethinking the Inception architecture for computer vision, 2015.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride=stride, padding=padding, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = self.bn(x)
        out: Tensor = self.relu(x)
        return out


class Inception(nn.Module):
    """Four views of one input side by side, each cheap because a 1×1 convolution first reduces its channels."""

    def __init__(self, in_channels: int, c1: int, c3_reduce: int, c3: int, c5_reduce: int, c5: int, pool: int) -> None:
        super().__init__()
        self.branch1 = BasicConv(in_channels, c1, 1)
        self.branch2 = nn.Sequential(BasicConv(in_channels, c3_reduce, 1), BasicConv(c3_reduce, c3, 3, padding=1))
        self.branch3 = nn.Sequential(BasicConv(in_channels, c5_reduce, 1), BasicConv(c5_reduce, c5, 3, padding=1))
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1, ceil_mode=True), BasicConv(in_channels, pool, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.branch1(x)
        branch2 = self.branch2(x)
        branch3 = self.branch3(x)
        x = self.branch4(x)
        return torch.cat([y, branch2, branch3, x], 1)


class AuxiliaryClassifier(nn.Module):
    """A small classifier in the middle of a deep network, which feeds gradient to the layers before it in training."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(4)
        self.conv = BasicConv(in_channels, 128, 1)
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(2048, 1024)
        self.relu = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout(0.7)
        self.fc2 = nn.Linear(1024, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(x)
        x = self.conv(x)
        x = self.flatten(x)
        x = self.fc1(x)
        x = self.relu(x)
        x = self.dropout(x)
        out: Tensor = self.fc2(x)
        return out


class GoogLeNetOutputs(NamedTuple):
    logits: Tensor
    aux_logits2: Tensor
    aux_logits1: Tensor


class GoogLeNet(nn.Module):
    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = BasicConv(3, 64, 7, stride=2, padding=3)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = BasicConv(64, 64, 1)
        self.conv3 = BasicConv(64, 192, 3, padding=1)
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception3a = Inception(192, 64, 96, 128, 16, 32, 32)
        self.inception3b = Inception(256, 128, 128, 192, 32, 96, 64)
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception4a = Inception(480, 192, 96, 208, 16, 48, 64)
        self.inception4b = Inception(512, 160, 112, 224, 24, 64, 64)
        self.inception4c = Inception(512, 128, 128, 256, 24, 64, 64)
        self.inception4d = Inception(512, 112, 144, 288, 32, 64, 64)
        self.inception4e = Inception(528, 256, 160, 320, 32, 128, 128)
        self.maxpool4 = nn.MaxPool2d(2, stride=2, ceil_mode=True)
        self.inception5a = Inception(832, 256, 160, 320, 32, 128, 128)
        self.inception5b = Inception(832, 384, 192, 384, 48, 128, 128)
        self.aux1 = AuxiliaryClassifier(512, num_classes)
        self.aux2 = AuxiliaryClassifier(528, num_classes)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(1024, num_classes)
        self._init_weights()

    def _init_weights(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor | GoogLeNetOutputs:
        x = self.conv1(x)  # 64×112×112
        x = self.maxpool1(x)  # 64×56×56
        x = self.conv2(x)
        x = self.conv3(x)  # 192×56×56
        x = self.maxpool2(x)  # 192×28×28
        x = self.inception3a(x)  # 256×28×28
        x = self.inception3b(x)  # 480×28×28
        x = self.maxpool3(x)  # 480×14×14
        x = self.inception4a(x)  # 512×14×14
        if self.training:
            aux1 = self.aux1(x)  # 1000
        x = self.inception4b(x)
        x = self.inception4c(x)
        x = self.inception4d(x)  # 528×14×14
        if self.training:
            aux2 = self.aux2(x)  # 1000
        x = self.inception4e(x)  # 832×14×14
        x = self.maxpool4(x)  # 832×7×7
        x = self.inception5a(x)
        x = self.inception5b(x)  # 1024×7×7
        x = self.avgpool(x)  # 1024×1×1
        x = self.flatten(x)  # 1024
        x = self.dropout(x)
        x = self.fc(x)  # 1000
        if self.training:
            return GoogLeNetOutputs(x, aux2, aux1)
        return x
