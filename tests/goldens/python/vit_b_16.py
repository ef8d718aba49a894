"""vit_b_16: The picture is cut into patches, which a transformer reads as a sequence behind a learned class token.

Dosovitskiy et al., An image is worth 16x16 words: transformers for image recognition at scale, 2020.
"""

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn


class MLP(nn.Sequential):
    """Two linear layers at every position, the first of which widens the features; half of a transformer block."""

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


class TransformerBlock(nn.Module):
    """Attention among all positions, then an MLP at each, both behind a norm and with a shortcut around them."""

    def __init__(self, in_features: int, num_heads: int, mlp_dim: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(in_features, eps=1e-06)
        self.self_attention = nn.MultiheadAttention(in_features, num_heads, batch_first=True)
        self.dropout = nn.Dropout(0.0)
        self.ln_2 = nn.LayerNorm(in_features, eps=1e-06)
        self.mlp = MLP(in_features, mlp_dim)

    def forward(self, x: Tensor) -> Tensor:
        attended = self.ln_1(x)
        attended = self.self_attention(attended, attended, attended, need_weights=False)[0]
        attended = self.dropout(attended)
        attended = attended + x
        y: Tensor = self.ln_2(attended)
        y = self.mlp(y)
        y += attended
        return y


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pos_embedding = nn.Parameter(torch.zeros(1, 197, 768))
        nn.init.normal_(self.pos_embedding, std=0.02)
        self.dropout = nn.Dropout(0.0)
        self.layers = nn.Sequential(
            OrderedDict((f"encoder_layer_{i}", TransformerBlock(768, 12, 3072)) for i in range(12))
        )
        self.ln = nn.LayerNorm(768, eps=1e-06)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.pos_embedding
        x = self.dropout(x)
        x = self.layers(x)
        out: Tensor = self.ln(x)
        return out


class Heads(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(768, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(x)
        return out


class ViTB16(nn.Module):
    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.conv_proj = nn.Conv2d(3, 768, 16, stride=16)
        self.flatten = nn.Flatten(start_dim=2)
        self.class_token = nn.Parameter(torch.zeros(1, 1, 768))
        self.encoder = Encoder()
        self.heads = Heads(num_classes)
        nn.init.trunc_normal_(self.conv_proj.weight, std=math.sqrt(1 / self.conv_proj.weight[0].numel()))
        nn.init.zeros_(self.get_parameter("conv_proj.bias"))
        nn.init.zeros_(self.heads.head.weight)
        nn.init.zeros_(self.get_parameter("heads.head.bias"))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_proj(x)  # 768×14×14
        x = self.flatten(x)  # 768×196
        x = x.transpose(1, 2)  # 196×768
        y = torch.cat([self.class_token.expand(x.shape[0], -1, -1), x], 1)  # 197×768
        y = self.encoder(y)
        y = y[:, 0]  # 768
        out: Tensor = self.heads(y)  # 1000
        return out
