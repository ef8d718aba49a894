"""Activations: functions of each element, or of each row along one axis."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from netspec.diagnostics import Problem
from netspec.fields import Expects, Limits
from netspec.initializers import Constant, Initializer
from netspec.ops.base import Axis, Call, FunctionCall, Memory, ModuleCall, Number, Op, Positive, State
from netspec.shapes import TensorType
from netspec.windows import Reaches, same_place

OptionalNumber = Annotated[float | None, Expects("a number or `none`")]


class _Activation(Op):
    """Base of the ops that are a module of `torch.nn`, whose arguments are the fields, and keep the shape."""

    category: ClassVar = "activation"
    unbatched: ClassVar = True
    target: ClassVar[str]
    derived: ClassVar[Literal["input", "output", "either"]] = "input"
    """What the derivative is calculated from; `either` is the output where the input is written over."""
    in_place: ClassVar[bool] = False
    """Whether the module has `inplace`, and its derivative is then the same to the last bit."""

    def infer(self, x: TensorType) -> TensorType:
        return x

    def reach(self, x: TensorType) -> tuple[Reaches, ...]:
        return (same_place(x.rank),)

    def memory(self, x: TensorType) -> Memory:
        return Memory(output=True) if self.derived == "output" else Memory(inputs=(0,))

    def memory_in_place(self, over: int, *inputs: TensorType) -> Memory:
        return Memory(output=True) if self.derived == "either" else super().memory_in_place(over, *inputs)

    def torch(self, x: TensorType) -> Call:
        fields = type(self).fields()
        required = tuple(getattr(self, name) for name, info in fields.items() if info.required)
        optional = [name for name, info in fields.items() if not info.required]
        return ModuleCall(self.target, required, self.changed(*optional), in_place=self.in_place)


class ReLU(_Activation):
    """Positive part: max(0, x).

    Shape: unchanged.
    Cost: no multiply-accumulates.
    Source: Nair and Hinton, Rectified linear units improve restricted Boltzmann machines, 2010.
    """

    target: ClassVar = "nn.ReLU"
    in_place: ClassVar = True
    derived: ClassVar = "output"


class ReLU6(_Activation):
    """Positive part, at most 6.

    Shape: unchanged.
    Cost: no multiply-accumulates.
    Source: Krizhevsky, Convolutional deep belief networks on CIFAR-10, 2010.
    """

    target: ClassVar = "nn.ReLU6"
    in_place: ClassVar = True


class LeakyReLU(_Activation):
    """x where it is positive and `negative_slope` · x elsewhere.

    Shape: unchanged.
    Cost: no multiply-accumulates.
    Source: Maas et al., Rectifier nonlinearities improve neural network acoustic models, 2013.
    """

    target: ClassVar = "nn.LeakyReLU"
    in_place: ClassVar = True
    derived: ClassVar = "either"

    negative_slope: Number = 0.01


class PReLU(_Activation):
    """x where it is positive and a learned slope · x elsewhere: one slope for all, or one for each channel.

    Shape: unchanged.
    Cost: no multiply-accumulates.
    Source: He et al., Delving deep into rectifiers, 2015.
    """

    unbatched: ClassVar = False
    target: ClassVar = "nn.PReLU"

    num_parameters: Positive = 1
    init: Number = 0.25

    def infer(self, x: TensorType) -> TensorType:
        channels = x.channels if x.rank else 1
        if self.num_parameters not in (1, channels):
            message = f"`num_parameters` is {self.num_parameters}, but the input has {channels} channels"
            help = (f"1 shares a slope among all channels, {channels} gives each its own",) if channels > 1 else ()
            raise Problem("shape-mismatch", message, argument="num_parameters", help=help)
        return x

    def state(self, x: TensorType) -> dict[str, State]:
        return {"weight": State((self.num_parameters,))}

    def initial(self, x: TensorType) -> dict[str, Initializer]:
        return {"weight": Constant(val=self.init)}


class RReLU(_Activation):
    """x where it is positive and a slope · x elsewhere, drawn from `lower` to `upper` for each element in training.

    Shape: unchanged.
    Cost: no multiply-accumulates.
    Source: Xu et al., Empirical evaluation of rectified activations in convolutional network, 2015.
    """

    target: ClassVar = "nn.RReLU"

    lower: Number = 1 / 8
    upper: Number = 1 / 3

    def infer(self, x: TensorType) -> TensorType:
        if self.lower > self.upper:
            message = f"`lower` of {self.lower:g} must not be greater than `upper` of {self.upper:g}"
            raise Problem("wrong-value", message, argument="lower")
        return x

    def memory(self, x: TensorType) -> Memory:
        return Memory(inputs=(0,), own=(x,))


class ELU(_Activation):
    """x where it is positive and `alpha` · (exp(x) − 1) elsewhere.

    Shape: unchanged.
    Cost: no multiply-accumulates.
    Source: Clevert et al., Fast and accurate deep network learning by exponential linear units, 2015.
    """

    target: ClassVar = "nn.ELU"

    alpha: Number = 1.0


class SELU(_Activation):
    """ELU scaled so that activations tend to mean 0 and variance 1 by themselves.

    Shape: unchanged.
    Cost: no multiply-accumulates.
    Source: Klambauer et al., Self-normalizing neural networks, 2017.
    """

    target: ClassVar = "nn.SELU"


class CELU(_Activation):
    """ELU with a continuous derivative whatever `alpha` is.

    Shape: unchanged.
    Cost: no multiply-accumulates.
    Source: Barron, Continuously differentiable exponential linear units, 2017.
    """

    target: ClassVar = "nn.CELU"

    alpha: Number = 1.0

    def infer(self, x: TensorType) -> TensorType:
        if self.alpha == 0:
            raise Problem("wrong-value", "`alpha` must not be 0: {op} divides by it", argument="alpha")
        return x


class GELU(_Activation):
    """x times the probability that a normal variable is below x; `approximate: tanh` computes it faster.

    Shape: unchanged.
    Cost: no multiply-accumulates.
    Source: Hendrycks and Gimpel, Gaussian error linear units, 2016.
    """

    target: ClassVar = "nn.GELU"

    approximate: Literal["none", "tanh"] = "none"


class SiLU(_Activation):
    """x · sigmoid(x), also called swish.

    Shape: unchanged.
    Cost: no multiply-accumulates.
    Source: Elfwing et al., Sigmoid-weighted linear units for neural network function approximation, 2017.
    """

    target: ClassVar = "nn.SiLU"
    in_place: ClassVar = True


class Mish(_Activation):
    """x · tanh(softplus(x)).

    Shape: unchanged.
    Cost: no multiply-accumulates.
    Source: Misra, Mish: a self regularized non-monotonic activation function, 2019.
    """

    target: ClassVar = "nn.Mish"


class Hardswish(_Activation):
    """x · relu6(x + 3) / 6, a cheap form of SiLU.

    Shape: unchanged.
    Cost: no multiply-accumulates.
    Source: Howard et al., Searching for MobileNetV3, 2019.
    """

    target: ClassVar = "nn.Hardswish"
    in_place: ClassVar = True


class Hardsigmoid(_Activation):
    """relu6(x + 3) / 6, a cheap form of the sigmoid.

    Shape: unchanged.
    Cost: no multiply-accumulates.
    Source: Courbariaux et al., BinaryConnect, 2015.
    """

    target: ClassVar = "nn.Hardsigmoid"


class Hardtanh(_Activation):
    """x, at least `min_val` and at most `max_val`.

    Shape: unchanged.
    Cost: no multiply-accumulates.
    """

    target: ClassVar = "nn.Hardtanh"
    in_place: ClassVar = True

    min_val: Number = -1.0
    max_val: Number = 1.0

    def infer(self, x: TensorType) -> TensorType:
        if self.max_val <= self.min_val:
            message = f"`max_val` of {self.max_val:g} must be greater than `min_val` of {self.min_val:g}"
            raise Problem("wrong-value", message, argument="max_val")
        return x


class Clamp(_Activation):
    """x, at least `min` and at most `max`, of which one may be missing.

    Shape: unchanged.
    Cost: no multiply-accumulates.
    """

    min: OptionalNumber = None
    max: OptionalNumber = None

    def infer(self, x: TensorType) -> TensorType:
        if self.min is None and self.max is None:
            raise Problem("missing-argument", "{op} needs `min` or `max`", help=("write `{clamp: , max: 1.0}`",))
        if self.min is not None and self.max is not None and self.min > self.max:
            message = f"`min` of {self.min:g} must not be greater than `max` of {self.max:g}"
            raise Problem("wrong-value", message, argument="min")
        return x

    def torch(self, x: TensorType) -> FunctionCall:
        limits = ", ".join(f"{name}={value!r}" for name, value in self.changed("min", "max").items())
        return FunctionCall(f"{{0}}.clamp({limits})")


class Exp(_Activation):
    """Exponential of each element.

    Shape: unchanged.
    Cost: no multiply-accumulates.
    """

    derived: ClassVar = "output"

    def torch(self, x: TensorType) -> FunctionCall:
        return FunctionCall("{0}.exp()")


class Sigmoid(_Activation):
    """1 / (1 + exp(−x)), between 0 and 1.

    Shape: unchanged.
    Cost: no multiply-accumulates.
    """

    target: ClassVar = "nn.Sigmoid"
    derived: ClassVar = "output"


class LogSigmoid(_Activation):
    """Logarithm of the sigmoid.

    Shape: unchanged.
    Cost: no multiply-accumulates.
    """

    target: ClassVar = "nn.LogSigmoid"

    def memory(self, x: TensorType) -> Memory:
        return Memory(inputs=(0,), own=(x,))


class Tanh(_Activation):
    """Hyperbolic tangent, between −1 and 1.

    Shape: unchanged.
    Cost: no multiply-accumulates.
    """

    target: ClassVar = "nn.Tanh"
    derived: ClassVar = "output"


class Tanhshrink(_Activation):
    """x − tanh(x).

    Shape: unchanged.
    Cost: no multiply-accumulates.
    """

    target: ClassVar = "nn.Tanhshrink"

    def memory(self, x: TensorType) -> Memory:
        return Memory(own=(x,))


class Softplus(_Activation):
    """log(1 + exp(`beta` · x)) / `beta`, a smooth positive part; x itself where `beta` · x is above `threshold`.

    Shape: unchanged.
    Cost: no multiply-accumulates.
    Source: Dugas et al., Incorporating second-order functional knowledge for better option pricing, 2000.
    """

    target: ClassVar = "nn.Softplus"

    beta: Number = 1.0
    threshold: Number = 20.0


class Softsign(_Activation):
    """x / (1 + |x|), between −1 and 1.

    Shape: unchanged.
    Cost: no multiply-accumulates.
    """

    target: ClassVar = "nn.Softsign"

    def memory(self, x: TensorType) -> Memory:
        return Memory(inputs=(0,), own=(x,))


class Softshrink(_Activation):
    """x moved towards 0 by `lambd`, and 0 where it would cross it.

    Shape: unchanged.
    Cost: no multiply-accumulates.
    """

    target: ClassVar = "nn.Softshrink"

    lambd: Annotated[float, Limits(ge=0), Expects("a number of at least 0")] = 0.5


class Hardshrink(_Activation):
    """x, and 0 where its magnitude is at most `lambd`.

    Shape: unchanged.
    Cost: no multiply-accumulates.
    """

    target: ClassVar = "nn.Hardshrink"

    lambd: Number = 0.5


class Threshold(_Activation):
    """x where it is above `threshold` and `value` elsewhere.

    Shape: unchanged.
    Cost: no multiply-accumulates.
    """

    target: ClassVar = "nn.Threshold"
    in_place: ClassVar = True

    threshold: Number
    value: Number


class GLU(_Activation):
    """First half of axis `dim`, gated by the sigmoid of the second half.

    Shape: axis `dim` is halved.
    Cost: no multiply-accumulates.
    Source: Dauphin et al., Language modeling with gated convolutional networks, 2016.
    """

    target: ClassVar = "nn.GLU"

    dim: Axis = -1

    def infer(self, x: TensorType) -> TensorType:
        axis = x.axis(self.dim)
        length = x.shape[axis]
        if length % 2:
            message = f"{{op}} halves axis {self.dim}, whose length {length} is odd"
            raise Problem("does-not-divide", message, argument="dim")
        return x.with_shape((*x.shape[:axis], length // 2, *x.shape[axis + 1 :]))

    def arithmetic(self, x: TensorType) -> tuple[str, ...]:
        axis = x.axis(self.dim)
        return tuple(f"{length} / 2" if position == axis else "" for position, length in enumerate(x.shape))

    def reach(self, x: TensorType) -> tuple[Reaches, ...]:
        return (same_place(x.rank, mixed=[x.axis(self.dim)]),)


class _Softmax(_Activation):
    """Base of the activations over all elements of one axis, the channels unless `dim` says otherwise."""

    derived: ClassVar = "output"

    dim: Axis = 1

    def infer(self, x: TensorType) -> TensorType:
        x.axis(self.dim)
        return x

    def reach(self, x: TensorType) -> tuple[Reaches, ...]:
        return (same_place(x.rank, whole=[x.axis(self.dim)]),)

    def torch(self, x: TensorType) -> ModuleCall:
        return ModuleCall(self.target, (self.dim,))


class Softmax(_Softmax):
    """Exponentials along axis `dim`, scaled to the sum 1.

    Shape: unchanged.
    Cost: no multiply-accumulates.
    Source: Bridle, Probabilistic interpretation of feedforward classification network outputs, 1990.
    """

    target: ClassVar = "nn.Softmax"


class LogSoftmax(_Softmax):
    """Logarithm of the softmax along axis `dim`.

    Shape: unchanged.
    Cost: no multiply-accumulates.
    """

    target: ClassVar = "nn.LogSoftmax"


class Softmin(_Softmax):
    """Softmax of the negated input along axis `dim`.

    Shape: unchanged.
    Cost: no multiply-accumulates.
    """

    target: ClassVar = "nn.Softmin"
