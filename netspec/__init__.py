"""Define neural networks in YAML: checked without torch, built as ordinary PyTorch modules, drawn without pain."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from netspec.compiler import load, loads
from netspec.diagnostics import Diagnostic, SpecError
from netspec.files import extra
from netspec.graph import Body, Graph, Node, Value
from netspec.limits import Limits
from netspec.shapes import TensorType

if TYPE_CHECKING:
    from netspec.backends.optimize.optimize import optimize as optimize
    from netspec.hub import HubModel as HubModel
    from netspec.importing.importer import from_module as from_module
    from netspec.importing.onnx.file import from_onnx as from_onnx
    from netspec.models import create_model as create_model

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
]

_WHEN_ASKED_FOR = {
    "HubModel": "netspec.hub",
    "create_model": "netspec.models",
    "from_module": "netspec.importing.importer",
    "from_onnx": "netspec.importing.onnx.file",
    "optimize": "netspec.backends.optimize.optimize",
}
"""What needs more than a spec does, such as torch, and the module that has it. `import *` leaves it out."""


def __getattr__(name: str) -> Any:
    """Import what few need when somebody does."""
    if name not in _WHEN_ASKED_FOR:
        raise AttributeError(f"module `netspec` has no attribute `{name}`")
    if name == "HubModel":
        extra("huggingface_hub", "hub", "a model of the Hugging Face hub")
    return getattr(import_module(_WHEN_ASKED_FOR[name]), name)
