"""What the benchmark of running rests on: netspec runs the same operations as torchvision, and compiles as well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import netspec
from benchmarks import peers
from benchmarks.run import Layout, eager, guards, training_step


class Operations(TorchDispatchMode):
    """Counts what PyTorch runs."""

    counted: Counter[str]

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        self.counted[str(func)] += 1
        return func(*args, **(kwargs or {}))


def operations(module: nn.Module, training: bool) -> Counter[str]:
    """What a forward pass runs in eval mode, or a whole training step."""
    x = torch.zeros(2, 3, 64, 64, device="meta")
    mode: Operations = Operations()  # type: ignore[no-untyped-call]
    mode.counted = Counter()
    with mode, torch.set_grad_enabled(training):
        if training:
            training_step(module, x)
        else:
            module.eval()(x)
    return mode.counted


@pytest.mark.parametrize(
    ("name", "training"),
    [("resnet18", False), ("resnet18", True), ("googlenet", False), ("efficientnet_b0", False)],
)
def test_the_same_operations_run_as_in_torchvision(name: str, training: bool) -> None:
    ours, theirs = netspec.load(name).build(device="meta"), peers.torchvision_on_meta(name)
    assert operations(ours, training) == operations(theirs, training)


@pytest.mark.parametrize("name", ["densenet121", "mobilenet_v3_small"])
def test_no_more_operations_run_than_in_torchvision(name: str) -> None:
    ours, theirs = netspec.load(name).build(device="meta"), peers.torchvision_on_meta(name)
    found, expected = operations(ours, False), operations(theirs, False)
    assert found.total() <= expected.total()
    assert {operation.rstrip("_") for operation in found} <= {operation.rstrip("_") for operation in expected}


@pytest.mark.parametrize(
    ("name", "part"), [("mobilenet_v3_small", "features.4"), ("densenet121", "features.denseblock1.denselayer1")]
)
def test_a_block_compiles_to_one_graph_with_no_more_guards_than_that_of_torchvision(name: str, part: str) -> None:
    channels = {"mobilenet_v3_small": 24, "densenet121": 64}[name]
    ours, theirs = (module.get_submodule(part) for module in Layout().modules(name).values())
    x = torch.randn(1, channels, 8, 8)
    assert guards(ours.eval(), x) <= guards(theirs.eval(), x)


def test_the_contestants_must_calculate_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = nn.Linear(2, 2), nn.Linear(2, 2)
    monkeypatch.setattr(Layout, "modules", lambda self, name: {"netspec": ours, "torchvision": theirs})
    monkeypatch.setattr(Layout, "pictures", lambda self, batch, size: torch.ones(1, 2))
    with pytest.raises(ValueError, match="do not calculate the same"):
        next(eager("two layers", 64, 1, Layout()))
