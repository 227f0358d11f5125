"""An answer as a chat server streams it, put together from its chunks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dadm.domain.thread import NO_USAGE, Usage
from dadm.ports.backend import Answered, CutShort

ENDED_WELL = frozenset({"end_turn", "eos", "eos_token", "stop", "stop_sequence"})
"""Why an answer ended that is whole; servers other than OpenAI's have words of their own."""


@dataclass(slots=True)
class Spoken:
    """What has been heard of an answer so far; `reason` is why it ended, empty while it has not."""

    text: list[str] = field(default_factory=list)
    refusal: list[str] = field(default_factory=list)
    reason: str = ""
    usage: Usage = NO_USAGE

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be expected."""
        return bool(self.reason) and self.usage != NO_USAGE

    def hear(self, chunk: Mapping[str, Any]) -> str:
        """Take in a chunk of the stream; give the text it adds."""
        if chunk.get("usage"):
            self.usage = _usage(chunk["usage"])
        added = ""
        for choice in (chunk.get("choices") or [])[:1]:
            delta = choice.get("delta") or {}
            added = str(delta.get("content") or "")
            self.text.append(added)
            self.refusal.append(str(delta.get("refusal") or ""))
            self.reason = str(choice.get("finish_reason") or self.reason)
        return added

    def outcome(self, *, context_tokens: int | None) -> Answered | CutShort:
        """Give what an ended answer comes to.

        `context_tokens` is the model's context where it is known: some servers that have filled
        it say only that they stopped.
        """
        text = "".join(self.text)
        refusal = "".join(self.refusal)
        used = self.usage.input_tokens + self.usage.output_tokens
        reason = "" if self.reason in ENDED_WELL else self.reason
        if refusal:
            reason = "refusal"
        elif not reason and context_tokens is not None and used >= context_tokens:
            reason = "length"
        elif not reason and not text:
            reason = "empty_answer"
        if reason:
            return CutShort(reason=reason, partial_text=text or refusal, usage=self.usage)
        return Answered(text=text, usage=self.usage)


def _usage(counted: Mapping[str, Any]) -> Usage:
    details = counted.get("prompt_tokens_details") or {}
    return Usage(
        input_tokens=int(counted.get("prompt_tokens") or 0),
        output_tokens=int(counted.get("completion_tokens") or 0),
        cached_tokens=int(details.get("cached_tokens") or 0),
    )
