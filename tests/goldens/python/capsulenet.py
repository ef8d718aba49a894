"""capsulenet: Each digit has a capsule, a vector whose length says how surely the digit is there and whose direction
says how it is drawn. Capsules of one layer choose their parents in the next by agreement.

Sabour et al., Dynamic routing between capsules, 2017.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Squash(nn.Module):
    """Keeps the direction of each capsule and maps its length n to n² / (1 + n²), which is below 1."""

    def __init__(self) -> None:
        super().__init__()
        self.length = nn.Softsign()

    def forward(self, x: Tensor) -> Tensor:
        length = x * x
        length = length.sum(-1, keepdim=True)  # 1152×1
        length = self.length(length)
        x = nn.functional.normalize(x, dim=-1)
        out: Tensor = x * length
        return out


class Squash2(nn.Module):
    """Keeps the direction of each capsule and maps its length n to n² / (1 + n²), which is below 1."""

    def __init__(self) -> None:
        super().__init__()
        self.length = nn.Softsign()

    def forward(self, x: Tensor) -> Tensor:
        length = x * x
        length = length.sum(-1, keepdim=True)  # 1×10×1
        length = self.length(length)
        x = nn.functional.normalize(x, dim=-1)
        out: Tensor = x * length
        return out


class PrimaryCapsules(nn.Module):
    """A convolution whose channels, 8 at a time, are the capsules of each place."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, in_channels, 9, stride=2)
        self.squash = Squash()

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = x.reshape(-1, 32, 8, 36)
        x = x.permute(0, 1, 3, 2)
        x = x.reshape(-1, 1152, 8)
        out: Tensor = self.squash(x)
        return out


class Predictions(nn.Module):
    """What each capsule expects each of its parents to be, by a matrix for each pair."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1152, 8, 160))
        nn.init.normal_(self.weight, std=0.1)

    def forward(self, x: Tensor) -> Tensor:
        x = x.unsqueeze(2)  # 1152×1×8
        x = x @ self.weight  # 1152×1×160
        out: Tensor = x.reshape(-1, 1152, 10, 16)  # 1152×10×16
        return out


class Parents(nn.Module):
    """Every capsule shares itself out among the parents; a parent is the squashed sum of what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.coupling = nn.Softmax(2)
        self.squash = Squash2()

    def forward(self, predictions: Tensor, logits: Tensor) -> Tensor:
        logits = self.coupling(logits)
        predictions = predictions * logits
        predictions = predictions.sum(1, keepdim=True)  # 1×10×16
        out: Tensor = self.squash(predictions)
        return out


class Parents2(nn.Module):
    """Every capsule shares itself out among the parents; a parent is the squashed sum of what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.coupling = nn.Softmax(2)
        self.squash = Squash2()

    def forward(self, predictions: Tensor, logits: Tensor) -> Tensor:
        logits = self.coupling(logits)
        predictions = predictions * logits
        predictions = predictions.sum(1, keepdim=True)  # 1×10×16
        out: Tensor = self.squash(predictions)
        return out


class Agreement(nn.Module):
    """A capsule will give more to the parents that came out as it expected."""

    def forward(self, logits: Tensor, predictions: Tensor, parents: Tensor) -> Tensor:
        predictions = predictions * parents
        predictions = predictions.sum(-1, keepdim=True)  # 1152×10×1
        out: Tensor = predictions + logits
        return out


class Agreement2(nn.Module):
    """A capsule will give more to the parents that came out as it expected."""

    def forward(self, logits: Tensor, predictions: Tensor, parents: Tensor) -> Tensor:
        predictions = predictions * parents
        predictions = predictions.sum(-1, keepdim=True)  # 1152×10×1
        out: Tensor = predictions + logits
        return out


class CapsuleLength(nn.Module):
    """The length of each capsule, as its product with its own direction."""

    def forward(self, x: Tensor) -> Tensor:
        direction = nn.functional.normalize(x, dim=-1)
        x = x * direction
        out: Tensor = x.sum(-1, keepdim=True)  # 10×1
        return out


class LongestAlone(nn.Module):
    """Sets all capsules to zero but the longest."""

    def __init__(self) -> None:
        super().__init__()
        self.length = CapsuleLength()
        self.mask = nn.Softmax(1)

    def forward(self, x: Tensor) -> Tensor:
        mask = self.length(x)  # 10×1
        mask = mask * 1000000000000.0
        mask = self.mask(mask)
        out: Tensor = x * mask
        return out


class CapsuleNetOutputs(NamedTuple):
    lengths: Tensor
    reconstruction: Tensor


class CapsuleNet(nn.Module):
    logits0: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 256, 9)
        self.relu1 = nn.ReLU(inplace=True)
        self.primary = PrimaryCapsules(256)
        self.predictions = Predictions()
        self.register_buffer("logits0", torch.full((1, 1152, 10, 1), 0.0), persistent=False)
        self.round1 = Parents()
        self.round2 = Parents2()
        self.round3 = Parents2()
        self.logits1 = Agreement()
        self.logits2 = Agreement2()
        self.lengths = CapsuleLength()
        self.masked = LongestAlone()
        self.decoder = nn.Sequential(
            nn.Flatten(),  # 160
            nn.Linear(160, 512),  # 512
            nn.ReLU(inplace=True),
            nn.Linear(512, 1024),  # 1024
            nn.ReLU(inplace=True),
            nn.Linear(1024, 784),  # 784
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> CapsuleNetOutputs:
        x = self.conv1(x)  # 256×20×20
        x = self.relu1(x)
        x = self.primary(x)  # 1152×8
        x = self.predictions(x)  # 1152×10×16
        round1 = self.round1(x, self.logits0)  # 1×10×16
        logits2 = self.logits1(self.logits0, x, round1)  # 1152×10×1
        round2 = self.round2(x, logits2)  # 1×10×16
        logits2 = self.logits2(logits2, x, round2)
        x = self.round3(x, logits2)  # 1×10×16
        x = x.squeeze(1)  # 10×16
        scores = self.lengths(x)  # 10×1
        scores = scores.squeeze(-1)  # 10
        x = self.masked(x)
        x = self.decoder(x)  # 784
        x = x.reshape(-1, 1, 28, 28)  # 1×28×28
        return CapsuleNetOutputs(scores, x)
