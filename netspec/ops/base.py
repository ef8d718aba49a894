"""What an op is: typed fields, a shape rule, its learned state, its cost and the PyTorch call that runs it.

One class describes one op completely. Validation, shape errors, counts, modules, exported source, colors, the
reference page and the contract tests all derive from it, so there is nothing else to keep in step.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import prod
from typing import Annotated, Any, ClassVar, NamedTuple, TypeVar

from netspec.diagnostics import Problem
from netspec.fields import Expects, Limits, Record
from netspec.initializers import Initializer
from netspec.shapes import BYTES, Shape, TensorType
from netspec.windows import Reaches


class State(NamedTuple):
    """One learned parameter or buffer of an op: its whole shape, its dtype, and whether it is trained and saved."""

    shape: Shape
    dtype: str = "float32"
    trainable: bool = True
    persistent: bool = True

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.elements * BYTES[self.dtype]


def buffer(*shape: int, dtype: str = "float32") -> State:
    """A saved tensor that is not trained, such as a running mean."""
    return State(shape, dtype, trainable=False)


@dataclass(frozen=True, slots=True)
class ModuleCall:
    """An op that is a PyTorch module: how to construct it and how to call it.

    `target` is a dotted name such as `nn.Conv2d`. `takes` are the call's arguments, with `{0}`, `{1}` ... for the
    inputs. `gives` has one template per output, in which `{}` is what the module returned. A module that can be
    `in_place` has the attribute `inplace`, and then writes over its input.
    """

    target: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    takes: str = "{0}"
    gives: tuple[str, ...] = ("{}",)
    in_place: bool = False

    @property
    def plain(self) -> bool:
        """True when the module maps its one input to its one output by itself, so it can stand in a Sequential."""
        return self.takes == "{0}" and self.gives == ("{}",)


class FunctionCall(NamedTuple):
    """An op without a module: `code` is a Python expression over the inputs `{0}`, `{1}` ...

    `{training}` in it stands for whether the network is in training mode. `gives` has one template per output, in
    which `{}` is the value of `code`. `in_place` has a statement for each of the first inputs, which writes over it.
    """

    code: str
    gives: tuple[str, ...] = ("{}",)
    in_place: tuple[str, ...] = ()


class StateCall(NamedTuple):
    """An op that is a learned parameter or a constant of the module around it. `values` fill a constant.

    `code` says the same as `values` in a few statements of Python, the last of which is the value, where a person would
    rather read those than the numbers.
    """

    state: State
    values: Any = None
    code: tuple[str, ...] = ()


Call = ModuleCall | FunctionCall | StateCall


class Memory(NamedTuple):
    """What an op keeps in memory until its backward pass is over, and where its gradients are.

    It keeps the inputs with the numbers `inputs`, the output if `output` is true, and tensors of its `own`: masks,
    indices, statistics and results in between. The gradient of an input in `passes` is that of the output or a part
    of it, so it takes no memory. `undoing` is what there is only while the backward pass of the op runs. Parameters
    and buffers do not count.
    """

    inputs: tuple[int, ...] = ()
    output: bool = False
    own: tuple[TensorType, ...] = ()
    passes: tuple[int, ...] = ()
    undoing: tuple[TensorType, ...] = ()

    @property
    def keeps(self) -> bool:
        """Whether the backward pass needs more than shapes."""
        return bool(self.inputs or self.output or self.own)


Positive = Annotated[int, Limits(gt=0), Expects("a positive integer")]
NonNegative = Annotated[int, Limits(ge=0), Expects("an integer of at least 0")]
Number = Annotated[float, Expects("a number")]
Probability = Annotated[float, Limits(ge=0, le=1), Expects("a number from 0 to 1")]
Axis = Annotated[int, Expects("an axis number")]
Axes = Annotated[tuple[int, ...], Limits(min_length=1), Expects("one or more axis numbers")]
_Sizes = tuple[Annotated[int, Limits(gt=0)], ...]
_Margins = tuple[Annotated[int, Limits(ge=0)], ...]
Size = Annotated[
    Annotated[int, Limits(gt=0)] | _Sizes, Expects("a positive integer, or a list with one for each spatial axis")
]
Margin = Annotated[
    Annotated[int, Limits(ge=0)] | _Margins,
    Expects("an integer of at least 0, or a list with one for each spatial axis"),
]

ANY_DTYPE = frozenset(BYTES)


class Op(Record):
    """Base class of all ops. A subclass declares its fields and overrides `infer` and `torch`, and what else differs.

    Fields are in the order of their positional arguments and carry PyTorch's names and defaults. Methods receive the
    types of the inputs and may raise `Problem`; `{op}` in its message stands for the op's name.
    """

    category: ClassVar[str]
    """Decides the color in a picture."""
    arity: ClassVar[tuple[int, int | None]] = (1, 1)
    """Least and greatest number of inputs."""
    variadic: ClassVar[str | None] = None
    """The field that takes all positional arguments as one list, as in `permute: [0, 2, 3, 1]`."""
    merges: ClassVar[bool] = False
    """Positional arguments are the names of inputs, as in `add: [a, b]`."""
    dtypes: ClassVar[frozenset[str]] = frozenset({"float32"})
    """The dtypes that inputs may have."""
    unbatched: ClassVar[bool] = False
    """Accepts parameters and constants as inputs, which have no batch axis."""
    output_names: ClassVar[tuple[str, ...]] = ()
    """Names of the outputs, where there are several and they have names."""

    def infer(self, *inputs: TensorType) -> TensorType | tuple[TensorType, ...]:
        """The type of the output, or of each output."""
        raise TypeError(f"{type(self).__name__} has no shape rule")

    def state(self, *inputs: TensorType) -> dict[str, State]:
        """Parameters and buffers by name, in the order of PyTorch's `state_dict`."""
        return {}

    def initial(self, *inputs: TensorType) -> dict[str, Initializer]:
        """What PyTorch's constructor fills parameters and buffers with, by name, where that is not zeros."""
        return {}

    def products(self, *inputs: TensorType) -> tuple[Shape, ...]:
        """The multiply-accumulates for one sample as a sum of products: the factors of each."""
        return ()

    def macs(self, *inputs: TensorType) -> int:
        """Multiply-accumulates for one sample, counted as PyTorch's flop counter does: matrix products alone."""
        return sum(map(prod, self.products(*inputs)))

    def arithmetic(self, *inputs: TensorType) -> tuple[str, ...]:
        """How each axis of the first output gets its length, such as `64 + 32` or `out_channels`.

        The text of an axis that stays what it was is empty; with no text at all, there is nothing to say.
        """
        return ()

    def reach(self, *inputs: TensorType) -> tuple[Reaches, ...]:
        """What of each input one position of an output depends on in eval mode, borders left aside."""
        return tuple((None,) * x.rank for x in inputs)

    def memory(self, *inputs: TensorType) -> Memory:
        """What is kept for the backward pass."""
        return Memory(inputs=tuple(range(len(inputs))))

    def memory_in_place(self, over: int, *inputs: TensorType) -> Memory:
        """What is kept where the output is written over the input of the number `over`: a copy of that, if need be."""
        memory = self.memory(*inputs)
        if over not in memory.inputs:
            return memory
        others = tuple(number for number in memory.inputs if number != over)
        return memory._replace(inputs=others, own=(*memory.own, inputs[over]))

    def is_view(self, training: bool) -> bool:
        """Whether the outputs lie in the memory of the first input."""
        return False

    def torch(self, *inputs: TensorType) -> Call:
        """The PyTorch call that runs this op."""
        raise TypeError(f"{type(self).__name__} has no PyTorch call")

    def outputs(self, *inputs: TensorType) -> tuple[TensorType, ...]:
        """The type of every output. Raises `Problem` where the inputs do not fit this op."""
        for type in inputs:
            if type.dtype not in self.dtypes:
                expected = " or ".join(sorted(self.dtypes))
                raise Problem("wrong-dtype", f"{{op}} takes {expected} input, got {type}")
            if not type.batched and not self.unbatched:
                help = ("use it in `add`, `mul`, `matmul` or `concat`, next to a value with a batch axis",)
                message = f"{{op}} takes a value with a batch axis, got a parameter or constant of shape {type}"
                raise Problem("wrong-rank", message, help=help)
        result = self.infer(*inputs)
        return result if isinstance(result, tuple) else (result,)


class View(Op):
    """Base of the ops that give another shape to their input, or to parts of it, without a copy."""

    category: ClassVar = "reshape"
    dtypes: ClassVar = ANY_DTYPE
    unbatched: ClassVar = True

    def memory(self, x: TensorType) -> Memory:
        whole = sum(type.elements for type in self.outputs(x)) == x.elements
        return Memory(passes=(0,) if whole and len(self.outputs(x)) == 1 else ())

    def is_view(self, training: bool) -> bool:
        return True


# Rules that several families share -----------------------------------------------------------------------------------


def spatial_rank(x: TensorType) -> int:
    """Number of spatial axes of a value with channels, 1 to 3. Raises `Problem`."""
    rank = x.rank - 1
    if not 1 <= rank <= 3:
        help = ("it was flattened before: move this node ahead of the `flatten`",) if rank == 0 else ()
        raise Problem("wrong-rank", f"{{op}} takes channels and 1 to 3 spatial axes, got {x}", help=help)
    return rank


NumberType = TypeVar("NumberType", int, float)


def per_axis(value: NumberType | tuple[NumberType, ...], rank: int, argument: str) -> tuple[NumberType, ...]:
    """One number for each spatial axis. Raises `Problem` when a list has another length."""
    if not isinstance(value, tuple):
        return (value,) * rank
    if len(value) != rank:
        axes = "1 spatial axis" if rank == 1 else f"{rank} spatial axes"
        message = f"`{argument}` has {len(value)} numbers, but the input has {axes}"
        raise Problem("wrong-rank", message, argument=argument)
    return value


def unlisted(value: int | tuple[int, ...]) -> int | tuple[int, ...]:
    """The number in a list of one, which is what a variadic field gets from a single number."""
    return value[0] if isinstance(value, tuple) and len(value) == 1 else value


def compact(values: tuple[int, ...]) -> int | tuple[int, ...]:
    """The short way to write one number for each axis."""
    return values[0] if len(set(values)) == 1 else values


def listed(numbers: Iterable[int]) -> str:
    """Numbers as an argument list: `2, 3`."""
    return ", ".join(map(str, numbers))
