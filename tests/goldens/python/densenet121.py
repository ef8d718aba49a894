"""densenet121: Every layer of a dense block sees the outputs of all layers before it.

Huang et al., Densely connected convolutional networks, 2016.
"""

import torch
from torch import Tensor, nn


class DenseLayer(nn.Module):
    """One layer of a dense block; it adds `growth_rate` channels to all that came before."""

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
    """Layers that each see the outputs of all layers before them."""

    def __init__(self, in_channels: int, num_layers: int, growth_rate: int) -> None:
        super().__init__()
        for i in range(num_layers):
            self.add_module(f"denselayer{i + 1}", DenseLayer(in_channels + i * growth_rate, growth_rate, 4))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.children():
            x = torch.cat([x, layer(x)], 1)
        return x


class Transition(nn.Module):
    """Between dense blocks, half the channels and half the size."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(in_channels, in_channels // 2, 1, bias=False)
        self.pool = nn.AvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        x = self.relu(x)
        x = self.conv(x)
        out: Tensor = self.pool(x)
        return out


class Features(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.norm0 = nn.BatchNorm2d(64)
        self.relu0 = nn.ReLU(inplace=True)
        self.pool0 = nn.MaxPool2d(3, stride=2, padding=1)
        self.denseblock1 = DenseBlock(64, 6, 32)
        self.transition1 = Transition(256)
        self.denseblock2 = DenseBlock(128, 12, 32)
        self.transition2 = Transition(512)
        self.denseblock3 = DenseBlock(256, 24, 32)
        self.transition3 = Transition(1024)
        self.denseblock4 = DenseBlock(512, 16, 32)
        self.norm5 = nn.BatchNorm2d(1024)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv0(x)  # 64×112×112
        x = self.norm0(x)
        x = self.relu0(x)
        x = self.pool0(x)  # 64×56×56
        x = self.denseblock1(x)  # 256×56×56
        x = self.transition1(x)  # 128×28×28
        x = self.denseblock2(x)  # 512×28×28
        x = self.transition2(x)  # 256×14×14
        x = self.denseblock3(x)  # 1024×14×14
        x = self.transition3(x)  # 512×7×7
        x = self.denseblock4(x)  # 1024×7×7
        out: Tensor = self.norm5(x)
        return out


class DenseNet121(nn.Module):
    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.features = Features()
        self.relu = nn.ReLU(inplace=True)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(1024, num_classes)
        self._init_weights()

    def _init_weights(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
            elif isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)  # 1024×7×7
        x = self.relu(x)
        x = self.avgpool(x)  # 1024×1×1
        x = self.flatten(x)  # 1024
        out: Tensor = self.classifier(x)  # 1000
        return out
