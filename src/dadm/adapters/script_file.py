"""Scripts in JSON files: what is answered to which question, in place of a model."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from dadm.domain.errors import BackendRefused, SettingsError

FIELDS = frozenset({"answer", "refuse", "seconds"})
LONGEST_SECONDS = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptLine:
    """One line: an answer, or the reason of a refusal, given after that many seconds."""

    answer: str = ""
    refusal: str = ""
    seconds: float = 0.0


class AnswerScript:
    """Answers questions by lines: one for all, one after the other, or by a part of the question."""

    def __init__(self, lines: ScriptLine | Sequence[ScriptLine] | Mapping[str, ScriptLine]) -> None:
        """Begin at the beginning."""
        self._lines = lines
        self._spoken = 0

    async def answer(self, question: str) -> str:
        """Give the answer, after the time that its line takes.

        Raises:
            BackendRefused: The line refuses, or there is none for this question.
        """
        line = self._line(question)
        await asyncio.sleep(line.seconds)
        if line.refusal:
            raise BackendRefused(line.refusal)
        return line.answer

    def _line(self, question: str) -> ScriptLine:
        if isinstance(self._lines, ScriptLine):
            return self._lines
        if isinstance(self._lines, Mapping):
            for part, line in self._lines.items():
                if part in question:
                    return line
            return ScriptLine(refusal="The script has no line for this question.")
        if self._spoken == len(self._lines):
            return ScriptLine(refusal="The script has no line left.")
        self._spoken += 1
        return self._lines[self._spoken - 1]


def read_script(path: Path) -> AnswerScript:
    """Read a script.

    The file is JSON: a text that answers every question, a list of lines said one after the
    other, or an object that gives the line for each part of a question; the first part found
    counts, and `""` is found in all. A line is the answer's text, or an object with `answer` or
    `refuse` (the reason), and perhaps the `seconds` it takes.

    Raises:
        SettingsError: It cannot be read, or is no script; the message says where.
    """
    try:
        read = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    except OSError as error:
        msg = f"The script {path} cannot be read: {error.strerror}."
        raise SettingsError(msg) from error
    except ValueError as error:
        msg = f"The script {path} is not JSON in UTF-8: {error}."
        raise SettingsError(msg) from error

    def line(place: str, value: Any) -> ScriptLine:
        try:
            return _read_line(value)
        except _NotALine as error:
            raise _unfollowable(path, place, str(error)) from error

    if isinstance(read, str):
        return AnswerScript(ScriptLine(answer=read))
    if isinstance(read, list):
        return AnswerScript([line(f"line {n}", each) for n, each in enumerate(read, start=1)])
    if isinstance(read, dict):
        return AnswerScript({part: line(repr(part), each) for part, each in read.items()})
    raise _unfollowable(path, "it", "must be a text, a list of lines, or an object of lines")


class _NotALine(Exception):
    """Says what is wrong with a line."""


def _read_line(value: Any) -> ScriptLine:
    if isinstance(value, str):
        return ScriptLine(answer=value)
    if not isinstance(value, dict):
        raise _NotALine("must be a text or an object")
    if not value.keys() <= FIELDS:
        raise _NotALine(f"has a field that is none of {', '.join(sorted(FIELDS))}")
    answer, refusal = value.get("answer", ""), value.get("refuse", "")
    if not isinstance(answer, str) or not isinstance(refusal, str):
        raise _NotALine("has an answer or a reason that is no text")
    if ("answer" in value) == bool(refusal):
        raise _NotALine("must either answer or refuse with a reason")
    return ScriptLine(answer=answer, refusal=refusal, seconds=_seconds(value.get("seconds", 0)))


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _NotALine("has seconds that are no number")
    if not 0 <= value <= LONGEST_SECONDS:
        raise _NotALine(f"has seconds that are not between 0 and {LONGEST_SECONDS}")
    return value


def _unfollowable(path: Path, place: str, what: str) -> SettingsError:
    return SettingsError(f"The script {path} cannot be followed: {place} {what}.")


def _no_number(name: str) -> NoReturn:
    msg = f"{name} is no number of JSON"
    raise ValueError(msg)
