"""Contestants in, samples out: jobs that do the same run in turns, so that none has the quieter machine.

Time is measured in this process. Peak memory is measured in a new process for each sample, which `fresh` is.
"""

from __future__ import annotations

import gc
import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import quantiles
from time import perf_counter, process_time
from types import MappingProxyType
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent

Job = Callable[[], object]
"""What is measured. Its result lives until the measurement is over."""

Samples = dict[str, dict[str, list[float]]]
"""Values by contestant and by measure, one a round, and facts, once; times in seconds, memory and files in bytes."""

TIMES = ("CPU time", "wall time")
PEAK = "peak memory"
MAPPED = "mapped file pages"
FILE_SIZE, BOXES, LINES = FACTS = ("file size", "boxes", "lines")

MOST_MEMORY_ROUNDS = 3  # peak memory hardly varies, and each sample waits for a new process


class Contest(NamedTuple):
    """Jobs that do the same, by the name of the contestant; the others are compared with the first.

    With `memory` it is peak memory that counts, and a job must be one that pickles: a function of a module, or a
    `functools.partial` of one. `facts` are what else there is to know of a contestant's result, which no round changes.
    """

    title: str
    contestants: Mapping[str, Job]
    memory: bool = False
    facts: Mapping[str, Mapping[str, float]] = MappingProxyType({})


class Spread(NamedTuple):
    """The quartiles of some values; `median` is the middle one."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        return cls(*quantiles(values, n=4, method="inclusive")) if len(values) > 1 else cls(*values * 3)


def ratios(values: list[float], reference: list[float]) -> Spread:
    """How many times the reference the values are, each divided by what the reference took in the same round."""
    return Spread.of([value / other for value, other in zip(values, reference, strict=True)])


def run(contest: Contest, repeat: int, progress: Callable[[str], None]) -> Samples:
    """Run every contestant `repeat` times, in turns; each round begins with another one.

    Before time is measured, a round that does not count fills the caches. A new process has none to fill.
    """
    measure, warm_up = (memory_of, 0) if contest.memory else (time_of, 1)
    repeat = min(repeat, MOST_MEMORY_ROUNDS) if contest.memory else repeat
    names = list(contest.contestants)
    samples: Samples = {name: {} for name in names}
    for round in range(-warm_up, repeat):
        progress(f"{contest.title}: {f'round {round + 1} of {repeat}' if round >= 0 else 'warming up'}")
        first = round % len(names)
        for name in names[first:] + names[:first]:
            for what, value in measure(contest.contestants[name]).items():
                if round >= 0:
                    samples[name].setdefault(what, []).append(value)
    for name, facts in contest.facts.items():
        samples[name] |= {what: [value] for what, value in facts.items()}
    return samples


def time_of(job: Job) -> dict[str, float]:
    """Seconds of CPU time and of wall time that a job takes, with the processes that it starts and waits for."""
    gc.collect()
    cpu, wall = _cpu_seconds(), perf_counter()
    result = job()
    times = (_cpu_seconds() - cpu, perf_counter() - wall)
    del result
    return dict(zip(TIMES, times, strict=True))


def _cpu_seconds() -> float:
    children = getrusage(RUSAGE_CHILDREN)
    return process_time() + children.ru_utime + children.ru_stime


def memory_of(job: Job) -> dict[str, float]:
    """Bytes by which a job raises the resident memory of a new process, above what its imports take."""
    command = [sys.executable, "-m", "benchmarks.fresh"]
    done = subprocess.run(command, input=pickle.dumps(job), capture_output=True, check=False, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(f"a contestant failed in its process:\n{done.stderr.decode()}")
    measured: dict[str, float] = json.loads(done.stdout)
    return measured
