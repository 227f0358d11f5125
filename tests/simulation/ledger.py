"""The backend's own ledger: every model call, every append, every loss, in the order they happened."""

from dataclasses import dataclass, field

from dadm.domain.transcript import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall:
    """The model was asked. `shown` is all that it was shown before the prompt, in order."""

    at: float
    run: str
    conversation_id: str
    scope: str
    assistant: str
    task: str
    prompt: str
    shown: tuple[Message, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Append:
    """Messages entered a conversation at once.

    `run` is "" where no run appended them; `is_foreign` if somebody else wrote them; `is_answer`
    if they hold the whole answer of the run. `was_live` says whether the conversation was its
    thread's live one by then, and `had_answer` whether the run's turn had its answer in the store.
    """

    at: float
    conversation_id: str
    messages: tuple[Message, ...]
    item_ids: tuple[str, ...]
    run: str = ""
    task: str = ""
    is_foreign: bool = False
    is_answer: bool = False
    was_live: bool = False
    had_answer: bool = False


@dataclass(slots=True)
class Ledger:
    """What the backend wrote down."""

    calls: list[ModelCall] = field(default_factory=list)
    appends: list[Append] = field(default_factory=list)
    opened: dict[str, tuple[str, str]] = field(default_factory=dict)
    """For each conversation, the scope and the assistant that it was opened for."""
    lost: dict[str, float] = field(default_factory=dict)
    """When a conversation was deleted behind our back."""
    removed: set[str] = field(default_factory=set)
    """Conversations that somebody removed an item from."""

    def appends_to(self, conversation_id: str) -> list[Append]:
        """Give what entered one conversation."""
        return [each for each in self.appends if each.conversation_id == conversation_id]

    def answer_of(self, run: str, assistant: str) -> str:
        """Give the answer that a run gives; no other run gives the same."""
        call = next(each for each in reversed(self.calls) if each.run == run)
        return f"{marker(call.scope, assistant)} this is the answer of {run}."


def marker(scope: str, assistant: str) -> str:
    """Give the words that every message of one thread holds, and no message of another."""
    return f"[{scope}/{assistant}]"
