"""The initializers of `torch.nn.init`, by PyTorch's names without the underscore."""

from __future__ import annotations

from math import sqrt
from typing import Annotated, Any, ClassVar, Literal

from netspec.diagnostics import Problem
from netspec.fields import Expects, Limits, Record
from netspec.shapes import Shape, divides

NonNegative = Annotated[float, Limits(ge=0), Expects("a number of at least 0")]
Positive = Annotated[int, Limits(gt=0), Expects("a positive integer")]

Nonlinearity = Literal[
    "linear", "conv1d", "conv2d", "conv3d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"
]  # fmt: skip


FARTHEST = 9.0
"""Standard deviations beyond which PyTorch draws no normal number: it makes them of uniform ones of 53 bits at most by
Box and Muller, and √(−2 ln 2⁻⁵³) is 8.6."""


class Initializer(Record):
    """Base class: the fields are the arguments of the function of the same name in `torch.nn.init`."""

    function: ClassVar[str]

    def check(self, shape: Shape) -> None:
        """Raise a `Problem` where a tensor of `shape` cannot be filled."""

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the PyTorch function."""
        return {name: getattr(self, name) for name in type(self).fields()}


class _OfMatrices(Initializer):
    """Base of those that need the fans of a tensor, or its rows and columns."""

    def check(self, shape: Shape) -> None:
        if len(shape) < 2:
            name = self.function.rstrip("_")
            help = ("use `zeros`, `ones`, `constant`, `normal` or `uniform`",)
            raise Problem("wrong-rank", f"`{name}` needs two axes or more, got a tensor of {shape[0]}", help=help)


class Zeros(Initializer):
    """All 0."""

    function: ClassVar = "zeros_"


class Ones(Initializer):
    """All 1."""

    function: ClassVar = "ones_"


class Constant(Initializer):
    """All `val`."""

    function: ClassVar = "constant_"
    val: float


class Normal(Initializer):
    """Normal distribution."""

    function: ClassVar = "normal_"
    mean: float = 0.0
    std: NonNegative = 1.0


class TruncNormal(Initializer):
    """Normal distribution cut off at `a` and `b`, which are values, not standard deviations."""

    function: ClassVar = "trunc_normal_"
    mean: float = 0.0
    std: NonNegative = 1.0
    a: float = -2.0
    b: float = 2.0

    @property
    def cuts(self) -> bool:
        """Whether a number that is drawn from the normal distribution can be cut off at all."""
        return min(self.mean - self.a, self.b - self.mean) <= FARTHEST * self.std


class Uniform(Initializer):
    """Uniform distribution from `a` to `b`."""

    function: ClassVar = "uniform_"
    a: float = 0.0
    b: float = 1.0

    def check(self, shape: Shape) -> None:
        if self.a > self.b:
            raise Problem("wrong-value", f"`uniform` goes from `a` to `b`, but {self.a:g} is above {self.b:g}")


class KaimingNormal(_OfMatrices):
    """He et al., Delving deep into rectifiers, 2015, with a normal distribution."""

    function: ClassVar = "kaiming_normal_"
    a: float = 0.0
    mode: Literal["fan_in", "fan_out"] = "fan_in"
    nonlinearity: Nonlinearity = "leaky_relu"


class KaimingUniform(KaimingNormal):
    """He et al., Delving deep into rectifiers, 2015, with a uniform distribution."""

    function: ClassVar = "kaiming_uniform_"


class XavierNormal(_OfMatrices):
    """Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010."""

    function: ClassVar = "xavier_normal_"
    gain: float = 1.0


class XavierUniform(XavierNormal):
    """Glorot and Bengio, 2010, with a uniform distribution."""

    function: ClassVar = "xavier_uniform_"


class Orthogonal(_OfMatrices):
    """Saxe et al., Exact solutions to the nonlinear dynamics of learning in deep linear neural networks, 2013."""

    function: ClassVar = "orthogonal_"
    gain: float = 1.0


class Dirac(Initializer):
    """The identity as a convolution."""

    function: ClassVar = "dirac_"
    groups: Positive = 1

    def check(self, shape: Shape) -> None:
        if len(shape) not in (3, 4, 5):
            raise Problem("wrong-rank", "`dirac` fills the weight of a convolution")
        divides(self.groups, shape[0], "the output channels", "groups")


# What PyTorch's layers start with -------------------------------------------------------------------------------------


class NormalTable(Normal):
    """Normal distribution, but zeros in the row `zero_row`: an embedding whose word at `padding_idx` says nothing."""

    zero_row: int

    def arguments(self) -> dict[str, Any]:
        return {"mean": self.mean, "std": self.std}


def weighted_sum(fan_in: int) -> dict[str, Initializer]:
    """`weight` and `bias` of a layer whose outputs are sums of `fan_in` products, such as a convolution."""
    return {"weight": KaimingUniform(a=sqrt(5)), "bias": around_zero(fan_in)}


def around_zero(fan: int) -> Uniform:
    """Uniform distribution up to one over the root of `fan` on both sides of 0."""
    return Uniform(a=-1 / sqrt(fan), b=1 / sqrt(fan))


INITIALIZERS: dict[str, type[Initializer]] = {
    "constant": Constant,
    "dirac": Dirac,
    "kaiming_normal": KaimingNormal,
    "kaiming_uniform": KaimingUniform,
    "normal": Normal,
    "ones": Ones,
    "orthogonal": Orthogonal,
    "trunc_normal": TruncNormal,
    "uniform": Uniform,
    "xavier_normal": XavierNormal,
    "xavier_uniform": XavierUniform,
    "zeros": Zeros,
}
