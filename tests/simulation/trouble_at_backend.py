"""TroubleAtBackend: what others do to conversations and runs behind our back."""

from collections.abc import Callable

from dadm.domain.transcript import Message, Role
from tests.simulation.conversations import Conversation
from tests.simulation.program import Shared
from tests.simulation.weather import Trouble

SOMEBODY = "somebody else's run"


class TroubleAtBackend:
    """Deletes, locks, and writes to conversations; forgets runs."""

    def __init__(self, shared: Shared) -> None:
        """Trouble the backend of a run."""
        self._shared = shared
        self._storm = shared.storm
        self._backend = shared.backend
        self._acts: dict[Trouble, Callable[[Conversation], None]] = {
            Trouble.CONVERSATION_LOST: self._lose,
            Trouble.CONVERSATION_LOCKED: self._lock,
            Trouble.CONVERSATION_FOREIGN: self._write,
            Trouble.CONVERSATION_ORPHAN: self._orphan,
            Trouble.CONVERSATION_ITEM_GONE: self._remove_item,
        }

    def act(self, trouble: Trouble) -> Callable[[], None] | None:
        """Give what brings that trouble, None if it is not of this kind."""
        if trouble is Trouble.RUN_EXPIRED:
            return self._expire_run
        act = self._acts.get(trouble)
        return None if act is None else lambda: self._to_some(act)

    def clear(self) -> None:
        """Take away the locks of others."""
        for conversation in self._backend.conversations.by_id.values():
            self._unlock(conversation)

    def _to_some(self, act: Callable[[Conversation], None]) -> None:
        there = list(self._backend.conversations.by_id.values())
        if there:
            act(self._storm.pick(there))

    def _lose(self, conversation: Conversation) -> None:
        self._shared.record.note("weather", "deletes", conversation.id)
        self._backend.ledger.lost[conversation.id] = self._shared.loop.time()
        del self._backend.conversations.by_id[conversation.id]

    def _lock(self, conversation: Conversation) -> None:
        if not conversation.locked_by:
            self._shared.record.note("weather", "locks", conversation.id)
            conversation.locked_by = SOMEBODY
            wait = self._storm.seconds(1.0, 100.0)
            self._shared.network.later(wait, lambda: self._unlock(conversation))

    def _unlock(self, conversation: Conversation) -> None:
        if conversation.locked_by == SOMEBODY:
            conversation.locked_by = ""

    def _write(self, conversation: Conversation) -> None:
        if conversation.locked_by:
            return
        wording = (Role.USER, "[foreign] And you?"), (Role.ASSISTANT, "[foreign] I am well.")
        spoken = [Message(role=role, text=text) for role, text in wording]
        if self._is_behind_an_answer(conversation):
            spoken = self._storm.pick((spoken, spoken[:1], spoken[1:]))
        items = self._backend.conversations.message_items(spoken)
        conversation.foreign |= {item["id"] for item in items}
        self._backend.add(conversation, items, run=None)

    def _is_behind_an_answer(self, conversation: Conversation) -> bool:
        """Whether nothing that is written now can be taken for an answer to what stands there.

        Behind a question without an answer, or where an answer may yet be taken out, even a
        person could not tell.
        """
        can_be_taken_out = Trouble.CONVERSATION_ITEM_GONE in self._storm.weather.chances
        last = conversation.items[-1:]
        return not can_be_taken_out and all(item.get("role") == "assistant" for item in last)

    def _orphan(self, conversation: Conversation) -> None:
        if conversation.locked_by:
            return
        item = self._backend.conversations.new_item(type="function_call", call_id="call")
        conversation.foreign.add(item["id"])
        self._backend.add(conversation, [item], run=None)

    def _remove_item(self, conversation: Conversation) -> None:
        if conversation.items and not conversation.locked_by:
            gone = conversation.items.pop(self._storm.whole(0, len(conversation.items) - 1))
            self._shared.record.note("weather", "removes", gone["id"], "from", conversation.id)
            self._backend.ledger.removed.add(conversation.id)

    def _expire_run(self) -> None:
        over = [run for run in self._backend.runs.values() if run.is_over]
        if over:
            run = self._storm.pick(over)
            self._shared.record.note("weather", "expires", run.id)
            run.is_expired = True
