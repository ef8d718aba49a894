"""How much generated tests try: a little in every run, a hundred times as much with `python tasks.py fuzz`."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

EFFORT = 100 if os.environ.get("NETSPEC_FUZZ") else 1


def examples(number: int) -> settings:
    """Settings of a test that tries so many examples in every run."""
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=number * EFFORT, deadline=None, suppress_health_check=slow)
