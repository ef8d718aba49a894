"""Fine-tune a network on a folder of pictures: a new head on trained weights, which stay as they are.

    python examples/finetune.py PICTURES --network resnet18
    torchrun --nproc-per-node 2 examples/finetune.py PICTURES --network resnet18

PICTURES has the folders `train` and `val`, with a folder of pictures for each class in them. The weights are those
that torchvision publishes for the network, or a file. Into the folder `--output` go the weights of the epoch that was
best on the validation set, and two pictures: the confusion of classes, and some predictions.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor, distributed, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, Subset
from torchvision.datasets import ImageFolder

import netspec
from netspec.backends.report import save_weights
from netspec.graph import Graph

HEADS = {"alexnet": "classifier.6", "resnet18": "fc"}
"""What is trained, by network: the layer that makes the classes."""

SHOWN = 12  # pictures whose predictions are drawn


class Process(NamedTuple):
    """Which of how many processes this one is, and the device it computes on."""

    rank: int
    world_size: int
    device: torch.device


class Evaluation(NamedTuple):
    """How many pictures of each class (row) were taken for each class (column)."""

    confusion: Tensor

    @property
    def accuracy(self) -> float:
        return float(self.confusion.trace() / self.confusion.sum())

    @property
    def class_accuracy(self) -> list[float]:
        """The share of each class's pictures that were recognized."""
        return (self.confusion.diag() / self.confusion.sum(1)).tolist()


def main() -> None:
    options = parse()
    torch.manual_seed(options.seed)
    with processes() as process:
        fine_tune(options, process)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Fine-tune the head of a network on a folder of pictures.")
    parser.add_argument("pictures", type=Path, help="a folder with train/CLASS/PICTURE and val/CLASS/PICTURE")
    parser.add_argument("--network", choices=HEADS, default="resnet18")
    parser.add_argument("--weights", default="DEFAULT", help="a file, or the name of published weights")
    parser.add_argument("--epochs", type=int, default=5, metavar="N")
    parser.add_argument("--batch", type=int, default=32, metavar="N", help="pictures in a step, over all processes")
    parser.add_argument("--rate", type=float, default=1e-3, metavar="RATE", help="learning rate")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--output", type=Path, default=Path("finetuned"), metavar="FOLDER")
    return parser.parse_args()


@contextmanager
def processes() -> Iterator[Process]:
    """This process among those that torchrun has started, or alone."""
    rank, count = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    if count > 1:
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Process(rank, count, device)
    finally:
        if count > 1:
            distributed.destroy_process_group()


# Training ------------------------------------------------------------------------------------------------------------


def fine_tune(options: argparse.Namespace, process: Process) -> None:
    """Train, keep the best weights, and show what they recognize."""
    graph, training, validation = load(options)
    network = graph.build(weights=options.weights, freeze=["*"], seed=options.seed).to(process.device)
    head = network.get_submodule(HEADS[options.network]).requires_grad_(True)
    model = DistributedDataParallel(network) if process.world_size > 1 else network
    optimizer = torch.optim.AdamW(head.parameters(), lr=options.rate)

    sampler: DistributedSampler[Any] = DistributedSampler(training, process.world_size, process.rank, seed=options.seed)
    batches = DataLoader(training, batch_size=options.batch // process.world_size, sampler=sampler)
    weights, best = options.output / "best.safetensors", -1.0
    if process.rank == 0:
        options.output.mkdir(parents=True, exist_ok=True)
    for epoch in range(options.epochs):
        sampler.set_epoch(epoch)
        network.eval()  # what is frozen runs as in use: the statistics of its batch norms stay, too
        head.train()
        loss = train(model, batches, optimizer, process)
        accuracy = evaluate(network, validation, process).accuracy
        report(process, f"epoch {epoch + 1}: loss {loss:.4f}, {accuracy:.1%} of the validation set right")
        if accuracy > best:
            best = accuracy
            if process.rank == 0:
                save_weights(network, weights)

    if process.world_size > 1:
        distributed.barrier()  # until the file is written
    network = graph.build(weights=weights).to(process.device)
    result = evaluate(network, validation, process)
    for name, share in zip(validation.classes, result.class_accuracy, strict=True):
        report(process, f"{name:<20} {share:6.1%}")
    report(process, f"{'all':<20} {result.accuracy:6.1%}")
    if process.rank == 0:
        draw_confusion(result, validation.classes, options.output / "confusion.png")
        draw_predictions(network, validation, process.device, options.output / "predictions.png")


def load(options: argparse.Namespace) -> tuple[Graph, ImageFolder, ImageFolder]:
    """The network with a class for each folder, and the pictures, prepared as its weights want them."""
    prepare = netspec.load(options.network).published_weights().transforms()
    training, validation = (ImageFolder(str(options.pictures / part), prepare) for part in ("train", "val"))
    if training.classes != validation.classes:
        sys.exit(f"the classes in train and in val differ: {training.classes} and {validation.classes}")
    return netspec.load(options.network, num_classes=len(training.classes)), training, validation


def train(
    model: nn.Module, batches: DataLoader[tuple[Tensor, Tensor]], optimizer: torch.optim.Optimizer, process: Process
) -> float:
    """One epoch; the mean loss of its batches, over all processes."""
    losses = []
    for pictures, labels in batches:
        loss = functional.cross_entropy(model(pictures.to(process.device)), labels.to(process.device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    mean = torch.stack(losses).mean() / process.world_size
    if process.world_size > 1:
        distributed.all_reduce(mean)
    return mean.item()


@torch.no_grad()
def evaluate(network: nn.Module, pictures: ImageFolder, process: Process) -> Evaluation:
    """The confusion over all pictures; each process looks at its share of them."""
    network.eval()
    classes = len(pictures.classes)
    confusion = torch.zeros(classes * classes, dtype=torch.int64, device=process.device)
    for batch, labels in DataLoader(
        Subset(pictures, range(process.rank, len(pictures), process.world_size)), batch_size=32
    ):
        predicted = network(batch.to(process.device)).argmax(1)
        confusion += torch.bincount(labels.to(process.device) * classes + predicted, minlength=classes * classes)
    if process.world_size > 1:
        distributed.all_reduce(confusion)
    return Evaluation(confusion.reshape(classes, classes).cpu())


def report(process: Process, text: str) -> None:
    """Print a line, once for all processes."""
    if process.rank == 0:
        print(text, flush=True)


# Pictures ------------------------------------------------------------------------------------------------------------


def draw_confusion(result: Evaluation, classes: list[str], path: Path) -> None:
    """A row for each true class, a column for each predicted one."""
    figure = Figure(figsize=(1.5 + 0.6 * len(classes), 1.5 + 0.6 * len(classes)), layout="constrained")
    axes = figure.subplots()
    axes.imshow(result.confusion.numpy(), cmap="Blues")
    half = result.confusion.max().item() / 2
    for row, counts in enumerate(result.confusion.tolist()):
        for column, count in enumerate(counts):
            color = "white" if count > half else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=color)
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
    axes.set_yticks(range(len(classes)), classes)
    axes.set(xlabel="predicted", ylabel="true", title=f"{result.accuracy:.1%} right")
    figure.savefig(path, dpi=150)


@torch.no_grad()
def draw_predictions(network: nn.Module, pictures: ImageFolder, device: torch.device, path: Path) -> None:
    """Validation pictures, evenly chosen, with what they were taken for: green where that is right."""
    chosen = range(0, len(pictures), max(1, len(pictures) // SHOWN))[:SHOWN]
    batch = torch.stack([pictures[index][0] for index in chosen]).to(device)
    probabilities = network(batch).softmax(1).cpu()
    figure = Figure(figsize=(8, 6.5), layout="constrained")
    for axes, index, row in zip(figure.subplots(3, 4).flat, chosen, probabilities, strict=False):
        file, label = pictures.samples[index]
        predicted = int(row.argmax())
        axes.imshow(pictures.loader(file))
        color = "tab:green" if predicted == label else "tab:red"
        axes.set_title(f"{pictures.classes[predicted]}, {row[predicted]:.0%}", color=color)
        axes.axis("off")
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
