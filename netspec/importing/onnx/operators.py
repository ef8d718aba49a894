"""A node of an ONNX file in, the ops of netspec that compute the same out.

Each operator has a function here, which asks the `Call` for attributes, constants and types, and adds steps to its
program. What has no equivalent is a `Problem`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf, isclose, prod, sqrt
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from netspec.diagnostics import Problem
from netspec.ops.base import compact
from netspec.shapes import TensorType

if TYPE_CHECKING:
    import numpy as np

    from netspec.importing.onnx.file import Program

Translator = Callable[["Call"], None]
TRANSLATORS: dict[str, Translator] = {}
TranslatorType = TypeVar("TranslatorType", bound=Translator)

FARTHEST = 2**31 - 1  # an end of a slice from here on stands for the end of the axis
WRITTEN_OUT = 64  # elements up to which a tensor of the file becomes a constant, and above it a parameter


def cannot(message: str, *help: str) -> Problem:
    """What stands in an ONNX file and not in a graph."""
    return Problem("cannot-import", message, help=help)


class Call(NamedTuple):
    """A node of the file: its operator, what goes in and comes out by name, and its attributes."""

    program: Program
    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    def has(self, number: int) -> bool:
        """Whether there is an input of that number; one that is left out has an empty name."""
        return len(self.inputs) > number and bool(self.inputs[number])

    def get(self, attribute: str, default: Any) -> Any:
        return self.attributes.get(attribute, default)

    def type(self, number: int = 0) -> TensorType:
        """The type of an input that is computed. Raises `Problem`."""
        name = self.inputs[number]
        if name not in self.program.types:
            raise cannot(f"its input `{name}` is a constant, and must not be one here")
        return self.program.types[name]

    def constant(self, number: int) -> np.ndarray[Any, Any]:
        """An input that is known. Raises `Problem`."""
        if not self.has(number):
            raise cannot(f"it has no input {number}, and a node of an older version of ONNX is another one")
        name = self.inputs[number]
        if name not in self.program.constants:
            raise cannot(f"its input `{name}` is computed, and must be a constant here")
        return self.program.constants[name]

    def integers(self, attribute: str, number: int) -> tuple[int, ...] | None:
        """A list that older files have as an attribute and newer ones as an input."""
        if self.has(number):
            return tuple(int(value) for value in self.constant(number).reshape(-1))
        return tuple(self.attributes[attribute]) if attribute in self.attributes else None

    def per_axis(self, attribute: str, axes: int, default: int) -> tuple[int, ...]:
        """An attribute with a number for each axis, of at least the default. Raises `Problem` where it is not one."""
        numbers = tuple(self.get(attribute, (default,) * axes))
        if len(numbers) != axes:
            raise cannot(f"`{attribute}` has {len(numbers)} numbers for {axes} axes")
        if any(number < default for number in numbers):
            raise cannot(f"`{attribute}` is {list(numbers)}")
        return numbers

    def emit(
        self,
        op: str,
        *inputs: str,
        gives: Sequence[str] | None = None,
        weights: Mapping[str, np.ndarray[Any, Any]] | None = None,
        **arguments: Any,
    ) -> str:
        """Add an op to the program, which gives the outputs of the node or else new values, and name its first."""
        given = self.outputs[:1] if gives is None else tuple(gives)
        self.program.add(self, op, arguments, inputs or self.inputs[:1], given, weights or {})
        return given[0]

    def between(self) -> list[str]:
        """A name for a value that the file has no name for."""
        return [self.program.fresh(self.outputs[0])]

    def value(self, number: int) -> str:
        """The name of an input, which becomes a parameter or constant of the network where the file knows it."""
        return self.program.learned(self, self.inputs[number])

    def axis(self, axis: int, rank: int) -> int:
        """A number of an axis, counted from the front. Raises `Problem` at the batch axis."""
        positive = axis + rank if axis < 0 else axis
        if not 0 < positive < rank:
            raise cannot(f"axis {axis} of {rank} is the batch axis, or does not exist")
        return positive


def translates(*operators: str) -> Callable[[TranslatorType], TranslatorType]:
    def register(function: TranslatorType) -> TranslatorType:
        TRANSLATORS.update(dict.fromkeys(operators, function))
        return function

    return register


# Windows -------------------------------------------------------------------------------------------------------------


def _padding(call: Call, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]) -> list[int]:
    """Margins before all spatial axes, and then those behind."""
    how = call.get("auto_pad", "NOTSET")
    if how == "VALID":
        return [0] * (2 * len(kernel))
    if how == "NOTSET":
        return list(call.per_axis("pads", 2 * len(kernel), 0))
    if len(kernel) != len(call.type().spatial):
        raise cannot(f"its kernel has {len(kernel)} axes, and its input {call.type()}")
    before, behind = [], []
    for size, width, stride, dilation in zip(call.type().spatial, kernel, strides, dilations, strict=True):
        total = max((-(-size // stride) - 1) * stride + dilation * (width - 1) + 1 - size, 0)
        larger, smaller = total - total // 2, total // 2
        before.append(larger if how == "SAME_LOWER" else smaller)
        behind.append(smaller if how == "SAME_LOWER" else larger)
    return before + behind


def _padded(call: Call, pads: list[int]) -> tuple[str, tuple[int, ...]]:
    """The input with those margins that the op itself cannot have, and what is left for the op."""
    half = len(pads) // 2
    before, behind = tuple(pads[:half]), tuple(pads[half:])
    if before == behind:
        return call.inputs[0], before
    margins = [margin for pair in zip(reversed(before), reversed(behind), strict=True) for margin in pair]
    return call.emit("pad", gives=call.between(), padding=tuple(margins)), (0,) * half


@translates("Conv")
def _conv(call: Call) -> None:
    weight = call.constant(1)
    kernel = weight.shape[2:]
    strides, dilations = (call.per_axis(name, len(kernel), 1) for name in ("strides", "dilations"))
    source, padding = _padded(call, _padding(call, kernel, strides, dilations))
    weights = {"weight": weight} | ({"bias": call.constant(2)} if call.has(2) else {})
    call.emit(
        "conv",
        source,
        weights=weights,
        out_channels=weight.shape[0],
        kernel_size=compact(kernel),
        stride=compact(strides),
        padding=compact(padding),
        dilation=compact(dilations),
        groups=call.get("group", 1),
        bias=call.has(2),
    )


@translates("ConvTranspose")
def _conv_transpose(call: Call) -> None:
    weight = call.constant(1)
    kernel = weight.shape[2:]
    pads = call.per_axis("pads", 2 * len(kernel), 0)
    if call.get("auto_pad", "NOTSET") != "NOTSET" or "output_shape" in call.attributes:
        raise cannot("its margins are not written out as `pads`")
    before, behind = pads[: len(kernel)], pads[len(kernel) :]
    if before != behind:
        raise cannot(f"its margins differ before and behind: {list(pads)}")
    groups = call.get("group", 1)
    call.emit(
        "conv_transpose",
        weights={"weight": weight} | ({"bias": call.constant(2)} if call.has(2) else {}),
        out_channels=weight.shape[1] * groups,
        kernel_size=compact(kernel),
        stride=compact(call.per_axis("strides", len(kernel), 1)),
        padding=compact(before),
        output_padding=compact(call.per_axis("output_padding", len(kernel), 0)),
        groups=groups,
        bias=call.has(2),
        dilation=compact(call.per_axis("dilations", len(kernel), 1)),
    )


@translates("MaxPool", "AveragePool")
def _pool(call: Call) -> None:
    kernel = tuple(call.get("kernel_shape", ()))
    strides, dilations = (call.per_axis(name, len(kernel), 1) for name in ("strides", "dilations"))
    pads = _padding(call, kernel, strides, dilations)
    average = call.operator == "AveragePool"
    symmetric = pads[: len(kernel)] == pads[len(kernel) :]
    if not symmetric and not (average and call.get("count_include_pad", 0)):
        raise cannot(f"its margins differ before and behind: {pads}")
    if average and any(dilation != 1 for dilation in dilations):
        raise cannot(f"its windows have gaps: `dilations` is {list(dilations)}")
    source, padding = _padded(call, pads)
    options: dict[str, Any] = {"dilation": compact(dilations)}
    if average:
        options = {"count_include_pad": bool(call.get("count_include_pad", 0)) or not any(pads)}
    if call.get("ceil_mode", 0):
        options["ceil_mode"] = True
    call.emit(
        "avg_pool" if average else "max_pool",
        source,
        kernel_size=compact(kernel),
        stride=compact(strides),
        padding=compact(padding),
        **options,
    )


@translates("GlobalAveragePool", "GlobalMaxPool")
def _global_pool(call: Call) -> None:
    call.emit("adaptive_avg_pool" if call.operator == "GlobalAveragePool" else "adaptive_max_pool", output_size=1)


@translates("ReduceMean", "ReduceSum", "ReduceMax")
def _reduce(call: Call) -> None:
    type = call.type()
    rank = type.rank + 1
    axes = tuple(call.axis(axis, rank) for axis in call.integers("axes", 1) or range(rank))
    keepdim = bool(call.get("keepdims", 1))
    if call.operator == "ReduceMean" and set(axes) == set(range(2, rank)) and 3 <= rank <= 5:
        call.emit("adaptive_avg_pool", output_size=1) if keepdim else call.emit("global_avg_pool")
        return
    op = {"ReduceMean": "mean", "ReduceSum": "sum", "ReduceMax": "max"}[call.operator]
    call.emit(op, dim=axes, keepdim=keepdim)


@translates("Resize", "Upsample")
def _resize(call: Call) -> None:
    type = call.type()
    number = 3 if call.has(3) else 1 if call.operator == "Upsample" or call.program.version <= 10 else 2
    numbers = call.constant(number).reshape(-1).tolist()[1:]
    if len(numbers) != type.rank or {"axes", "antialias", "keep_aspect_ratio_policy"} & call.attributes.keys():
        raise cannot("it does not say what becomes of each axis")
    if number != 3:
        numbers = [length * scale for length, scale in zip(type.shape, numbers, strict=True)]
    channels, *size = map(int, numbers)
    if channels != type.channels or any(length % 1 for length in numbers):
        raise cannot("it scales channels, or to a fraction of a length")
    call.emit("upsample", size=compact(tuple(size)), **_interpolation(call, size))


def _interpolation(call: Call, size: Sequence[int]) -> dict[str, Any]:
    """The arguments of an `upsample` that interpolates like a node. Raises `Problem` where none does."""
    mode, how = call.get("mode", "nearest"), call.get("coordinate_transformation_mode", "half_pixel")
    rounding = call.get("nearest_mode", "round_prefer_floor")
    if call.program.version <= 10:
        how, rounding = "asymmetric", "floor"
    if mode == "nearest" and how == "asymmetric":
        doubled = tuple(size) == tuple(2 * length for length in call.type().spatial)
        if rounding == "floor" or (rounding == "round_prefer_floor" and doubled):
            return {"mode": "nearest"}
    elif mode in ("linear", "cubic") and call.get("cubic_coeff_a", -0.75) == -0.75:
        word = {1: "linear", 2: "bilinear", 3: "trilinear"}.get(len(size)) if mode == "linear" else "bicubic"
        if how == "align_corners":
            return {"mode": word, "align_corners": True}
        if how in ("half_pixel", "pytorch_half_pixel"):
            return {"mode": word}
    raise cannot(f"PyTorch does not resize by `{mode}` with `{how}`")


# Normalization -------------------------------------------------------------------------------------------------------


@translates("BatchNormalization")
def _batch_norm(call: Call) -> None:
    weights = {
        name: call.constant(number) for number, name in enumerate(("weight", "bias", "running_mean", "running_var"), 1)
    }
    if call.get("training_mode", 0):
        raise cannot("it is in training mode", "export the network in eval mode")
    momentum = round(1 - call.get("momentum", 0.9), 6)
    call.emit("batch_norm", weights=weights, eps=_decimal(call.get("epsilon", 1e-5)), momentum=momentum)


@translates("LayerNormalization")
def _layer_norm(call: Call) -> None:
    rank = call.type().rank + 1
    weights = {"weight": call.constant(1)} | ({"bias": call.constant(2)} if call.has(2) else {})
    axes = rank - call.axis(call.get("axis", -1), rank)
    call.emit("layer_norm", weights=weights, axes=axes, eps=_decimal(call.get("epsilon", 1e-5)), bias=call.has(2))


@translates("InstanceNormalization")
def _instance_norm(call: Call) -> None:
    weights = {"weight": call.constant(1), "bias": call.constant(2)}
    call.emit("instance_norm", weights=weights, eps=_decimal(call.get("epsilon", 1e-5)), affine=True)


@translates("LRN")
def _local_response_norm(call: Call) -> None:
    defaults = {"alpha": 1e-4, "beta": 0.75}
    options: dict[str, Any] = {name: _decimal(call.get(name, value)) for name, value in defaults.items()}
    call.emit("local_response_norm", size=call.get("size", 1), k=_decimal(call.get("bias", 1.0)), **options)


def _decimal(number: float) -> float:
    """The short decimal that a 32-bit number stands for: `1e-05` for `9.999999747378752e-06`."""
    return float(f"{number:.7g}")


# Functions of each element -------------------------------------------------------------------------------------------

_PLAIN = {
    "Relu": "relu",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Exp": "exp",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Mish": "mish",
    "HardSwish": "hardswish",
}
_WITH_ALPHA = {"LeakyRelu": ("leaky_relu", "negative_slope", 0.01), "Elu": ("elu", "alpha", 1.0)}
_WITH_ALPHA |= {"Celu": ("celu", "alpha", 1.0)}


@translates(*_PLAIN)
def _plain(call: Call) -> None:
    call.emit(_PLAIN[call.operator])


@translates(*_WITH_ALPHA)
def _with_alpha(call: Call) -> None:
    op, field, default = _WITH_ALPHA[call.operator]
    arguments: dict[str, Any] = {field: _decimal(call.get("alpha", default))}
    call.emit(op, **arguments)


@translates("Erf")
def _gelu_in_parts(call: Call) -> None:
    """0.5 · x · (1 + erf(x / √2)), which is how files without an operator for it write a GELU."""
    program = call.program
    scaled = program.makers.get(call.inputs[0])
    if scaled is None or not isclose(getattr(scaled.op, "factor", 0.0), sqrt(0.5), rel_tol=1e-5):
        raise cannot("it is not the error function of a GELU")
    x = scaled.inputs[0]
    sum = program.only_reader(call.outputs[0])
    product = program.only_reader(sum.output[0]) if sum is not None and program.adds(sum, 1.0) else None
    if product is None or product.op_type != "Mul":
        raise cannot("it is not the error function of a GELU")
    assert sum is not None
    other = next(name for name in product.input if name != sum.output[0])
    last = program.only_reader(product.output[0]) if program.resolve(other) == x else product
    half = program.producers.get(other) if last is product else last
    if last is None or half is None or not program.halves(half, x if last is product else product.output[0]):
        raise cannot("it is not the error function of a GELU")
    program.done |= {id(sum), id(product), id(last)}
    call.emit("gelu", x, gives=last.output)


@translates("Gelu")
def _gelu(call: Call) -> None:
    call.emit("gelu", approximate=call.get("approximate", "none"))


@translates("HardSigmoid")
def _hardsigmoid(call: Call) -> None:
    alpha, beta = call.get("alpha", 0.2), call.get("beta", 0.5)
    if not isclose(alpha, 1 / 6, rel_tol=1e-5) or beta != 0.5:
        raise cannot(f"its slope is {alpha:.4g}, and that of PyTorch's is 1/6")
    call.emit("hardsigmoid")


@translates("PRelu")
def _prelu(call: Call) -> None:
    slope = call.constant(1)
    if slope.size > 1 and slope.shape[-call.type().rank :] != (slope.size, *(1 for _ in call.type().spatial)):
        raise cannot("its slopes are not those of channels")
    call.emit("prelu", weights={"weight": slope.reshape(-1)}, num_parameters=slope.size)


@translates("Clip")
def _clip(call: Call) -> None:
    least, most = (
        float(call.constant(number).item()) if call.has(number) else float(call.get(name, default))
        for number, name, default in ((1, "min", -inf), (2, "max", inf))
    )
    if (least, most) == (0.0, 6.0):
        call.emit("relu6")
        return
    limits = {"min": least, "max": most}
    arguments: dict[str, Any] = {name: _decimal(limit) for name, limit in limits.items() if abs(limit) < 3e38}
    call.emit("clamp", **arguments)


@translates("Softmax", "LogSoftmax")
def _softmax(call: Call) -> None:
    rank = call.type().rank + 1
    axis = call.get("axis", -1 if call.program.version >= 13 else 1)
    if call.program.version < 13 and call.axis(axis, rank) != rank - 1:
        raise cannot(f"in version {call.program.version} of ONNX it goes over all axes from {axis} on")
    call.emit("softmax" if call.operator == "Softmax" else "log_softmax", dim=call.axis(axis, rank))


@translates("Dropout")
def _dropout(call: Call) -> None:
    ratio = float(call.constant(1).item()) if call.has(1) else call.get("ratio", 0.5)
    call.emit("dropout", p=_decimal(ratio))


# Sums and products ---------------------------------------------------------------------------------------------------


@translates("Add", "Mul", "Sub", "Div")
def _elementwise(call: Call) -> None:
    known = call.program.constants.get(call.inputs[1])
    scalar = float(known.item()) if known is not None and known.size == 1 else None
    if call.operator in ("Mul", "Div") and scalar is not None and scalar != 0:
        call.emit("times", factor=_decimal(scalar) if call.operator == "Mul" else 1 / scalar)
        return
    if call.operator == "Mul" and (gated := _gated_by_itself(call)) is not None:
        call.emit("silu", gated)
        return
    if call.operator == "Div":
        raise cannot("it divides by what is no number", "a product with the inverse can be imported")
    call.emit(call.operator.lower(), call.value(0), call.value(1))


def _gated_by_itself(call: Call) -> str | None:
    """The value whose product with its own sigmoid this is, where nothing else reads the sigmoid."""
    for gate, value in (call.inputs, call.inputs[::-1]):
        maker = call.program.makers.get(gate)
        if maker is not None and maker.kind == "sigmoid" and maker.inputs == (value,):
            return value if call.program.only_reader(gate) is not None else None
    return None


@translates("Sum")
def _sum(call: Call) -> None:
    call.emit("add", *(call.value(number) for number in range(len(call.inputs))))


@translates("Gemm")
def _gemm(call: Call) -> None:
    if call.get("alpha", 1.0) != 1 or call.get("beta", 1.0) != 1 or call.get("transA", 0):
        raise cannot("`alpha`, `beta` and `transA` are not those of a linear layer")
    weight = call.constant(1)
    weight = weight if call.get("transB", 0) else weight.T
    weights = {"weight": weight} | ({"bias": call.constant(2).reshape(-1)} if call.has(2) else {})
    call.emit("linear", weights=weights, out_features=weight.shape[0], bias=call.has(2))


@translates("MatMul")
def _matmul(call: Call) -> None:
    weight = call.program.constants.get(call.inputs[1])
    if weight is None or weight.ndim != 2:
        call.emit("matmul", call.value(0), call.value(1))
        return
    added = call.program.bias_behind(call)
    weights = {"weight": weight.T} | ({"bias": added.bias} if added else {})
    call.emit(
        "linear",
        gives=[added.output] if added else None,
        weights=weights,
        out_features=weight.shape[1],
        bias=added is not None,
    )


# Axes ----------------------------------------------------------------------------------------------------------------


@translates("Identity", "Cast")
def _unchanged(call: Call) -> None:
    if call.operator == "Cast" and (call.get("to", 1) != 1 or call.type().dtype != "float32"):
        raise cannot("it makes another type of numbers")
    call.program.aliases[call.outputs[0]] = call.inputs[0]


@translates("Expand")
def _expand(call: Call) -> None:
    value, lengths = call.constant(0), [int(length) for length in call.constant(1)]
    if lengths[:1] not in ([-1], [call.program.batch]) or tuple(lengths[1:]) != value.shape[1:] or value.shape[0] != 1:
        raise cannot("it repeats other axes than the batch axis")
    call.program.aliases[call.outputs[0]] = call.inputs[0]


@translates("Flatten")
def _flatten(call: Call) -> None:
    if (axis := call.get("axis", 1)) != 1:
        raise cannot(f"`axis` is {axis}, and a sample is flattened from axis 1 on")
    call.emit("flatten")


@translates("Reshape")
def _reshape(call: Call) -> None:
    type = call.type()
    target = [int(length) for length in call.constant(1).reshape(-1)]
    if not target or target[0] not in (0, -1, call.program.batch):
        raise cannot(f"the shape {target} moves the batch axis")
    if call.get("allowzero", 0) and 0 in target:
        raise cannot("it makes a tensor without elements")
    shape = [type.shape[axis] if length == 0 else length for axis, length in enumerate(target[1:])]
    if target[0] == -1 and prod(shape) != type.elements and -1 not in shape:
        raise cannot(f"the shape {target} moves elements from sample to sample")
    if len(shape) == 1 and type.rank > 1 and shape[0] in (-1, type.elements):
        call.emit("flatten")
    else:
        call.emit("reshape", shape=tuple(shape))


@translates("Transpose")
def _transpose(call: Call) -> None:
    rank = call.type().rank + 1
    call.emit("permute", dims=tuple(call.get("perm", reversed(range(rank)))))


@translates("Squeeze", "Unsqueeze")
def _squeeze(call: Call) -> None:
    axes = call.integers("axes", 1)
    type = call.type()
    more = len(axes or ()) if call.operator == "Unsqueeze" else 0
    rank = type.rank + 1 + more
    if axes is None:
        axes = tuple(axis for axis, length in enumerate(type.shape, 1) if length == 1)
    numbers = sorted((call.axis(axis, rank) for axis in axes), reverse=call.operator == "Squeeze")
    source = call.inputs[0]
    for place, axis in enumerate(numbers):
        gives = None if place == len(numbers) - 1 else call.between()
        source = call.emit(call.operator.lower(), source, gives=gives, dim=axis)


@translates("Concat")
def _concat(call: Call) -> None:
    values = [call.value(number) for number in range(len(call.inputs))]
    rank = max(type.rank + type.batched for type in map(call.program.types.__getitem__, values))
    call.emit("concat", *values, dim=call.axis(call.get("axis", 1), rank))


@translates("Split")
def _split(call: Call) -> None:
    type = call.type()
    axis = call.axis(call.get("axis", 0), type.rank + 1)
    lengths = call.integers("split", 1)
    if lengths is None:
        size = -(-type.shape[axis - 1] // call.get("num_outputs", len(call.outputs)))
        call.emit("split", gives=call.outputs, split_size=size, dim=axis)
    else:
        call.emit("split", gives=call.outputs, split_size=lengths, dim=axis)


@translates("Slice")
def _slice(call: Call) -> None:
    rank = call.type().rank + 1
    starts, ends = call.integers("starts", 1) or (), call.integers("ends", 2) or ()
    axes = call.integers("axes", 3) or tuple(range(len(starts)))
    steps = call.integers("steps", 4) or (1,) * len(starts)
    source = call.inputs[0]
    for place, (start, end, axis, step) in enumerate(zip(starts, ends, axes, steps, strict=True)):
        gives = None if place == len(starts) - 1 else call.between()
        stop = None if end >= FARTHEST else end
        source = call.emit("slice", source, gives=gives, dim=call.axis(axis, rank), start=start, end=stop, step=step)


@translates("Gather")
def _gather(call: Call) -> None:
    index = call.constant(1)
    if index.ndim:
        raise cannot("it takes several elements of an axis, and one can be selected")
    call.emit("select", dim=call.axis(call.get("axis", 0), call.type().rank + 1), index=int(index))


@translates("Pad")
def _pad(call: Call) -> None:
    modes = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}
    pads = call.integers("pads", 1) or ()
    half = len(pads) // 2
    if half != call.type().rank + 1 or call.has(3):
        raise cannot("its margins are not those of all axes")
    margins = list(zip(reversed(pads[:half]), reversed(pads[half:]), strict=True))
    if any(margins.pop()):
        raise cannot("it adds to the batch axis")
    while margins and not any(margins[-1]):
        margins.pop()
    value = float(call.constant(2).item()) if call.has(2) else call.get("value", 0.0)
    if not margins:
        call.program.aliases[call.outputs[0]] = call.inputs[0]
        return
    if (mode := call.get("mode", "constant")) not in modes:
        raise cannot(f"`mode` is `{mode}`, and the modes are {', '.join(modes)}")
    call.emit("pad", padding=tuple(margin for pair in margins for margin in pair), mode=modes[mode], value=value)


@translates("DepthToSpace")
def _depth_to_space(call: Call) -> None:
    if call.get("mode", "DCR") != "CRD":
        raise cannot("its channels are in another order than those of a pixel shuffle")
    call.emit("pixel_shuffle", upscale_factor=call.get("blocksize", 1))
