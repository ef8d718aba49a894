"""Trained weights that libraries publish: their names, their files, the preprocessing and the classes they go with.

torchvision and timm each have a record of their own; both become `PublishedWeights`. A file is taken from the caches of
`torch.hub` and of the Hugging Face hub, and downloaded into one of them where neither has it.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlparse

from netspec.diagnostics import Problem, SpecError, first_line, listing, suggest
from netspec.files import extra

DEFAULT = "DEFAULT"
HUB_FILE = "model.safetensors"  # what timm calls it in each of its repositories


class PublishedWeights(NamedTuple):
    """Trained weights under the name that a library gives them, such as `IMAGENET1K_V2`.

    `transforms()` makes the preprocessing, as torchvision's `ImageClassification`: it takes pictures or tensors, and
    has `crop_size`, `resize_size`, `mean`, `std` and `interpolation`. `meta["categories"]` are the classes in the order
    of the outputs. `repository` is that of the Hugging Face hub, where the weights are published there.
    """

    name: str
    url: str
    transforms: Callable[[], Any]
    meta: Mapping[str, Any]
    repository: str = ""

    @property
    def file(self) -> str:
        """The name of the file in the cache of `torch.hub`."""
        return (
            f"{self.repository.rpartition('/')[2]}.safetensors"
            if self.repository
            else Path(urlparse(self.url).path).name
        )


def find_published(network: str, source: str, name: str) -> PublishedWeights:
    """The weights called `name` of those published at `source`, such as `torchvision/resnet50`, for a network.

    `DEFAULT` are those that the library recommends. Raises `SpecError` where there are none of that name.
    """
    library, _, model = source.partition("/")
    find = {"torchvision": _torchvision, "timm": _timm}.get(library)
    if find is None:
        message = f"no weights are published for `{network}`, so `{name}` is none of them"
        help: tuple[str, ...] = ("name a file: .safetensors, .pth or .pt",)
        if source:
            help = (f"`{Path(source).name}` is a file, which tells neither transforms nor classes",)
        raise SpecError([Problem("unknown-weights", message, help=help).at(None)])
    names, entry = find(model)
    if not names:
        message = f"{library} publishes no weights for a model `{model}`"
        raise SpecError([Problem("unknown-weights", message).at(None)])
    if name not in (DEFAULT, *names):
        help = suggest(name, (DEFAULT, *names)) or (f"there are {listing((DEFAULT, *names))}, or name a file",)
        message = f"`{name}` is neither a file of weights nor the name of any for `{network}`"
        raise SpecError([Problem("unknown-weights", message, help=help).at(None)])
    return entry(name)


def _torchvision(model: str) -> tuple[list[str], Callable[[str], PublishedWeights]]:
    """The names of the weights that torchvision publishes for a model, and how to get those of a name."""
    entries: Any
    models = extra("torchvision", "torch", "the weights that torchvision publishes").models
    try:
        entries = models.get_model_weights(model)
    except ValueError:
        entries = None

    def entry(name: str) -> PublishedWeights:
        found = entries[name]
        return PublishedWeights(found.name, found.url, found.transforms, found.meta)

    return [found.name for found in entries or ()], entry


def _timm(model: str) -> tuple[list[str], Callable[[str], PublishedWeights]]:
    """The tags of the weights that timm publishes for a model, and how to get those of a tag."""
    timm = extra("timm", "timm", "the weights that timm publishes")
    tags = [name.partition(".")[2] for name in timm.list_pretrained(f"{model}.*")]

    def entry(tag: str) -> PublishedWeights:
        config = timm.get_pretrained_cfg(model if tag == DEFAULT else f"{model}.{tag}")
        repository = config.hf_hub_id or ""
        url = f"https://huggingface.co/{repository}/resolve/main/{HUB_FILE}" if repository else config.url
        meta = {"categories": _timm_categories(config), "num_classes": config.num_classes, "license": config.license}
        return PublishedWeights(config.tag, url, partial(_timm_transforms, config), meta, repository)

    return tags, entry


def _timm_categories(config: Any) -> list[str]:
    """Names of the classes, which timm tells for ImageNet and its subsets alone."""
    data = extra("timm.data", "timm", "the classes of the weights that timm publishes")
    subset = data.infer_imagenet_subset({"num_classes": config.num_classes})
    if config.label_names:
        return list(config.label_names)
    return data.ImageNetInfo(subset).label_descriptions() if subset else []


def _timm_transforms(config: Any) -> Any:
    """timm's preprocessing for evaluation, as torchvision's module for it."""
    if config.crop_mode not in ("center", "squash"):
        message = (
            f"pictures for these weights are prepared in timm's mode `{config.crop_mode}`, which torchvision lacks"
        )
        help = ("make the transform with `timm.data.create_transform`",)
        raise SpecError([Problem("unknown-preprocessing", message, help=help).at(None)])
    transforms = extra("torchvision.transforms", "torch", "preprocessing")
    presets = extra("torchvision.transforms._presets", "torch", "preprocessing")
    size = config.input_size[-1]
    preset = presets.ImageClassification(
        crop_size=size,
        resize_size=math.floor(size / config.crop_pct),
        mean=config.mean,
        std=config.std,
        interpolation=transforms.InterpolationMode(config.interpolation),
    )
    if config.crop_mode == "squash":
        preset.resize_size *= 2  # height and width, so the sides do not keep their ratio
    return preset


def published_file(weights: PublishedWeights) -> Path:
    """The file of published weights: one that is in a cache, or downloaded into it and checked.

    torch.hub checks the hash in the file's name. Raises `SpecError` where the download fails.
    """
    hub = extra("torch.hub", "torch", "published weights")
    file = Path(hub.get_dir()) / "checkpoints" / weights.file
    if file.is_file():
        return file
    try:
        if weights.repository:
            return _from_hugging_face(weights)
        file.parent.mkdir(parents=True, exist_ok=True)
        digest = re.search(r"-([a-f0-9]{8,})\.", file.name)
        hub.download_url_to_file(weights.url, str(file), digest and digest[1], progress=sys.stderr.isatty())
    except (OSError, RuntimeError) as error:
        reason = first_line(getattr(error, "reason", error))
        help = (f"download {weights.url} elsewhere and put it at {file}",)
        problem = Problem("download-failed", f"cannot download `{file.name}`: {reason}", help=help)
        raise SpecError([problem.at(None)]) from None
    return file


def _from_hugging_face(weights: PublishedWeights) -> Path:
    """timm's file in the cache of the Hugging Face hub, where timm itself puts it, downloaded if need be.

    Raises `OSError` where it cannot be.
    """
    hub = extra("huggingface_hub", "timm", "the weights that timm publishes")
    cached = hub.try_to_load_from_cache(weights.repository, HUB_FILE)
    if isinstance(cached, str):
        return Path(cached)
    try:
        hub.get_hf_file_metadata(weights.url)  # fails at once without a network; the download would try for a while
        return Path(hub.hf_hub_download(weights.repository, HUB_FILE))
    except Exception as error:  # of requests or httpx, by the version of the hub
        raise OSError(str(error)) from None
