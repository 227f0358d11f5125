"""Decides whether a response may start, in the order in which the API refuses."""

from collections.abc import Sequence
from dataclasses import dataclass

from dadm.adapters.simulators.openai import errors
from dadm.adapters.simulators.openai.context import check_reasoning, check_tool_calls, fitted
from dadm.adapters.simulators.openai.requests import ResponseRequest
from dadm.adapters.simulators.openai.simulated import Model, SimulatedOpenAI
from dadm.adapters.simulators.openai.state import Conversation
from dadm.adapters.simulators.openai.wire import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A response that may start.

    `before` are the items that precede the input, `input` its own, of which `existing` (by id)
    were kept before; `shown` is what of both fits into the model's window.
    """

    request: ResponseRequest
    conversation: Conversation | None
    before: list[JsonObject]
    input: list[JsonObject]
    existing: frozenset[str]
    shown: list[JsonObject]


def admit(simulated: SimulatedOpenAI, request: ResponseRequest) -> Admitted:
    """Check a request against all that is kept; nothing changes yet.

    Raises:
        ApiError: the request is refused.
    """
    model = _model(simulated, request)
    _check_parameters(simulated, request)
    conversation = _free_conversation(simulated, request)
    before = _before(simulated, request, conversation)
    resolved = simulated.state.resolve(request.input)
    existing = frozenset(item["id"] for item, existed in resolved if existed)
    new = _without_repeated(
        before,
        [item for item, _ in resolved],
        refused=simulated.behaviour.repeated_reference_refused,
    )
    context = [*before, *new]
    check_tool_calls(context)
    check_reasoning(context, simulated.state.followers)
    shown = fitted(
        context,
        instructions=request.instructions,
        window=model.window,
        truncates=request.truncates,
    )
    return Admitted(
        request=request,
        conversation=conversation,
        before=before,
        input=new,
        existing=existing,
        shown=list(shown),
    )


def _model(simulated: SimulatedOpenAI, request: ResponseRequest) -> Model:
    model = simulated.model(request.model)
    if model is None:
        raise errors.model_not_found(request.model)
    if model.is_reasoning and request.temperature is not None:
        raise errors.unsupported_parameter("temperature")
    if model.is_reasoning and request.top_p is not None:
        raise errors.unsupported_parameter("top_p")
    return model


def _check_parameters(simulated: SimulatedOpenAI, request: ResponseRequest) -> None:
    behaviour = simulated.behaviour
    if request.background and not request.store and behaviour.background_needs_store:
        raise errors.background_without_store()
    in_conversation = request.conversation_id is not None
    if not request.input and request.previous_response_id is None:
        is_optional = in_conversation and behaviour.input_optional_with_conversation
        if not is_optional:
            raise errors.input_missing()
    compacts = request.compact_threshold is not None
    if compacts and in_conversation and not behaviour.compaction_in_conversation:
        raise errors.unsupported_parameter(
            "context_management", reason="cannot be used together with 'conversation'"
        )


def _free_conversation(simulated: SimulatedOpenAI, request: ResponseRequest) -> Conversation | None:
    if request.conversation_id is None:
        return None
    conversation = simulated.state.conversation(
        request.conversation_id, azure=simulated.behaviour.azure_error_bodies
    )
    if conversation.is_locked:
        raise errors.conversation_locked()
    return conversation


def _before(
    simulated: SimulatedOpenAI, request: ResponseRequest, conversation: Conversation | None
) -> list[JsonObject]:
    if conversation is not None:
        return simulated.state.items_of(conversation)
    if request.previous_response_id is None:
        return []
    try:
        previous = simulated.state.response(request.previous_response_id)
    except errors.ApiError as error:
        raise errors.previous_response_not_found(request.previous_response_id) from error
    return [*previous.before, *previous.input, *previous.output]


def _without_repeated(
    before: Sequence[JsonObject], given: Sequence[JsonObject], *, refused: bool
) -> list[JsonObject]:
    seen = {item["id"] for item in before}
    new: list[JsonObject] = []
    for item in given:
        if item["id"] not in seen:
            seen.add(item["id"])
            new.append(item)
        elif refused:
            raise errors.duplicate_item(item["id"])
    return new
