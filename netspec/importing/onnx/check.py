"""An ONNX file and the spec that was made of it in, nothing out: they must compute the same, up to rounding."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from netspec.compiler import loads
from netspec.diagnostics import Problem, SpecError, first_line
from netspec.files import extra

SAMPLES = 2  # of the batch, where the file leaves its length open
ROUNDING = 1e-3  # of the largest output: engines add up in another order, through all layers


def check_onnx(text: str, path: str | Path, weights: Mapping[str, torch.Tensor]) -> None:
    """Run both on the same noise. Raises `SpecError` where an output differs. Needs onnxruntime."""
    from netspec.backends.program import sample

    runtime = extra("onnxruntime", "onnx", "comparing the spec with the ONNX file")
    graph = loads(text)
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # what is wrong is said once, by the exception
    try:
        session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        batch = next((value.shape[0] for value in session.get_inputs() if isinstance(value.shape[0], int)), SAMPLES)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            inputs = [sample(type, batch) for type in graph.inputs.values()]
        given = {value.name: data.numpy() for value, data in zip(session.get_inputs(), inputs, strict=True)}
        theirs = session.run(None, given)
    except Exception as error:  # of onnxruntime, which has kinds of its own
        problem = Problem("import-differs", f"onnxruntime cannot run `{path}`: {first_line(error)}")
        raise SpecError([problem.at(None)]) from None
    with torch.no_grad():
        result: Any = graph.build(weights=weights).eval()(*inputs)
    ours = list(result.values()) if isinstance(result, dict) else [result]
    for name, a, b in zip(graph.outputs, ours, map(torch.from_numpy, theirs), strict=True):
        difference = (a - b).abs().max().item() if a.shape == b.shape else float("inf")
        if not difference <= ROUNDING * max(b.abs().max().item(), 1e-6):
            message = f"the spec computes something else than `{path}`: `{name}` differs by {difference:.3g}"
            raise SpecError([Problem("import-differs", message).at(None)])
