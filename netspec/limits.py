"""How much a spec may ask for, and the account of what one compilation has used.

`load` puts limits in force for one compilation, in its own thread or task. The stages ask for them with `limits`, and
expressions, which run in loops, pay for what they do with `charge`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Annotated, NamedTuple

from netspec.diagnostics import Span


class Limits(NamedTuple):
    """The most that a spec may ask for. Reaching a limit is a mistake of the spec, with a message."""

    file_bytes: Annotated[int, "bytes of a spec file"] = 1_000_000
    nesting: Annotated[int, "levels of lists and mappings in a file"] = 1_200
    values: Annotated[int, "values of a file, after aliases are expanded"] = 200_000
    extends: Annotated[int, "specs that extend each other"] = 16
    imports: Annotated[int, "files that one compilation imports"] = 100
    items: Annotated[int, "items of a list in an expression, those of the lists in it included"] = 100_000
    work: Annotated[int, "steps of work, such as a character of an expression or an item of a list"] = 20_000_000
    copies: Annotated[int, "copies of one `repeat`, and rows of one `for`"] = 10_000
    levels: Annotated[int, "levels of blocks inside blocks"] = 1_000
    nodes: Annotated[int, "nodes of a network, each copy counted"] = 100_000
    steps: Annotated[int, "rows, copies and nodes that are looked at on the way"] = 300_000
    memory: Annotated[int, "bytes of all parameters, and of any one value of one sample"] = 2**40
    mistakes: Annotated[int, "mistakes that are reported before netspec gives up"] = 100


DEFAULTS = Limits()


class TooLarge(Exception):
    """Raised through all stages when a spec asks for too much to go on; whoever knows the place first, names it."""

    def __init__(self, message: str, span: Span | None = None) -> None:
        super().__init__(message)
        self.span = span

    def place(self, span: Span) -> TooLarge:
        self.span = self.span or span
        return self


class _Account:
    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.work = 0


_ACCOUNT: ContextVar[_Account | None] = ContextVar("account", default=None)


@contextmanager
def in_force(limits: Limits | None) -> Iterator[None]:
    """Put limits, or the defaults, in force for what happens inside."""
    token = _ACCOUNT.set(_Account(limits or DEFAULTS))
    try:
        yield
    finally:
        _ACCOUNT.reset(token)


def limits() -> Limits:
    """The limits in force."""
    account = _ACCOUNT.get()
    return account.limits if account else DEFAULTS


def spent() -> int:
    """Work that the compilation has paid for."""
    account = _ACCOUNT.get()
    return account.work if account else 0


def charge(amount: int) -> None:
    """Pay for work of a compilation. Raises `TooLarge` when it has done too much."""
    account = _ACCOUNT.get()
    if account is None:
        return
    account.work += amount
    if account.work > account.limits.work:
        raise TooLarge(f"this spec takes more than {account.limits.work:,} steps of work")
