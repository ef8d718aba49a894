"""A recorded run to one that says in one op what code spells out in several, where nothing else reads what is between.

PyTorch's layer norm takes channels last, so code moves them to the end and back; the op does so by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from netspec.importing.capture.steps import Run, Scope, Step
from netspec.ops.normalization import LayerNorm
from netspec.ops.reshape import Permute, Transpose


def tidy(run: Run) -> Run:
    """The run, with shorter steps of the same meaning."""
    steps = list(_steps(run.root))
    makers = {value: step for step in steps for value in step.outputs}
    reads = Counter(value for step in steps for value in step.inputs)
    reads.update(run.root.results)
    gone: set[Step] = set()
    for last in steps:
        norm = makers.get(last.inputs[0]) if last.inputs else None
        first = makers.get(norm.inputs[0]) if norm is not None and norm.inputs else None
        if norm is None or first is None or not isinstance(norm.op, LayerNorm) or norm.op.axes > 1:
            continue
        rank = norm.outputs[0].type.rank
        moved = _order(first) == (0, *range(2, rank + 1), 1) and _order(last) == (0, rank, *range(1, rank))
        together = len({run.homes[value].body for step in (norm, last) for value in step.outputs}) == 1
        if moved and together and reads[norm.outputs[0]] == 1:
            fields = {name: getattr(norm.op, name) for name in ("eps", "elementwise_affine", "bias")}
            norm.op = LayerNorm(**fields, channels_first=True)
            norm.inputs, norm.outputs = first.inputs, last.outputs
            gone.add(last)
    _remove(run.root, gone)
    return run


def _steps(scope: Scope) -> Iterator[Step]:
    for step in scope.steps:
        if isinstance(step, Scope):
            yield from _steps(step)
        else:
            yield step


def _order(step: Step) -> tuple[int, ...] | None:
    """The order in which a step puts the axes of its input, the batch included."""
    if isinstance(step.op, Permute):
        return step.op.dims
    if not isinstance(step.op, Transpose):
        return None
    order = list(range(step.inputs[0].type.rank + 1))
    first, second = step.op.dim0, step.op.dim1
    order[first], order[second] = order[second], order[first]
    return tuple(order)


def _remove(scope: Scope, gone: set[Step]) -> None:
    scope.steps = [step for step in scope.steps if step not in gone]
    for step in scope.steps:
        if isinstance(step, Scope):
            _remove(step, gone)
