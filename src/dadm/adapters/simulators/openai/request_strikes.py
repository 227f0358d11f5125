"""What each fault of a request does to it and to its reply."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import TypeAlias, assert_never

from dadm.adapters.simulators.openai.endpoints import RESPONSES
from dadm.adapters.simulators.openai.errors import ApiError
from dadm.adapters.simulators.openai.fault_kinds import (
    DeleteConversation,
    DropReply,
    DropRequest,
    Duplicate,
    ExpireResponse,
    HoldReply,
    HoldRequest,
    HttpError,
    Late,
    LockConversation,
    RequestFault,
    Side,
    Which,
)
from dadm.adapters.simulators.openai.fault_replies import error_reply
from dadm.adapters.simulators.openai.fault_switch import Switch
from dadm.adapters.simulators.openai.faults import Api
from dadm.adapters.simulators.openai.wire import (
    Call,
    ConnectionDropped,
    EventsReply,
    JsonReply,
    Reply,
)

Perform: TypeAlias = Callable[[], Awaitable[Reply]]


def has_target(fault: RequestFault, api: Api, call: Call) -> bool:
    """Whether there is what a fault would take away: some strike a conversation or a response."""
    match fault:
        case LockConversation() | DeleteConversation():
            return api.has_conversation(api.conversation_of(call) or "")
        case ExpireResponse():
            return api.has_response(call.named.get("response_id", ""))
        case _:
            return True


class RequestStrike:
    """One fault striking one request; `perform` takes effect each time it is awaited."""

    def __init__(self, api: Api, switch: Switch, call: Call, perform: Perform) -> None:
        self._api = api
        self._switch = switch
        self._call = call
        self._perform = perform
        self._conversation_id = api.conversation_of(call)

    async def reply(self, fault: RequestFault) -> Reply:
        """Give what the caller gets in the place of the reply.

        Raises:
            ApiError: the caller gets an error.
            ConnectionDropped: the caller gets nothing.
        """
        match fault:
            case DropRequest() | DropReply() | Late() | HttpError():
                return await self._without_reply(fault)
            case Duplicate():
                return await self._twice(fault)
            case HoldRequest():
                return await self._held_before(fault)
            case HoldReply():
                return await self._held_afterwards(fault.seconds)
            case LockConversation() | DeleteConversation() | ExpireResponse():
                return await self._with_a_loss(fault)
            case _:
                assert_never(fault)

    async def _without_reply(self, fault: DropRequest | DropReply | Late | HttpError) -> Reply:
        has_effect = isinstance(fault, DropReply) or (
            isinstance(fault, HttpError) and fault.when is Side.AFTER
        )
        self._record(await self._effect() if has_effect else None)
        if isinstance(fault, HttpError):
            return error_reply(fault)
        if isinstance(fault, Late):
            self._later(self._arrive(fault.seconds))
        raise ConnectionDropped

    async def _arrive(self, seconds: float | None) -> None:
        await self._hold(seconds)
        await self._again()

    async def _twice(self, fault: Duplicate) -> Reply:
        if fault.at_once:
            return await self._twice_at_once(fault.reply)
        if fault.reply is Which.SECOND:
            self._record(await self._effect())
            return await self._perform()
        first = await self._perform()
        running = _still_running(first)
        if running is None:
            self._record()
            await self._again()
        else:
            self._later(self._again_after(running))
        return first

    async def _again_after(self, response_id: str) -> None:
        await self._api.response_ended(response_id)
        self._record()
        await self._again()

    async def _twice_at_once(self, which: Which) -> Reply:
        self._record()
        self._later(self._again())
        if which is Which.SECOND:
            # The other one, which is the first then, begins when this one pauses.
            await asyncio.sleep(0)
        return await self._perform()

    async def _held_before(self, fault: HoldRequest) -> Reply:
        replies: list[Reply | ApiError] = []

        async def arrive() -> None:
            await self._hold(fault.seconds)
            # A rule behind this one may break the connection; then there is no reply.
            with suppress(ConnectionDropped):
                try:
                    replies.append(await self._perform())
                except ApiError as error:
                    replies.append(error)

        self._record()
        if not fault.outlives_caller:
            await self._hold(fault.seconds)
            return await self._perform()
        # Waiting for a task does not cancel it, so it goes on when the caller leaves.
        await asyncio.wait([self._api.spawn(arrive())])
        if not replies:
            raise ConnectionDropped
        return _given(replies[0])

    async def _held_afterwards(self, seconds: float | None) -> Reply:
        try:
            reply: Reply | ApiError = await self._perform()
        except ApiError as error:
            reply = error
        self._record(_response_of(reply))
        try:
            await self._hold(seconds)
        except asyncio.CancelledError:
            if isinstance(reply, EventsReply):
                reply.on_gone()
            raise
        return _given(reply)

    async def _with_a_loss(
        self, fault: LockConversation | DeleteConversation | ExpireResponse
    ) -> Reply:
        conversation_id = self._conversation_id or ""
        match fault:
            case LockConversation():
                holder = f"{self._switch.id}/{self._call.number}"
                self._api.hold_lock(conversation_id, holder=holder)
                self._later(self._release(conversation_id, holder, fault.seconds))
                self._record()
            case DeleteConversation(when=Side.BEFORE):
                self._delete(conversation_id)
            case DeleteConversation():
                return await self._deleted_afterwards(conversation_id)
            case ExpireResponse():
                self._api.expire_response(self._call.named["response_id"])
                self._record(self._call.named["response_id"])
            case _:
                assert_never(fault)
        return await self._perform()

    async def _release(self, conversation_id: str, holder: str, seconds: float | None) -> None:
        await self._hold(seconds)
        if self._api.has_conversation(conversation_id):
            self._api.release_lock(conversation_id, holder=holder)

    async def _deleted_afterwards(self, conversation_id: str) -> Reply:
        reply = await self._perform()
        running = _still_running(reply)
        if running is None:
            self._delete(conversation_id)
        else:
            self._later(self._delete_after(running, conversation_id))
        return reply

    async def _delete_after(self, response_id: str, conversation_id: str) -> None:
        await self._api.response_ended(response_id)
        self._delete(conversation_id)

    def _delete(self, conversation_id: str) -> None:
        if self._api.has_conversation(conversation_id):
            self._api.delete_conversation(conversation_id)
            self._record()

    async def _effect(self) -> str | None:
        """Perform the request, whatever comes back, and wait for the end of what it began.

        Give the id of the response that it is about, if the reply is one.
        """
        try:
            reply = await self._perform()
        except (ApiError, ConnectionDropped):
            return None
        running = _still_running(reply) if self._call.path == RESPONSES else None
        if running is not None:
            try:
                await self._api.response_ended(running)
            except asyncio.CancelledError:
                if isinstance(reply, EventsReply):
                    reply.on_gone()
                raise
        return _response_of(reply)

    async def _again(self) -> None:
        # Nobody is there whom a refusal, or a connection that breaks, could concern.
        with suppress(ApiError, ConnectionDropped):
            await self._perform()

    def _later(self, work: Coroutine[None, None, None]) -> None:
        _ = self._api.spawn(work)

    async def _hold(self, seconds: float | None) -> None:
        await self._switch.hold(self._api.clock, seconds)

    def _record(self, response_id: str | None = None) -> None:
        self._switch.record(
            self._api.ledger,
            self._call,
            conversation_id=self._conversation_id,
            response_id=response_id,
        )


def _given(reply: Reply | ApiError) -> Reply:
    if isinstance(reply, ApiError):
        raise reply
    return reply


def _still_running(reply: Reply) -> str | None:
    """Give the id of the response whose end is still to come."""
    match reply:
        case EventsReply():
            return reply.response_id
        case JsonReply(body={"object": "response", "status": "queued" | "in_progress"}):
            return str(reply.body["id"])
        case _:
            return None


def _response_of(reply: Reply | ApiError) -> str | None:
    match reply:
        case EventsReply():
            return reply.response_id
        case JsonReply(body={"object": "response", "id": str(response_id)}):
            return response_id
        case _:
            return None
