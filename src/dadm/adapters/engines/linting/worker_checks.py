"""What would go wrong between an engine and its workers: topics, headers, what does a task."""

from collections.abc import Sequence

from lxml import etree

from dadm.adapters.engines.bpmn_names import local_name, platform_attribute
from dadm.adapters.engines.linting import rules
from dadm.adapters.engines.linting.assistant_checks import SETTINGS
from dadm.adapters.engines.linting.reading import (
    Report,
    WorkerTask,
    has_implementation,
    headers_of,
    is_computed,
    line_of,
)
from dadm.ports.model_findings import EngineKind


def check_process(process: etree._Element, report: Report) -> None:
    """Look at what the process itself must say."""
    if not (platform_attribute(process, "historyTimeToLive") or "").strip():
        problem = "has no camunda:historyTimeToLive, so the engine refuses it."
        report.add(rules.NO_TIME_TO_LIVE, process, problem)


def check_worker(node: etree._Element, engine: EngineKind, report: Report) -> None:
    """Look for a service task that nobody does."""
    if local_name(node.tag) == "serviceTask" and not has_implementation(node, engine):
        wanted = (
            "a zeebe:taskDefinition with a job type"
            if engine is EngineKind.CAMUNDA_8
            else 'camunda:type="external" and a topic'
        )
        report.add(rules.NO_WORKER, node, f"does not say who does it: give it {wanted}.")


def check_topic(task: WorkerTask, engine: EngineKind, report: Report) -> None:
    """Look at the topic or job type of a task."""
    word = "job type" if engine is EngineKind.CAMUNDA_8 else "topic"
    if not task.topic:
        report.add(rules.MISSING_TOPIC, task.node, f"has no {word}.")
    elif task.is_assistant and is_computed(task.topic):
        problem = f"computes its {word} {task.topic!r}: nobody knows it beforehand."
        report.add(rules.COMPUTED_TOPIC, task.node, problem)


def check_headers(task: WorkerTask, report: Report) -> None:
    """Look at the task headers, and at what should be one."""
    for key, header in headers_of(task.node):
        if not header.value:
            problem = f"has the header {key!r} without a value, which the engine leaves out."
            report.add(rules.EMPTY_HEADER, header.node, problem)
        elif task.is_assistant and key in SETTINGS and header.value.lstrip().startswith("="):
            problem = f"has an expression in the header {key!r}, which is not evaluated."
            report.add(rules.HEADER_EXPRESSION, header.node, problem)
    for name, unsent in task.unsent.items():
        if name in SETTINGS:
            problem = f"has {name!r} as a property, which no worker is given; make it a header."
            report.add(rules.NOT_A_HEADER, unsent.node, problem)


def check_shared_topics(
    tasks: Sequence[tuple[WorkerTask, Report, str]], *, engine: EngineKind
) -> None:
    """Look for AI tasks whose topic is also that of others' tasks, over all files of an engine.

    Args:
        tasks: Every task of a worker, with the report and the name of its file.
        engine: For whom they all are.
    """
    word = "job type" if engine is EngineKind.CAMUNDA_8 else "topic"
    foreign: dict[str, dict[str, tuple[WorkerTask, str]]] = {}
    for task, _, resource in tasks:
        if not task.is_assistant and task.topic and not is_computed(task.topic):
            foreign.setdefault(task.topic, {}).setdefault(task.process_key, (task, resource))
    for task, report, _ in tasks:
        others = foreign.get(task.topic, {}) if task.is_assistant else {}
        is_same = task.process_key in others
        # One of them is enough: the remedy is the same for all.
        for other, resource in [others[task.process_key]] if is_same else [*others.values()][:1]:
            problem = (
                f"has the {word} {task.topic!r}, as {other.node.get('id')} in "
                f"{other.process_key} has ({resource}, line {line_of(other.node)}), which is not "
                "an AI task."
            )
            report.add(rules.SHARED_TOPIC if is_same else rules.TOPIC_ELSEWHERE, task.node, problem)
