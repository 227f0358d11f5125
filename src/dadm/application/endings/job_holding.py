"""JobHolding: whether this replica is the one that does a job for all of them."""

from dadm.ports.clock import Clock, Identifiers
from dadm.ports.jobs import JobKey, Jobs

LEASE_SECONDS = 90.0
"""How long a job stays with a replica that has died."""

ASK_SECONDS = 30.0
"""How often a replica asks for a job, or keeps it."""


class JobHolding:
    """Holds a job for as long as this replica asks for it again and again.

    What is done under it must be harmless if two do it: who was stopped for long may still be at
    it when another has taken over.
    """

    def __init__(self, jobs: Jobs, job: JobKey, clock: Clock, identifiers: Identifiers) -> None:
        """Hold `job` in `jobs`, under a name that no other replica has."""
        self._jobs = jobs
        self._job = job
        self._clock = clock
        self._owner = identifiers.new_id("replica")
        self._is_held = False
        self._asked_at: float | None = None
        self._position = 0

    @property
    def position(self) -> int:
        """How far the job has come: what was noted here, or by whoever had it before."""
        return self._position

    async def is_held(self) -> bool:
        """Whether the job is this replica's; costs a statement now and then.

        Raises:
            StoreError: The store does not say.
        """
        now = self._clock.monotonic()
        if self._asked_at is None or now - self._asked_at >= ASK_SECONDS:
            position = await self._jobs.take_job(
                self._job, owner=self._owner, lease_seconds=LEASE_SECONDS
            )
            self._asked_at = now
            self._is_held = position is not None
            self._position = position or 0
        return self._is_held

    async def note(self, position: int) -> None:
        """Note how far the job has come.

        Raises:
            StoreError: The store did not confirm.
        """
        if await self._jobs.note_job(self._job, owner=self._owner, position=position):
            self._position = position
        else:
            self._is_held = False

    async def leave(self, *, rest_seconds: float = 0.0) -> None:
        """Give the job up; nobody has it for that long.

        Raises:
            StoreError: The store did not confirm.
        """
        self._is_held = False
        self._asked_at = None
        await self._jobs.leave_job(self._job, owner=self._owner, rest_seconds=rest_seconds)
