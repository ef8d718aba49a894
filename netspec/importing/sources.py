"""What `netspec import` is pointed at: a model of torchvision or timm by name, or a callable that makes a module."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any, NamedTuple

from netspec.diagnostics import Problem, SpecError, first_line, suggest
from netspec.files import extra

if TYPE_CHECKING:
    from torch import nn

USUAL_INPUT = (3, 224, 224)


class Found(NamedTuple):
    """A module, the name for its spec, and the shape of the input it is made for, where that is known."""

    module: nn.Module
    name: str
    input: tuple[int, ...] | None


def find_module(source: str, allow_code: bool = False) -> Found:
    """The module of a source such as `torchvision:resnet50`. Raises `SpecError`.

    A callable of any other package, such as `my_package.models:make`, is called with `allow_code` alone.
    """
    package, colon, name = source.partition(":")
    if not colon or not package or not name:
        help: tuple[str, ...] = ("`torchvision:resnet50`, `timm:resnet26d`, or `package.module:callable`",)
        raise SpecError([Problem("unknown-model", f"`{source}` names no module to import", help=help).at(None)])
    if package == "torchvision":
        return _torchvision(name)
    if package == "timm":
        return _timm(name)
    if not allow_code:
        help = (f"`netspec import {source} --allow-code` runs it, with all rights that you have",)
        problem = Problem("code-not-allowed", f"`{source}` is code, which is run to import it", help=help)
        raise SpecError([problem.at(None)])
    return Found(_made(source, lambda: _called(package, name)), name.rpartition(".")[2], None)


def _torchvision(name: str) -> Found:
    models = extra("torchvision", "torch", "a model of torchvision").models
    if name not in models.list_models():
        help = suggest(name, models.list_models())
        raise SpecError([Problem("unknown-model", f"torchvision has no model `{name}`", help=help).at(None)])
    sizes = [getattr(weights.transforms(), "crop_size", None) for weights in models.get_model_weights(name)]
    known = [size[0] for size in sizes if size]
    shape = (3, min(known), min(known)) if known else USUAL_INPUT
    takes = signature(models.get_model_builder(name)).parameters
    without = {argument: None for argument in ("weights", "weights_backbone") if argument in takes}
    return Found(_made(f"torchvision:{name}", lambda: models.get_model(name, **without)), name, shape)


def _timm(name: str) -> Found:
    timm = extra("timm", "timm", "a model of timm")
    if not timm.is_model(name):
        help = suggest(name, timm.list_models())
        raise SpecError([Problem("unknown-model", f"timm has no model `{name}`", help=help).at(None)])
    module: Any = _made(f"timm:{name}", lambda: timm.create_model(name, pretrained=False))
    return Found(module, name, tuple(module.pretrained_cfg["input_size"]))


def _called(package: str, name: str) -> Any:
    """What a callable makes, which a user has allowed to run; an `nn.Module` is that itself."""
    from torch import nn

    sys.path.insert(0, "")  # the folder at hand, as for `python -m`
    try:
        made: Any = import_module(package)
    finally:
        sys.path.remove("")
    for part in name.split("."):
        made = getattr(made, part)
    return made if isinstance(made, nn.Module) else made()


def _made(source: str, make: Callable[[], Any]) -> nn.Module:
    """What a maker of modules makes. Raises `SpecError` where it fails."""
    from torch import nn

    try:
        module = make()
    except Exception as error:  # of whatever it runs
        problem = Problem("unknown-model", f"`{source}` cannot be made: {first_line(error)}")
        raise SpecError([problem.at(None)]) from error
    if not isinstance(module, nn.Module):
        problem = Problem("unknown-model", f"`{source}` makes no `nn.Module`, but a {type(module).__name__}")
        raise SpecError([problem.at(None)])
    return module
