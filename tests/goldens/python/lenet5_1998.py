"""lenet5_1998: LeNet-5 as its authors built it, with an output that compares an image with a drawing of each digit.
Subsampling is trained, and the maps of C3 see only some of the maps before them.

LeCun et al., Gradient-based learning applied to document recognition, 1998.
"""

import torch
from torch import Tensor, nn


class Times(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x * self.factor
        return out


class Times2(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x * self.factor
        return out


class ScaledTanh(nn.Sequential):
    """A tanh stretched until it maps 1 to 1 and −1 to −1, the squashing function of the first convolutional networks.

    LeCun, Generalization and network design strategies, 1989.
    """

    def __init__(self) -> None:
        super().__init__(Times(0.6666666666666666), nn.Tanh(), Times(1.7159))


class ScaledTanh2(nn.Sequential):
    """A tanh stretched until it maps 1 to 1 and −1 to −1, the squashing function of the first convolutional networks.

    LeCun, Generalization and network design strategies, 1989.
    """

    def __init__(self) -> None:
        super().__init__(Times2(0.6666666666666666), nn.Tanh(), Times2(1.7159))


class Subsampling(nn.Module):
    """The sum of each 2×2 square, times one coefficient and plus one bias for each map, then squashed."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.sum = nn.AvgPool2d(2, divisor_override=1)
        self.scale = nn.Conv2d(in_channels, in_channels, 1, groups=in_channels)
        self.squash = ScaledTanh()

    def forward(self, x: Tensor) -> Tensor:
        x = self.sum(x)
        x = self.scale(x)
        out: Tensor = self.squash(x)
        return out


class Seen(nn.Module):
    def __init__(self, x12: int, x2: int, x22: int, x1: int = 1) -> None:
        super().__init__()
        self.x1 = x1
        self.x12 = x12
        self.x2 = x2
        self.x22 = x22

    def forward(self, x: Tensor) -> Tensor:
        y = x[:, :1]
        x1 = x[:, self.x1 : self.x12]
        x = x[:, self.x2 : self.x22]
        return torch.cat([y, x1, x], 1)


class Seen2(nn.Module):
    def __init__(self, x0: int, x02: int, x1: int, x2: int) -> None:
        super().__init__()
        self.x0 = x0
        self.x02 = x02
        self.x1 = x1
        self.x2 = x2

    def forward(self, x: Tensor) -> Tensor:
        y = x[:, self.x0 : self.x02]
        x1 = x[:, self.x02 : self.x1]
        x = x[:, self.x1 : self.x2]
        return torch.cat([y, x1, x], 1)


class Seen3(nn.Module):
    def __init__(self, x12: int, x2: int, x22: int, x3: int, x32: int, x1: int = 1) -> None:
        super().__init__()
        self.x1 = x1
        self.x12 = x12
        self.x2 = x2
        self.x22 = x22
        self.x3 = x3
        self.x32 = x32

    def forward(self, x: Tensor) -> Tensor:
        y = x[:, :1]
        x1 = x[:, self.x1 : self.x12]
        x2 = x[:, self.x2 : self.x22]
        x = x[:, self.x3 : self.x32]
        return torch.cat([y, x1, x2, x], 1)


class Seen4(nn.Module):
    def __init__(self, in_channels: int, x02: int, x2: int, x22: int, x3: int, x0: int = 1) -> None:
        super().__init__()
        self.x0 = x0
        self.x02 = x02
        self.in_channels = in_channels
        self.x2 = x2
        self.x22 = x22
        self.x3 = x3

    def forward(self, x: Tensor) -> Tensor:
        y = x[:, self.x0 : self.x02]
        x1 = x[:, self.x02 : (self.in_channels * self.x02 // 4)]
        x2 = x[:, self.x2 : self.x22]
        x = x[:, self.x22 : self.x3]
        return torch.cat([y, x1, x2, x], 1)


class Seen5(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x[:, :1]  # 1×14×14
        x1 = x[:, 1:2]  # 1×14×14
        x2 = x[:, 2:3]  # 1×14×14
        x3 = x[:, 3:4]  # 1×14×14
        x4 = x[:, 4:5]  # 1×14×14
        x = x[:, 5:6]  # 1×14×14
        return torch.cat([y, x1, x2, x3, x4, x], 1)  # 6×14×14


class C30(nn.Module):
    def __init__(self, x12: int, x2: int, x22: int, x1: int = 1) -> None:
        super().__init__()
        self.seen = Seen(x12, x2, x22, x1=x1)
        self.conv = nn.Conv2d(3, 1, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.seen(x)
        out: Tensor = self.conv(x)
        return out


class C302(nn.Module):
    def __init__(self, x0: int, x02: int, x1: int, x2: int) -> None:
        super().__init__()
        self.seen = Seen2(x0, x02, x1, x2)
        self.conv = nn.Conv2d(3, 1, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.seen(x)
        out: Tensor = self.conv(x)
        return out


class C303(nn.Module):
    def __init__(self, x12: int, x2: int, x22: int, x3: int, x32: int, x1: int = 1) -> None:
        super().__init__()
        self.seen = Seen3(x12, x2, x22, x3, x32, x1=x1)
        self.conv = nn.Conv2d(4, 1, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.seen(x)
        out: Tensor = self.conv(x)
        return out


class C304(nn.Module):
    def __init__(self, x02: int, x2: int, x22: int, x3: int, x0: int = 1) -> None:
        super().__init__()
        self.seen = Seen4(6, x02, x2, x22, x3, x0=x0)
        self.conv = nn.Conv2d(4, 1, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.seen(x)
        out: Tensor = self.conv(x)
        return out


class C305(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.seen = Seen5()
        self.conv = nn.Conv2d(6, 1, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.seen(x)
        out: Tensor = self.conv(x)  # 1×10×10
        return out


class TableConv(nn.Module):
    """A convolution with a table that says which maps of the input each part of the output sees. A row is a list of
    map numbers; it gives `maps_per_row` maps, and the rows are joined in their order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.add_module("0", C30(2, 2, 3))
        self.add_module("1", C302(1, 2, 3, 4))
        self.add_module("2", C302(2, 3, 4, 5))
        self.add_module("3", C302(3, 4, 5, 6))
        self.add_module("4", C30(5, 5, 6, x1=4))
        self.add_module("5", C30(2, 5, 6))
        self.add_module("6", C303(2, 2, 3, 3, 4))
        self.add_module("7", C304(2, 3, 4, 5))
        self.add_module("8", C304(3, 4, 5, 6, x0=2))
        self.add_module("9", C303(4, 4, 5, 5, 6, x1=3))
        self.add_module("10", C303(2, 4, 5, 5, 6))
        self.add_module("11", C303(2, 2, 3, 5, 6))
        self.add_module("12", C303(2, 3, 4, 4, 5))
        self.add_module("13", C304(2, 4, 5, 6))
        self.add_module("14", C303(3, 3, 4, 5, 6, x1=2))
        self.add_module("15", C305())

    def forward(self, x: Tensor) -> Tensor:
        y = getattr(self, "0")(x)  # 1×10×10
        x1 = getattr(self, "1")(x)  # 1×10×10
        x2 = getattr(self, "2")(x)  # 1×10×10
        x3 = getattr(self, "3")(x)  # 1×10×10
        x4 = getattr(self, "4")(x)  # 1×10×10
        x5 = getattr(self, "5")(x)  # 1×10×10
        x6 = getattr(self, "6")(x)  # 1×10×10
        x7 = getattr(self, "7")(x)  # 1×10×10
        x8 = getattr(self, "8")(x)  # 1×10×10
        x9 = getattr(self, "9")(x)  # 1×10×10
        x10 = getattr(self, "10")(x)  # 1×10×10
        x11 = getattr(self, "11")(x)  # 1×10×10
        x12 = getattr(self, "12")(x)  # 1×10×10
        x13 = getattr(self, "13")(x)  # 1×10×10
        x14 = getattr(self, "14")(x)  # 1×10×10
        x = getattr(self, "15")(x)  # 1×10×10
        return torch.cat([y, x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11, x12, x13, x14, x], 1)  # 16×10×10


class Distances(nn.Module):
    """The square of the distance between F6 and a drawing of each digit, 7 wide and 12 high, 1 for ink and -1 for
    paper. A line below holds one row of five drawings. The paper shows its own only as a figure; these are in its
    style.
    """

    zero_to_four: Tensor
    five_to_nine: Tensor
    one: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer(
            "zero_to_four",
            torch.tensor(
                [
                    [
                        [0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0],
                        [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0],
                        [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
                        [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
                        [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0],
                    ],
                    [
                        [0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
                        [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0],
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0],
                    ],
                    [
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0],
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0],
                    ],
                    [
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0],
                        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0],
                    ],
                    [
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0],
                        [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0],
                        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
                    ],
                    [
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0],
                        [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0],
                        [0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0],
                        [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0],
                    ],
                    [
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0],
                        [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0],
                        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0],
                    ],
                    [
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0],
                        [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0],
                        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
                    ],
                    [
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0],
                        [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
                        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0],
                    ],
                    [
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0],
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
                        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0],
                    ],
                    [
                        [0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
                        [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0],
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0],
                    ],
                    [
                        [0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0],
                        [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
                        [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
                        [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
                        [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0],
                    ],
                ],
            ),
        )
        self.register_buffer(
            "five_to_nine",
            torch.tensor(
                [
                    [
                        [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
                        [0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0],
                        [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
                        [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
                        [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
                    ],
                    [
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
                        [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
                        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                    ],
                    [
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
                        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                    ],
                    [
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
                        [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0],
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                    ],
                    [
                        [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
                        [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0],
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                    ],
                    [
                        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
                        [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0],
                        [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                    ],
                    [
                        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0],
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
                    ],
                    [
                        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0],
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                    ],
                    [
                        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0],
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                    ],
                    [
                        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0],
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                    ],
                    [
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0],
                        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0],
                    ],
                    [
                        [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
                        [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
                        [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0],
                        [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
                        [0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0],
                    ],
                ],
            ),
        )
        self.register_buffer("one", torch.tensor([1.0]))

    def forward(self, x: Tensor) -> Tensor:
        x = x.unsqueeze(1)  # 1×84
        drawings = torch.cat([self.zero_to_four, self.five_to_nine], 1)  # 12×10×7
        drawings = drawings.permute(1, 0, 2)  # 10×12×7
        drawings = drawings.reshape(10, 84)  # 10×84
        drawings = drawings * 2.0
        drawings = drawings - self.one
        x = x - drawings  # 10×84
        x = x * x
        out: Tensor = x.sum(2)  # 10
        return out


class LeNet51998(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.C1 = nn.Conv2d(1, 6, 5)
        self.squash1 = ScaledTanh()
        self.S2 = Subsampling(6)
        self.C3 = TableConv()
        self.squash3 = ScaledTanh()
        self.S4 = Subsampling(16)
        self.C5 = nn.Conv2d(16, 120, 5)
        self.squash5 = ScaledTanh()
        self.flatten = nn.Flatten()
        self.F6 = nn.Linear(120, 84)
        self.squash6 = ScaledTanh2()
        self.output = Distances()
        self._init_weights()

    def _init_weights(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.uniform_(module.weight, a=-2.4 / module.weight[0].numel(), b=2.4 / module.weight[0].numel())
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Linear):
                nn.init.uniform_(module.weight, a=-0.02, b=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.C1(x)  # 6×28×28
        x = self.squash1(x)
        x = self.S2(x)  # 6×14×14
        x = self.C3(x)  # 16×10×10
        x = self.squash3(x)
        x = self.S4(x)  # 16×5×5
        x = self.C5(x)  # 120×1×1
        x = self.squash5(x)
        x = self.flatten(x)  # 120
        x = self.F6(x)  # 84
        x = self.squash6(x)
        out: Tensor = self.output(x)  # 10
        return out
