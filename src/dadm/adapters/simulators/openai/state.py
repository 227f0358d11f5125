"""All that the simulated API keeps: conversations, items, responses, and who holds which lock."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dadm.adapters.simulators.openai import errors
from dadm.adapters.simulators.openai.behaviour import THIRTY_DAYS_SECONDS, Behaviour, OnDisconnect
from dadm.adapters.simulators.openai.events import EventLog
from dadm.adapters.simulators.openai.items import Draft, GivenItem, id_prefix
from dadm.adapters.simulators.openai.ledger import Ledger
from dadm.adapters.simulators.openai.requests import ResponseRequest
from dadm.adapters.simulators.openai.wire import JsonObject

UNSTORED_BACKGROUND_SECONDS = 600


@dataclass(slots=True, kw_only=True)
class Conversation:
    """A conversation: the ids of its items, oldest first, and who holds its lock.

    `holders` name those who hold it without a response, besides the response `locked_by` or alone.
    """

    id: str
    created_at: int
    metadata: dict[str, str]
    item_ids: list[str] = field(default_factory=list)
    locked_by: str | None = None
    holders: set[str] = field(default_factory=set)

    @property
    def is_locked(self) -> bool:
        return bool(self.holders) or self.locked_by is not None


@dataclass(slots=True, kw_only=True)
class StoredResponse:
    """A response from its creation on.

    `before` is all that precedes its input, `shown` what of both the model is shown. `stop` ends
    its run early, as far as it runs.
    """

    id: str
    request: ResponseRequest
    created_at: float
    status: str
    input: list[JsonObject]
    before: list[JsonObject]
    shown: list[JsonObject]
    stop: Callable[[OnDisconnect], None]
    output: list[JsonObject] = field(default_factory=list)
    error: JsonObject | None = None
    incomplete_reason: str | None = None
    usage: JsonObject | None = None
    ended_at: float | None = None
    events: EventLog = field(default_factory=EventLog)

    @property
    def is_ended(self) -> bool:
        return self.status not in {"queued", "in_progress"}

    @property
    def kept_seconds(self) -> int:
        if self.request.store:
            return THIRTY_DAYS_SECONDS
        return UNSTORED_BACKGROUND_SECONDS if self.request.background else 0


class State:
    """The objects of the API, in memory; items live apart from the conversations they are in."""

    def __init__(
        self, *, now: Callable[[], float], mint: Callable[[str], str], ledger: Ledger
    ) -> None:
        self._now = now
        self._mint = mint
        self._ledger = ledger
        self.conversations: dict[str, Conversation] = {}
        self.items: dict[str, JsonObject] = {}
        self.responses: dict[str, StoredResponse] = {}
        self.followers: dict[str, str | None] = {}

    def conversation(self, conversation_id: str, *, azure: bool = False) -> Conversation:
        """Give a conversation.

        Raises:
            ApiError: there is none of this id.
        """
        found = self.conversations.get(conversation_id)
        if found is None:
            raise errors.conversation_not_found(conversation_id, azure=azure)
        return found

    def response(self, response_id: str) -> StoredResponse:
        """Give a response that is still kept.

        Raises:
            ApiError: there is none of this id, or its time is over.
        """
        found = self.responses.get(response_id)
        if found is None or self._is_over(found):
            raise errors.response_not_found(response_id)
        return found

    def items_of(self, conversation: Conversation) -> list[JsonObject]:
        """Give the items of a conversation, oldest first."""
        return [self.items[item_id] for item_id in conversation.item_ids]

    def resolve(self, given: Sequence[GivenItem]) -> list[tuple[JsonObject, bool]]:
        """Give the items a caller sent, each with whether it is one that existed before.

        An id that the API has minted names the item it was minted for, whatever else was sent;
        any other id is replaced. Nothing is kept yet.

        Raises:
            ApiError: an item is named by its id alone, and there is none.
        """
        resolved: list[tuple[JsonObject, bool]] = []
        for item in given:
            known = self.items.get(item.given_id or "" if isinstance(item, Draft) else item.id)
            if known is not None:
                resolved.append((known, True))
            elif isinstance(item, Draft):
                resolved.append((self.with_new_id(item.fields), False))
            else:
                raise errors.item_not_found(item.id)
        return resolved

    def with_new_id(self, item: JsonObject) -> JsonObject:
        return item | {"id": self._mint(id_prefix(item["type"]))}

    def open_conversation(self, metadata: dict[str, str]) -> Conversation:
        opened = Conversation(id=self._mint("conv"), created_at=int(self._now()), metadata=metadata)
        self.conversations[opened.id] = opened
        return opened

    def keep(self, items: Sequence[JsonObject]) -> None:
        for item in items:
            self.items[item["id"]] = item

    def append(
        self, conversation: Conversation, items: list[JsonObject], *, response_id: str | None
    ) -> None:
        """Add items to the end of a conversation, all at once."""
        self.keep(items)
        conversation.item_ids.extend(item["id"] for item in items)
        self._ledger.appended(conversation_id=conversation.id, response_id=response_id, items=items)

    def remove_item(self, conversation: Conversation, item_id: str, *, is_kept: bool) -> None:
        """Take an item out of a conversation, and out of existence unless `is_kept`."""
        conversation.item_ids = [kept for kept in conversation.item_ids if kept != item_id]
        self._ledger.removed(conversation_id=conversation.id, item_id=item_id)
        if not is_kept:
            self._forget([item_id])

    def remove_conversation(self, conversation: Conversation, behaviour: Behaviour) -> None:
        del self.conversations[conversation.id]
        self._ledger.removed(conversation_id=conversation.id, item_id=None)
        if not behaviour.items_outlive_conversation:
            self._forget(conversation.item_ids)
        if not behaviour.responses_outlive_conversation:
            self.responses = {
                response_id: response
                for response_id, response in self.responses.items()
                if response.request.conversation_id != conversation.id
            }

    def remove_response(self, response: StoredResponse, behaviour: Behaviour) -> None:
        del self.responses[response.id]
        conversation = self.conversations.get(response.request.conversation_id or "")
        if conversation is None or behaviour.items_outlive_response:
            return
        for item in [*response.input, *response.output]:
            if item["id"] in conversation.item_ids:
                self.remove_item(conversation, item["id"], is_kept=behaviour.items_outlive_removal)

    def _is_over(self, response: StoredResponse) -> bool:
        if response.kept_seconds == 0:
            return True
        return response.is_ended and self._now() - response.created_at >= response.kept_seconds

    def _forget(self, item_ids: Sequence[str]) -> None:
        linked = {
            item_id
            for conversation in self.conversations.values()
            for item_id in conversation.item_ids
        }
        for item_id in item_ids:
            if item_id not in linked:
                self.items.pop(item_id, None)
