"""TranscriptCheck: reads a thread's turns in order and says what is wrong with them in themselves."""

from collections import Counter

from dadm.application.care.findings import Finding, FindingKind
from dadm.domain.chain import CHAIN_START, next_link
from dadm.domain.thread import Thread
from dadm.domain.turn import Turn, TurnRef, TurnState

RESTORE = "No command mends that: compare with a backup of the database, and restore it if need be."


class TranscriptCheck:
    """Takes turns by sequence, each once, and keeps of each no more than a number.

    Threads that are older than the chain have no links at their beginning. Numbers missing there
    are taken as they are, since refusals were not written down either.
    """

    def __init__(self) -> None:
        """Begin before the first turn."""
        self.findings: list[Finding] = []
        self.turn_count = 0
        self.last_sequence = 0
        self._keys: set[int] = set()
        self._refused: set[TurnRef] = set()
        self._open_sequence = 0
        self._missing = _Missing()
        self._missing_lately = _Missing()
        self._link = CHAIN_START
        self._has_links = False
        self._is_older = False
        self._is_broken = False

    def take(self, turn: Turn) -> None:
        """Look at the next turn."""
        self.turn_count += 1
        self._follow_sequence(turn)
        self._follow_keys(turn)
        if self._open_sequence:
            said = (
                f"Turn {self._open_sequence} is {_STILL_OPEN}, though turn {turn.sequence} came "
                f"after it. {RESTORE}"
            )
            self._find(FindingKind.OPEN_TURN_NOT_LAST, said, self._open_sequence)
        self._open_sequence = turn.sequence if turn.state.is_open else 0
        if turn.state is TurnState.REFUSED:
            self._refused.add(turn.ref)
        if turn.state is TurnState.COMPLETED:
            self._follow_chain(turn)

    def end(self, thread: Thread, refusals: Counter[TurnRef]) -> None:
        """Compare with what the thread says of itself.

        Args:
            thread: As it stood when the last turn was read.
            refusals: How often each turn was refused, by the audit rows. A refused turn that was
                released and asked again leaves the number that it had unused.
        """
        self._missing_lately.add(self.last_sequence + 1, thread.turn_count)
        if self._has_links or not self._is_older:
            self._missing.take(self._missing_lately)
        unused = refusals.total() - sum(bool(refusals[each]) for each in self._refused)
        if self._missing.count > unused:
            said = (
                f"{self._missing.count} turn numbers are missing, from {self._missing.first} on, "
                f"and refused turns that were asked again explain {unused}. {RESTORE}"
            )
            self._find(FindingKind.SEQUENCE_GAP, said, self._missing.first)
        if self.last_sequence > thread.turn_count:
            said = (
                f"Turn {self.last_sequence} is there, but the thread counts "
                f"{thread.turn_count}. {RESTORE}"
            )
            self._find(FindingKind.SEQUENCE_GAP, said, self.last_sequence)
        if self._link != thread.chain:
            said = (
                "The thread's own link is not that of its last completed turn: turns at its end "
                f"are gone, or its row was changed. {RESTORE}"
            )
            self._find(FindingKind.CHAIN_HEAD_DIFFERS, said, None)

    def _follow_sequence(self, turn: Turn) -> None:
        if turn.sequence <= self.last_sequence:
            said = f"Number {turn.sequence} was given to two turns. {RESTORE}"
            self._find(FindingKind.DUPLICATE_SEQUENCE, said, turn.sequence)
            return
        self._missing_lately.add(self.last_sequence + 1, turn.sequence - 1)
        self.last_sequence = turn.sequence

    def _follow_keys(self, turn: Turn) -> None:
        # A number of 64 bits stands for the key, so that long threads need little memory.
        key = hash(turn.key)
        if key in self._keys:
            said = f"Task {turn.key.task_id} has another turn on this thread. {RESTORE}"
            self._find(FindingKind.DUPLICATE_KEY, said, turn.sequence)
        self._keys.add(key)

    def _follow_chain(self, turn: Turn) -> None:
        if not turn.link and not self._has_links:
            self._is_older = True
            self._missing_lately = _Missing()
            return
        self._missing.take(self._missing_lately)
        self._has_links = True
        follows = turn.answer is not None and turn.link == next_link(
            self._link, sequence=turn.sequence, prompt=turn.prompt, answer=turn.answer
        )
        if not follows and not self._is_broken:
            # Whatever comes behind it hangs on this one: only the first is worth telling.
            self._is_broken = True
            said = (
                f"Turn {turn.sequence} does not follow from those before it: its question or "
                f"answer was changed, or a turn before it is gone. {RESTORE}"
            )
            self._find(FindingKind.BROKEN_LINK, said, turn.sequence)
        self._link = turn.link

    def _find(self, kind: FindingKind, said: str, sequence: int | None) -> None:
        self.findings.append(Finding(kind=kind, said=said, sequence=sequence))


_STILL_OPEN = "still waiting for its end"


class _Missing:
    """Numbers that no turn has: how many, and the first of them."""

    def __init__(self) -> None:
        self.count = 0
        self.first = 0

    def add(self, first: int, last: int) -> None:
        if last >= first:
            self.first = self.first or first
            self.count += last - first + 1

    def take(self, others: "_Missing") -> None:
        """Count the others' numbers too, and leave them with none."""
        if others.count:
            self.first = self.first or others.first
            self.count += others.count
        others.count, others.first = 0, 0
