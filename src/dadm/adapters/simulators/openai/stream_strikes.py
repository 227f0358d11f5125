"""What each fault of a stream does to the events on their way to a caller."""

from contextlib import aclosing
from typing import assert_never

from dadm.adapters.simulators.openai.fault_kinds import (
    EndStream,
    ErrorInStream,
    HoldStream,
    ResetStream,
    StreamFault,
)
from dadm.adapters.simulators.openai.fault_switch import Switch
from dadm.adapters.simulators.openai.faults import Api
from dadm.adapters.simulators.openai.wire import Call, ConnectionDropped, Events, JsonObject

LAST = frozenset({"response.completed", "response.failed", "response.incomplete"})
MESSAGE = "An error occurred while processing your request."
CODE = "server_error"


class StreamStrike:
    """One fault striking one stream."""

    def __init__(self, api: Api, switch: Switch, call: Call) -> None:
        self._api = api
        self._switch = switch
        self._call = call
        self._has_struck = False
        self._response_id: str | None = None

    async def on_the_way(self, fault: StreamFault, events: Events) -> Events:
        """Give the events that get through.

        Raises:
            ConnectionDropped: the connection breaks here.
        """
        try:
            async with aclosing(events):
                count = 0
                kept_back: JsonObject | None = None
                while not self._is_over(fault, count):
                    event = await anext(events, None)
                    if event is None or self._is_kept_back(fault, event):
                        kept_back = event
                        break
                    self._note(event)
                    yield event
                    count += 1
                if not self._switch.is_off:
                    self._record()
                    ending = await self._ending(fault, count)
                    if ending is not None:
                        yield ending
                    if not isinstance(fault, HoldStream):
                        return
                if kept_back is not None:
                    yield kept_back
                async for event in events:
                    yield event
        finally:
            if not self._has_struck:
                self._switch.give_back()

    def _is_over(self, fault: StreamFault, count: int) -> bool:
        return fault.events is not None and count >= fault.events

    def _is_kept_back(self, fault: StreamFault, event: JsonObject) -> bool:
        return not isinstance(fault, HoldStream) and event["type"] in LAST

    async def _ending(self, fault: StreamFault, count: int) -> JsonObject | None:
        match fault:
            case ResetStream():
                raise ConnectionDropped
            case EndStream():
                return None
            case ErrorInStream():
                return _error(count, nested=fault.nested)
            case HoldStream():
                await self._switch.hold(self._api.clock, fault.seconds)
                return None
            case _:
                assert_never(fault)

    def _note(self, event: JsonObject) -> None:
        if "response" in event:
            self._response_id = str(event["response"]["id"])

    def _record(self) -> None:
        self._has_struck = True
        self._switch.record(
            self._api.ledger,
            self._call,
            conversation_id=self._api.conversation_of(self._call),
            response_id=self._response_id,
        )


def _error(number: int, *, nested: bool) -> JsonObject:
    said: JsonObject = {"code": CODE, "message": MESSAGE, "param": None}
    if nested:
        # So it was recorded from the live API, which the SDK's types do not describe.
        return {"type": "error", "sequence_number": number, "error": said | {"type": CODE}}
    return {"type": "error", "sequence_number": number} | said
