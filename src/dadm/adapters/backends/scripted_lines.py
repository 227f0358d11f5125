"""The lines of a script: what the scripted backend answers to which question."""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

from dadm.domain.errors import BackendError
from dadm.ports.backend import CutShort, Question, RunFailed

Line: TypeAlias = str | CutShort | RunFailed | BackendError
"""One answer in a script: the text, an early end, a run that fails, or an error before any run."""

Script: TypeAlias = (
    str | Sequence[Line] | Mapping[str, Line] | Callable[[Question], Line | Awaitable[Line]]
)
"""The same text for every question; one line after the other; lines by a part of the prompt; or a
function of the question."""


class ScriptEnded(AssertionError):
    """The script has no line for this question."""


class Lines:
    """Finds the line for a question."""

    def __init__(self, script: Script) -> None:
        """Begin at the script's beginning."""
        self._script = script
        self._spoken = 0

    async def line(self, question: Question) -> Line:
        """Give the line for `question`.

        Raises:
            ScriptEnded: There is none, or none is left.
        """
        script = self._script
        if isinstance(script, str):
            return script
        if isinstance(script, Mapping):
            for part, line in script.items():
                if part in question.prompt:
                    return line
        elif isinstance(script, Sequence):
            if self._spoken < len(script):
                self._spoken += 1
                return script[self._spoken - 1]
        else:
            answer = script(question)
            return await answer if inspect.isawaitable(answer) else answer
        raise ScriptEnded(question.prompt)


def echo(question: Question) -> str:
    """Repeat every question of the thread, so that an answer shows what was remembered."""
    asked = [*(each.prompt for each in question.history.exchanges), question.prompt]
    return f"I was told: {' | '.join(asked)}"
