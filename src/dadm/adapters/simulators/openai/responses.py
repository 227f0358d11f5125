"""The operations on responses, and the list of models that answer them."""

import asyncio
from functools import partial

from dadm.adapters.simulators.openai import errors, validation
from dadm.adapters.simulators.openai.admission import admit
from dadm.adapters.simulators.openai.behaviour import OnDisconnect
from dadm.adapters.simulators.openai.payloads import (
    page,
    response_body,
    response_deleted,
)
from dadm.adapters.simulators.openai.requests import ResponseRequest, read_request
from dadm.adapters.simulators.openai.runs import Run
from dadm.adapters.simulators.openai.simulated import Model, SimulatedOpenAI
from dadm.adapters.simulators.openai.state import StoredResponse
from dadm.adapters.simulators.openai.wire import (
    Call,
    ConnectionDropped,
    EventsReply,
    JsonObject,
    JsonReply,
    Reply,
)


async def create(simulated: SimulatedOpenAI, call: Call) -> Reply:
    request = read_request(call.body)
    key = call.idempotency_key
    if key in simulated.responses_by_key and simulated.behaviour.idempotency_key_honoured:
        return await _first_reply(simulated, simulated.responses_by_key[key], request)
    response = Run(simulated, admit(simulated, request), call).start()
    if key is not None:
        simulated.responses_by_key[key] = response
    return await _first_reply(simulated, response, request)


async def retrieve(simulated: SimulatedOpenAI, call: Call) -> Reply:
    response = _response(simulated, call)
    if call.query.get("stream") != "true":
        return JsonReply(body=response_body(response))
    _check_reattachable(simulated, response)
    after = call.query.get("starting_after", "-1")
    try:
        events = response.events.follow(after=int(after))
    except ValueError as error:
        raise errors.invalid_type("starting_after", "an integer") from error
    return EventsReply(response_id=response.id, events=events, on_gone=lambda: None)


async def cancel(simulated: SimulatedOpenAI, call: Call) -> JsonReply:
    response = _response(simulated, call)
    if not response.request.background and not simulated.behaviour.foreground_cancel_allowed:
        raise errors.foreground_not_cancellable()
    response.stop(OnDisconnect.CANCELLED)
    return JsonReply(body=response_body(response))


async def delete(simulated: SimulatedOpenAI, call: Call) -> JsonReply:
    response = _response(simulated, call)
    simulated.state.remove_response(response, simulated.behaviour)
    return JsonReply(body=response_deleted(response.id))


async def list_input_items(simulated: SimulatedOpenAI, call: Call) -> JsonReply:
    return JsonReply(body=page(_response(simulated, call).input, call.query))


async def list_models(simulated: SimulatedOpenAI, call: Call) -> JsonReply:
    del call
    return JsonReply(
        body={"object": "list", "data": [_model_body(model) for model in simulated.models]}
    )


async def retrieve_model(simulated: SimulatedOpenAI, call: Call) -> JsonReply:
    model = simulated.model(call.named["model"])
    if model is None:
        raise errors.model_not_found(call.named["model"])
    return JsonReply(body=_model_body(model))


async def _first_reply(
    simulated: SimulatedOpenAI, response: StoredResponse, request: ResponseRequest
) -> Reply:
    behaviour = simulated.behaviour
    if request.stream:
        policy = (
            behaviour.background_disconnect if request.background else behaviour.streamed_disconnect
        )
        return EventsReply(
            response_id=response.id,
            events=response.events.follow(),
            on_gone=partial(response.stop, policy),
        )
    if not request.background:
        try:
            await response.events.wait_closed()
        except asyncio.CancelledError:
            response.stop(behaviour.unstreamed_disconnect)
            raise
        if not response.is_ended:
            # The simulator was left while the response ran.
            raise ConnectionDropped
    return JsonReply(body=response_body(response))


def _response(simulated: SimulatedOpenAI, call: Call) -> StoredResponse:
    response_id = validation.identifier(call.named["response_id"], "resp", param="response_id")
    return simulated.state.response(response_id)


def _check_reattachable(simulated: SimulatedOpenAI, response: StoredResponse) -> None:
    behaviour = simulated.behaviour
    if not response.request.background:
        raise errors.stream_without_background()
    if behaviour.reattach_needs_streamed_creation and not response.request.stream:
        raise errors.stream_without_stream()
    if response.ended_at is None:
        return
    age_seconds = simulated.now() - response.ended_at
    if not behaviour.reattach_after_end or age_seconds >= behaviour.reattach_seconds:
        raise errors.stream_is_over()


def _model_body(model: Model) -> JsonObject:
    return {"id": model.id, "object": "model", "created": 0, "owned_by": "simulator"}
