"""The network with every shape known: the artefact that all backends read.

A graph is a tree of bodies. A body lists its nodes; a node is an occurrence of an op, or of another body. Equal copies
share one body object, so a repeat costs as much as one of its copies, and a fold in a picture is an identity test. The
graph knows neither YAML nor torch.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from netspec.diagnostics import Diagnostic, Problem, Span, SpecError, suggest
from netspec.ops.base import Op, State
from netspec.recursion import deep_recursion
from netspec.shapes import TensorType

if TYPE_CHECKING:
    from pathlib import Path

    import networkx
    from torch import nn
    from torch.distributed import ProcessGroup
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.pipelining import PipelineStage

    from netspec.backends.module import Init
    from netspec.backends.pictures.dot import Direction
    from netspec.backends.pictures.drawing import Depth
    from netspec.backends.pictures.palette import Theme
    from netspec.backends.pictures.picture import Style
    from netspec.backends.published import PublishedWeights
    from netspec.backends.weights import Weights
    from netspec.initialize import Assignment
    from netspec.select import Choice


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

    A node without outputs failed, which is seen in the sketch of a wrong spec alone.
    Dots in a name put the node into modules that do nothing but hold others: `convs.0` is `0` in the module `convs`.
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

    @property
    def passes_one(self) -> bool:
        """Whether the next node of a chain gets one tensor from this one, which may be the first of an op's outputs."""
        if isinstance(self.target, Body):
            return len(self.outputs) == 1 and self.target.returns == "bare"
        return len(self.outputs) == 1 or bool(self.target.output_names)

    def __repr__(self) -> str:
        sources = ", ".join(value.name for value in self.inputs)
        return f"{self.name} = {self.kind}({sources}) -> {', '.join(str(t) for t in self.output_types)}"


Children = dict[str, "Node | Children"]
"""What stands in a module, by name: a node, or the children of a module that only holds others."""


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
    about: str = ""  # what the block says of itself
    reference: tuple[str, ...] = ()
    size: int = field(init=False)  # number of nodes in this body and all below it, each copy counted
    parameters: int = field(init=False)  # number of trained numbers; a module called twice counts once
    macs: int = field(init=False)  # multiply-accumulates of one sample in eval mode; one called twice counts twice

    def __post_init__(self) -> None:
        # A body is made after those inside it, so adding up at once never goes down more than one level.
        self.size = sum(1 + (node.target.size if isinstance(node.target, Body) else 0) for node in self.nodes)
        self.parameters = sum(map(node_parameters, self.nodes))
        self.macs = sum(node_macs(node) for node in self.nodes if not node.training_only)

    @cached_property
    def children(self) -> Children:
        """The nodes as the tree that dots in their names make of them."""
        children: Children = {}
        for node in self.nodes:
            *holders, name = node.name.split(".")
            held = children
            for holder in holders:
                inner = held.setdefault(holder, {})
                assert isinstance(inner, dict), f"{node.name} stands in a node"
                held = inner
            held[name] = node
        return children

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


class Parallel(NamedTuple):
    """What a spec says of several devices: which nodes are sharded one by one, where stages of a pipeline begin, and
    which layers are split, by columns or by rows. All are patterns of paths; what is sharded may be a kind of block."""

    shard: tuple[str, ...] = ()
    pipeline: tuple[str, ...] = ()
    tensor: tuple[tuple[str, str], ...] = ()


@dataclass(eq=False, repr=False)
class Graph:
    """A compiled network. `netspec.load` makes one; `build`, `summary` and `draw` use it."""

    name: str
    root: Body
    about: str = ""
    reference: tuple[str, ...] = ()
    initializers: tuple[Assignment, ...] = ()
    weights: str = ""  # trained ones: `torchvision/resnet50`, `timm/dla34`, or the path of a file
    weights_need: dict[str, Any] = field(default_factory=dict)  # parameters that those weights were trained with
    adapted: bool = False  # whether it may differ from the network that those weights were trained for
    freeze: tuple[str, ...] = ()  # paths of parameters that are not to be trained
    checkpoint: tuple[str, ...] = ()  # paths of nodes that are computed again in the backward pass
    parallel: Parallel = field(default_factory=Parallel)  # how it is spread over devices
    left_out: frozenset[str] = frozenset()  # keys of the state that `select` left out
    warnings: tuple[Diagnostic, ...] = ()  # what is legal in its spec, but likely wrong

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
        route = self.route(path)
        if not route:
            raise KeyError(path)
        return route[-1]

    def route(self, path: str) -> tuple[Node, ...]:
        """The nodes that lead to the one at `path`, outermost first; empty where there is none."""
        route: list[Node] = []
        found: Node | Children | None = self.root.children
        for name in path.split("."):
            if isinstance(found, Node):
                found = found.target.children if isinstance(found.target, Body) else {}
            found = found.get(name) if found else None
            if isinstance(found, Node):
                route.append(found)
        return tuple(route) if isinstance(found, Node) else ()

    def no_node(self, path: str) -> SpecError:
        """The error of a path that leads to no node, with the nearest one that does."""
        help = suggest(path, (known for known, _ in self.walk()))
        return SpecError([Problem("unknown-node", f"`{self.name}` has no node `{path}`", help=help).at(None)])

    @deep_recursion
    def select(self, outputs: Choice) -> Graph:
        """The graph with the nodes at the paths of `outputs` as its outputs, without what they do not need.

        One path gives a bare tensor; several give a dict by path, or by the names of a mapping from name to path.
        Raises `SpecError` where a path names nothing.
        """
        from netspec.select import select

        return select(self, outputs)

    def state(self) -> dict[str, State]:
        """Parameters and saved buffers by key, in the order of the module's `state_dict`."""
        return dict(self._state)

    @cached_property
    def _state(self) -> dict[str, State]:
        found: dict[str, State] = {}
        pending: list[tuple[str, Node | Children]] = [("", self.root.children)]
        while pending:
            prefix, item = pending.pop()
            if isinstance(item, Node):
                if not isinstance(item.target, Body):
                    found |= {prefix + name: state for name, state in node_state(item).items() if name}
                    continue
                item = item.target.children
            children = {name: child for name, child in item.items() if isinstance(child, dict) or not child.shares}
            own = {name: node_state(child).get("") for name, child in children.items() if isinstance(child, Node)}
            for trainable in (True, False):
                found |= {prefix + name: state for name, state in own.items() if state and state.trainable is trainable}
            pending.extend((f"{prefix}{name}.", child) for name, child in reversed(children.items()))
        return {key: state for key, state in found.items() if state.persistent}

    @deep_recursion
    def build(
        self,
        *,
        weights: Weights | None = None,
        outputs: Choice | None = None,
        init: Init = "once",
        seed: int | None = None,
        device: str | None = None,
        freeze: Iterable[str] = (),
        checkpoint: Iterable[str] = (),
    ) -> nn.Module:
        """The network as an `nn.Module`, in training mode. Needs PyTorch.

        Its weights are initial ones, which `seed` makes reproducible, or those of a checkpoint: `weights` is a file
        (`.safetensors`, `.pth`, `.pt`), a `state_dict`, or the name of weights that the spec names, such as `DEFAULT`.
        Raises `SpecError` where they do not fit. Where the network is adapted from the one that they were trained for,
        by parameters given to `load` or by `extends`, it takes what fits, and a warning says what was initialized and
        what was skipped.

        Initial weights have the distributions of PyTorch's layers and of the rules of the spec. Each tensor is drawn
        once. With `init="pytorch"` they are drawn as often as constructors do it, so that under one seed the numbers
        are exactly those of the same network written by hand.

        `outputs` chooses other nodes as what the network returns, as `select` does: one path or several.

        `freeze` lists paths whose parameters, and all below them, are not to be trained, besides those that the spec
        freezes; `*` stands for one name of a path, `**` for any number. `checkpoint` lists paths of nodes, besides
        those of the spec, whose activations are computed again in the backward pass and not kept until then.
        """
        from netspec.backends.module import freeze_parameters, to_module

        graph = self if outputs is None else self.select(outputs)
        frozen = graph.frozen(freeze)
        if more := tuple(checkpoint):
            graph = replace(graph, checkpoint=(*graph.checkpoint, *more))
        if weights is None:
            module = to_module(graph, init=init, seed=seed, device=device)
        else:
            from netspec.backends.weights import build_with_weights

            module, report = build_with_weights(graph, weights, seed=seed, device=device)
            if not report.as_expected:
                warnings.warn(str(report), stacklevel=2)
        freeze_parameters(module, frozen)
        return module

    def frozen(self, freeze: Iterable[str] = ()) -> frozenset[str]:
        """Keys of the parameters that `build` would not train. Raises `SpecError` where a path leads to none."""
        from netspec.transfer import frozen_parameters

        return frozen_parameters(self, freeze)

    def checkpointed(self, checkpoint: Iterable[str] = ()) -> frozenset[str]:
        """Paths of the nodes that `build` would compute again in the backward pass. Raises `SpecError`."""
        from netspec.transfer import checkpointed_nodes

        return checkpointed_nodes(self, checkpoint)

    @deep_recursion
    def activation_memory(self, *, batch: int = 1, training: bool = False, checkpoint: Iterable[str] = ()) -> int:
        """Peak bytes of the activations of a batch: what a run needs besides parameters, their gradients and inputs.

        With `training` it is a forward and a backward pass in training mode, in which nodes at the paths `checkpoint`,
        and those of the spec, are computed again. Else it is a run in eval mode, without gradients. What kernels use
        while they run is not counted.
        """
        from netspec.backends.memory import peak_memory

        return peak_memory(replace(self, checkpoint=(*self.checkpoint, *checkpoint)), batch, training)

    def stages(self) -> tuple[Graph, ...]:
        """The stages of a pipeline, each a graph, cut where the spec says `pipeline`: one without cuts.

        Each has the inputs that the one before gives, and the paths of the whole, so that checkpoints load. Raises
        `SpecError`.
        """
        from netspec.cuts import Line
        from netspec.parallel import stage_cuts
        from netspec.stages import stages

        line = Line(self)
        return stages(line, stage_cuts(line))

    def pipeline_stage(
        self,
        index: int,
        *,
        device: str,
        weights: Weights | None = None,
        seed: int = 0,
        group: ProcessGroup | None = None,
    ) -> PipelineStage:
        """Stage `index` of those that `stages` gives, for a schedule of `torch.distributed.pipelining`.

        Only the modules of this stage are built. Its weights are its part of those of `build(seed=seed)`, or of a
        checkpoint, as in `build`. `group` has a process for each stage. Raises `SpecError`.
        """
        from netspec.backends.parallel.pipeline import pipeline_stage

        return pipeline_stage(self, index, device=device, weights=weights, seed=seed, group=group)

    def shard(self, module: nn.Module, mesh: DeviceMesh | None = None, **options: Any) -> nn.Module:
        """Shard a module of this graph in place, with PyTorch's `fully_shard`, and return it.

        Each node that the spec names under `shard` is a unit of its own, and what is left is one with the module.
        `options` are those of `fully_shard`.
        """
        from netspec.backends.parallel.sharding import shard

        return shard(self, module, mesh, **options)

    def parallelize(self, module: nn.Module, mesh: DeviceMesh) -> nn.Module:
        """Split the layers that the spec names under `tensor` over a mesh, with PyTorch's `parallelize_module`.

        The module is changed in place and returned. Raises `SpecError` where the devices do not divide a layer.
        """
        from netspec.backends.parallel.tensors import parallelize

        return parallelize(self, module, mesh)

    def materialize(self, module: nn.Module, *, device: str, seed: int) -> nn.Module:
        """Give a module that was built on the device `meta` memory and initial weights, in place, and return it.

        They are those of `build(seed=seed, device=device)`. Where the module is sharded or split, each process draws
        one tensor after the other and keeps its part, so all need the same `seed`.
        """
        from netspec.backends.parallel.sharding import materialize

        return materialize(self, module, device=device, seed=seed)

    def published_weights(self, name: str = "DEFAULT") -> PublishedWeights:
        """The trained weights that a library publishes for this network under `name`.

        Their `transforms()` prepare pictures, and their `meta["categories"]` names the classes. Raises `SpecError`.
        """
        from netspec.backends.published import find_published

        return find_published(self.name, self.weights, name)

    @deep_recursion
    def summary(self, depth: int | None = None) -> str:
        """A table of every node: output shape, parameters, MACs and memory."""
        from netspec.backends.summary import to_summary

        return to_summary(self).text(depth)

    @deep_recursion
    def draw(
        self,
        path: str | Path,
        *,
        depth: Depth = "block",
        open: Sequence[str] = (),
        close: Sequence[str] = (),
        theme: Theme = "light",
        direction: Direction = "down",
        style: Style = "boxes",
        engine: str | None = None,
    ) -> None:
        """Draw the network into a file whose suffix says the format.

        `depth` is `stage`, `block`, `op`, or how many levels of blocks are open. Patterns of paths `open` or `close`
        blocks besides. The theme is `light`, `dark` or `print`, and the network runs `down` or to the `right`. `engine`
        is that of the layout: `native`, the system's Graphviz, or `embedded`; by default the first that is there.

        The formats are `.svg`, `.png`, `.pdf`, `.html`, `.dot`, `.mmd` (Mermaid) and `.txt`. The style `volumes` is
        that of the figures in papers, as `.svg`, `.png` or `.pdf`. Raises `SpecError`.
        """
        from netspec.backends.pictures.picture import draw

        draw(
            self,
            path,
            depth=depth,
            open=open,
            close=close,
            theme=theme,
            direction=direction,
            style=style,
            engine=engine,
        )

    @deep_recursion
    def _repr_html_(self) -> str:
        """The picture and the summary, for notebooks."""
        from netspec.backends.notebook import to_html

        return to_html(self)

    @deep_recursion
    def _repr_svg_(self) -> str | None:
        """The picture, for notebooks and what exports them."""
        from netspec.backends.notebook import to_svg

        return to_svg(self)

    @deep_recursion
    def to_networkx(self) -> networkx.DiGraph:
        """The op nodes as a directed graph: nodes are paths, edges carry the shape. Needs networkx."""
        from netspec.backends.network import to_networkx

        return to_networkx(self)

    @deep_recursion
    def __str__(self) -> str:
        from netspec.backends.text import to_text

        return to_text(self)

    def __repr__(self) -> str:
        return f"<Graph {self.name}: {self.parameters:,} parameters, {self.macs:,} MACs>"
