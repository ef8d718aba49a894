"""The examples do what they say: digits are learned, heads are fine-tuned, with one process and with two."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from runpy import run_path

import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from torchvision.datasets import ImageFolder

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"

PUBLISHED = {
    "alexnet": torchvision.models.AlexNet_Weights.IMAGENET1K_V1,
    "resnet18": torchvision.models.ResNet18_Weights.IMAGENET1K_V1,
}

HEADS = {"alexnet": "classifier.6", "resnet18": "fc"}

OPTIONS = ("--epochs", "2", "--batch", "8")

Epoch = tuple[float, float]
"""Loss and accuracy."""


def run(script: str, *arguments: str, folder: Path) -> str:
    """What a script prints, run in `folder`, where the downloads of `torch.hub` are, too."""
    printed = StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        patch.chdir(folder)
        patch.setattr("sys.argv", [script, *arguments])
        patch.setattr("torch.hub._hub_dir", str(folder / "hub"))
        run_path(str(EXAMPLES / script), run_name="__main__")
    return printed.getvalue()


@pytest.fixture(scope="module")
def signs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures, and with weights where torchvision's downloads would be.

    Nothing was trained, but the statistics of the batch norms fit the pictures, so features tell signs apart.
    """
    folder = tmp_path_factory.mktemp("signs")
    run("signs.py", "pictures", "--train", "6", "--val", "3", folder=folder)
    checkpoints = folder / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    for name, weights in PUBLISHED.items():
        torch.manual_seed(0)
        network = torchvision.models.get_model(name, weights=None).train()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None  # statistics are means over all that was seen
        pictures = ImageFolder(str(folder / "pictures" / "train"), weights.transforms())
        with torch.no_grad():
            network(torch.stack([pictures[index][0] for index in range(0, len(pictures), 4)]))
        torch.save(network.state_dict(), checkpoints / weights.url.rpartition("/")[2])
    return folder


def epochs(printed: str) -> list[Epoch]:
    """Loss and accuracy of every epoch."""
    rows = re.findall(r"epoch +\d+: loss ([\d.]+), ([\d.]+)% of", printed)
    return [(float(loss), float(share)) for loss, share in rows]


def test_lenet_learns_the_digits(tmp_path: Path) -> None:
    rows = epochs(run("digits.py", folder=tmp_path))
    assert rows[-1][1] >= 97


@pytest.mark.parametrize("network", PUBLISHED)
def test_the_best_head_is_kept_and_the_backbone_stays(signs: Path, network: str) -> None:
    with pytest.warns(UserWarning, match=f"from DEFAULT .*initialized: `{HEADS[network]}.weight` is 1000×"):
        printed = run("finetune.py", "pictures", *OPTIONS, "--network", network, "--output", network, folder=signs)
    rows = epochs(printed)
    assert rows[1][0] < rows[0][0]
    (accuracy,) = re.findall(r"^all +([\d.]+)%", printed, re.MULTILINE)
    assert float(accuracy) == max(share for _, share in rows)

    before = torch.load(signs / "hub" / "checkpoints" / PUBLISHED[network].url.rpartition("/")[2])
    after = load_file(signs / network / "best.safetensors")
    changed = {key for key, value in before.items() if value.shape != after[key].shape or not value.equal(after[key])}
    assert changed == {f"{HEADS[network]}.weight", f"{HEADS[network]}.bias"}
    for name in ("confusion.png", "predictions.png"):
        with Image.open(signs / network / name) as picture:
            assert len(set(picture.convert("L").resize((64, 64)).tobytes())) > 50


@pytest.mark.filterwarnings("ignore:120 of 122 tensors")
def test_two_processes_learn_what_one_learns(signs: Path) -> None:
    alone = run("finetune.py", "pictures", *OPTIONS, "--output", "one", folder=signs)
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    script = (str(EXAMPLES / "finetune.py"), "pictures", *OPTIONS, "--output", "two")
    environment = {**os.environ, "TORCH_HOME": str(signs), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*torchrun, *script], cwd=signs, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("epoch 1:") == 1
    for one, two in zip(epochs(alone), epochs(done.stdout), strict=True):
        assert two == pytest.approx(one, rel=1e-3)
    saved, shared = (load_file(signs / name / "best.safetensors") for name in ("one", "two"))
    assert all(torch.allclose(value, shared[key], atol=1e-5) for key, value in saved.items())
