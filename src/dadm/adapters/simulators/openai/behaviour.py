"""How the simulated API behaves where the documents leave it open: one field for each question."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum

THIRTY_DAYS_SECONDS = 30 * 24 * 3600


class Appended(StrEnum):
    """What of a response that did not complete is appended to its conversation."""

    NOTHING = "nothing"
    INPUT = "input"
    INPUT_AND_OUTPUT = "input_and_output"


class OnDisconnect(StrEnum):
    """What becomes of a running response whose caller has left."""

    GOES_ON = "goes_on"
    """It runs, holds the lock, appends, and can be retrieved, as if nobody had left."""
    GOES_ON_UNSEEN = "goes_on_unseen"
    """It runs, holds the lock and appends, but answers 404."""
    CANCELLED = "cancelled"
    """It ends as cancelled, can be retrieved, and frees the lock."""
    FORGOTTEN = "forgotten"
    """It ends, appends nothing, frees the lock, and answers 404."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """The answers to the open questions; each default is the answer thought most likely.

    Attributes:
        referenced_input_keeps_id: An input item given by the id of an existing one is appended
            under that id; otherwise as a copy with a new one.
        repeated_reference_refused: A second response that names an item which its conversation
            already holds is refused; otherwise the item is passed over and a second answer
            appended.
        incomplete_appends: What an `incomplete` response leaves in its conversation.
        cancelled_appends: What a `cancelled` response leaves.
        failed_appends: What a `failed` response leaves.
        unstored_appends: What a completed response with `store=False` leaves.
        items_listed_while_locked: Items can be listed and read while a response runs.
        items_changed_while_locked: Items can be added and removed while a response runs.
        metadata_updated_while_locked: A conversation can be updated while a response runs.
        output_ids_are_item_ids: The ids in a response's output are those of the conversation's
            items; otherwise the items get ids of their own.
        last_output_is_last_item: Nothing follows the output in the conversation; otherwise the
            API leaves a reasoning item of its own behind it.
        reattach_after_end: A background response that has ended can still be streamed.
        reattach_seconds: How long after its end it can be, where it can.
        reattach_needs_streamed_creation: Only a background response created with `stream=True`
            can be streamed later.
        unstreamed_disconnect: What becomes of a synchronous response, not streamed, whose caller
            leaves.
        streamed_disconnect: The same for a streamed one without background.
        background_disconnect: The same for a streamed one with background.
        foreground_cancel_allowed: A response created without background can be cancelled.
        input_optional_with_conversation: `input` may be missing where there is a conversation.
        update_merges_metadata: Updating a conversation keeps the keys that are not sent;
            otherwise the map is replaced.
        compaction_in_conversation: `context_management` works together with `conversation`;
            otherwise it is refused.
        items_outlive_conversation: Items of a deleted conversation can be linked elsewhere.
        items_outlive_removal: Items removed from a conversation can be linked elsewhere.
        responses_outlive_conversation: Responses on a deleted conversation can be retrieved.
        items_outlive_response: Deleting a response leaves its items in the conversation.
        idempotency_key_honoured: A repeated `Idempotency-Key` brings the first reply again
            instead of a second effect.
        background_needs_store: `background` with `store=False` is refused; otherwise it is taken
            and kept for ten minutes.
        azure_error_bodies: A missing conversation is reported in Azure's words.
    """

    # 1, 2
    referenced_input_keeps_id: bool = True
    repeated_reference_refused: bool = True
    # 3
    incomplete_appends: Appended = Appended.INPUT_AND_OUTPUT
    cancelled_appends: Appended = Appended.NOTHING
    failed_appends: Appended = Appended.NOTHING
    unstored_appends: Appended = Appended.NOTHING
    # 4
    items_listed_while_locked: bool = True
    items_changed_while_locked: bool = False
    metadata_updated_while_locked: bool = True
    # 5
    output_ids_are_item_ids: bool = True
    last_output_is_last_item: bool = True
    # 6
    reattach_after_end: bool = True
    reattach_seconds: int = THIRTY_DAYS_SECONDS
    reattach_needs_streamed_creation: bool = True
    unstreamed_disconnect: OnDisconnect = OnDisconnect.GOES_ON
    streamed_disconnect: OnDisconnect = OnDisconnect.FORGOTTEN
    background_disconnect: OnDisconnect = OnDisconnect.GOES_ON
    foreground_cancel_allowed: bool = False
    # 7
    input_optional_with_conversation: bool = True
    update_merges_metadata: bool = False
    compaction_in_conversation: bool = True
    # 8
    items_outlive_conversation: bool = True
    items_outlive_removal: bool = True
    responses_outlive_conversation: bool = True
    items_outlive_response: bool = True
    # 9
    idempotency_key_honoured: bool = False
    # Sources that contradict each other
    background_needs_store: bool = True
    azure_error_bodies: bool = False


class UnknownAnswer(ValueError):
    """A switch that does not exist, or an answer that it does not take."""


Answered = bool | int | Appended | OnDisconnect


def changed(behaviour: Behaviour, answers: Mapping[str, object]) -> Behaviour:
    """Give `behaviour` with some questions answered otherwise, as named in Python or in JSON.

    Raises:
        UnknownAnswer: a name is not a question, or its answer is of the wrong kind.
    """
    read: dict[str, Answered] = {}
    known = {question.name for question in fields(Behaviour)}
    for name, answer in answers.items():
        if name not in known:
            message = f"There is no switch '{name}'; there are: {', '.join(sorted(known))}."
            raise UnknownAnswer(message)
        read[name] = _read(name, getattr(behaviour, name), answer)
    return replace(behaviour, **read)  # type: ignore[arg-type]  # each was read as its field's kind


def alternatives(behaviour: Behaviour) -> dict[str, Behaviour]:
    """Give every variant that answers one question otherwise, by a name such as `switch=answer`.

    A suite that runs once with `behaviour` and once with each of these has seen both answers to
    every question.
    """
    found: dict[str, Behaviour] = {}
    for question in fields(Behaviour):
        now = getattr(behaviour, question.name)
        for other in _others(now):
            variant = changed(behaviour, {question.name: other})
            found[f"{question.name}={str(other).lower()}"] = variant
    return found


def _others(now: Answered) -> list[Answered]:
    if isinstance(now, bool):
        return [not now]
    if isinstance(now, Appended):
        return [answer for answer in Appended if answer is not now]
    if isinstance(now, OnDisconnect):
        return [answer for answer in OnDisconnect if answer is not now]
    return [0]


def _read(name: str, now: Answered, answer: object) -> Answered:
    if isinstance(now, bool):
        if isinstance(answer, bool):
            return answer
        takes = "true or false"
    elif isinstance(now, Appended | OnDisconnect):
        kind = type(now)
        if isinstance(answer, str) and answer in set(kind):
            return kind(answer)
        takes = ", ".join(kind)
    else:
        if isinstance(answer, int) and not isinstance(answer, bool) and answer >= 0:
            return answer
        takes = "a whole number of seconds"
    message = f"The switch '{name}' takes {takes}, not {answer!r}."
    raise UnknownAnswer(message)
