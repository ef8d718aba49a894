"""Train LeNet-5 on the 1,797 handwritten digits of scikit-learn: seconds on a laptop, and over 97 % come out right.

python examples/digits.py
"""

from __future__ import annotations

import argparse

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR
from torch.utils.data import DataLoader, TensorDataset

import netspec


def main() -> None:
    parser = argparse.ArgumentParser(description="Train LeNet-5 on scikit-learn's digits.")
    parser.add_argument("--epochs", type=int, default=12, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    options = parser.parse_args()
    torch.manual_seed(options.seed)

    training, test = digits(options.seed)
    network = netspec.load("lenet5").build()
    batches = DataLoader(training, batch_size=64, shuffle=True)
    optimizer = torch.optim.AdamW(network.parameters())
    schedule = OneCycleLR(optimizer, max_lr=5e-3, total_steps=options.epochs * len(batches))
    for epoch in range(1, options.epochs + 1):
        loss = train(network, batches, optimizer, schedule)
        print(f"epoch {epoch:2}: loss {loss:.4f}, {accuracy(network, test):.2%} of the test set right")


def digits(seed: int) -> tuple[TensorDataset, TensorDataset]:
    """Training and test set, a fifth of all: pictures of 1×28×28 from -1 to 1, and the digits that they show."""
    data = load_digits()
    pictures = torch.tensor(data.images, dtype=torch.float32).unsqueeze(1) / 8 - 1
    pictures = functional.interpolate(pictures, size=(28, 28), mode="bilinear")
    labels = torch.tensor(data.target)
    train, test = train_test_split(range(len(labels)), test_size=0.2, stratify=labels, random_state=seed)
    return TensorDataset(pictures[train], labels[train]), TensorDataset(pictures[test], labels[test])


def train(
    network: nn.Module, batches: DataLoader[tuple[Tensor, ...]], optimizer: Optimizer, schedule: LRScheduler
) -> float:
    """One epoch; the mean loss of its batches."""
    network.train()
    losses = []
    for pictures, labels in batches:
        loss = functional.cross_entropy(network(pictures), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return sum(losses) / len(losses)


@torch.no_grad()
def accuracy(network: nn.Module, data: TensorDataset) -> float:
    """Share of the pictures whose digit is the most likely one."""
    network.eval()
    pictures, labels = data.tensors
    right = network(pictures).argmax(1) == labels
    return float(right.float().mean())


if __name__ == "__main__":
    main()
