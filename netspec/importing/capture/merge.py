"""Two runs of a module in, one in eval and one in training mode; out comes the former with what training adds.

Both runs are followed at once. A step that reads the same values in both is the same step; one that only training has
is marked. A network that does in eval mode what it does not do in training is refused.
"""

from __future__ import annotations

from netspec.diagnostics import Problem
from netspec.graph import Value
from netspec.importing.capture.mistakes import Report
from netspec.importing.capture.steps import Run, Scope, Step


def merge(run: Run, training: Run, report: Report) -> Run:
    """Add to `run` what only `training` did."""
    merger = _Merger(run, report)
    merger.values.update(zip(training.root.arguments.values(), run.root.arguments.values(), strict=True))
    merger.merge(run.root, training.root)
    found = [merger.values.get(value, value) for value in training.root.results]
    difference = _difference(run, training, found)
    if difference:
        help = ("what a spec returns in eval mode is what it returns in training, less what runs in training alone",)
        message = f"the module returns {difference} in training than in eval mode"
        report.add(Problem("cannot-import", message, help=help))
        return run
    added = {value: home for value, home in training.homes.items() if value not in merger.values}
    run.homes.update({value: merger.scopes.get(home, home) for value, home in added.items()})
    if len(found) > len(run.root.results):
        run.returns = training.returns
    run.fields = training.fields
    run.root.results = found
    return run


def _difference(run: Run, training: Run, found: list[Value]) -> str:
    """What training returns otherwise, where `found` are its results as values of the eval run; else nothing."""
    kept = {name: value for name, value in zip(training.fields, found, strict=True) if value in run.homes}
    if list(kept.values()) != run.root.results:
        return "other values"
    if "dict" in (run.returns, training.returns):
        if run.returns != training.returns:
            return "another kind of result"
        if tuple(kept) != run.fields:
            return "other names of results"
    return ""


class _Merger:
    """Follows two runs; `values` and `scopes` are those of the eval run by those of the training run."""

    def __init__(self, run: Run, report: Report) -> None:
        self.run = run
        self.report = report
        self.values: dict[Value, Value] = {}
        self.scopes: dict[Scope, Scope] = {}

    def merge(self, kept: Scope, training: Scope) -> None:
        """Bring the steps of two runs of one scope together, in the former."""
        self.scopes[training] = kept
        steps: list[Step | Scope] = []
        position = 0
        for step in training.steps:
            if position < len(kept.steps) and self.same(kept.steps[position], step):
                own = kept.steps[position]
                position += 1
                if isinstance(own, Scope) and isinstance(step, Scope):
                    self.merge(own, step)
                elif isinstance(own, Step) and isinstance(step, Step):
                    self.values.update(zip(step.outputs, own.outputs, strict=True))
                steps.append(own)
            else:
                self.add(step, kept)
                steps.append(step)
        if position < len(kept.steps):
            step = kept.steps[position]
            message = f"`{step.path or step.kind}` runs in eval mode, but not in the same way in training"
            self.report.add(Problem("cannot-import", message), kept.path)
        kept.steps = steps

    def same(self, kept: Step | Scope, step: Step | Scope) -> bool:
        """Whether a step of the eval run is that of the training run."""
        if isinstance(kept, Scope) or isinstance(step, Scope):
            return isinstance(kept, Scope) and isinstance(step, Scope) and kept.path == step.path
        inputs = tuple(self.values.get(value, value) for value in step.inputs)
        return (kept.op, kept.path, kept.inputs) == (step.op, step.path, inputs)

    def add(self, step: Step | Scope, around: Scope) -> None:
        """Take over a step that only training has."""
        step.training_only = True
        if around is not self.run.root:
            message = f"`{step.path or step.kind}` runs in training alone, inside of another module"
            self.report.add(Problem("cannot-import", message), around.path)
        if isinstance(step, Scope):
            step.around = around
        self.translate(step)

    def translate(self, step: Step | Scope) -> None:
        """Let a step, and all in it, read the values of the eval run."""
        if isinstance(step, Step):
            step.inputs = tuple(self.values.get(value, value) for value in step.inputs)
            return
        step.arguments = {name: self.values.get(value, value) for name, value in step.arguments.items()}
        for inner in step.steps:
            self.translate(inner)
