"""Define neural networks in YAML: checked without torch, built as ordinary PyTorch modules, drawn without pain."""

from netspec.compiler import load, loads
from netspec.diagnostics import Diagnostic, SpecError
from netspec.graph import Body, Graph, Node, Value
from netspec.limits import Limits
from netspec.shapes import TensorType

__version__ = "0.1.0"

__all__ = ["Body", "Diagnostic", "Graph", "Limits", "Node", "SpecError", "TensorType", "Value", "load", "loads"]
