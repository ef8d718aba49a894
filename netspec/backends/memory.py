"""Graph in, peak memory of its activations out: what a run needs besides parameters, their gradients and the inputs.

The run is followed as `forward` is written: a tensor lives while a variable holds it, or until the backward pass that
needs it is over; the backward pass is the schedule in reverse. A body that stands in many places is followed once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from netspec.backends.forward import Register, postponed_joins, registers
from netspec.backends.in_place import in_place
from netspec.graph import Body, Graph, Node, Value
from netspec.paths import enclosing
from netspec.shapes import TensorType


def peak_memory(graph: Graph, batch: int, training: bool) -> int:
    """Peak bytes of the activations of a batch, in eval mode without gradients, or in training forward and backward.

    What a kernel uses while it runs is not counted.
    """
    follower = _Follower(batch, training, graph.checkpointed(), graph.frozen() if graph.freeze else frozenset())
    step = follower.body(graph.root, "", (False,) * len(graph.root.inputs), recorded=training)
    if not training or not any(step.tracked):
        return step.forward
    gradients = follower.bytes(output.value.type for output in graph.root.outputs)
    return max(step.forward, step.kept + sum(step.fresh) + gradients + step.backward)


class _Step(NamedTuple):
    """What it does to memory to run a node, in bytes. Inputs and outputs are told by their numbers.

    `places` says where each output lies: in the block of that number of those that are `fresh`, or, as −1 − n, in the
    memory of input n. `tracked` outputs have gradients. `forward` is the most at any time while it runs. `kept` is
    there until the backward pass is over, with `kept_inputs` and the fresh blocks `kept_outputs`. `backward` is the
    most at any time of the backward pass beyond that and the gradients of the outputs. Gradients of the inputs
    `passed` are those of the outputs; those of a node that `joins` its inputs are in one block.
    """

    places: tuple[int, ...]
    fresh: tuple[int, ...]
    tracked: tuple[bool, ...]
    forward: int
    kept: int = 0
    kept_inputs: tuple[int, ...] = ()
    kept_outputs: tuple[int, ...] = ()
    backward: int = 0
    passed: tuple[int, ...] = ()
    joins: bool = False


@dataclass(eq=False, slots=True)
class _Block:
    """A piece of memory and how many hold it. That of a caller counts there, so its `size` here is 0."""

    size: int
    input: int | None = None
    holders: int = 0


@dataclass(slots=True)
class _Meter:
    """Bytes in use now, and at most."""

    now: int = 0
    peak: int = 0

    def need(self, size: int) -> None:
        """For a moment there is `size` more."""
        self.peak = max(self.peak, self.now + size)

    def hold(self, block: _Block) -> _Block:
        if not block.holders:
            self.now += block.size
            self.peak = max(self.peak, self.now)
        block.holders += 1
        return block

    def release(self, block: _Block) -> None:
        block.holders -= 1
        if not block.holders:
            self.now -= block.size


@dataclass(slots=True)
class _Follower:
    """Follows a run for one batch. `frozen` parameters have no gradients."""

    batch: int
    training: bool
    checkpoint: frozenset[str]
    frozen: frozenset[str]
    special: set[str] = field(init=False)  # paths of bodies in which something is checkpointed or frozen
    steps: dict[tuple[Body, str, tuple[bool, ...], bool], _Step] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.special = {around for path in (*self.checkpoint, *self.frozen) for around in ("", *enclosing(path))}

    def bytes(self, types: Iterable[TensorType]) -> int:
        return sum(type.bytes * (self.batch if type.batched else 1) for type in types)

    def body(self, body: Body, path: str, tracked: tuple[bool, ...], recorded: bool) -> _Step:
        """The step of the body at `path`, whose inputs have gradients where `tracked`."""
        key = (body, path if path in self.special else "", tracked, recorded)
        if key not in self.steps:
            self.steps[key] = _Run(self, body, path, tracked, recorded).step()
        return self.steps[key]

    def node(
        self,
        node: Node,
        path: str,
        types: Sequence[TensorType],
        tracked: tuple[bool, ...],
        recorded: bool,
        over: int | None = None,
    ) -> _Step:
        """The step of a node whose module is at `path`.

        One that is `recorded` keeps what its backward pass needs. It may write `over` the input of that number.
        """
        if isinstance(node.target, Body):
            return self.body(node.target, path, tracked, recorded)
        sizes = tuple(self.bytes([type]) for type in node.output_types)
        trained = any(
            state.trainable and (f"{path}.{name}" if name else path) not in self.frozen
            for name, state in node.target.state(*types).items()
        )
        gradients = tuple((any(tracked) or trained) and type.dtype == "float32" for type in node.output_types)
        if not node.inputs:  # a parameter or constant, which is there anyway
            return _Step((0,), (0,), gradients, 0)
        is_view = node.target.is_view(self.training)
        over = 0 if is_view else over
        memory = node.target.memory(*types) if over is None else node.target.memory_in_place(over, *types)
        own = self.bytes(memory.own) if self.training else 0
        places, fresh = (tuple(range(len(sizes))), sizes) if over is None else ((-1 - over,) * len(sizes), ())
        step = _Step(places, fresh, gradients, own + sum(fresh))
        if not recorded or not any(gradients):
            return step
        kept = tuple(n for n in memory.inputs if len(types) == 1 or any(tracked[:n] + tracked[n + 1 :]))
        return step._replace(
            kept=own,
            kept_inputs=kept + ((over,) if memory.output and over is not None else ()),
            kept_outputs=(0,) if memory.output and over is None else (),
            backward=self.bytes(memory.undoing)
            + self.bytes(type for n, type in enumerate(types) if tracked[n] and n not in memory.passes),
            passed=memory.passes,
        )

    def again(
        self, node: Node, path: str, types: Sequence[TensorType], tracked: tuple[bool, ...], recorded: bool
    ) -> _Step:
        """The step of a node that is computed again in the backward pass, and joins its one input if it gets more."""
        joined = 0
        if len(types) > len(node.inputs):
            joined, tracked = self.bytes(types), (any(tracked),)
        once = self.node(node, path, node.input_types, tracked, recorded=False)
        if not recorded:
            return once._replace(forward=joined + once.forward)
        again = self.node(node, path, node.input_types, tracked, recorded=True)
        kept = again.kept + sum(again.fresh[n] for n in again.kept_outputs)
        return once._replace(
            forward=joined + once.forward,
            kept_inputs=tuple(range(len(types))),
            backward=joined + max(again.forward, kept + again.backward),
            joins=joined > 0,
        )


class _Done(NamedTuple):
    """A node that ran and has a backward pass, with its values and what it holds until then."""

    step: _Step
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    holds: list[_Block]


class _Run:
    """One body run forward, and backward if that is `recorded`."""

    def __init__(self, follower: _Follower, body: Body, path: str, tracked: tuple[bool, ...], recorded: bool) -> None:
        prefix = f"{path}." if path else ""
        self.follower, self.body, self.prefix, self.recorded = follower, body, prefix, recorded
        self.checkpointed = frozenset(n.name for n in body.nodes if prefix + n.name in follower.checkpoint)
        self.over = in_place(body, self.checkpointed)
        self.joins = postponed_joins(body, self.checkpointed)
        self.registers = registers(body, self.over)
        self.meter = _Meter()
        self.held: dict[Register, list[_Block]] = {}
        self.blocks = {value: _Block(0, input=number) for number, value in enumerate(body.inputs)}
        self.tracked = dict(zip(body.inputs, tracked, strict=True))
        self.parts: dict[Value, tuple[Value, ...]] = {}  # what a list holds that is joined later
        self.done: list[_Done] = []

    def step(self) -> _Step:
        """What the run did to memory."""
        for node in self.body.schedule:
            if self.follower.training or not node.training_only:
                self.forward(node)
        returned = [output.value for output in self.body.outputs if output.value in self.blocks]
        blocks = [self.meter.hold(self.blocks[value]) for value in returned]
        for held in self.held.values():
            self.release(held)
        fresh = list(dict.fromkeys(block for block in blocks if block.input is None))
        kept = {block for done in self.done for block in done.holds}
        step = _Step(
            places=tuple(fresh.index(block) if block.input is None else -1 - block.input for block in blocks),
            fresh=tuple(block.size for block in fresh),
            tracked=tuple(self.tracked[value] for value in returned),
            forward=self.meter.peak,
            kept=self.meter.now - sum(block.size for block in fresh),
            kept_inputs=tuple(block.input for block in kept if block.input is not None),
            kept_outputs=tuple(number for number, block in enumerate(fresh) if block in kept),
        )
        return step._replace(backward=self.backward(returned)) if self.done else step

    # Forward ---------------------------------------------------------------------------------------------------------

    def forward(self, node: Node) -> None:
        """Run a node, keep what its backward pass needs, and put its outputs into their variables."""
        inputs = tuple(part for value in node.inputs for part in self.parts.get(value, (value,)))
        tracked = tuple(self.tracked[value] for value in inputs)
        if node.outputs[0] in self.joins:
            self.parts[node.outputs[0]] = inputs
            self.assign(node.outputs[0], [self.blocks[value] for value in inputs])
            return
        step = self.step_of(node, inputs, tracked)
        self.meter.need(step.forward)
        fresh = [self.meter.hold(_Block(size)) for size in step.fresh]
        placed = [fresh[place] if place >= 0 else self.blocks[inputs[-1 - place]] for place in step.places]
        if self.recorded and any(step.tracked):
            holds = [self.blocks[inputs[n]] for n in step.kept_inputs] + [fresh[n] for n in step.kept_outputs]
            self.meter.now += step.kept
            self.done.append(_Done(step, inputs, node.outputs, list(map(self.meter.hold, holds))))
        for value, block, has_gradient in zip(node.outputs, placed, step.tracked, strict=False):
            self.blocks[value], self.tracked[value] = block, has_gradient
            self.assign(value, [block])
        self.release(fresh)

    def step_of(self, node: Node, inputs: tuple[Value, ...], tracked: tuple[bool, ...]) -> _Step:
        """The step of a node here."""
        path = self.prefix + (node.shares or node.name)
        types = [value.type for value in inputs]
        if node.name in self.checkpointed:
            return self.follower.again(node, path, types, tracked, self.recorded)
        return self.follower.node(node, path, types, tracked, self.recorded, self.over.get(node))

    def assign(self, value: Value, blocks: list[_Block]) -> None:
        """Put a value into its variable, if it has one, in place of what was there."""
        register = self.registers.get(value)
        if register is not None:
            for block in blocks:
                self.meter.hold(block)
            self.release(self.held.get(register, []))
            self.held[register] = blocks

    def release(self, blocks: Iterable[_Block]) -> None:
        for block in blocks:
            self.meter.release(block)

    # Backward --------------------------------------------------------------------------------------------------------

    def backward(self, returned: list[Value]) -> int:
        """The most bytes at any time of the backward pass, beyond what there is when it begins."""
        meter = self.meter = _Meter()
        gradients = {value: _Block(self.size(value), holders=1) for value in returned if self.tracked[value]}
        for step, inputs, outputs, holds in reversed(self.done):
            arrived = [gradients.pop(value) for value in outputs if value in gradients]
            meter.need(step.backward if arrived else 0)
            meter.now -= step.kept
            self.release([*holds, *arrived])
            for value, block in self.gradients(step, inputs, arrived):
                self.accumulate(gradients, value, meter.hold(block))
        return meter.peak

    def gradients(
        self, step: _Step, inputs: tuple[Value, ...], arrived: list[_Block]
    ) -> Iterator[tuple[Value, _Block]]:
        """The inputs to which gradients go on, with the memory that these are in."""
        joined = _Block(sum(map(self.size, inputs))) if step.joins else None
        for number, value in enumerate(inputs):
            if arrived and self.tracked[value]:
                shared = arrived[0] if number in step.passed else joined
                yield value, shared or _Block(self.size(value))

    def accumulate(self, gradients: dict[Value, _Block], value: Value, block: _Block) -> None:
        """Add to the gradient of a value, in place where nothing else uses the memory of either."""
        size, before = self.size(value), gradients.get(value)
        if before is None:
            gradients[value] = block
        elif before.holders == 1 and before.size == size:
            self.meter.release(block)
        elif block.holders == 1 and block.size == size:
            gradients[value] = block
            self.meter.release(before)
        else:
            gradients[value] = self.meter.hold(_Block(size))
            self.release([before, block])

    def size(self, value: Value) -> int:
        return self.follower.bytes([value.type])
