"""Graph and module in, an ONNX file out, for any batch size, in eval mode.

PyTorch's exporter translates; what it makes is then tidied for people who look at it. Constants are folded, but no
weight is: initializers are the `state_dict`, key by key, and runtimes fold batch norms themselves. A node is called by
the path of the module that it comes from and by its operator, such as `layer1.0.conv1.Conv`, and so is what it gives.
"""

from __future__ import annotations

import logging
from ast import literal_eval
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from netspec.backends.program import evaluated, example, refusals
from netspec.diagnostics import Problem, SpecError
from netspec.files import extra, whole
from netspec.quantities import byte_size

if TYPE_CHECKING:
    from netspec.graph import Graph

LARGEST = 2**31 - 2**20  # bytes of weights in one file: its format ends at 2 GiB, and the nodes need some
SCOPES = "pkg.torch.onnx.name_scopes"  # where the exporter notes the modules around a node, and the node's own name


def save_onnx(graph: Graph, module: nn.Module, path: Path) -> None:
    """Write an ONNX file. Raises `SpecError` where PyTorch refuses, or where the format cannot hold so many weights."""
    for package in ("onnx", "onnxscript"):
        extra(package, "onnx", "an .onnx file")
    import onnx_ir

    size = sum(tensor.nbytes for tensor in module.state_dict().values())
    if size > LARGEST:
        message = f"the weights of `{graph.name}` take {byte_size(size)}, and an ONNX file holds less than 2 GiB"
        help = ("`.pt2` and `.safetensors` files may be of any size",)
        raise SpecError([Problem("export-failed", message, help=help).at(None)])
    with refusals(graph, path), evaluated(module):
        model = _translated(graph, module)
        _tidy(model, set(module.state_dict()))
        _rename(model, set(module.state_dict()))
    with whole(path) as temporary:
        onnx_ir.save(model, temporary)


def _translated(graph: Graph, module: nn.Module) -> Any:
    """The network as PyTorch translates it."""
    traced, inputs, free = example(graph, module)
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        program = torch.onnx.export(
            traced,
            inputs,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            dynamic_shapes=free,
            dynamo=True,
            optimize=False,
            verbose=False,
        )
    finally:
        log.setLevel(level)
    assert program is not None, "it has no file to write to"
    return program.model


def _tidy(model: Any, keys: set[str]) -> None:
    """Fold what is known before any input is, but for the weights."""
    from onnx_ir.passes import common
    from onnxscript.optimizer import fold_constants
    from onnxscript.rewriter import rewrite
    from onnxscript.rewriter.rules import common as rules

    def should_fold(node: Any) -> bool | None:
        reads_weights = any(value is not None and value.name in keys for value in node.inputs)
        return False if reads_weights and node.op_type != "Shape" else None

    common.InlinePass()(model)
    for _ in range(2):  # a shape that a rule makes constant can be folded again
        fold_constants(model, onnx_shape_inference=True, should_fold=should_fold)
        rewrite(
            model,
            [
                rules.materialize_reshape_shape_rule,
                rules.no_op_expand_rule,
                rules.no_op_cast_rule,
                rules.remove_optional_bias_from_conv_rule,
                rules.remove_optional_bias_from_conv_transpose_rule,
            ],
        )
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    common.RemoveUnusedNodesPass()(model)


def _rename(model: Any, keys: set[str]) -> None:
    """Name nodes, what they give, and constants; leave out the exporter's notes, which name files of this machine."""
    graph = model.graph
    kept = {value.name for value in (*graph.inputs, *graph.outputs)}
    named = keys | kept
    taken = Counter(named)
    for node in graph:
        node.name = _free(_name(node), taken)
        for value in node.outputs:
            if value.name not in kept:
                value.name = node.name if len(node.outputs) == 1 else _free(f"{node.name}.{value.index()}", taken)
        node.metadata_props.clear()
        for value in node.inputs:
            if value is not None and value.is_initializer() and value.name not in named:
                value.name = _free(f"{node.name}.constant", taken)
                named.add(value.name)
    for value in (*graph.initializers.values(), *(value for node in graph for value in node.outputs)):
        value.metadata_props.clear()
    graph.metadata_props.clear()


def _name(node: Any) -> str:
    scopes = literal_eval(node.metadata_props.get(SCOPES, "[]"))
    path = next((scope for scope in scopes[-2:-1] if not scope.startswith("_")), "")  # `_` is of the exporter itself
    return f"{path}.{node.op_type}" if path else str(node.op_type)


def _free(name: str, taken: Counter[str]) -> str:
    """The name, or with a number behind it from the second time on."""
    taken[name] += 1
    return name if taken[name] == 1 else _free(f"{name}_{taken[name]}", taken)
