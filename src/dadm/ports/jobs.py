"""Jobs: work that one replica does for all of them."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class JobKey:
    """What is done, and to whom: a job of that name for each engine, say. `subject` may be `""`."""

    name: str
    subject: str = ""


class Jobs(Protocol):
    """Who does a job, until when, and how far it has come.

    Judged by the store's clock alone. A job whose owner's time has run out but that was not given
    to anybody else is still the owner's. Repeating any call is safe.
    """

    async def take_job(self, job: JobKey, *, owner: str, lease_seconds: float) -> int | None:
        """Take a job, or keep it, for that long from now.

        Gives the position that was noted last, 0 where none was, or None while the job is
        another's, or rests.
        """
        ...

    async def note_job(self, job: JobKey, *, owner: str, position: int) -> bool:
        """Note how far the job has come, for whoever takes it next; False if it is not `owner`'s."""
        ...

    async def leave_job(self, job: JobKey, *, owner: str, rest_seconds: float = 0.0) -> None:
        """Give the job up; nobody is given it for `rest_seconds`. Nothing if it is not `owner`'s."""
        ...
