"""A new process around one job: a pickled job comes in at stdin, and what it does to memory leaves at stdout as JSON.

Linux counts it: the peak of resident memory is set back once the imports are done, and read when the job is.
"""

from __future__ import annotations

import gc
import json
import pickle
import sys
from pathlib import Path

from benchmarks.contest import MAPPED, PEAK

RESET_PEAK = Path("/proc/self/clear_refs")  # writing 5 to it sets the peak to what is resident now


def main() -> None:
    """Measure the job."""
    job = pickle.load(sys.stdin.buffer)
    gc.collect()
    RESET_PEAK.write_text("5")
    before = resident()
    result = job()
    after = resident()
    measured = {PEAK: after["VmHWM"] - before["VmRSS"], MAPPED: after["RssFile"] - before["RssFile"]}
    del result
    print(json.dumps(measured))


def resident() -> dict[str, int]:
    """Bytes of resident memory: all, its peak, and the part that is pages of mapped files."""
    lines = [line.split() for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines()]
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if words[-1] == "kB"}


if __name__ == "__main__":
    main()
