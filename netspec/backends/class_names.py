"""The name of a network or block in, the name of its Python class out, for the built module and for readable source."""

from __future__ import annotations

import re


def class_name(name: str) -> str:
    """`conv_norm_act` as `ConvNormAct`, and the names of networks as papers spell them: `resnet50` as `ResNet50`."""
    words = [word for word in re.split(r"[^A-Za-z0-9]+", name) if word]
    result = "".join(_SPELLED.get(word) or _spelled(word[:1].upper() + word[1:]) for word in words)
    return result if result[:1].isalpha() else f"Net{result}"


def _spelled(word: str) -> str:
    return re.sub(r"(?<=[a-z])net(?=[0-9A-Z]|$)", "Net", re.sub(r"(?<=[a-z])next(?=[0-9A-Z]|$)", "NeXt", word))


_SPELLED = {"googlenet": "GoogLeNet", "mbconv": "MBConv", "vit": "ViT"}
_SPELLED |= {name: name.upper() for name in ("crnn", "dla", "dpn", "lrcn", "mlp", "vgg")}
