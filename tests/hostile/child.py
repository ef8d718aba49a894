"""Compiles hostile specs, each in a process of its own with little memory and time, and prints what came of them.

Paths come on stdin, one a line; a line of JSON goes out for each. A process may read beside its spec and in the
package, and may neither write, nor start anything, nor connect, nor import a module that was not there before.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import netspec
from netspec.initializers import INITIALIZERS
from netspec.ops import OP_NAMES, op_class

SECONDS = 5
MEMORY = 2**30
GOOD = "netspec: 1\nname: good\ninput: [3, 8, 8]\ngraph: [{conv: [4, 3]}, relu]"
PACKAGE = Path(netspec.__file__).resolve().parent
FORBIDDEN = ("subprocess.", "os.", "socket.", "shutil.", "ctypes.", "pty.", "urllib.", "http.", "pickle.", "tempfile.")
HARMLESS = {"os.listdir", "os.scandir"}


def watch(folder: Path, seen: list[str]) -> None:
    """Note from now on what this process does and may not."""
    allowed = (folder, PACKAGE, PACKAGE.parent / "specs")

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND)
            near = isinstance(path, (str, bytes)) and any(Path(os.fsdecode(path)).is_relative_to(a) for a in allowed)
            if writes or not near:
                seen.append(f"open {path} {mode}")
        elif event in ("import", "exec"):
            seen.append(f"{event} {arguments[0]}")
        elif event.startswith(FORBIDDEN) and event not in HARMLESS:
            seen.append(event)

    sys.addaudithook(note)


def outcome(path: Path) -> dict[str, Any]:
    """What comes of one spec, measured in this process."""
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (2 * SECONDS, 2 * SECONDS))
    seen: list[str] = []
    watch(path.parent, seen)
    result: dict[str, Any] = {"codes": [], "failure": ""}
    start = time.process_time()
    try:
        netspec.load(path)
    except netspec.SpecError as error:
        result["codes"] = [diagnostic.code for diagnostic in error.diagnostics]
        result["longest"] = max(len(str(diagnostic)) for diagnostic in error.diagnostics)
    except BaseException as error:
        result["failure"] = f"{type(error).__name__}: {str(error)[:200]}"
    result["seconds"] = time.process_time() - start
    result["forbidden"] = seen[:]
    result["works_on"] = netspec.loads(GOOD).parameters == 112
    return result


def warm_up() -> None:
    """Import all that compiling needs, messages included, so that whatever is imported later is not ours."""
    for path in PACKAGE.glob("*.py"):
        if path.stem not in ("__main__", "hub"):  # which start the command line, and torch
            import_module(f"netspec.{path.stem}")
    for name in OP_NAMES:
        op_class(name).fields()
    for initializer in INITIALIZERS.values():
        initializer.fields()
    netspec.load("resnet18")
    for wrong in (GOOD.replace("relu", "rellu"), GOOD.replace("relu", "[: x")):
        try:
            netspec.loads(wrong)
        except netspec.SpecError:
            continue


def main() -> None:
    warm_up()
    for line in sys.stdin:
        path = Path(line.rstrip("\n"))
        sys.stdout.flush()
        if (child := os.fork()) == 0:
            print(json.dumps({"path": str(path), **outcome(path)}), flush=True)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status:
            print(json.dumps({"path": str(path), "failure": f"ended with status {status}", "codes": []}))


if __name__ == "__main__":
    main()
