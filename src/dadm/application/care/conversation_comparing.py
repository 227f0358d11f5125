"""Compares a remote conversation, message by message, with what it must hold."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Generic, TypeVar, assert_never

from dadm.application.care.conversation_content import WantedMessage
from dadm.application.care.findings import Finding, FindingKind
from dadm.application.care.message_agreement import Edit, agreement, edits
from dadm.domain.transcript import Message, Role
from dadm.ports.backend import KeptMessage

LOOKED_AHEAD = 24
"""How many messages of either side are looked at to say what became of the next ones."""

DIFFERENCES_AT_MOST = 100
"""How many differences of one conversation are told."""

REBUILD = "--repair rebuilds the conversation from the transcript."

T = TypeVar("T")


class ConversationComparing:
    """Compares two streams of messages in little memory, however long they are.

    An answer may be kept in several messages, and with the model's remarks before it; that is
    no difference.

    Attributes:
        findings: The differences found so far.
        agreeing: How many of the wanted messages were found as they should be.
    """

    def __init__(self) -> None:
        """Begin before the first message."""
        self.findings: list[Finding] = []
        self.agreeing = 0
        self._is_behind_open = False

    async def compare(
        self, wanted: AsyncIterator[WantedMessage], kept: AsyncIterator[KeptMessage]
    ) -> None:
        """Read both to their ends, or until there are more differences than are told.

        Raises:
            BackendError: The conversation could not be read to its end, or is gone.
        """
        async with _Ahead.of(wanted) as want, _Ahead.of(kept) as have:
            while await want.fill() and await have.fill():
                if not self._go_on(want, have):
                    return
            while await want.fill():
                if not self._miss(want.drop(1)[0]):
                    return
            while self._is_behind_open and await have.fill() and _is_answer(have.ahead[0]):
                have.drop(1)
            while await have.fill():
                if not self._find_foreign(have.drop(1)[0]):
                    return

    def _go_on(self, want: "_Ahead[WantedMessage]", have: "_Ahead[KeptMessage]") -> bool:
        """Take the next messages that agree, or tell what became of them; False if it is enough."""
        length = agreement(want.ahead[0].message, have.ahead, 0)
        if length != 1:
            found = edits([each.message for each in want.ahead], have.ahead)
            if found:
                return self._differ(found, want, have)
        agreed = want.drop(1)[0]
        have.drop(length)
        self._is_behind_open = agreed.is_open
        self.agreeing += not agreed.is_open
        return True

    def _differ(
        self,
        found: Sequence[Edit],
        want: "_Ahead[WantedMessage]",
        have: "_Ahead[KeptMessage]",
    ) -> bool:
        for edit in found:
            match edit:
                case Edit.LOST:
                    goes_on = self._miss(want.drop(1)[0])
                case Edit.ADDED:
                    goes_on = self._find_foreign(have.drop(1)[0])
                case Edit.CHANGED:
                    goes_on = self._change(want.drop(1)[0], have.drop(1)[0])
                case _:
                    assert_never(edit)
            if not goes_on:
                return False
        return True

    def _miss(self, wanted: WantedMessage) -> bool:
        if wanted.is_open:
            return True
        said = (
            f"The {_part(wanted.message)} of turn {wanted.sequence} is not in the conversation. "
            f"{REBUILD}"
        )
        return self._tell(FindingKind.MESSAGE_MISSING, said, sequence=wanted.sequence)

    def _change(self, wanted: WantedMessage, found: KeptMessage) -> bool:
        if wanted.is_open or wanted.message.role is not found.message.role:
            return self._miss(wanted) and self._find_foreign(found)
        said = (
            f"The {_part(wanted.message)} of turn {wanted.sequence} reads otherwise in the "
            f"conversation. {REBUILD}"
        )
        return self._tell(
            FindingKind.MESSAGE_CHANGED, said, sequence=wanted.sequence, item_id=found.item_id
        )

    def _find_foreign(self, found: KeptMessage) -> bool:
        said = (
            f"Message {found.item_id} ({found.message.role.value}) is of none of the thread's "
            f"turns: somebody else wrote to the conversation. {REBUILD}"
        )
        return self._tell(FindingKind.FOREIGN_MESSAGE, said, item_id=found.item_id)

    def _tell(
        self, kind: FindingKind, said: str, *, sequence: int | None = None, item_id: str = ""
    ) -> bool:
        if len(self.findings) == DIFFERENCES_AT_MOST:
            said = f"There are more than {DIFFERENCES_AT_MOST} differences. {REBUILD}"
            self.findings.append(Finding(kind=FindingKind.MORE_DIFFERENCES, said=said))
            return False
        self.findings.append(Finding(kind=kind, said=said, sequence=sequence, item_id=item_id))
        return True


def _is_answer(kept: KeptMessage) -> bool:
    return kept.message.role is Role.ASSISTANT


def _part(message: Message) -> str:
    return "question" if message.role is Role.USER else "answer"


class _Ahead(Generic[T]):
    """A stream whose next few members can be looked at before they are taken."""

    def __init__(self, source: AsyncIterator[T]) -> None:
        self.ahead: list[T] = []
        self._source = source
        self._is_over = False

    @classmethod
    @asynccontextmanager
    async def of(cls, source: AsyncIterator[T]) -> AsyncGenerator["_Ahead[T]", None]:
        """Read `source`, and close it also where it is not read to its end."""
        try:
            yield cls(source)
        finally:
            if isinstance(source, AsyncGenerator):
                await source.aclose()

    async def fill(self) -> bool:
        """Look as far ahead as is allowed; False if nothing is left."""
        while not self._is_over and len(self.ahead) < LOOKED_AHEAD:
            try:
                self.ahead.append(await anext(self._source))
            except StopAsyncIteration:
                self._is_over = True
        return bool(self.ahead)

    def drop(self, count: int) -> list[T]:
        """Take that many."""
        taken, self.ahead = self.ahead[:count], self.ahead[count:]
        return taken
