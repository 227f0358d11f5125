"""Takes one response from its admission to its end: asks the model, tells the events, appends."""

import asyncio
from itertools import pairwise
from typing import assert_never

from dadm.adapters.simulators.openai.admission import Admitted
from dadm.adapters.simulators.openai.behaviour import Appended, OnDisconnect
from dadm.adapters.simulators.openai.context import shown, tokens_of
from dadm.adapters.simulators.openai.errors import ApiError
from dadm.adapters.simulators.openai.faults import Moment, Phase, RunEnds
from dadm.adapters.simulators.openai.outcome import Outcome, broken_off, failed, outcome_of
from dadm.adapters.simulators.openai.payloads import response_body, usage
from dadm.adapters.simulators.openai.simulated import SimulatedOpenAI
from dadm.adapters.simulators.openai.speech import Speech
from dadm.adapters.simulators.openai.state import StoredResponse
from dadm.adapters.simulators.openai.wire import Call, JsonObject

TOO_MANY_REQUESTS = 429


class Run:
    """A response on its way; it holds its conversation's lock from `start` to its end.

    What is kept changes in `start` and at the end only, each time without a pause, so no caller
    ever sees half of it.
    """

    def __init__(self, simulated: SimulatedOpenAI, admitted: Admitted, call: Call) -> None:
        self._simulated = simulated
        self._admitted = admitted
        self._call = call
        request = admitted.request
        self.response = StoredResponse(
            id=simulated.mint("resp"),
            request=request,
            created_at=simulated.now(),
            status="queued" if request.background else "in_progress",
            input=admitted.input,
            before=admitted.before,
            shown=admitted.shown,
            stop=self._stop,
        )
        self._speech = Speech(self.response.events)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> StoredResponse:
        """Create the response, lock its conversation, and run on after the caller's reply."""
        self._task = self._simulated.spawn(self._live())
        response = self.response
        self._simulated.state.responses[response.id] = response
        if self._admitted.conversation is not None:
            self._admitted.conversation.locked_by = response.id
        self._publish("response.created")
        if response.status == "queued":
            self._publish("response.queued")
        return response

    async def _live(self) -> None:
        try:
            outcome = await self._answered()
        except asyncio.CancelledError:
            self.response.events.close()
            raise
        except RunEnds as end:
            outcome = broken_off(end, self._speech.said_so_far())
        except ApiError as error:
            is_rate = error.status == TOO_MANY_REQUESTS
            outcome = failed("rate_limit_exceeded" if is_rate else "server_error", error.message)
        except Exception as error:  # noqa: BLE001 - whatever the model raises, the lock must be freed
            outcome = failed("server_error", f"The simulated model failed: {error!r}")
        self._end(outcome)

    async def _answered(self) -> Outcome:
        await self._at(Phase.ADMITTED)
        self.response.status = "in_progress"
        self._publish("response.in_progress")
        request = self.response.request
        messages = shown(self.response.shown)
        self._simulated.ledger.model_called(
            response_id=self.response.id,
            conversation_id=request.conversation_id,
            model=request.model,
            instructions=request.instructions,
            messages=tuple((message.role, message.text) for message in messages),
            metadata=request.metadata,
        )
        answer = await self._simulated.responder(request.instructions, messages, request)
        outcome = outcome_of(
            answer, request=request, shown=self.response.shown, mint=self._simulated.mint
        )
        for item in outcome.output:
            await self._say(item)
        await self._at(Phase.ANSWERED)
        return outcome

    async def _say(self, item: JsonObject) -> None:
        self._speech.begin(item)
        for delta in tokens_of(self._speech.to_say):
            await self._at(Phase.SPEAKING)
            self._speech.say(delta)
        self._speech.finish()

    async def _at(self, phase: Phase) -> None:
        await self._simulated.faults.during(
            Moment(
                phase=phase,
                call=self._call,
                response_id=self.response.id,
                conversation_id=self.response.request.conversation_id,
            )
        )

    def _stop(self, how: OnDisconnect) -> None:
        if self.response.is_ended:
            return
        match how:
            case OnDisconnect.GOES_ON:
                return
            case OnDisconnect.GOES_ON_UNSEEN:
                self._simulated.state.responses.pop(self.response.id, None)
                return
            case OnDisconnect.CANCELLED:
                self._end(Outcome(status="cancelled", output=self._speech.said_so_far()))
            case OnDisconnect.FORGOTTEN:
                self._simulated.state.responses.pop(self.response.id, None)
                self._unlock()
                self._record_end("forgotten")
                self.response.status = "cancelled"
                self.response.events.close()
            case _:
                assert_never(how)
        if self._task is not None:
            self._task.cancel()

    def _end(self, outcome: Outcome) -> None:
        response = self.response
        if response.is_ended:
            return
        response.status = outcome.status
        response.output = outcome.output
        response.error = outcome.error
        response.incomplete_reason = outcome.incomplete_reason
        response.ended_at = self._simulated.now()
        if outcome.status in {"completed", "incomplete"}:
            response.usage = usage(response, outcome.output)
        self._remember_followers(outcome.output)
        if response.request.store:
            self._simulated.state.keep([*response.input, *outcome.output])
        self._append()
        self._unlock()
        self._record_end(outcome.status)
        if outcome.status != "cancelled":
            self._publish(f"response.{outcome.status}")
        response.events.close()

    def _append(self) -> None:
        conversation_id = self.response.request.conversation_id
        what = self._what_is_appended()
        if conversation_id is None or what is Appended.NOTHING:
            return
        items = self._input_items()
        if what is Appended.INPUT_AND_OUTPUT:
            items += self._output_items()
        conversation = self._simulated.state.conversations.get(conversation_id)
        if conversation is not None:
            self._simulated.state.append(conversation, items, response_id=self.response.id)
            return
        self._simulated.ledger.appended(
            conversation_id=conversation_id,
            response_id=self.response.id,
            items=items,
            lost=True,
        )

    def _what_is_appended(self) -> Appended:
        behaviour = self._simulated.behaviour
        status = self.response.status
        if not self.response.request.store:
            return behaviour.unstored_appends if status == "completed" else Appended.NOTHING
        return {
            "completed": Appended.INPUT_AND_OUTPUT,
            "incomplete": behaviour.incomplete_appends,
            "cancelled": behaviour.cancelled_appends,
            "failed": behaviour.failed_appends,
        }[status]

    def _input_items(self) -> list[JsonObject]:
        if self._simulated.behaviour.referenced_input_keeps_id:
            return list(self.response.input)
        return [
            self._simulated.state.with_new_id(item)
            if item["id"] in self._admitted.existing
            else item
            for item in self.response.input
        ]

    def _output_items(self) -> list[JsonObject]:
        state = self._simulated.state
        items = list(self.response.output)
        if not self._simulated.behaviour.output_ids_are_item_ids:
            items = [state.with_new_id(item) for item in items]
            self._remember_followers(items)
        if not self._simulated.behaviour.last_output_is_last_item:
            trailing = state.with_new_id({"type": "reasoning", "summary": []})
            state.followers[trailing["id"]] = None
            items.append(trailing)
        return items

    def _remember_followers(self, output: list[JsonObject]) -> None:
        for item, following in pairwise(output):
            if item["type"] == "reasoning":
                self._simulated.state.followers[item["id"]] = following["id"]

    def _unlock(self) -> None:
        if self._admitted.conversation is not None:
            self._admitted.conversation.locked_by = None

    def _record_end(self, status: str) -> None:
        self._simulated.ledger.response_ended(
            response_id=self.response.id,
            conversation_id=self.response.request.conversation_id,
            status=status,
        )

    def _publish(self, event_type: str) -> None:
        self.response.events.publish(event_type, response=response_body(self.response))
