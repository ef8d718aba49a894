"""Values that a network owns: learned parameters, constants and tables of embeddings."""

from __future__ import annotations

from math import isfinite
from typing import Annotated, Any, ClassVar

from netspec.diagnostics import Problem
from netspec.fields import Expects, Limits
from netspec.ops.base import ModuleCall, Number, Op, Positive, State, StateCall
from netspec.shapes import Shape, TensorType

_Shape = tuple[Annotated[int, Limits(gt=0)], ...]
WholeShape = Annotated[_Shape, Expects("a list of positive integers")]
OptionalShape = Annotated[_Shape | None, Expects("a list of positive integers")]


class Parameter(Op):
    """A learned tensor that belongs to no layer, such as a class token or a scale per channel.

    Its `shape` is whole: there is no batch axis. The node's own path is the parameter's name.

    Shape: no input → shape.
    Cost: none.
    """

    category: ClassVar = "state"
    arity: ClassVar[tuple[int, int | None]] = (0, 0)
    variadic: ClassVar = "shape"

    shape: WholeShape

    def infer(self) -> TensorType:
        return TensorType(self.shape, batched=False)

    def state(self) -> dict[str, State]:
        return {"": State(self.shape)}

    def torch(self) -> StateCall:
        return StateCall(State(self.shape))


class Constant(Op):
    """A tensor that is not learned: a `value` written out, or a `shape` filled with one number.

    It is saved with the weights unless `persistent` is false. The node's own path is the buffer's name.

    Shape: no input → the shape of `value`, or `shape`; there is no batch axis.
    Cost: none.
    """

    category: ClassVar = "state"
    arity: ClassVar[tuple[int, int | None]] = (0, 0)

    value: Annotated[float | tuple[Any, ...] | None, Expects("a number or a nested list of numbers")] = None
    shape: OptionalShape = None
    fill: Number = 0.0
    persistent: bool = True

    def infer(self) -> TensorType:
        if self.value is not None and (self.shape is not None or self.fill):
            at_fault = "shape" if self.shape is not None else "fill"
            message = f"`value` and `{at_fault}` exclude each other"
            raise Problem("wrong-value", message, argument=at_fault, help=("leave one of the two out",))
        if self.value is not None:
            return TensorType(_nested_shape(self.value), batched=False)
        if self.shape is None:
            help = ("write `constant: 0.5`, or `{constant: , shape: [8, 1, 1], fill: 1.0}`",)
            raise Problem("missing-argument", "{op} needs `value` or `shape`", help=help)
        return TensorType(self.shape, batched=False)

    def state(self) -> dict[str, State]:
        return {"": State(self.infer().shape, trainable=False, persistent=self.persistent)}

    def torch(self) -> StateCall:
        return StateCall(self.state()[""], self.fill if self.value is None else self.value)


def _nested_shape(value: Any) -> Shape:
    """The shape of a nested list. Raises `Problem` where it is ragged or holds something that is not a number."""
    if isinstance(value, tuple):
        shapes = {_nested_shape(item) for item in value}
        if len(shapes) != 1:
            message = "`value` is ragged: its lists differ in length" if shapes else "`value` has an empty list"
            raise Problem("shape-mismatch", message, argument="value")
        return (len(value), *shapes.pop())
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise Problem("wrong-type", f"`value` must hold numbers alone, got `{value}`", argument="value")
    return ()


class Embedding(Op):
    """A learned vector for each of `num_embeddings` words, looked up by whole numbers.

    The vector at `padding_idx` starts at zero and is not trained.

    Shape: int64 of any shape → the same with a last axis of embedding_dim.
    Cost: no multiply-accumulates: a lookup.
    """

    category: ClassVar = "state"
    dtypes: ClassVar = frozenset({"int64"})

    num_embeddings: Positive
    embedding_dim: Positive
    padding_idx: Annotated[int | None, Expects("an integer or `none`")] = None

    def infer(self, x: TensorType) -> TensorType:
        if self.padding_idx is not None and not -self.num_embeddings <= self.padding_idx < self.num_embeddings:
            message = f"`padding_idx` of {self.padding_idx} is not one of the {self.num_embeddings} embeddings"
            help = (f"they are numbered 0 to {self.num_embeddings - 1}",)
            raise Problem("wrong-value", message, argument="padding_idx", help=help)
        return TensorType((*x.shape, self.embedding_dim))

    def state(self, x: TensorType) -> dict[str, State]:
        return {"weight": State((self.num_embeddings, self.embedding_dim))}

    def torch(self, x: TensorType) -> ModuleCall:
        arguments = (self.num_embeddings, self.embedding_dim)
        return ModuleCall("nn.Embedding", arguments, self.changed("padding_idx"))
