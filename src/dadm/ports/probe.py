"""Probe: asks a backend the questions that its documents leave open, and cleans up behind itself."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenQuestion:
    """A question, by the name it is asked for and in words."""

    name: str
    asks: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What probing one question found.

    `answer` is one word or a few; it is empty where the question could not be answered, and
    `evidence` then says why. Otherwise `evidence` is what was observed, and `decides` the setting
    that the answer decides, or the assumption of ours that it confirms or breaks.
    """

    question: str
    asks: str
    answer: str
    evidence: str
    decides: str

    @property
    def is_answered(self) -> bool:
        """Whether there is an answer."""
        return bool(self.answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbePlan:
    """What asking some questions takes: requests about, and runs of the model at most.

    `output_token_count` is the most that all the runs together may put out.
    """

    address: str
    model: str
    question_count: int
    request_count: int
    run_count: int
    output_token_count: int


class Probe(Protocol):
    """Asks questions of one backend by trying things out there.

    Leaving it deletes all that was made, however it is left, in bounded time; nothing that it made
    is ever used by others, and nothing of others is touched.
    """

    @property
    def questions(self) -> Sequence[OpenQuestion]:
        """All the questions it can ask, in order."""
        ...

    @property
    def left_behind(self) -> Sequence[str]:
        """What could not be deleted, by id or in words; complete once the probe was left."""
        ...

    def plan(self, names: Sequence[str]) -> ProbePlan:
        """Say what these questions take."""
        ...

    def opened(self) -> AbstractAsyncContextManager[None]:
        """Make sure that the backend can be used; delete what was made on leaving.

        Raises:
            BackendUnavailable: It cannot be reached.
            BackendMisconfigured: Our key, or the model, is wrong.
        """
        ...

    def findings(self, names: Sequence[str]) -> AsyncGenerator[Finding, None]:
        """Ask these questions one after the other, each in bounded time.

        A question that cannot be answered has a finding that says so; the others are asked all
        the same.
        """
        ...
