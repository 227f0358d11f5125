"""Refusals: why an answer that was cut short is none, and what a person can do about it."""

from dadm.domain.errors import AnswerCutShort, BackendRefused
from dadm.domain.turn import Refusal
from dadm.ports.backend import CutShort


def error_of(refusal: Refusal) -> BackendRefused:
    """Give the error that a caller meets where a turn was refused."""
    if refusal.code == AnswerCutShort.code:
        return AnswerCutShort(refusal.reason)
    return BackendRefused(refusal.reason)


def refusal_of(cut: CutShort) -> Refusal:
    """Say why there is no answer, and what a person can do about it."""
    match cut.reason:
        case "refusal":
            said = f": {cut.partial_text.strip()}" if cut.partial_text.strip() else "."
            return Refusal(code=BackendRefused.code, reason=f"The model refused to answer{said}")
        case "content_filter":
            reason = "The backend's content filter stopped the answer; change what is asked."
            return Refusal(code=BackendRefused.code, reason=reason)
        case "length" | "max_output_tokens" | "max_tokens":
            advice = "Raise the assistant's answer limit or change the task"
        case _:
            advice = "Change the task or the assistant"
    reason = (
        f"The backend ended its answer early ({cut.reason}). {advice}, then have it asked again."
    )
    return Refusal(code=AnswerCutShort.code, reason=reason)
