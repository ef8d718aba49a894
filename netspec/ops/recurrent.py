"""Recurrent layers over sequences. The batch is always the first axis, also of the final states."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from netspec.diagnostics import Problem
from netspec.fields import Expects, Limits
from netspec.initializers import Initializer, around_zero
from netspec.ops.base import Memory, ModuleCall, NonNegative, Op, Positive, Probability, State
from netspec.shapes import Shape, TensorType
from netspec.windows import WHOLE, Reaches

Layers = Annotated[int, Limits(gt=0, le=1000), Expects("an integer from 1 to 1000")]


class _Recurrent(Op):
    """Base of the recurrent layers, with `gates` matrices for input and state in each layer and direction."""

    category: ClassVar = "recurrent"
    output_names: ClassVar[tuple[str, ...]] = ("output", "h")
    target: ClassVar[str]
    gates: ClassVar[int] = 1
    kept: ClassVar[int]
    """How many times the size of a state the backward pass needs of each step, roughly: kernels differ."""

    hidden_size: Positive
    num_layers: Layers = 1
    if TYPE_CHECKING:  # each subclass declares these, because PyTorch's `RNN` has another argument before them
        bias: bool
        dropout: float
        bidirectional: bool

    def infer(self, x: TensorType) -> tuple[TensorType, ...]:
        if x.rank != 2:
            raise Problem("wrong-rank", f"{{op}} takes a sequence, length × features, got {x}")
        output = x.with_shape((x.shape[0], self._directions * self._width))
        states = (self._width,) if len(self.output_names) == 2 else (self._width, self.hidden_size)
        return (output, *(x.with_shape((self.num_layers * self._directions, size)) for size in states))

    def state(self, x: TensorType) -> dict[str, State]:
        rows = self.gates * self.hidden_size
        result: dict[str, State] = {}
        for layer in range(self.num_layers):
            features = x.shape[-1] if layer == 0 else self._directions * self._width
            for direction in ("", "_reverse")[: self._directions]:
                name = f"l{layer}{direction}"
                result[f"weight_ih_{name}"] = State((rows, features))
                result[f"weight_hh_{name}"] = State((rows, self._width))
                if self.bias:
                    result[f"bias_ih_{name}"] = State((rows,))
                    result[f"bias_hh_{name}"] = State((rows,))
                if self._width != self.hidden_size:
                    result[f"weight_hr_{name}"] = State((self._width, self.hidden_size))
        return result

    def initial(self, x: TensorType) -> dict[str, Initializer]:
        return dict.fromkeys(self.state(x), around_zero(self.hidden_size))

    def products(self, x: TensorType) -> tuple[Shape, ...]:
        matrices = (state for name, state in self.state(x).items() if name.startswith("weight"))
        return tuple((x.shape[0], *matrix.shape) for matrix in matrices)

    def arithmetic(self, x: TensorType) -> tuple[str, ...]:
        return "", f"{self._directions}·{self._width}"

    def reach(self, x: TensorType) -> tuple[Reaches, ...]:
        return ((WHOLE, WHOLE),)

    def memory(self, x: TensorType) -> Memory:
        between = x.with_shape((x.shape[0], self._directions * self._width))
        steps = x.with_shape((x.shape[0], self._directions * self.num_layers * self.kept * self.hidden_size))
        inputs = (x, *(between,) * (self.num_layers - 1)) * self._directions
        return Memory(own=(*inputs, steps))

    def torch(self, x: TensorType) -> ModuleCall:
        optional = (name for name, info in type(self).fields().items() if not info.required)
        options = {"batch_first": True} | self.changed(*optional)
        finals = ("{}[1]",) if len(self.output_names) == 2 else ("{}[1][0]", "{}[1][1]")
        gives = ("{}[0]", *(f"{final}.transpose(0, 1)" for final in finals))
        return ModuleCall(self.target, (x.shape[-1], self.hidden_size), options, gives=gives)

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def _width(self) -> int:
        """Features that one direction gives."""
        return self.hidden_size


class LSTM(_Recurrent):
    """Long short-term memory: carries a state h and a cell c along the sequence, behind gates.

    Gives `output`, the state after each step in the last layer, and the final `h` and `c` of every layer and
    direction. With `proj_size` the state is projected to that many features.

    Shape: length × features → length × (directions · hidden_size), (layers · directions) × hidden_size for `h` and
    the same for `c`; `output` and `h` have proj_size features instead where it is given.
    Cost: one multiply-accumulate per weight and step.
    Source: Hochreiter and Schmidhuber, Long short-term memory, 1997.
    """

    output_names: ClassVar[tuple[str, ...]] = ("output", "h", "c")
    target: ClassVar = "nn.LSTM"
    gates: ClassVar = 4
    kept: ClassVar = 16

    bias: bool = True
    dropout: Probability = 0.0
    bidirectional: bool = False
    proj_size: NonNegative = 0

    def infer(self, x: TensorType) -> tuple[TensorType, ...]:
        if self.proj_size >= self.hidden_size:
            message = f"`proj_size` of {self.proj_size} must be smaller than `hidden_size` of {self.hidden_size}"
            raise Problem("wrong-value", message, argument="proj_size", help=("leave it out for no projection",))
        return super().infer(x)

    @property
    def _width(self) -> int:
        return self.proj_size or self.hidden_size


class GRU(_Recurrent):
    """Gated recurrent unit: carries a state h along the sequence, behind two gates.

    Gives `output`, the state after each step in the last layer, and the final `h` of every layer and direction.

    Shape: length × features → length × (directions · hidden_size), and (layers · directions) × hidden_size for `h`.
    Cost: one multiply-accumulate per weight and step.
    Source: Cho et al., Learning phrase representations using RNN encoder-decoder, 2014.
    """

    target: ClassVar = "nn.GRU"
    gates: ClassVar = 3
    kept: ClassVar = 7

    bias: bool = True
    dropout: Probability = 0.0
    bidirectional: bool = False


class RNN(_Recurrent):
    """Plain recurrent layer: the state is a `nonlinearity` of the input and of the state before.

    Gives `output`, the state after each step in the last layer, and the final `h` of every layer and direction.

    Shape: length × features → length × (directions · hidden_size), and (layers · directions) × hidden_size for `h`.
    Cost: one multiply-accumulate per weight and step.
    Source: Elman, Finding structure in time, 1990.
    """

    target: ClassVar = "nn.RNN"
    kept: ClassVar = 1

    nonlinearity: Literal["tanh", "relu"] = "tanh"
    bias: bool = True
    dropout: Probability = 0.0
    bidirectional: bool = False
