"""A record of every request, model call and change of a conversation, for tests to compare with."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TypeAlias, get_args

from dadm.adapters.simulators.openai.wire import Call, JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSeen:
    """A request that arrived; `outcome` is empty until it ends.

    `outcome` is the HTTP status of the reply, `streamed`, `caller gone` or `dropped`.
    """

    at: float
    number: int
    method: str
    path: str
    idempotency_key: str | None
    retry_count: int
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall:
    """The model is about to be asked; `messages` are pairs of role and text, as it is shown them."""

    at: float
    response_id: str
    conversation_id: str | None
    model: str
    instructions: str | None
    messages: tuple[tuple[str, str], ...]
    metadata: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseEnded:
    """A response reached its last status, or was forgotten when its caller left."""

    at: float
    response_id: str
    conversation_id: str | None
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Append:
    """Items were added to a conversation at once, by a response or (no id) by a caller.

    `lost` means that the conversation was gone by then: the items went nowhere.
    """

    at: float
    conversation_id: str
    response_id: str | None
    items: tuple[JsonObject, ...]
    lost: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """An item, or (no id) a whole conversation, was removed."""

    at: float
    conversation_id: str
    item_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultStruck:
    """A fault had its effect, on a request, on its reply, or on the run that it began.

    `rule` is the id of the rule and `fault` what it does; `request_number` is that of the
    `RequestSeen`. The ids are those known where the fault struck.
    """

    at: float
    rule: str
    fault: str
    request_number: int
    conversation_id: str | None
    response_id: str | None


Entry: TypeAlias = RequestSeen | ModelCall | ResponseEnded | Append | Removal | FaultStruck

KINDS_OF_ENTRY = tuple(kind.__name__ for kind in get_args(Entry))


class Ledger:
    """Entries in the order in which things happened; only requests are completed later."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._entries: list[Entry] = []
        self._places: dict[int, int] = {}

    @property
    def entries(self) -> tuple[Entry, ...]:
        return tuple(self._entries)

    def model_calls(self, conversation_id: str | None = None) -> list[ModelCall]:
        """Give the model calls, of one conversation or of all."""
        return [
            entry
            for entry in self._entries
            if isinstance(entry, ModelCall) and conversation_id in {None, entry.conversation_id}
        ]

    def appends(self, conversation_id: str | None = None) -> list[Append]:
        """Give the appends, of one conversation or of all, those lost included."""
        return [
            entry
            for entry in self._entries
            if isinstance(entry, Append) and conversation_id in {None, entry.conversation_id}
        ]

    def requests(self, method: str | None = None, path: str | None = None) -> list[RequestSeen]:
        """Give the requests that arrived, of one method, one path or all."""
        return [
            entry
            for entry in self._entries
            if isinstance(entry, RequestSeen)
            and method in {None, entry.method}
            and path in {None, entry.path}
        ]

    def faults(self, fault: str | None = None) -> list[FaultStruck]:
        """Give the strikes of one kind of fault or of all, such as `drop-reply`."""
        return [
            entry
            for entry in self._entries
            if isinstance(entry, FaultStruck) and fault in {None, entry.fault}
        ]

    def as_json(self, kind: str | None = None) -> list[JsonObject]:
        """Give the entries of one kind, by the name of its class, or all."""
        return [
            {"kind": type(entry).__name__} | asdict(entry)
            for entry in self._entries
            if kind in {None, type(entry).__name__}
        ]

    def request_arrived(self, call: Call) -> None:
        self._places[call.number] = len(self._entries)
        self._entries.append(
            RequestSeen(
                at=self._now(),
                number=call.number,
                method=call.method,
                path=call.path,
                idempotency_key=call.idempotency_key,
                retry_count=call.retry_count,
                outcome="",
            )
        )

    def request_ended(self, call: Call, outcome: str) -> None:
        place = self._places[call.number]
        entry = self._entries[place]
        if isinstance(entry, RequestSeen):
            self._entries[place] = replace(entry, outcome=outcome)

    def model_called(
        self,
        *,
        response_id: str,
        conversation_id: str | None,
        model: str,
        instructions: str | None,
        messages: tuple[tuple[str, str], ...],
        metadata: dict[str, str],
    ) -> None:
        self._entries.append(
            ModelCall(
                at=self._now(),
                response_id=response_id,
                conversation_id=conversation_id,
                model=model,
                instructions=instructions,
                messages=messages,
                metadata=metadata,
            )
        )

    def fault_struck(
        self,
        *,
        rule: str,
        fault: str,
        request_number: int,
        conversation_id: str | None,
        response_id: str | None,
    ) -> None:
        self._entries.append(
            FaultStruck(
                at=self._now(),
                rule=rule,
                fault=fault,
                request_number=request_number,
                conversation_id=conversation_id,
                response_id=response_id,
            )
        )

    def response_ended(self, *, response_id: str, conversation_id: str | None, status: str) -> None:
        self._entries.append(
            ResponseEnded(
                at=self._now(),
                response_id=response_id,
                conversation_id=conversation_id,
                status=status,
            )
        )

    def appended(
        self,
        *,
        conversation_id: str,
        response_id: str | None,
        items: list[JsonObject],
        lost: bool = False,
    ) -> None:
        self._entries.append(
            Append(
                at=self._now(),
                conversation_id=conversation_id,
                response_id=response_id,
                items=tuple(items),
                lost=lost,
            )
        )

    def removed(self, *, conversation_id: str, item_id: str | None) -> None:
        self._entries.append(
            Removal(at=self._now(), conversation_id=conversation_id, item_id=item_id)
        )
