"""What a soak found: a table, and everything that may not be."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dadm.domain.thread import GenerationReason
from tests.acceptance.evidence import Evidence, violations
from tests.soak.play import TASKS, Played

MOST_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Everything that is left after a soak; `struck` is what the simulator says of its faults."""

    played: Played
    every: tuple[Evidence, ...]
    struck: list[dict[str, Any]]

    @property
    def lost(self) -> int:
        """Count the tasks whose recorded answer the engine does not have, once and for all."""
        return sum(
            len(TASKS) - sum(_has_its_answer(seen, element) for element in TASKS)
            for seen in self.every
        )

    @property
    def duplicated(self) -> int:
        """Count the questions and the answers too many in live conversations."""
        return sum(
            count - 1
            for seen in self.every
            for generation in seen.generations
            if generation.state == "live"
            for count in Counter(seen.kept(generation) or ()).values()
        )

    @property
    def wrong(self) -> list[str]:
        """Say everything that may not be."""
        found = [wrong for seen in self.every for wrong in violations(seen, TASKS)]
        found += [wrong for seen in self.every for wrong in self._too_many_calls(seen)]
        if not self.played.is_complete:
            found.append("not all instances ended in time")
        return [*found, *self.played.broken]

    def _too_many_calls(self, seen: Evidence) -> Iterator[str]:
        """Ask for a fault, a kill or a person behind every call beyond one for each turn."""
        mine = {each.conversation_id for each in seen.generations}
        faults = sum(self._struck_in(seen, conversation) for conversation in mine)
        begun = seen.instance.started_at.timestamp()
        ended = seen.instance.ended_at.timestamp() if seen.instance.ended_at else float("inf")
        kills = sum(begun <= kill <= ended for kill in self.played.kills)
        released = self.played.released.get(seen.instance.instance_id, 0)
        calls = sum(seen.asked.values())
        if calls > len(seen.turns) + faults + kills + released:
            yield (
                f"{seen.instance.instance_id}: {calls} model calls for {len(seen.turns)} turns, "
                f"{faults} faults, {kills} kills and {released} retries by a person"
            )

    def _struck_in(self, seen: Evidence, conversation: str) -> int:
        return sum(seen.remote.struck.get(conversation, Counter()).values())


def _has_its_answer(seen: Evidence, element: str) -> bool:
    answers = [turn.answer for turn in seen.turns if turn.element_id == element]
    told = seen.instance.variables.get(f"{element}_result")
    return len(answers) == 1 and answers[0] is not None and answers[0] == told


def shown(findings: Findings, *, seconds: float) -> str:
    """Write the table, and below it what is wrong."""
    every, played = findings.every, findings.played
    reasons = Counter(each.reason for seen in every for each in seen.generations)
    rows = {
        "process instances": len(every),
        "turns": sum(len(seen.turns) for seen in every),
        "model calls": sum(sum(seen.asked.values()) for seen in every),
        "requests struck by a fault": sum(each["struck"] for each in findings.struck),
        "replicas killed": len(played.kills),
        "recovered by looking": sum(len(seen.recovered) for seen in every),
        "rebuilt after a loss": reasons[GenerationReason.LOST],
        "rebuilt after a broken exchange": reasons[GenerationReason.ENDED],
        "fenced": reasons[GenerationReason.FENCED],
        "replayed": played.replayed,
        "retried by a person": sum(played.released.values()),
        "lost": findings.lost,
        "duplicated": findings.duplicated,
        "seconds": round(seconds),
    }
    lines = ["", "| what | count |", "|---|--:|"]
    lines += [f"| {name} | {count:,} |" for name, count in rows.items()]
    kinds = Counter[str]()
    for rule in findings.struck:
        kinds[rule["fault"]] += rule["struck"]
    lines += ["", "Faults: " + ", ".join(f"{kind} {n}" for kind, n in kinds.most_common()) + "."]
    wrong = findings.wrong
    lines += ["", f"{len(wrong)} violations." if wrong else "No invariant was violated."]
    lines += [f"  {each}" for each in wrong[:MOST_SHOWN]]
    return "\n".join(lines)
