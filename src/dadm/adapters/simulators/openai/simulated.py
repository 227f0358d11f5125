"""The simulated API as its owner holds it: what it keeps, how it behaves, and its back door."""

import asyncio
import secrets
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from dadm.adapters.simulators.openai.behaviour import Behaviour, changed
from dadm.adapters.simulators.openai.faults import Faults, NoFaults
from dadm.adapters.simulators.openai.ledger import Ledger
from dadm.adapters.simulators.openai.responders import Echo, Responder
from dadm.adapters.simulators.openai.state import State, StoredResponse
from dadm.adapters.simulators.openai.wire import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model that is offered; a reasoning one refuses `temperature` and `top_p`.

    `window` is in tokens of the simulator (see `context.tokens_of`), output not counted.
    """

    id: str
    window: int = 128_000
    is_reasoning: bool = False


DEFAULT_MODELS = (Model(id="simulated"), Model(id="simulated-reasoning", is_reasoning=True))


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
            faults: What goes wrong; by default nothing.
            api_keys: The keys that are taken; by default any.
            models: The models that are listed.
            accepts_other_models: Any other name is taken for a model too.
            clock: Gives the unix time, in seconds.
            mint: Gives a new id with a prefix; never the same twice.
        """
        self.responder: Responder = responder or Echo()
        self.faults: Faults = faults or NoFaults()
        self.api_keys = None if api_keys is None else tuple(api_keys)
        self.models = tuple(models)
        self.accepts_other_models = accepts_other_models
        self.now = clock
        self.mint = mint
        self.ledger = Ledger(clock)
        self.state = State(now=clock, mint=mint, ledger=self.ledger)
        self.replies_by_key: dict[tuple[str, str], JsonObject] = {}
        self.responses_by_key: dict[str, StoredResponse] = {}
        self._behaviour = behaviour or Behaviour()
        self._tasks: asyncio.TaskGroup | None = None
        self._running: set[asyncio.Task[None]] = set()

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

    def hold_lock(self, conversation_id: str) -> None:
        """Lock a conversation as if a response of someone else were running on it.

        Raises:
            ApiError: there is no such conversation.
        """
        self.state.conversation(conversation_id).is_held = True

    def release_lock(self, conversation_id: str) -> None:
        """Undo `hold_lock`; the lock of a running response stays.

        Raises:
            ApiError: there is no such conversation.
        """
        self.state.conversation(conversation_id).is_held = False
