"""Define neural networks in YAML: checked without torch, built as ordinary PyTorch modules, drawn without pain."""

from typing import TYPE_CHECKING, Any

from netspec.compiler import load, loads
from netspec.diagnostics import Diagnostic, SpecError
from netspec.graph import Body, Graph, Node, Value
from netspec.limits import Limits
from netspec.shapes import TensorType

if TYPE_CHECKING:
    from netspec.backends.optimize.optimize import optimize

__version__ = "0.1.0"

__all__ = [
    "Body",
    "Diagnostic",
    "Graph",
    "Limits",
    "Node",
    "SpecError",
    "TensorType",
    "Value",
    "load",
    "loads",
    "optimize",
]


def __getattr__(name: str) -> Any:
    """`optimize`, which imports torch and so is imported when it is asked for."""
    if name == "optimize":
        from netspec.backends.optimize.optimize import optimize

        return optimize
    raise AttributeError(f"module `netspec` has no attribute `{name}`")
