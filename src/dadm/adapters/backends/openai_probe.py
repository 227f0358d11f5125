"""OpenAIProbe: asks OpenAI, by trying, the questions that its documents leave open."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import httpx2

from dadm.adapters.backends import (
    openai_probe_endings,
    openai_probe_items,
    openai_probe_requests,
    openai_probe_runs,
)
from dadm.adapters.backends.openai_access import open_access
from dadm.adapters.backends.openai_probe_ground import (
    LONG_TOKENS,
    SHORT_TOKENS,
    ProbeGround,
    ProbeQuestion,
)
from dadm.adapters.backends.openai_probe_terms import USUAL_PACE, NotAnswered, Pace
from dadm.domain.errors import BackendError
from dadm.ports.probe import Finding, OpenQuestion, ProbePlan

QUESTIONS = (
    *openai_probe_items.QUESTIONS,
    *openai_probe_endings.QUESTIONS,
    *openai_probe_runs.QUESTIONS,
    *openai_probe_requests.QUESTIONS,
)
NOT_FORESEEN = "not foreseen: please report it"
REQUESTS_TO_CLEAN_UP = 5
"""About how many requests take away what one question has made."""


class OpenAIProbe:
    """Probes one account with one model; see the port."""

    def __init__(
        self,
        *,
        model: str,
        api_key: str | None = None,
        base_url: str | None = None,
        organization: str | None = None,
        project: str | None = None,
        request_timeout_seconds: float = 60.0,
        pace: Pace = USUAL_PACE,
        http_client: httpx2.AsyncClient | None = None,
    ) -> None:
        """Prepare; nothing is sent yet. What is None, the SDK reads from its environment.

        Raises:
            BackendMisconfigured: There is no key, or the key or the address cannot be sent.
        """
        self._access = open_access(
            api_key=api_key,
            base_url=base_url,
            organization=organization,
            project=project,
            timeout_seconds=request_timeout_seconds,
            http_client=http_client,
        )
        self._owns_http_client = http_client is None
        self._model = model
        self._pace = pace
        self._ground = ProbeGround(self._access, model=model, pace=pace)

    @property
    def questions(self) -> tuple[OpenQuestion, ...]:
        """All of them."""
        return tuple(OpenQuestion(name=each.name, asks=each.asks) for each in QUESTIONS)

    @property
    def left_behind(self) -> tuple[str, ...]:
        """What was made and is not known to be gone."""
        return self._ground.traces.left_behind

    def plan(self, names: Sequence[str]) -> ProbePlan:
        """Add up what the questions say of themselves."""
        asked = _named(names)
        runs = sum(each.runs for each in asked)
        return ProbePlan(
            address=self._access.address,
            model=self._model,
            question_count=len(asked),
            request_count=sum(each.requests + REQUESTS_TO_CLEAN_UP for each in asked),
            run_count=runs,
            output_token_count=runs * max(SHORT_TOKENS, LONG_TOKENS),
        )

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None, None]:
        """Look for the model first, which costs nothing."""
        try:
            await self._access.check_model(self._model)
            async with self._ground.traces.taken_away():
                yield
        finally:
            if self._owns_http_client:
                await self._access.client.close()

    async def findings(self, names: Sequence[str]) -> AsyncGenerator[Finding, None]:
        """Ask one after the other, and take away after each what it has made."""
        for question in _named(names):
            yield await self._finding(question)
            await self._ground.traces.clean_up()

    async def _finding(self, question: ProbeQuestion) -> Finding:
        answer = decides = ""
        try:
            async with asyncio.timeout(self._pace.question):
                observed = await question.look(self._ground)
            answer, evidence = observed.answer, observed.evidence
            decides = question.decides.get(answer, NOT_FORESEEN)
        except TimeoutError:
            evidence = f"There was no answer within {self._pace.question:g} seconds."
        except NotAnswered as why:
            evidence = str(why)
        except BackendError as error:
            evidence = error.message
        return Finding(
            question=question.name,
            asks=question.asks,
            answer=answer,
            evidence=evidence,
            decides=decides,
        )


def _named(names: Sequence[str]) -> list[ProbeQuestion]:
    return [question for question in QUESTIONS if question.name in names]
