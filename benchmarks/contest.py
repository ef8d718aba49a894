"""Contestants in, samples out: jobs that do the same run in turns, so that none has the quieter machine.

Time is measured in this process. Peak memory is measured in a new process for each sample, which `fresh` is. Facts are
what no round changes, so they are not measured here.
"""

from __future__ import annotations

import gc
import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from math import ceil, inf
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import geometric_mean, quantiles
from time import perf_counter, process_time
from types import MappingProxyType
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent

Job = Callable[[], object]
"""What is measured. Its result lives until the measurement is over."""

Samples = dict[str, dict[str, list[float]]]
"""Values by contestant and by measure, one a round, and facts, once; times in seconds, memory and files in bytes."""

TIMES = (CPU_TIME, WALL_TIME) = ("CPU time", "wall time")
PEAK = "peak memory"
MAPPED = "mapped file pages"
MEASURES = (*TIMES, PEAK, MAPPED)
COMPARED = (*TIMES, PEAK)
"""Of what there are ratios: less is better."""

FILE_SIZE, BOXES, LINES = ("file size", "boxes", "lines")  # facts, which may have any name

FEWEST_ROUNDS = 3  # of a contest that takes long
MEMORY_ROUNDS = 1  # peak memory varies by a percent, and each sample waits for a new process


class Contest(NamedTuple):
    """Jobs that do the same, by the name of the contestant; the others are compared with the first.

    With `memory` it is peak memory that counts, and a job must be one that pickles: a function of a module, or a
    `functools.partial` of one. `facts` are what else there is to know of a contestant, by the name of the fact: those
    that end in `time` are seconds, those in `memory` or `size` bytes. There may be facts alone.

    A short job runs again and again for `least` seconds, and the mean counts. `settle` waits until what a job began is
    done, as on a GPU. Contests of one `group` compare the same ways to do several jobs; means are taken over them.
    """

    title: str
    contestants: Mapping[str, Job]
    memory: bool = False
    facts: Mapping[str, Mapping[str, float]] = MappingProxyType({})
    least: float = 0
    settle: Job = int
    group: str = ""


class Spread(NamedTuple):
    """The quartiles of some values; `median` is the middle one. Or a mean between extremes."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        return cls(*quantiles(values, n=4, method="inclusive")) if len(values) > 1 else cls(*values * 3)


def ratios(values: list[float], reference: list[float]) -> Spread:
    """How many times the reference the values are, each divided by what the reference took in the same round."""
    return Spread.of([value / other for value, other in zip(values, reference, strict=True)])


def mean_ratios(contests: Sequence[Samples], name: str, other: str, what: str) -> Spread:
    """The geometric mean over contests of how many times of what `other` took `name` took, between the extremes."""
    medians = [ratios(samples[name][what], samples[other][what]).median for samples in contests]
    return Spread(min(medians), geometric_mean(medians), max(medians))


def run(contest: Contest, repeat: int, progress: Callable[[str], None], seconds: float = inf) -> Samples:
    """Run every contestant `repeat` times, in turns; each round begins with another one.

    After `seconds` no round begins but the fewest that there must be. Before time is measured, a round that does not
    count fills the caches. A new process has none to fill.
    """
    repeat = MEMORY_ROUNDS if contest.memory else repeat
    names = list(contest.contestants)
    samples: Samples = {name: {} for name in [*names, *(name for name in contest.facts if name not in names)]}
    begin = perf_counter()
    calls = {} if contest.memory else {name: _warm_up(contest, name, progress) for name in names}
    for round in range(repeat if names else 0):
        if round >= FEWEST_ROUNDS and perf_counter() - begin > seconds:
            break
        progress(f"{contest.title}: round {round + 1} of {repeat}")
        first = round % len(names)
        for name in names[first:] + names[:first]:
            job = contest.contestants[name]
            measured = memory_of(job) if contest.memory else time_of(job, calls[name], contest.settle)
            for what, value in measured.items():
                samples[name].setdefault(what, []).append(value)
    for name, facts in contest.facts.items():
        samples[name] |= {what: [value] for what, value in facts.items()}
    return samples


def _warm_up(contest: Contest, name: str, progress: Callable[[str], None]) -> int:
    """Fill the caches of a contestant, and find out how often it is to run at a time."""
    progress(f"{contest.title}: warming up")
    job = contest.contestants[name]
    took = time_of(job, 1, contest.settle)
    if took[WALL_TIME] < contest.least:
        took = time_of(job, 1, contest.settle)
    return max(1, ceil(contest.least / took[WALL_TIME]))


def time_of(job: Job, calls: int = 1, settle: Job = int) -> dict[str, float]:
    """Seconds of CPU time and of wall time that a job takes, with the processes that it starts and waits for."""
    gc.collect()
    settle()
    cpu, wall = _cpu_seconds(), perf_counter()
    for _ in range(calls):
        result = job()
    settle()
    times = (_cpu_seconds() - cpu, perf_counter() - wall)
    del result
    return {what: value / calls for what, value in zip(TIMES, times, strict=True)}


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
