"""The network with every shape known: the artefact that all backends read.

A graph is a tree of bodies. A body lists its nodes; a node is an occurrence of an op, or of another body. Equal copies
share one body object, so a repeat costs as much as one of its copies, and a fold in a picture is an identity test. The
graph knows neither YAML nor torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from netspec.diagnostics import Span
from netspec.ops.base import Op, State
from netspec.shapes import TensorType

if TYPE_CHECKING:
    from pathlib import Path

    import networkx
    from torch import nn

    from netspec.backends.weights import Weights
    from netspec.initialize import Assignment


@dataclass(eq=False, repr=False)
class Value:
    """A tensor inside a body. `name` is the input's name, the node's name, or `node.output` where it has several."""

    name: str
    type: TensorType

    def __repr__(self) -> str:
        return f"{self.name}: {self.type}"


@dataclass(eq=False, repr=False)
class Node:
    """An occurrence of an op or body under a name.

    `shares` names the node of the same body whose module this one calls again.
    """

    name: str
    kind: str
    target: Op | Body
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    span: Span
    training_only: bool = False
    shares: str | None = None

    @property
    def input_types(self) -> tuple[TensorType, ...]:
        return tuple(value.type for value in self.inputs)

    @property
    def output_types(self) -> tuple[TensorType, ...]:
        return tuple(value.type for value in self.outputs)

    def __repr__(self) -> str:
        sources = ", ".join(value.name for value in self.inputs)
        return f"{self.name} = {self.kind}({sources}) -> {', '.join(str(t) for t in self.output_types)}"


class Output(NamedTuple):
    """What a body returns under a name."""

    name: str
    value: Value
    training_only: bool = False


@dataclass(eq=False, repr=False)
class Body:
    """The inside of a network, block or group.

    `nodes` are in the order written, which is the order of the module's children; `schedule` is the order they run in.
    A `chain` passes one value through all its nodes; `repeated` marks one that came from `repeat`.
    """

    kind: str
    form: Literal["chain", "graph"]
    inputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    schedule: tuple[Node, ...]
    outputs: tuple[Output, ...]
    span: Span
    returns: Literal["bare", "tuple", "dict"] = "bare"
    repeated: bool = False
    absent: tuple[str, ...] = ()  # names of nodes that `if` left out
    arguments: dict[str, Any] = field(default_factory=dict)
    init: Any = None  # the block's own initialization rules, read by `initialize`

    def node(self, name: str) -> Node:
        """The child called `name`. Raises `KeyError`."""
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    @cached_property
    def size(self) -> int:
        """Number of nodes in this body and all below it, each copy counted."""
        return sum(1 + (node.target.size if isinstance(node.target, Body) else 0) for node in self.nodes)

    @cached_property
    def parameters(self) -> int:
        """Number of trained numbers; a module called twice counts once."""
        return sum(node_parameters(node) for node in self.nodes)

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates for one sample in eval mode; a module called twice counts twice."""
        return sum(node_macs(node) for node in self.nodes if not node.training_only)

    @property
    def eval_outputs(self) -> tuple[Output, ...]:
        return tuple(output for output in self.outputs if not output.training_only)


def node_state(node: Node) -> dict[str, State]:
    """Parameters and buffers of an op node by name; a parameter or constant is its own under the empty name."""
    if isinstance(node.target, Body) or node.shares:
        return {}
    return node.target.state(*node.input_types)


def node_parameters(node: Node) -> int:
    """Number of trained numbers in a node, and in all below it."""
    if node.shares:
        return 0
    if isinstance(node.target, Body):
        return node.target.parameters
    return sum(state.elements for state in node_state(node).values() if state.trainable)


def node_macs(node: Node) -> int:
    """Multiply-accumulates of a node, and of all below it, for one sample."""
    if isinstance(node.target, Body):
        return node.target.macs
    return node.target.macs(*node.input_types)


def path_pattern(selector: str) -> re.Pattern[str]:
    """The paths that a selector means: `*` stands for one name of a path, `**` for any number."""
    parts = re.split(r"(\*\*|\*)", selector)
    return re.compile("".join({"**": r".*", "*": r"[^.]*"}.get(part, re.escape(part)) for part in parts))


@dataclass(eq=False, repr=False)
class Graph:
    """A compiled network. `netspec.load` makes one; `build`, `summary` and `draw` use it."""

    name: str
    root: Body
    about: str = ""
    reference: tuple[str, ...] = ()
    initializers: tuple[Assignment, ...] = ()
    weights: str = ""  # where trained weights are published, such as `torchvision/resnet50`
    weights_need: dict[str, Any] = field(default_factory=dict)  # parameters that those weights were trained with
    overridden: frozenset[str] = frozenset()  # parameters that `load` was given

    @property
    def inputs(self) -> dict[str, TensorType]:
        """Name and type of each input."""
        return {value.name: value.type for value in self.root.inputs}

    @property
    def outputs(self) -> dict[str, TensorType]:
        """Name and type of each output in eval mode."""
        return {output.name: output.value.type for output in self.root.eval_outputs}

    @property
    def parameters(self) -> int:
        """Number of trained numbers."""
        return self.root.parameters

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one sample in eval mode, counted as PyTorch's flop counter does."""
        return self.root.macs

    def walk(self) -> Iterator[tuple[str, Node]]:
        """Every node with its path, parents first, in the order of `named_modules`."""
        pending = [("", node) for node in reversed(self.root.nodes)]
        while pending:
            prefix, node = pending.pop()
            path = prefix + node.name
            yield path, node
            if isinstance(node.target, Body) and not node.shares:
                pending.extend((path + ".", child) for child in reversed(node.target.nodes))

    def find(self, path: str) -> Node:
        """The node at `path`, such as `layer1.0.conv1`. Raises `KeyError`."""
        body: Op | Body = self.root
        for name in path.split("."):
            if not isinstance(body, Body):
                raise KeyError(path)
            node = body.node(name)
            body = node.target
        return node

    def state(self) -> dict[str, State]:
        """Parameters and saved buffers by key, in the order of the module's `state_dict`."""
        found: dict[str, State] = {}
        pending: list[tuple[str, Node | Body]] = [("", self.root)]
        while pending:
            prefix, item = pending.pop()
            body = item if isinstance(item, Body) else item.target
            if isinstance(body, Body):
                held = [(node, node_state(node).get("")) for node in body.nodes if not isinstance(node.target, Body)]
                for trainable in (True, False):
                    for node, state in held:
                        if state is not None and state.trainable is trainable:
                            found[prefix + node.name] = state
                pending.extend((f"{prefix}{n.name}.", n) for n in reversed(body.nodes) if not n.shares)
            elif isinstance(item, Node):
                found |= {prefix + name: state for name, state in node_state(item).items() if name}
        return {key: state for key, state in found.items() if state.persistent}

    def build(
        self,
        *,
        weights: Weights | None = None,
        seed: int | None = None,
        device: str | None = None,
        freeze: Iterable[str] = (),
    ) -> nn.Module:
        """The network as an `nn.Module`, in training mode. Needs PyTorch.

        Its weights are initial ones, which `seed` makes reproducible, or those of a checkpoint: `weights` is a file
        (`.safetensors`, `.pth`, `.pt`), the name of published weights such as `DEFAULT`, or a `state_dict`. Raises
        `SpecError` where they do not fit; entries of another shape are initialized, with a warning, where the spec was
        loaded with parameters of its own, such as another number of classes.

        `freeze` lists paths whose parameters, and all below them, are not to be trained; `*` stands for one name of a
        path, `**` for any number.
        """
        from netspec.backends.module import freeze_parameters, to_module

        if weights is None:
            module = to_module(self, seed=seed, device=device)
        else:
            from netspec.backends.weights import build_with_weights

            module = build_with_weights(self, weights, device=device)[0]
        freeze_parameters(module, freeze)
        return module

    def published_weights(self, name: str = "DEFAULT") -> Any:
        """torchvision's entry for trained weights: `transforms()` prepares pictures, `meta` names the classes."""
        from netspec.backends.weights import published

        return published(self, name)

    def summary(self, depth: int | None = None) -> str:
        """A table of every node: output shape, parameters, MACs and memory."""
        from netspec.backends.summary import to_summary

        return to_summary(self).text(depth)

    def draw(self, path: str | Path, *, depth: int | None = None) -> None:
        """Draw the network into a file: `.svg`, `.png` or `.dot` by its suffix."""
        from netspec.backends.picture import draw

        draw(self, path, depth=depth)

    def to_networkx(self) -> networkx.DiGraph:
        """The op nodes as a directed graph: nodes are paths, edges carry the shape. Needs networkx."""
        from netspec.backends.network import to_networkx

        return to_networkx(self)

    def __str__(self) -> str:
        from netspec.backends.text import to_text

        return to_text(self)

    def __repr__(self) -> str:
        return f"<Graph {self.name}: {self.parameters:,} parameters, {self.macs:,} MACs>"
