"""AnswerFinding: looks for an open turn's answer where it was asked, and changes nothing."""

from dataclasses import dataclass
from typing import TypeAlias

from dadm.application.world import World
from dadm.domain.thread import Generation, Thread
from dadm.domain.turn import Attempt, Turn
from dadm.ports.backend import Answered, ConversationBackend, FoundAnswered, Running


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The answer, and the conversation that holds it."""

    answered: Answered
    generation: Generation


@dataclass(frozen=True, slots=True, kw_only=True)
class NotFound:
    """It is not there, or not yet; `said` says so, and what to do."""

    said: str


Search: TypeAlias = Found | NotFound


class AnswerFinding:
    """Looks for answers on a person's word, also in a conversation that is no longer live.

    A named run is retrieved; otherwise, or where that gives no answer, the conversation is looked
    at behind the item known before the request left. Only the latest attempt counts: behind what
    earlier ones knew, another turn of the same words may have been answered since.
    """

    def __init__(self, world: World) -> None:
        """Look at the world's backends."""
        self._store = world.store
        self._backends = world.backends

    async def find(self, thread: Thread, turn: Turn) -> Search:
        """Look for the answer to the turn's latest attempt.

        Raises:
            BackendError: Looking did not succeed.
        """
        generations = {each.number: each for each in await self._store.generations(thread.ref)}
        attempts = await self._store.attempts(turn.ref)
        found = None
        if attempts and attempts[-1].generation in generations:
            latest = attempts[-1]
            found = await self._at(generations[latest.generation], latest, turn)
        return found or NotFound(
            said=f"No answer to turn {turn.ref} is at its backend. If you have one, give it with "
            "--answer or --answer-file; else have it asked again: --as resubmit."
        )

    async def _at(self, generation: Generation, attempt: Attempt, turn: Turn) -> Search | None:
        backend = await self._backends.of(generation.identity)
        if not backend.keeps_conversations:
            return None
        if attempt.response_id:
            state = await backend.retrieve(generation.conversation_id, attempt.response_id)
            match state:
                case Answered():
                    return Found(answered=state, generation=generation)
                case Running():
                    return NotFound(
                        said=f"Run {attempt.response_id} of turn {turn.ref} is still under way: "
                        "try again when it has ended."
                    )
                case _:
                    pass
        return await self._in_conversation(backend, generation, attempt, turn)

    async def _in_conversation(
        self,
        backend: ConversationBackend,
        generation: Generation,
        attempt: Attempt,
        turn: Turn,
    ) -> Search | None:
        if not await backend.exists(generation.conversation_id):
            return None
        finding = await backend.look(
            generation.conversation_id, after_item=attempt.item_before, prompt=turn.prompt
        )
        if not isinstance(finding, FoundAnswered):
            return None
        if finding.is_by_text_alone:
            return NotFound(
                said="There is an answer to the same words, but the message before it is gone, so "
                "it may be that of an earlier turn. If it is this turn's, give it with --answer."
            )
        return Found(answered=finding.answered, generation=generation)
