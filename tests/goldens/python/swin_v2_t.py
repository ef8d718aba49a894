"""swin_v2_t: Swin with norms behind the attention and the MLP, attention by cosine, and a small network that turns the
offset of two positions into a bias, so that weights go over to other sizes of picture and window.

Liu et al., Swin Transformer V2: scaling up capacity and resolution, 2021.
"""

import math

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
    def __init__(self, size: int, size0: int) -> None:
        super().__init__()
        self.size0 = size0
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(self.size0 // 8, 8, self.size0 // 8, 8).permute(0, 2, 1, 3).reshape(self.size, 64)


class Unsqueeze(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.unsqueeze(1)


class ToWindows(nn.Module):
    """Cuts a picture, height × width × features, into square windows. A shift first moves it up and to the left, so
    that other neighbours meet in a window; `segments` then tells those apart that come from opposite sides.

    Liu et al., Swin Transformer: hierarchical vision transformer using shifted windows, 2021.
    """

    def __init__(self, in_features: int, window_size: int, height: int, up: int = 0) -> None:
        super().__init__()
        self.height = height
        self.in_features = in_features
        self.window_size = window_size
        self.has_roll = up > 0
        if self.has_roll:
            self.segments = nn.Sequential(
                RollSegments(height - up, height), WindowPartition((height // window_size) ** 2, height), Unsqueeze()
            )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = nn.functional.pad(x, (0, 0, 0, 0, 0, 0))
        if self.has_roll:
            x = x.roll((-4, -4), (1, 2))
        windows = x.reshape(-1, self.height // 8, 8, self.height // 8, 8, self.in_features)
        windows = windows.permute(0, 1, 3, 2, 4, 5)
        windows = windows.reshape(-1, (self.height // self.window_size) ** 2, 64, self.in_features)
        if self.has_roll:
            x = self.segments(x)
        return windows, x


class Projection(nn.Module):
    def __init__(self, in_features: int) -> None:
        super().__init__()
        out_channels = 3 * in_features
        self.weight = nn.Parameter(torch.zeros(out_channels, in_features))
        nn.init.kaiming_uniform_(self.weight, a=2.23606797749979)
        self.bias = nn.Parameter(torch.zeros(out_channels))
        nn.init.uniform_(self.bias, a=-1 / math.sqrt(in_features), b=1 / math.sqrt(in_features))

    def forward(self, x: Tensor) -> Tensor:
        used, zeros, biases_2 = self.bias.chunk(3, 0)
        zeros = zeros * 0.0
        used = torch.cat([used, zeros, biases_2], 0)
        return nn.functional.linear(x, self.weight, used)


class QueryKeyValue(nn.Module):
    """Splits one projection of windows × positions × features into query, key and value of every head.

    Vaswani et al., Attention is all you need, 2017.
    """

    def __init__(self, num_heads: int, height: int) -> None:
        super().__init__()
        self.height = height
        self.num_heads = num_heads

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = x.reshape(-1, self.height, 64, 3, self.num_heads, 32)
        x = x.permute(0, 3, 1, 4, 2, 5)
        parts_0, parts_1, parts_2 = x.unbind(1)
        return parts_0, parts_1, parts_2


class Normalize(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.normalize(x, dim=-1)


class Transpose(nn.Module):
    def __init__(self, dim0: int, dim1: int) -> None:
        super().__init__()
        self.dim0 = dim0
        self.dim1 = dim1

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(self.dim0, self.dim1)


class Clamp(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(max=4.605170185988092)


class Exp(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.exp()


class RelativePositionBias(nn.Module):
    """Looks up the bias of each two positions, heads × positions × positions, by the offset between them.

    Liu et al., Swin Transformer: hierarchical vision transformer using shifted windows, 2021.
    """

    def __init__(self, table_size1: int) -> None:
        super().__init__()
        self.table_size1 = table_size1

    def forward(self, table: Tensor, index: Tensor) -> Tensor:
        table = table[index]
        table = table.reshape(64, 64, self.table_size1)
        out: Tensor = table.permute(2, 0, 1)
        return out


class Times(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x * 16.0
        return out


class FromWindows(nn.Module):
    """Puts the windows that `to_windows` made back into a picture, height × width × features.

    Liu et al., Swin Transformer: hierarchical vision transformer using shifted windows, 2021.
    """

    def __init__(self, in_features: int, height: int, up: int = 0) -> None:
        super().__init__()
        self.height = height
        self.in_features = in_features
        self.has_roll = up > 0

    def forward(self, x: Tensor) -> Tensor:
        x = x.reshape(-1, self.height // 8, self.height // 8, 8, 8, self.in_features)
        x = x.permute(0, 1, 3, 2, 4, 5)
        x = x.reshape(-1, self.height, self.height, self.in_features)
        if self.has_roll:
            x = x.roll((4, 4), (1, 2))
        return nn.functional.pad(x, (0, 0, 0, 0, 0, 0))


class WindowAttention(nn.Module):
    relative_coords_table: Tensor
    relative_position_index: Tensor

    def __init__(self, in_features: int, num_heads: int, window_size: int, height: int, up: int = 0) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.has_masked = up > 0
        self.windows = ToWindows(in_features, window_size, height, up=up)
        self.qkv = Projection(in_features)
        self.heads = QueryKeyValue(num_heads, (height // window_size) ** 2)
        self.key = nn.Sequential(Normalize(), Transpose(-2, -1))
        self.logit_scale = nn.Parameter(torch.zeros(num_heads, 1, 1))
        nn.init.constant_(self.logit_scale, 2.302585092994046)
        self.scale = nn.Sequential(Clamp(), Exp())
        self.proj = nn.Linear(in_features, in_features)
        offsets0 = torch.arange(-7, 8) / 7 * 8
        offsets0 = offsets0.sign() * torch.log2(offsets0.abs() + 1) / 3
        offsets1 = torch.arange(-7, 8) / 7 * 8
        offsets1 = offsets1.sign() * torch.log2(offsets1.abs() + 1) / 3
        self.register_buffer(
            "relative_coords_table", torch.stack(torch.meshgrid(offsets0, offsets1, indexing="ij"), dim=-1)[None]
        )
        grid = (15 * torch.arange(8)[:, None] + torch.arange(8)).flatten()
        self.register_buffer("relative_position_index", (grid[:, None] - grid + grid[-1]).flatten())
        self.cpb_mlp = nn.Sequential(nn.Linear(2, 512), nn.ReLU(inplace=True), nn.Linear(512, num_heads, bias=False))
        self.offsets = RelativePositionBias(num_heads)
        self.bias = nn.Sequential(nn.Sigmoid(), Times())
        self.attention = nn.Sequential(nn.Softmax(-1), nn.Dropout(0.0))
        self.joined = nn.Sequential(Transpose(2, 3), nn.Flatten(start_dim=3))
        self.dropout = nn.Dropout(0.0)
        self.picture = FromWindows(in_features, height, up=up)

    def forward(self, x: Tensor) -> Tensor:
        qkv, windows_segments = self.windows(x)
        qkv = self.qkv(qkv)
        y, key, heads_value = self.heads(qkv)
        y = nn.functional.normalize(y, dim=-1)
        key = self.key(key)
        y = y @ key
        scale = self.scale(self.logit_scale)
        y = y * scale
        bias = self.cpb_mlp(self.relative_coords_table)
        bias = bias.reshape(225, self.num_heads)
        bias = self.offsets(bias, self.relative_position_index)
        bias = self.bias(bias)
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
    def __init__(
        self, in_features: int, num_heads: int, window_size: int, drop: float, height: int, up: int = 0
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(in_features)
        self.attn = WindowAttention(in_features, num_heads, window_size, height, up=up)
        self.stochastic_depth = StochasticDepth(drop, "row")
        self.norm2 = nn.LayerNorm(in_features)
        self.mlp = MLP(in_features, 4 * in_features)

    def forward(self, x: Tensor) -> Tensor:
        attended = self.attn(x)
        attended = self.norm1(attended)
        attended = self.stochastic_depth(attended)
        attended += x
        y: Tensor = self.mlp(attended)
        y = self.norm2(y)
        y = self.stochastic_depth(y)
        y += attended
        return y


class PatchMerging(nn.Module):
    def __init__(self, in_features: int, height: int) -> None:
        super().__init__()
        out_features = 2 * in_features
        self.height = height
        self.in_features = in_features
        self.reduction = nn.Linear(4 * in_features, out_features, bias=False)
        self.norm = nn.LayerNorm(out_features)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.pad(x, (0, 0, 0, 0, 0, 0))
        x = x.reshape(-1, self.height // 2, 2, self.height // 2, 2, self.in_features)
        x = x.permute(0, 1, 3, 4, 2, 5)
        x = x.reshape(-1, self.height // 2, self.height // 2, 4 * self.in_features)
        x = self.reduction(x)
        out: Tensor = self.norm(x)
        return out


class SwinV2T(nn.Module):
    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Sequential(nn.Conv2d(3, 96, 4, stride=4), Permute(), nn.LayerNorm(96)),  # 64×64×96
            nn.Sequential(SwinBlock(96, 3, 8, 0.0, 64), SwinBlock(96, 3, 8, 0.2 * 1 / 11, 64, up=4)),
            PatchMerging(96, 64),  # 32×32×192
            nn.Sequential(SwinBlock(192, 6, 8, 0.2 * 2 / 11, 32), SwinBlock(192, 6, 8, 0.2 * 3 / 11, 32, up=4)),
            PatchMerging(192, 32),  # 16×16×384
            nn.Sequential(
                SwinBlock(384, 12, 8, 0.2 * 4 / 11, 16),
                SwinBlock(384, 12, 8, 0.2 * 5 / 11, 16, up=4),
                SwinBlock(384, 12, 8, 0.2 * 6 / 11, 16),
                SwinBlock(384, 12, 8, 0.2 * 7 / 11, 16, up=4),
                SwinBlock(384, 12, 8, 0.2 * 8 / 11, 16),
                SwinBlock(384, 12, 8, 0.2 * 9 / 11, 16, up=4),
            ),
            PatchMerging(384, 16),  # 8×8×768
            nn.Sequential(SwinBlock(768, 24, 8, 0.2 * 10 / 11, 8), SwinBlock(768, 24, 8, 0.2 * 11 / 11, 8)),
        )
        self.norm = nn.LayerNorm(768)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.head = nn.Linear(768, num_classes)
        self._init_weights()

    def _init_weights(self) -> None:
        for module in self.modules():
            if isinstance(module, Projection):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)  # 8×8×768
        x = self.norm(x)
        x = x.permute(0, 3, 1, 2)  # 768×8×8
        x = self.avgpool(x)  # 768×1×1
        x = self.flatten(x)  # 768
        out: Tensor = self.head(x)  # 1000
        return out
