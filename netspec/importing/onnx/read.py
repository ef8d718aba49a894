"""The bytes of an ONNX file in, its model, numbers and input types out, each checked as it is taken.

The file may come from a stranger. Data that lies outside of it is read where it is in the folder of the file alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from netspec.diagnostics import Problem, SpecError, first_line
from netspec.files import extra
from netspec.shapes import TensorType

if TYPE_CHECKING:
    import numpy as np

DTYPES = {1: "float32", 7: "int64", 9: "bool"}  # of ONNX's `TensorProto.DataType`


def read_model(path: Path) -> Any:
    """The model in a file, without the data that lies outside of it. Raises `SpecError`."""
    onnx = extra("onnx", "onnx", "an .onnx file")
    try:
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        problem = Problem("unreadable-file", f"cannot read `{path}`: {reason}")
    except Exception as error:  # of protobuf, which has kinds of its own
        problem = Problem("cannot-import", f"`{path}` is no ONNX file: {first_line(error)}")
    else:
        graph = model.graph
        named = all(isinstance(item.name, str) for item in (*graph.input, *graph.output, *graph.initializer))
        if graph.input and graph.output and named:
            return model
        problem = Problem("cannot-import", f"`{path}` is no ONNX file of a network with inputs and outputs")
    raise SpecError([problem.at(None)]) from None


def read_array(tensor: Any, path: Path) -> np.ndarray[Any, Any]:
    """The numbers of a tensor of the file at `path`. Raises `Problem`."""
    from onnx import external_data_helper, numpy_helper

    folder = path.resolve().parent
    try:
        if external_data_helper.uses_external_data(tensor):
            location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
            if not (folder / location).resolve().is_relative_to(folder):
                message = f"the data of a tensor is in `{location}`, outside of the folder of the file"
                raise Problem("outside-folder", message)
            external_data_helper.load_external_data_for_tensor(tensor, str(folder))
        array: np.ndarray[Any, Any] = numpy_helper.to_array(tensor)
    except Problem:
        raise
    except Exception as error:  # of onnx, numpy and the file system, for data that is not what it should be
        raise Problem("unreadable-weights", f"the data of a tensor cannot be read: {first_line(error)}") from None
    return array


def read_input(value: Any) -> tuple[TensorType, int | None]:
    """The type of an input, whose first axis is the batch, and the length of that if it is fixed. Raises `Problem`."""
    tensor = value.type.tensor_type
    dtype = DTYPES.get(tensor.elem_type)
    if dtype is None:
        message = f"the input `{value.name}` is no tensor of 32-bit floats, 64-bit integers or booleans"
        raise Problem("cannot-import", message)
    lengths = [axis.dim_value if axis.HasField("dim_value") else 0 for axis in tensor.shape.dim]
    if not lengths or any(length < 1 for length in lengths[1:]):
        axes = " × ".join(str(axis.dim_value or axis.dim_param or "?") for axis in tensor.shape.dim)
        message = f"the lengths of the input `{value.name}` are not known: {axes or 'it has no axes'}"
        help = ("export the network again with fixed lengths for all axes but the first, which is the batch",)
        raise Problem("cannot-import", message, help=help)
    return TensorType(tuple(lengths[1:]), dtype), lengths[0] or None
