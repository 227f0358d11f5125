"""What a worker and its engine said to each other, with times, read off the worker's own connections."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import httpx2


@dataclass(frozen=True, slots=True)
class HandedOut:
    """A task that a reply brought."""

    task_id: str
    instance_id: str


class Dialect(Protocol):
    """How an engine's requests and replies are read."""

    def handed_out(self, path: str, reply: bytes) -> list[HandedOut]:
        """Give the tasks that a reply brought."""
        ...

    def completed(self, path: str) -> str | None:
        """Give the task that a request completes, None for any other request."""
        ...


@dataclass(slots=True)
class Course:
    """The course of one task, in seconds of this machine's monotonic clock."""

    task_id: str
    handed_out_at: float
    sent_at: float = 0.0
    accepted_at: float = 0.0


@dataclass(slots=True)
class Instance:
    """An instance's tasks in order, and when each of them was ready.

    A task is ready once the request that led to it was answered: the start of the instance, or
    the completion of the task before.
    """

    courses: list[Course] = field(default_factory=list)
    ready_at: list[float] = field(default_factory=list)


class Meter:
    """Hears every request of a client and its reply.

    Attributes:
        instances: What was heard of each, by id.
        requests: How many requests there were, by what they asked for.
    """

    def __init__(self, dialect: Dialect, accepted: Callable[[str], None]) -> None:
        """Read by `dialect`; `accepted` is told an instance's id at each task's completion."""
        self.instances: dict[str, Instance] = {}
        self.requests: dict[str, int] = {}
        self._dialect = dialect
        self._accepted = accepted
        self._known: dict[str, tuple[Course, str]] = {}

    def listen(self, client: httpx2.AsyncClient) -> None:
        """Hear what `client` says from now on."""
        client.event_hooks = {"request": [self._sent], "response": [self._answered]}

    def instance(self, instance_id: str) -> Instance:
        """Give what was heard of an instance."""
        return self.instances.setdefault(instance_id, Instance())

    def forget(self) -> None:
        """Begin anew; tasks under way must have ended."""
        self.instances.clear()
        self.requests.clear()
        self._known.clear()

    async def _sent(self, request: httpx2.Request) -> None:
        path = request.url.path
        task_id = self._dialect.completed(path)
        kind = kind_of(request.method, path, task_id)
        self.requests[kind] = self.requests.get(kind, 0) + 1
        if task_id in self._known:
            self._known[task_id][0].sent_at = time.perf_counter()

    async def _answered(self, response: httpx2.Response) -> None:
        path = response.request.url.path
        task_id = self._dialect.completed(path)
        if task_id in self._known and response.is_success:
            course, instance_id = self._known[task_id]
            course.accepted_at = time.perf_counter()
            self.instance(instance_id).ready_at.append(course.accepted_at)
            self._accepted(instance_id)
        if task_id is None and response.is_success:
            reply = await response.aread()
            at = time.perf_counter()
            for handed in self._dialect.handed_out(path, reply):
                self._note(handed, at)

    def _note(self, handed: HandedOut, at: float) -> None:
        if handed.task_id in self._known:
            # Given back and handed out again: its time runs from the first.
            return
        course = Course(handed.task_id, handed_out_at=at)
        self._known[handed.task_id] = (course, handed.instance_id)
        self.instance(handed.instance_id).courses.append(course)


def kind_of(method: str, path: str, task_id: str | None) -> str:
    """Name what a request asks for, without ids."""
    if task_id is not None:
        return "complete"
    last = path.rstrip("/").rsplit("/", 1)[-1]
    return {"fetchAndLock": "fetch", "activation": "fetch"}.get(last, f"{method} {last}")
