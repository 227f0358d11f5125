"""The simulated API as its owner holds it: what it keeps, how it behaves, and its back door."""

import asyncio
import secrets
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from dadm.adapters.simulators.openai.behaviour import Behaviour, changed
from dadm.adapters.simulators.openai.clock import Clock
from dadm.adapters.simulators.openai.faults import Faults
from dadm.adapters.simulators.openai.ledger import Ledger
from dadm.adapters.simulators.openai.responders import Echo, Responder
from dadm.adapters.simulators.openai.state import State, StoredResponse
from dadm.adapters.simulators.openai.switched_faults import SwitchedFaults
from dadm.adapters.simulators.openai.wire import Call, JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model that is offered; a reasoning one refuses `temperature` and `top_p`.

    `window` is in tokens of the simulator (see `context.tokens_of`), output not counted.
    """

    id: str
    window: int = 128_000
    is_reasoning: bool = False


DEFAULT_MODELS = (Model(id="simulated"), Model(id="simulated-reasoning", is_reasoning=True))

BACK_DOOR = "back door"
"""Who holds a lock that was taken over the back door."""


def random_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(24)}"


class CountingIds:
    """Mints ids that are the same in every run: `conv_…1`, `msg_…2`."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}_{self._count:048x}"


class SimulatedOpenAI:
    """OpenAI's Conversations and Responses, in memory and on one event loop.

    Responses run in its own task group, so it must be entered (`async with`) before the first one
    is created; leaving it cancels those still running. The application made by `create_app`
    enters it when a server starts it, unless that was done before.
    """

    def __init__(
        self,
        responder: Responder | None = None,
        *,
        behaviour: Behaviour | None = None,
        faults: Faults | None = None,
        api_keys: Sequence[str] | None = None,
        models: Sequence[Model] = DEFAULT_MODELS,
        accepts_other_models: bool = True,
        clock: Callable[[], float] = time.time,
        mint: Callable[[str], str] = random_id,
    ) -> None:
        """Begin with nothing kept.

        Args:
            responder: Answers in the model's place; by default an echo.
            behaviour: Answers to the open questions.
            faults: What goes wrong; by default nothing, until rules are added.
            api_keys: The keys that are taken; by default any.
            models: The models that are listed.
            accepts_other_models: Any other name is taken for a model too.
            clock: Gives the unix time, in seconds; the simulator's own can run ahead of it.
            mint: Gives a new id with a prefix; never the same twice.
        """
        self.responder: Responder = responder or Echo()
        self.api_keys = None if api_keys is None else tuple(api_keys)
        self.models = tuple(models)
        self.accepts_other_models = accepts_other_models
        self.clock = Clock(clock)
        self.now: Callable[[], float] = self.clock
        self.mint = mint
        self.ledger = Ledger(self.clock)
        self.state = State(now=self.clock, mint=mint, ledger=self.ledger)
        self.replies_by_key: dict[tuple[str, str], JsonObject] = {}
        self.responses_by_key: dict[str, StoredResponse] = {}
        self._behaviour = behaviour or Behaviour()
        self._tasks: asyncio.TaskGroup | None = None
        self._running: set[asyncio.Task[None]] = set()
        self.faults = faults or SwitchedFaults()

    async def __aenter__(self) -> Self:
        self._tasks = await asyncio.TaskGroup().__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        tasks, self._tasks = self._tasks, None
        for task in self._running:
            task.cancel()
        if tasks is not None:
            await tasks.__aexit__(kind, error, traceback)

    @property
    def is_entered(self) -> bool:
        return self._tasks is not None

    @property
    def behaviour(self) -> Behaviour:
        return self._behaviour

    @property
    def faults(self) -> Faults:
        """What goes wrong; may be replaced at any time."""
        return self._faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        faults.strike_at(self)
        self._faults = faults

    def switch(self, **answers: object) -> Behaviour:
        """Answer some of the open questions otherwise from now on; give all the answers.

        Raises:
            UnknownAnswer: there is no such question, or no such answer to it.
        """
        self._behaviour = changed(self._behaviour, answers)
        return self._behaviour

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run `work` until it ends, is cancelled, or the simulator is left.

        Raises:
            RuntimeError: the simulator has not been entered.
        """
        if self._tasks is None:
            work.close()
            message = "Enter the simulator with `async with` before responses are created."
            raise RuntimeError(message)
        task = self._tasks.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    def model(self, name: str) -> Model | None:
        """Give the model of this name, if it is offered."""
        for model in self.models:
            if model.id == name:
                return model
        return Model(id=name) if self.accepts_other_models else None

    # What callers of the API cannot do, or not without being seen

    def conversation_ids(self) -> list[str]:
        return list(self.state.conversations)

    def items_of(self, conversation_id: str) -> list[JsonObject]:
        """Give the items of a conversation, oldest first.

        Raises:
            ApiError: there is no such conversation.
        """
        return self.state.items_of(self.state.conversation(conversation_id))

    def delete_conversation(self, conversation_id: str) -> None:
        """Delete a conversation behind its callers' backs.

        Raises:
            ApiError: there is no such conversation.
        """
        self.state.remove_conversation(self.state.conversation(conversation_id), self._behaviour)

    def hold_lock(self, conversation_id: str, *, holder: str = BACK_DOOR) -> None:
        """Lock a conversation as if a response of someone else were running on it.

        Raises:
            ApiError: there is no such conversation.
        """
        self.state.conversation(conversation_id).holders.add(holder)

    def release_lock(self, conversation_id: str, *, holder: str = BACK_DOOR) -> None:
        """Undo `hold_lock` of this holder; the lock of a running response stays.

        Raises:
            ApiError: there is no such conversation.
        """
        self.state.conversation(conversation_id).holders.discard(holder)

    def expire_response(self, response_id: str) -> None:
        """Keep a response no longer, as if its time were over; its items stay.

        Raises:
            ApiError: there is no such response.
        """
        del self.state.responses[self.state.response(response_id).id]

    def conversation_of(self, call: Call) -> str | None:
        """Give the id of the conversation that a request is about, whether there is one or not."""
        given = call.named.get("conversation_id") or call.body.get("conversation")
        if isinstance(given, dict):
            given = given.get("id")
        if given is None:
            response = self.state.responses.get(call.named.get("response_id", ""))
            given = response.request.conversation_id if response else None
        return given if isinstance(given, str) else None

    def has_conversation(self, conversation_id: str) -> bool:
        return conversation_id in self.state.conversations

    def has_response(self, response_id: str) -> bool:
        return response_id in self.state.responses

    async def response_ended(self, response_id: str) -> None:
        """Wait until a response has ended and appended; there is nothing to wait for without it."""
        response = self.state.responses.get(response_id)
        if response is not None:
            await response.events.wait_closed()
