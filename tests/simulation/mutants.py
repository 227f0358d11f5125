"""Mutants: the protocol broken in one place each, which the simulation has to notice.

Each replaces a function of the product while it is entered. One sentence says what it breaks, and
a seed is known under which that shows.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

Mutation: TypeAlias = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A broken product: `breaks` says in one sentence what it does wrong.

    What shows once in many thousand seeds is looked for from `first_seed` on, which found it.
    """

    name: str
    breaks: str
    mutation: Mutation
    first_seed: int = 0


@contextmanager
def replaced(owner: Any, name: str, change: Callable[[Any], Any]) -> Iterator[None]:
    """Replace an attribute by what `change` makes of it."""
    before = owner.__dict__[name]
    setattr(owner, name, change(before))
    try:
        yield
    finally:
        setattr(owner, name, before)
