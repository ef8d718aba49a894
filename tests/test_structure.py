"""The package keeps its shape: imports go one way, heavy packages stay out, names are what PyTorch allows."""

from __future__ import annotations

import ast
from pathlib import Path

from torch import nn

from netspec.names import MODULE_ATTRIBUTES

PACKAGE = Path(__file__).parent.parent / "netspec"

LAYERS = [
    {"__main__"},
    {"cli"},
    {"commands"},
    {"__init__"},
    {"hub", "importing", "models"},
    {"compiler", "graph_file", "schema", "select", "stages", "watch"},
    {"parallel"},
    {"verify", "transfer", "initialize", "elaborate", "describe", "warn"},
    {"wiring"},
    {"repeats", "sharing"},
    {"instances"},
    {"scope"},
    {"forks"},
    {"parse"},
    {"parts"},
    {"inherit", "arguments"},
    {"schedules", "names", "order"},
    {"catalog", "spec"},
    {"cuts"},
    {"graph"},
    {"ops"},
    {"initializers"},
    {"entries", "fields", "layout"},
    {"expressions", "source"},
    {"shapes", "windows", "files", "codes", "paths"},
    {"limits"},
    {"diagnostics", "formulas", "quantities", "recursion"},
]
"""A module imports from the rows below its own alone. Backends read the graph, and are read by the commands."""

PARTS = {"commands", "importing", "ops"}
"""Folders that are a module in these rows."""

FOR_BACKENDS = {"graph", "paths", "ops", "shapes", "windows", "expressions", "files", "quantities"}
FOR_BACKENDS |= {"cuts", "diagnostics", "fields", "formulas", "initializers", "parallel", "recursion", "stages"}
TORCH = {"torch", "torchvision", "safetensors"}


def imports(path: Path) -> set[str]:
    """Dotted names that a file imports when it is imported itself: at the top, `TYPE_CHECKING` aside."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module}
            found |= {f"{node.module}.{alias.name}" for alias in node.names if node.module == "netspec"}
    return found


def row_of(module: str) -> int:
    return next(index for index, row in enumerate(LAYERS) if module in row)


def package_modules(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imports(path) if name.startswith("netspec.")}


def test_imports_go_one_way() -> None:
    wrong = []
    for path in [*PACKAGE.glob("*.py"), *(path for name in PARTS for path in PACKAGE.glob(f"{name}/**/*.py"))]:
        own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for module in package_modules(path) - {own, "__version__"}:
            if row_of(module) <= row_of(own):
                wrong.append(f"{own} imports {module}")
    assert wrong == []


def test_every_module_has_its_row() -> None:
    modules = {path.stem for path in PACKAGE.glob("*.py")} | PARTS
    assert modules == {module for row in LAYERS for module in row}


def test_backends_read_the_graph_and_nothing_above_it() -> None:
    for path in PACKAGE.glob("backends/**/*.py"):
        assert package_modules(path) - {"backends"} <= FOR_BACKENDS, path.name


def test_only_the_backends_for_torch_import_torch() -> None:
    importers = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if TORCH & {name.split(".")[0] for name in imports(path)}
    }
    for_torch = "checkpoint initial module onnx_file program report weights"
    optimizing = "fold_norms fusion optimize overwrite tracing"
    parallel = "pipeline sharding tensors"
    capturing = "arithmetic axes calls capture cutting layout mistakes modules record tensors"
    expected = {"hub.py", *(f"backends/{name}.py" for name in for_torch.split())}
    expected |= {f"backends/parallel/{name}.py" for name in parallel.split()}
    expected |= {"importing/importer.py", "importing/onnx/check.py"}
    expected |= {f"importing/capture/{name}.py" for name in capturing.split()}
    assert importers == expected | {f"backends/optimize/{name}.py" for name in optimizing.split()}


def test_names_that_a_module_cannot_have_are_those_of_torch() -> None:
    public = {name for name in dir(nn.Module()) if not name.startswith("_")}
    assert public <= MODULE_ATTRIBUTES


def test_every_python_file_begins_by_saying_what_it_is_for() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path
