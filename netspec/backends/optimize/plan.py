"""What `optimize` decided for a network on a machine, and what it measured: a record that can be read and kept.

A plan that was saved makes the next preparation shorter, for nothing is measured again.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from netspec.diagnostics import Problem, SpecError
from netspec.files import whole


@dataclass(frozen=True)
class Plan:
    """How each layer is computed, and how the optimized network compared with the original one.

    `ways` has a word for each layer by name; it is empty where the network runs as it was, and `notes` say why.
    `original` and `optimized` are seconds for one run on inputs of the shapes `inputs`, 0 where nothing was measured.
    `error` is the largest difference of an output, and `scale` the largest output.
    """

    machine: str
    threads: int
    dtype: str
    inputs: tuple[tuple[int, ...], ...]
    ways: dict[str, str] = field(default_factory=dict)
    original: float = 0.0
    optimized: float = 0.0
    error: float = 0.0
    scale: float = 0.0
    prepared: float = 0.0  # seconds that it took to make the module
    notes: tuple[str, ...] = ()

    @property
    def speedup(self) -> float:
        """How many times faster the optimized network is."""
        return self.original / self.optimized if self.optimized else 1.0

    def __str__(self) -> str:
        shapes = ", ".join("×".join(map(str, shape)) for shape in self.inputs)
        lines = [f"{self.dtype}, {self.threads} threads, {self.machine}, measured for {shapes}"]
        if self.optimized:
            times = f"{self.original * 1e3:.3g} ms before, {self.optimized * 1e3:.3g} ms now"
            lines.append(f"{self.speedup:.2f} times as fast: {times}; ready in {self.prepared:.2f} s")
        if self.ways:
            counts = ", ".join(f"{count} {way}" for way, count in Counter(self.ways.values()).most_common())
            lines.append(f"{len(self.ways)} layers: {counts}")
        if self.scale:
            lines.append(f"outputs differ by {self.error:.2g} at most, where the largest is {self.scale:.3g}")
        return "\n".join([*lines, *self.notes])

    def save(self, path: str | Path) -> None:
        """Write the plan to a JSON file, whole or not at all. Raises `SpecError`."""
        with whole(path) as file:
            file.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Plan:
        """The plan that `save` wrote. Raises `SpecError`."""
        try:
            record: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
            inputs = tuple(map(tuple, record.pop("inputs")))
            return cls(**record | {"inputs": inputs, "notes": tuple(record["notes"])})
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            help = ("a plan is what `module.plan.save(path)` writes",)
            problem = Problem("wrong-plan", f"cannot read the plan `{path}`: {error}", help=help)
            raise SpecError([problem.at(None)]) from None
