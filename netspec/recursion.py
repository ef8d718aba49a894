"""Room for recursion, for whatever follows blocks into blocks: the compiler, and the methods of a graph.

Python stops at 1,000 frames, and a level of blocks takes about ten. Frames of Python functions take no C stack, so that
limit is raised while such work runs, and set back when the last of it, in whatever thread, is done.
"""

from __future__ import annotations

import sys
from _thread import allocate_lock  # `threading`, around it, takes as long to import as a small network to check
from contextlib import ContextDecorator

MOST_FRAMES = 30_000  # twice what a network at the limits of levels and of nesting takes


class _DeepRecursion(ContextDecorator):
    """A context or a decorator, which may be entered while it is entered."""

    def __init__(self) -> None:
        self.lock = allocate_lock()
        self.entered = 0
        self.usual = 0

    def __enter__(self) -> None:
        with self.lock:
            if not self.entered:
                self.usual = sys.getrecursionlimit()
                sys.setrecursionlimit(max(self.usual, MOST_FRAMES))
            self.entered += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.entered -= 1
            if not self.entered:
                sys.setrecursionlimit(self.usual)


deep_recursion = _DeepRecursion()
