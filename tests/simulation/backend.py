"""SimulatedBackend: conversations and runs at a provider, with its promises and without ours.

An exchange is appended whole, when its run has ended, if the conversation is still there. One run
holds a conversation at a time. Runs go on when their caller is gone, where the weather says so,
can be retrieved by their response id, and leave items that can be listed. The other kind keeps
nothing: it is shown a history, answers, and forgets.

Everything here happens in the network's context: no replica's crash touches it.
"""

from collections.abc import Callable, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any, Final

from dadm.adapters.backends.openai_items import run_state
from dadm.domain.errors import BackendRefused, ConversationTooLong
from dadm.domain.json import JsonObject
from dadm.domain.thread import BackendIdentity, ConversationId
from dadm.domain.transcript import Message, Role
from dadm.ports.backend import ErasureReport, Finding, KeptMessage, Question, RunGone, RunState
from tests.simulation.conversations import Conversation, Conversations, Item
from tests.simulation.ledger import Append, Ledger, ModelCall
from tests.simulation.record import Record
from tests.simulation.scheduler import SimulatedLoop
from tests.simulation.storm import Storm
from tests.simulation.weather import Trouble

IDENTITY: Final = BackendIdentity(adapter="simulated", address="https://simulated")
USAGE: Final = {"input_tokens": 10, "output_tokens": 5}
HARD_FAILURE: Final = {"code": "invalid_image", "message": "It cannot be read."}
SOFT_FAILURE: Final = {"code": "server_error", "message": "Something broke."}


@dataclass(slots=True, kw_only=True)
class Run:
    """A run from its start to its end; `listeners` are told when it has ended."""

    id: str
    question: Question
    status: str = "in_progress"
    items: list[Item] = field(default_factory=list)
    error: dict[str, str] | None = None
    is_expired: bool = False
    listeners: list[Callable[[], None]] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        """Whether it has ended, one way or another."""
        return self.status != "in_progress"

    def response(self) -> dict[str, Any]:
        """Give it as the provider tells it."""
        return {
            "id": self.id,
            "status": self.status,
            "output": self.items,
            "error": self.error,
            "usage": USAGE,
            "incomplete_details": {"reason": "max_output_tokens"},
        }


class SimulatedBackend:
    """What the provider does; `tells_live` asks the store about a conversation and a task's turn."""

    append_limit = 3

    def __init__(
        self,
        loop: SimulatedLoop,
        storm: Storm,
        record: Record,
        tells_live: Callable[[str, str], tuple[bool, bool]],
    ) -> None:
        """Begin without conversations."""
        self._loop = loop
        self._storm = storm
        self._record = record
        self._tells_live = tells_live
        self._network = Context()
        self.ledger = Ledger()
        self.conversations = Conversations()
        self.runs: dict[str, Run] = {}
        self.keeps_conversations = storm.weather.keeps_conversations
        self.history_characters = 0 if self.keeps_conversations else 100_000

    @property
    def running(self) -> list[Run]:
        """The runs that have not ended."""
        return [run for run in self.runs.values() if not run.is_over]

    def open(self, labels: JsonObject) -> ConversationId:
        """Open a conversation."""
        conversation_id = f"conv_{len(self.ledger.opened) + 1}"
        self.ledger.opened[conversation_id] = (str(labels["scope"]), str(labels["assistant"]))
        if self.keeps_conversations:
            self.conversations.by_id[conversation_id] = Conversation(id=conversation_id)
        self._record.note("backend", "opens", conversation_id, labels)
        return ConversationId(conversation_id)

    def start(self, question: Question) -> Run:
        """Begin a run, which holds its conversation until it has ended.

        Raises:
            ConversationLost: There is no such conversation.
            ConversationBusy: Another run holds it.
            ConversationBroken: A call in it was never answered.
            BackendRefused, ConversationTooLong: The weather says so.
        """
        task = str(question.labels["task"])
        shown = question.history.messages
        conversation = None
        if self.keeps_conversations:
            conversation = self.conversations.of(question.conversation_id)
            conversation.refuse_if_locked()
            conversation.refuse_if_broken()
            shown = conversation.messages()
        if self._storm.strikes(Trouble.RUN_REFUSED, about=task):
            raise BackendRefused("It is against the policy.")
        if shown and self._storm.strikes(Trouble.RUN_TOO_LONG, about=task):
            raise ConversationTooLong("It does not fit the window.")
        run = Run(id=f"run_{len(self.runs) + 1}", question=question)
        self.runs[run.id] = run
        if conversation is not None:
            conversation.locked_by = run.id
        self.ledger.calls.append(
            ModelCall(
                at=self._loop.time(),
                run=run.id,
                conversation_id=question.conversation_id,
                scope=str(question.labels["scope"]),
                assistant=question.assistant.name,
                task=task,
                prompt=question.prompt,
                shown=tuple(shown),
            )
        )
        self._record.note("backend", "model", run.id, task, "in", question.conversation_id)
        self._loop.call_later(self._duration(task), self._end, run, context=self._network)
        return run

    def _duration(self, task: str) -> float:
        if self._storm.strikes(Trouble.RUN_SLOW, about=task):
            return self._storm.seconds(20.0, 300.0)
        return self._storm.seconds(0.05, 2.0) * self._storm.weather.model_seconds

    def _end(self, run: Run) -> None:
        task = str(run.question.labels["task"])
        if run.is_over:
            return
        if self._storm.strikes(Trouble.RUN_FAILED, about=task):
            self.finish(run, "failed", error=SOFT_FAILURE)
        elif self._storm.strikes(Trouble.RUN_FAILED_FOR_GOOD, about=task):
            self.finish(run, "failed", error=HARD_FAILURE)
        elif self._storm.strikes(Trouble.RUN_CUT_SHORT, about=task):
            self.finish(run, "incomplete")
        elif self._storm.strikes(Trouble.RUN_CANCELLED, about=task):
            self.finish(run, "cancelled")
        else:
            self.finish(run, "completed")

    def finish(self, run: Run, status: str, *, error: dict[str, str] | None = None) -> None:
        """End a run, once; append what its end appends, and tell who listens."""
        if run.is_over:
            return
        run.status, run.error = status, error
        if status in {"completed", "incomplete"}:
            answer = self.ledger.answer_of(run.id, run.question.assistant.name)
            text = answer if status == "completed" else "This is half an"
            run.items = self.conversations.message_items([Message(role=Role.ASSISTANT, text=text)])
            run.items[0]["status"] = status
        self._record.note("backend", "ends", run.id, status)
        self._append_exchange(run)
        for listener in run.listeners:
            listener()

    def _append_exchange(self, run: Run) -> None:
        conversation = self.conversations.by_id.get(run.question.conversation_id)
        if conversation is None:
            return
        if conversation.locked_by == run.id:
            conversation.locked_by = ""
        weather = self._storm.weather
        appended = {
            "completed": "both",
            "incomplete": weather.appends_when_cut_short,
            "failed": weather.appends_when_failed,
        }.get(run.status, "nothing")
        if appended == "nothing":
            return
        asked = Message(role=Role.USER, text=run.question.prompt)
        items = self.conversations.message_items([asked])
        items += run.items if appended == "both" else []
        self.add(conversation, items, run=run)

    def add(self, conversation: Conversation, items: list[Item], *, run: Run | None) -> None:
        """Let items enter a conversation, and write that down."""
        conversation.items += items
        task = str(run.question.labels["task"]) if run else ""
        was_live, had_answer = self._tells_live(conversation.id, task)
        append = Append(
            at=self._loop.time(),
            conversation_id=conversation.id,
            messages=Conversation(id="", items=items).messages(),
            item_ids=tuple(item["id"] for item in items),
            run=run.id if run else "",
            task=task,
            is_foreign=bool({item["id"] for item in items} & conversation.foreign),
            is_answer=run is not None and run.status == "completed",
            was_live=was_live,
            had_answer=had_answer,
        )
        self.ledger.appends.append(append)
        self._record.note("backend", "appends", append)

    def caller_left(self, run: Run) -> None:
        """Take note that nobody listens to a run any more; some runs do not survive that."""
        if not (run.is_over or self._storm.weather.runs_outlive_callers):
            run.is_expired = True
            self.finish(run, "forgotten")

    def retrieve(self, response_id: str) -> RunState:
        """Say how a run stands."""
        run = self.runs.get(response_id)
        if run is None or run.is_expired:
            return RunGone()
        return run_state(run.response())

    def cancel(self, response_id: str) -> None:
        """Stop a run that has not ended."""
        run = self.runs.get(response_id)
        if run is not None:
            self.finish(run, "cancelled")

    def look(self, conversation_id: str, *, after_item: str, prompt: str) -> Finding:
        """Look for our exchange in the conversation's items."""
        conversation = self.conversations.of(conversation_id)
        return conversation.find(after_item=after_item, prompt=prompt)

    def exists(self, conversation_id: str) -> bool:
        """Say whether there is such a conversation; always, where none are kept."""
        return not self.keeps_conversations or conversation_id in self.conversations.by_id

    def messages(self, conversation_id: str, *, after_item: str) -> tuple[KeptMessage, ...]:
        """Give the messages of a conversation behind an item."""
        return self.conversations.of(conversation_id).kept(after_item=after_item)

    def append(self, conversation_id: str, messages: Sequence[Message]) -> str:
        """Write copies into a conversation."""
        conversation = self.conversations.of(conversation_id)
        conversation.refuse_if_locked()
        self.add(conversation, self.conversations.message_items(messages), run=None)
        return str(conversation.items[-1]["id"])

    def link(self, conversation_id: str, item_ids: Sequence[str]) -> None:
        """Put items that are kept elsewhere into a conversation, once.

        Raises:
            ConversationBusy: A run holds it.
        """
        conversation = self.conversations.of(conversation_id)
        conversation.refuse_if_locked()
        if not {item["id"] for item in conversation.items} & set(item_ids):
            items = [self.conversations.items[item_id] for item_id in item_ids]
            self.add(conversation, items, run=None)

    def erase(
        self, conversation_id: str, *, response_ids: Sequence[str], spare: frozenset[str]
    ) -> ErasureReport:
        """Delete a conversation and the named runs."""
        gone = self.conversations.by_id.pop(conversation_id, None)
        runs = [self.runs[name] for name in response_ids if name in self.runs]
        for run in runs:
            run.is_expired = True
        items = len({item["id"] for item in gone.items} - spare) if gone else 0
        return ErasureReport(deleted_items=items, deleted_responses=len(runs))
