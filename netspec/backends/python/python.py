"""Graph in, one Python file out: the network in plain PyTorch, as a careful person would write it.

The file needs torch alone, and torchvision where an op is torchvision's. Its modules have the keys, the order and the
outputs of the module that `build` makes, for both come from the same record of calls; that they do is checked.
"""

from __future__ import annotations

import re

from netspec.backends.python.class_text import ClassText
from netspec.backends.python.classes import Classes, find_classes
from netspec.backends.python.init_code import Initialization
from netspec.backends.python.lines import docstring
from netspec.backends.python.replay import is_network
from netspec.formulas import DifferentError
from netspec.graph import Graph
from netspec.recursion import deep_recursion


@deep_recursion
def to_python(graph: Graph) -> str:
    """The source of the network. Its last class is the network itself, which needs no arguments."""
    folded = folded_python(graph)
    if folded is not None:
        return folded
    source = to_plain_python(graph)
    assert is_network(source, graph), "the file would be another network"
    return source


@deep_recursion
def folded_python(graph: Graph) -> str | None:
    """The source with one class for each kind of block, or None where that would not be the network."""
    try:
        source = _file(graph, find_classes(graph))
    except DifferentError:
        return None
    return source if is_network(source, graph) else None


@deep_recursion
def to_plain_python(graph: Graph) -> str:
    """The source with a class for each part of the network, whose numbers are constants."""
    return _file(graph, find_classes(graph, fold=False))


def _file(graph: Graph, classes: Classes) -> str:
    by_name = {made.name: made for made in classes.all}
    initialization = Initialization(graph, classes)
    texts = ["\n".join(ClassText(graph, made, by_name, initialization).lines()) for made in classes.all]
    body = "\n\n\n".join(texts) + "\n"
    about = docstring(f"{graph.name}: {graph.about or 'a network.'}", graph.reference)
    return "\n".join([*about, "", _imports(body), "", "", body])


def _imports(body: str) -> str:
    """The imports that the classes need."""
    standard = [
        text
        for word, text in (
            (r"\bmath\.", "import math"),
            (r"\bOrderedDict\(", "from collections import OrderedDict"),
            (r"\bCallable\[", "from collections.abc import Callable"),
            (r"\(NamedTuple\)", "from typing import NamedTuple"),
        )
        if re.search(word, body)
    ]
    torch = ["import torch"] * bool(re.search(r"\btorch\.", body))
    torch.append("from torch import Tensor, nn" if re.search(r"\bTensor\b", body) else "from torch import nn")
    torch += ["from torchvision.ops import StochasticDepth"] * bool(re.search(r"\bStochasticDepth\(", body))
    return "\n\n".join("\n".join(group) for group in (standard, torch) if group)
