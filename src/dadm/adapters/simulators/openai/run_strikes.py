"""What each fault of a run does to it, at the point where it is due."""

from contextlib import suppress
from typing import assert_never

from dadm.adapters.simulators.openai.errors import ApiError
from dadm.adapters.simulators.openai.fault_kinds import (
    CancelRun,
    CutRun,
    FailRun,
    FailureCode,
    HoldRun,
    OrphanRun,
    RunFault,
)
from dadm.adapters.simulators.openai.fault_switch import Switch
from dadm.adapters.simulators.openai.faults import Api, Moment, Phase, RunEnds

MESSAGES = {
    FailureCode.SERVER_ERROR: "An error occurred while processing your request.",
    FailureCode.RATE_LIMIT_EXCEEDED: "Rate limit reached while the response was made.",
    FailureCode.INVALID_PROMPT: "The prompt was flagged as violating the usage policy.",
}


class RunStrike:
    """One fault striking one run, once: where it is due, or at the end of a run that is shorter."""

    def __init__(self, api: Api, switch: Switch, fault: RunFault) -> None:
        self._api = api
        self._switch = switch
        self._fault = fault
        self._has_struck = False
        self._has_spoken = False

    async def at(self, moment: Moment) -> None:
        """Strike, if this is the moment.

        Raises:
            RunEnds: the run ends here.
        """
        if not self._is_due(moment.phase):
            return
        self._has_struck = True
        self._switch.record(
            self._api.ledger,
            moment.call,
            conversation_id=moment.conversation_id,
            response_id=moment.response_id,
        )
        fault = self._fault
        match fault:
            case FailRun():
                raise RunEnds("failed", code=fault.code, message=MESSAGES[fault.code])
            case CutRun():
                raise RunEnds("incomplete", code=fault.reason)
            case CancelRun():
                raise RunEnds("cancelled", code="")
            case HoldRun():
                await self._switch.hold(self._api.clock, fault.seconds)
            case OrphanRun():
                # Somebody else may have deleted it already.
                with suppress(ApiError):
                    self._api.delete_conversation(moment.conversation_id or "")
            case _:
                assert_never(fault)

    def leave(self) -> None:
        """Say that the run is over."""
        if not self._has_struck:
            self._has_struck = True
            self._switch.give_back()

    def _is_due(self, phase: Phase) -> bool:
        if self._has_struck or self._switch.is_off:
            return False
        if phase is Phase.SPEAKING and not self._has_spoken:
            # The first delta is yet to be said; a run that is broken off has said something.
            self._has_spoken = True
            return False
        return phase in {self._fault.at, Phase.ANSWERED}
