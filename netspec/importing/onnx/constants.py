"""What an ONNX file computes before any input is there: mostly shapes, which older exporters calculate with nodes.

The length of the batch axis is not known, and stands as -1 in a shape. Arithmetic with it is left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from netspec.importing.onnx.operators import Call

Array = np.ndarray[Any, Any]
MOST = 4096  # elements of what is computed here, weights aside


def fold(call: Call) -> Array | None:
    """What a node gives, where that is known; `None` where it is not. Raises `Problem` for inputs that do not fit."""
    from netspec.importing.onnx.operators import cannot

    if call.operator == "Shape":
        computed = call.inputs[0] in call.program.types
        shape = np.array((-1, *call.type().shape) if computed else call.constant(0).shape, np.int64)
        return shape[call.get("start", 0) : call.get("end", None)]
    known = call.program.constants
    if call.operator not in FOLDED or any(name and name not in known for name in call.inputs):
        return None
    inputs = [known[name] if name else None for name in call.inputs]
    if call.operator not in WEIGHTS_TOO and any(array is not None and array.size > MOST for array in inputs):
        return None
    try:
        result = FOLDED[call.operator](call, *inputs)
    except (ValueError, IndexError, TypeError, KeyError, OverflowError) as error:
        raise cannot(f"its inputs do not fit: {error}") from None
    if result is not None and result.size > MOST and call.operator not in WEIGHTS_TOO:
        raise cannot(f"it computes {result.size:,} numbers before any input is there")
    return result


def _constant(call: Call) -> Array:
    for name in ("value", "value_float", "value_int", "value_floats", "value_ints"):
        if name in call.attributes:
            value = call.attributes[name]
            return value if isinstance(value, np.ndarray) else np.array(value, _type(value))
    raise ValueError("a constant without a value")


def _type(value: Any) -> Any:
    first = value[0] if isinstance(value, list | tuple) and value else value
    return np.float32 if isinstance(first, float) else np.int64


def _arithmetic(function: Callable[[Array, Array], Array]) -> Callable[..., Array | None]:
    def compute(call: Call, a: Array, b: Array) -> Array | None:
        integers = a.dtype.kind == "i"
        if integers and (min(a.min(initial=0), b.min(initial=0)) < 0):
            return None
        return np.asarray(function(a, b), a.dtype)

    return compute


def _divide(a: Array, b: Array) -> Array:
    return a // b if a.dtype.kind == "i" else a / b


def _axes(call: Call, given: Array | None) -> tuple[int, ...] | None:
    if given is not None:
        return tuple(int(axis) for axis in given.reshape(-1))
    return tuple(call.attributes["axes"]) if "axes" in call.attributes else None


def _unsqueeze(call: Call, x: Array, axes: Array | None = None) -> Array:
    return np.expand_dims(x, _axes(call, axes) or ())


def _squeeze(call: Call, x: Array, axes: Array | None = None) -> Array:
    return np.squeeze(x, _axes(call, axes))


def _slice(call: Call, x: Array, *given: Array) -> Array:
    numbers = [array.reshape(-1).tolist() for array in given if array is not None]
    numbers = numbers or [list(call.attributes[name]) for name in ("starts", "ends")]
    starts, ends, *rest = numbers
    if rest and any(rest[0]):
        raise ValueError("a slice of another axis than the first")
    step = rest[1][0] if len(rest) > 1 else 1
    return x[starts[0] : ends[0] : step]


def _cast(call: Call, x: Array) -> Array:
    from onnx import helper

    return x.astype(helper.tensor_dtype_to_np_dtype(call.get("to", 1)))


def _filled(call: Call, shape: Array) -> Array | None:
    value = call.get("value", np.zeros(1, np.float32))
    lengths = [int(length) for length in shape]
    return np.full(lengths, value.reshape(-1)[0]) if np.prod(lengths, dtype=float) <= MOST else None


FOLDED: dict[str, Callable[..., Array | None]] = {
    "Constant": _constant,
    "ConstantOfShape": _filled,
    "Shape": lambda call, x: x,
    "Identity": lambda call, x: x,
    "Cast": _cast,
    "Transpose": lambda call, x: np.transpose(x, call.get("perm", None)),
    "Gather": lambda call, x, index: np.take(x, index, call.get("axis", 0)),
    "Concat": lambda call, *parts: np.concatenate(parts, call.get("axis", 0)),
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Slice": _slice,
    "Reshape": lambda call, x, shape: x.reshape([int(length) for length in shape]),
    "Add": _arithmetic(np.add),
    "Sub": _arithmetic(np.subtract),
    "Mul": _arithmetic(np.multiply),
    "Div": _arithmetic(_divide),
    "Sqrt": lambda call, x: np.sqrt(x),
}
WEIGHTS_TOO = ("Constant", "Identity", "Transpose", "Reshape", "Unsqueeze", "Squeeze")
"""What may be done to tensors of any size: it computes no number."""
