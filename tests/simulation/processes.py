"""Processes: the instances of a run, whose steps offer tasks to the engine as earlier ones end."""

from collections import Counter
from dataclasses import dataclass

from dadm.adapters.engines.memory import TaskReport
from dadm.domain.task import BpmnError, Completed, Failed
from dadm.ports.engine import InstanceState, LeasedTask
from tests.simulation.engine import SimulatedEngine
from tests.simulation.ledger import marker
from tests.simulation.program import EPOCH
from tests.simulation.record import Record
from tests.simulation.storm import Storm

RELEASED_AT_MOST = 4
"""How often a person has the same task tried again once the storm is over."""

RELEASE_PAUSE_SECONDS = 60.0
"""How long a person waits before the same task is tried again."""


@dataclass(slots=True, kw_only=True)
class Instance:
    """One process instance: steps of tasks that are offered together, and how far it is."""

    id: str
    steps: list[list[str]]
    is_over: bool = False
    """Its end was told: it has run through, or somebody ended it."""
    ended_at: float = 0.0
    offered: int = 0


class Processes:
    """Runs instances by hand, and acts as the person who looks after incidents."""

    def __init__(self, engine: SimulatedEngine, storm: Storm, record: Record) -> None:
        """Draw the instances."""
        self._engine = engine
        self._storm = storm
        self._record = record
        self._reports_read = 0
        self.last_reports: dict[str, TaskReport] = {}
        self.withdrawn: set[str] = set()
        self.assistants: dict[str, str] = {}
        self.instances_by_task: dict[str, Instance] = {}
        self.releases: Counter[str] = Counter()
        """How often a person had a task tried again."""
        self._releases_after_storm: Counter[str] = Counter()
        self._release_due_at: dict[str, float] = {}
        self.instances = [
            Instance(id=f"p{number + 1}", steps=[]) for number in range(storm.weather.instances)
        ]
        for number in range(storm.weather.tasks):
            instance = storm.pick(self.instances)
            if not instance.steps or storm.fraction() < 0.5:
                instance.steps.append([])
            instance.steps[-1].append(f"t{number + 1}")
            self.instances_by_task[f"t{number + 1}"] = instance

    def go_on(self) -> None:
        """Read the engine's reports, and offer what is due."""
        for report in self._engine.reports[self._reports_read :]:
            self.last_reports[report.task_id] = report
            self._record.note("engine", "has", report.task_id, report.outcome)
        self._reports_read = len(self._engine.reports)
        for instance in self.instances:
            if not instance.is_over and self._is_step_done(instance):
                self._next_step(instance)

    def _is_step_done(self, instance: Instance) -> bool:
        if not instance.offered:
            return True
        return all(self.is_done(task) for task in instance.steps[instance.offered - 1])

    def is_done(self, task: str) -> bool:
        """Whether the engine has a final outcome of a task, or waits for none any more."""
        report = self.last_reports.get(task)
        has_outcome = report is not None and isinstance(report.outcome, Completed | BpmnError)
        return has_outcome or task in self.withdrawn

    def _next_step(self, instance: Instance) -> None:
        if instance.offered == len(instance.steps):
            self.end(instance, InstanceState.COMPLETED)
            return
        tasks = instance.steps[instance.offered]
        instance.offered += 1
        for task in tasks:
            self._offer(instance, task)

    def _offer(self, instance: Instance, task: str) -> None:
        weather = self._storm.weather
        assistant = self._storm.pick(("analyst", "critic")[: weather.assistants])
        self.assistants[task] = assistant
        what = "this" if weather.same_words else task
        self._record.note("engine", "offers", task, "of", instance.id, "to", assistant)
        self._engine.offer(
            LeasedTask(
                task_id=task,
                topic="dadm",
                element_id=f"Task_{task}",
                process_instance_id=instance.id,
                process_definition_id="decision:1",
                process_definition_key="decision",
                lease_expires_at=EPOCH,
                variables={} if weather.same_words else {"step": instance.offered},
                properties={"service.type": "assistant", "assistant": assistant},
                documentation=f"{marker(instance.id, assistant)} What about {what}?",
                caught_errors=frozenset(),
            )
        )

    def end(self, instance: Instance, state: InstanceState) -> None:
        """Let an instance be over: its tasks are gone from the engine."""
        instance.is_over = True
        instance.ended_at = self._record.now()
        self._record.note("engine", "ends", instance.id, state)
        self._engine.end_instance(instance.id, state=state)

    def withdraw_some(self) -> None:
        """Let a process go on without one of the tasks it waits for."""
        waiting = [task for task in self.unfinished() if task in self.assistants]
        if waiting:
            self.withdraw(self._storm.pick(waiting))

    def withdraw(self, task: str) -> None:
        """Let a process go on without that task."""
        self._record.note("engine", "withdraws", task)
        self.withdrawn.add(task)
        self._engine.withdraw(task)

    def incidents(self) -> list[str]:
        """Give the tasks that wait for a person."""
        return [
            task
            for task, report in self.last_reports.items()
            if isinstance(report.outcome, Failed)
            and report.outcome.retries == 0
            and not self.instances_by_task[task].is_over
            and task not in self.withdrawn
        ]

    def release(self, task: str) -> None:
        """Have an incident's task tried again, as a person does."""
        self.releases[task] += 1
        self._record.note("person", "releases", task)
        del self.last_reports[task]
        self._engine.retry(task)

    def release_after_storm(self) -> None:
        """Have every incident tried again, a few times: whatever was wrong is mended by now."""
        for task in self.incidents():
            is_due = self._record.now() >= self._release_due_at.get(task, 0.0)
            if is_due and self._releases_after_storm[task] < RELEASED_AT_MOST:
                self._releases_after_storm[task] += 1
                self._release_due_at[task] = self._record.now() + RELEASE_PAUSE_SECONDS
                self.release(task)

    def unfinished(self) -> list[str]:
        """Give the tasks of instances that are not over and that have no final outcome."""
        return [
            task
            for instance in self.instances
            if not instance.is_over
            for step in instance.steps
            for task in step
            if not self.is_done(task)
        ]
