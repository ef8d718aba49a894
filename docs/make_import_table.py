"""Writes the table of `docs/import.md`: how long imported specs are, beside those that people wrote.

Run `python docs/make_import_table.py`, which imports all models of torchvision and takes a quarter of an hour; with
`--check` nothing is written, and the exit status is 1 when the table is stale.
"""

from __future__ import annotations

import re
import subprocess
import sys
import warnings

import timm
import torch
import torchvision
from pages import ROOT, Pages, main

from netspec.catalog import shipped_specs
from netspec.diagnostics import SpecError
from netspec.importing.importer import from_module
from netspec.importing.sources import find_module

PAGE = ROOT / "docs" / "import.md"
TABLE = re.compile(r"(?<=\| model \| imported \| by hand \|\n\|:--\|--:\|--:\|\n)(?:\|.*\n)*")


FAMILIES = (
    *("cait_xxs24_224", "convmixer_768_32", "convnext_atto", "crossvit_9_240", "darknet17", "efficientnet_lite0"),
    *("ese_vovnet19b_dw", "fbnetc_100", "focalnet_tiny_srf", "gernet_s", "ghostnet_100", "hardcorenas_a"),
    *("hrnet_w18_small", "lcnet_050", "mixer_s32_224", "mobilenetv3_small_050", "mobilenetv4_conv_small"),
    *("pit_ti_224", "poolformer_s12", "regnety_002", "repvgg_a0", "resnet26d", "resnext26ts", "rexnet_100"),
    *("selecsls42b", "semnasnet_075", "seresnet18", "tf_efficientnet_b0", "visformer_tiny", "vit_tiny_patch16_224"),
)
"""Models of timm, of many families, that no spec is shipped for."""


def sources() -> dict[str, str]:
    """What is imported, and the whole spec of the same network that somebody wrote, or nothing."""
    written = {name: merged(name) for name in shipped_specs()}
    found = {f"torchvision:{name}": written[name] for name in torchvision.models.list_models(module=torchvision.models)}
    ours = [name for name in written if f"torchvision:{name}" not in found and timm.is_model(name)]
    return found | {f"timm:{name}": written.get(name, "") for name in sorted((*ours, *FAMILIES))}


def merged(name: str) -> str:
    """A spec that ships with all that it extends, as `netspec show` prints it."""
    command = [sys.executable, "-m", "netspec", "show", name]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def lines(text: str) -> int:
    """How many lines of a spec say what the network is."""
    return sum(bool(re.match(r"\s*[^\s#]", line)) for line in text.splitlines())


def imported(source: str) -> str:
    """The number of lines of an imported spec, or a dash where there can be none."""
    found = find_module(source)
    assert found.input is not None
    try:
        return str(lines(from_module(found.module, torch.zeros(1, *found.input), name=found.name)))
    except SpecError:
        return "–"


def pages() -> Pages:
    """The page with a new table."""
    rows = []
    for source, text in sources().items():
        rows.append(f"| `{source}` | {imported(source)} | {lines(text) or ''} |\n")
    return {PAGE: TABLE.sub("".join(rows), PAGE.read_text(encoding="utf-8"))}


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # of the libraries, on their own models
    raise SystemExit(main(pages, "make_import_table.py"))
