"""A graph in, the rate of its stochastic depth out, where that grows in equal steps from layer to layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from netspec.graph import Body
from netspec.importing.fold.terms import Share, Use, mapped

_LEAST_RATES = 4  # numbers that make a schedule
_MOST_STEPS = 400
_CLOSE = 1e-9
_ARGUMENTS = (("stochastic_depth", "p"), ("mbconv", "drop"), ("fused_mbconv", "drop"))


@dataclass(frozen=True)
class Rates:
    """Every probability is `rate * number / steps` for a whole number."""

    rate: float
    steps: int

    def shared(self, term: Any) -> Any:
        """The term with probabilities as shares of the rate."""
        return mapped(term, self._shared)

    def _shared(self, part: Any) -> Any:
        if not isinstance(part, Use):
            return part
        arguments = tuple(
            (name, self.share(value) if (part.head, name) in _ARGUMENTS else value) for name, value in part.arguments
        )
        return Use(part.head, arguments, part.names, part.variadic, part.merges, part.aside)

    def share(self, value: Any) -> Any:
        if not isinstance(value, float):
            return value
        return Share(round(value * self.steps / self.rate), self.rate, self.steps)


def find_rates(root: Body) -> Rates | None:
    """The schedule on which all probabilities of stochastic depth lie exactly."""
    numbers = sorted(_probabilities(root))
    if len(numbers) < _LEAST_RATES:
        return None
    for decimals in (1, 2):
        for steps in range(len(numbers) - 1, _MOST_STEPS):
            for most in range(steps, steps // 2, -1):
                exact = numbers[-1] * steps / most
                rate = round(exact, decimals)
                if abs(rate - exact) < _CLOSE and all(_share(number, rate, steps) for number in numbers):
                    return Rates(rate, steps)
    return None


def _share(number: float, rate: float, steps: int) -> bool:
    """Whether a number is just what the expression for it gives."""
    return rate * round(number * steps / rate) / steps == number


def _probabilities(root: Body) -> set[float]:
    found: set[float] = set()
    pending = [root]
    while pending:
        for node in pending.pop().nodes:
            if isinstance(node.target, Body):
                pending.append(node.target)
            elif node.kind == "stochastic_depth":
                found.add(float(node.target.__dict__["p"]))
    return found
