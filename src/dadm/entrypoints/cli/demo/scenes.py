"""What the demo runs: the shipped decision process, and two decisions to take with it."""

from dataclasses import dataclass
from pathlib import Path

from dadm.domain.json import JsonObject

MODEL = Path(__file__).parents[3] / "examples" / "decision_process.bpmn"
PROCESS_KEY = "decision_process"
TASKS = ("FrameDecision", "IdentifyAlternatives", "EvaluateAlternatives", "Recommend")
FIRST_HALF = TASKS[:2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One decision: what it is about, who owns it, what may be spent."""

    business_key: str
    decision: str
    decision_owner: str
    budget: str

    @property
    def variables(self) -> JsonObject:
        """The variables its process instance starts with."""
        return {
            "decision": self.decision,
            "decision_owner": self.decision_owner,
            "budget": self.budget,
        }

    @property
    def facts(self) -> tuple[str, str]:
        """What only the first task is told and the last one must know."""
        return (self.decision_owner, self.budget)


SCENES = (
    Scene(
        business_key="chairs",
        decision="new office chairs",
        decision_owner="Tom Becker",
        budget="15,000 euros",
    ),
    Scene(
        business_key="van",
        decision="a new delivery van",
        decision_owner="Alice Moreno",
        budget="40,000 euros",
    ),
)
