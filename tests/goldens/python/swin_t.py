"""swin_t: Attention in windows of 7 × 7, which every second block shifts so that neighbours meet. Between the stages
four patches become one, so that the windows see more and more of the picture.

Liu et al., Swin Transformer: hierarchical vision transformer using shifted windows, 2021.
"""

import torch
from torch import Tensor, nn
from torchvision.ops import StochasticDepth


class Permute(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1)


class RollSegments(nn.Module):
    def __init__(self, size: int, height: int) -> None:
        super().__init__()
        self.height = height
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        partial = (torch.arange(self.height, device=x.device) >= self.size)[:, None]
        partial = partial * 1
        out: Tensor = partial + (torch.arange(self.height, device=x.device) >= self.size)[:] * 2
        return out


class WindowPartition(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(self.size, 7, self.size, 7).permute(0, 2, 1, 3).reshape(self.size**2, 49)


class Unsqueeze(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.unsqueeze(1)


class ToWindows(nn.Module):
    """Cuts a picture, height × width × features, into square windows. A shift first moves it up and to the left, so
    that other neighbours meet in a window; `segments` then tells those apart that come from opposite sides.
    """

    def __init__(self, in_features: int, window_size: int, height: int, up: int = 0) -> None:
        super().__init__()
        self.height = height
        self.window_size = window_size
        self.in_features = in_features
        self.has_roll = up > 0
        if self.has_roll:
            self.segments = nn.Sequential(
                RollSegments(height - up, height), WindowPartition(height // window_size), Unsqueeze()
            )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = nn.functional.pad(x, (0, 0, 0, 0, 0, 0))
        if self.has_roll:
            x = x.roll((-3, -3), (1, 2))
        windows = x.reshape(
            -1, self.height // self.window_size, 7, self.height // self.window_size, 7, self.in_features
        )
        windows = windows.permute(0, 1, 3, 2, 4, 5)
        windows = windows.reshape(-1, (self.height // self.window_size) ** 2, 49, self.in_features)
        if self.has_roll:
            x = self.segments(x)
        return windows, x


class QueryKeyValue(nn.Module):
    """Splits one projection of windows × positions × features into query, key and value of every head.

    Vaswani et al., Attention is all you need, 2017.
    """

    def __init__(self, num_heads: int, height: int) -> None:
        super().__init__()
        self.height = height
        self.num_heads = num_heads

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = x.reshape(-1, self.height, 49, 3, self.num_heads, 32)
        x = x.permute(0, 3, 1, 4, 2, 5)
        parts_0, parts_1, parts_2 = x.unbind(1)
        return parts_0, parts_1, parts_2


class RelativePositionBias(nn.Module):
    """Looks up the bias of each two positions, heads × positions × positions, by the offset between them."""

    def __init__(self, table_size1: int) -> None:
        super().__init__()
        self.table_size1 = table_size1

    def forward(self, table: Tensor, index: Tensor) -> Tensor:
        table = table[index]
        table = table.reshape(49, 49, self.table_size1)
        out: Tensor = table.permute(2, 0, 1)
        return out


class Transpose(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(2, 3)


class FromWindows(nn.Module):
    """Puts the windows that `to_windows` made back into a picture, height × width × features."""

    def __init__(self, in_features: int, window_size: int, height: int, up: int = 0) -> None:
        super().__init__()
        self.height = height
        self.window_size = window_size
        self.in_features = in_features
        self.has_roll = up > 0

    def forward(self, x: Tensor) -> Tensor:
        x = x.reshape(-1, self.height // self.window_size, self.height // self.window_size, 7, 7, self.in_features)
        x = x.permute(0, 1, 3, 2, 4, 5)
        x = x.reshape(-1, self.height, self.height, self.in_features)
        if self.has_roll:
            x = x.roll((3, 3), (1, 2))
        return nn.functional.pad(x, (0, 0, 0, 0, 0, 0))


class WindowAttention(nn.Module):
    relative_position_index: Tensor

    def __init__(self, in_features: int, num_heads: int, window_size: int, height: int, up: int = 0) -> None:
        super().__init__()
        self.has_masked = up > 0
        self.windows = ToWindows(in_features, 7, height, up=up)
        self.qkv = nn.Linear(in_features, 3 * in_features)
        self.heads = QueryKeyValue(num_heads, (height // window_size) ** 2)
        self.proj = nn.Linear(in_features, in_features)
        self.relative_position_bias_table = nn.Parameter(torch.zeros(169, num_heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        grid = (13 * torch.arange(7)[:, None] + torch.arange(7)).flatten()
        self.register_buffer("relative_position_index", (grid[:, None] - grid + grid[-1]).flatten())
        self.bias = RelativePositionBias(num_heads)
        self.attention = nn.Sequential(nn.Softmax(-1), nn.Dropout(0.0))
        self.joined = nn.Sequential(Transpose(), nn.Flatten(start_dim=3))
        self.dropout = nn.Dropout(0.0)
        self.picture = FromWindows(in_features, 7, height, up=up)

    def forward(self, x: Tensor) -> Tensor:
        qkv, windows_segments = self.windows(x)
        qkv = self.qkv(qkv)
        y, key, heads_value = self.heads(qkv)
        y = y * 0.1767766952966369
        key = key.transpose(-2, -1)
        y = y @ key
        bias = self.bias(self.relative_position_bias_table, self.relative_position_index)
        y += bias
        if self.has_masked:
            y = y - (windows_segments.unsqueeze(-1) != windows_segments.unsqueeze(-2)).to(y) * 100.0
        y = self.attention(y)
        y = y @ heads_value
        y = self.joined(y)
        y = self.proj(y)
        y = self.dropout(y)
        out: Tensor = self.picture(y)
        return out


class MLP(nn.Sequential):
    """Two linear layers at every position, the first of which widens the features; half of a transformer block.

    Dosovitskiy et al., An image is worth 16x16 words: transformers for image recognition at scale, 2020.
    """

    def __init__(self, in_features: int, hidden_features: int) -> None:
        super().__init__(
            nn.Linear(in_features, hidden_features),
            nn.GELU(),
            nn.Dropout(0.0),
            nn.Linear(hidden_features, in_features),
            nn.Dropout(0.0),
        )
        self._init_weights()

    def _init_weights(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.normal_(module.bias, std=1e-06)


class SwinBlock(nn.Module):
    def __init__(self, in_features: int, num_heads: int, drop: float, height: int, up: int = 0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(in_features)
        self.attn = WindowAttention(in_features, num_heads, 7, height, up=up)
        self.stochastic_depth = StochasticDepth(drop, "row")
        self.norm2 = nn.LayerNorm(in_features)
        self.mlp = MLP(in_features, 4 * in_features)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        y = self.attn(y)
        y = self.stochastic_depth(y)
        y = y + x
        dropped = self.norm2(y)
        dropped = self.mlp(dropped)
        dropped = self.stochastic_depth(dropped)
        out: Tensor = y + dropped
        return out


class PatchMerging(nn.Module):
    def __init__(self, in_features: int, height: int) -> None:
        super().__init__()
        self.height = height
        self.in_features = in_features
        self.reduction = nn.Linear(4 * in_features, 2 * in_features, bias=False)
        self.norm = nn.LayerNorm(4 * in_features)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.pad(x, (0, 0, 0, 0, 0, 0))
        x = x.reshape(-1, self.height // 2, 2, self.height // 2, 2, self.in_features)
        x = x.permute(0, 1, 3, 4, 2, 5)
        x = x.reshape(-1, self.height // 2, self.height // 2, 4 * self.in_features)
        x = self.norm(x)
        out: Tensor = self.reduction(x)
        return out


class SwinT(nn.Module):
    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Sequential(nn.Conv2d(3, 96, 4, stride=4), Permute(), nn.LayerNorm(96)),  # 56×56×96
            nn.Sequential(SwinBlock(96, 3, 0.0, 56), SwinBlock(96, 3, 0.2 * 1 / 11, 56, up=3)),
            PatchMerging(96, 56),  # 28×28×192
            nn.Sequential(SwinBlock(192, 6, 0.2 * 2 / 11, 28), SwinBlock(192, 6, 0.2 * 3 / 11, 28, up=3)),
            PatchMerging(192, 28),  # 14×14×384
            nn.Sequential(
                SwinBlock(384, 12, 0.2 * 4 / 11, 14),
                SwinBlock(384, 12, 0.2 * 5 / 11, 14, up=3),
                SwinBlock(384, 12, 0.2 * 6 / 11, 14),
                SwinBlock(384, 12, 0.2 * 7 / 11, 14, up=3),
                SwinBlock(384, 12, 0.2 * 8 / 11, 14),
                SwinBlock(384, 12, 0.2 * 9 / 11, 14, up=3),
            ),
            PatchMerging(384, 14),  # 7×7×768
            nn.Sequential(SwinBlock(768, 24, 0.2 * 10 / 11, 7), SwinBlock(768, 24, 0.2 * 11 / 11, 7)),
        )
        self.norm = nn.LayerNorm(768)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.head = nn.Linear(768, num_classes)
        self._init_weights()

    def _init_weights(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)  # 7×7×768
        x = self.norm(x)
        x = x.permute(0, 3, 1, 2)  # 768×7×7
        x = self.avgpool(x)  # 768×1×1
        x = self.flatten(x)  # 768
        out: Tensor = self.head(x)  # 1000
        return out
