"""Lints models: reads each for its engine, and looks at them by every rule."""

from collections.abc import Mapping

from lxml import etree

from dadm.adapters.engines.bpmn_errors import declared_errors
from dadm.adapters.engines.bpmn_names import BPMN, short_name
from dadm.adapters.engines.bpmn_xml import UnusableXml, parse_xml
from dadm.adapters.engines.embedded.models.reading import problems_of
from dadm.adapters.engines.linting import rules
from dadm.adapters.engines.linting.assistant_checks import (
    check_process_scope,
    check_results,
    check_task,
    check_type,
)
from dadm.adapters.engines.linting.reading import (
    Report,
    WorkerTask,
    engine_meant,
    line_of,
    processes_of,
    worked_nodes,
    worker_task,
)
from dadm.adapters.engines.linting.worker_checks import (
    check_headers,
    check_process,
    check_shared_topics,
    check_topic,
    check_worker,
)
from dadm.domain.assistant import AssistantCatalogue
from dadm.ports.model_findings import EngineKind, LintedModel


def lint(
    documents: Mapping[str, bytes],
    catalogue: AssistantCatalogue,
    *,
    engine: EngineKind | None = None,
) -> tuple[LintedModel, ...]:
    """Lint files, by name, in order; nothing in them is trusted, and nothing is raised.

    Args:
        documents: The files; topics are compared among all that are for one engine.
        catalogue: The assistants there are.
        engine: For whom they are; None for whom each says it was drawn.
    """
    linting = _Linting(catalogue, engine)
    reports = [
        (resource, *linting.file(source, resource)) for resource, source in documents.items()
    ]
    for kind, tasks in linting.tasks.items():
        check_shared_topics(tasks, engine=kind)
    return tuple(
        LintedModel(resource=resource, engine=kind, findings=report.findings)
        for resource, kind, report in reports
    )


class _Linting:
    """Lints one file after the other, and keeps their tasks to be compared."""

    def __init__(self, catalogue: AssistantCatalogue, engine: EngineKind | None) -> None:
        self._catalogue = catalogue
        self._engine = engine
        self.tasks: dict[EngineKind, list[tuple[WorkerTask, Report, str]]] = {}

    def file(self, source: bytes, resource: str) -> tuple[EngineKind, Report]:
        """Lint one file, and say for which engine that was done."""
        try:
            root = parse_xml(source)
        except UnusableXml as unusable:
            engine = self._engine or EngineKind.EMBEDDED
            report = Report(engine)
            report.add_at(rules.NOT_XML, unusable.line, f"The file {unusable.reason}")
            return engine, report
        engine = self._engine or engine_meant(root)
        report = Report(engine)
        if root.tag == f"{{{BPMN}}}definitions":
            self._definitions(root, resource, engine, report)
        else:
            problem = f"The file holds {short_name(root.tag)}; BPMN 2.0 has bpmn:definitions there."
            report.add_at(rules.NOT_BPMN, line_of(root), problem)
        return engine, report

    def _definitions(
        self, root: etree._Element, resource: str, engine: EngineKind, report: Report
    ) -> None:
        processes = processes_of(root)
        if not processes:
            report.add(rules.NO_PROCESS, root, "holds no process that is executable.")
            return
        if engine is EngineKind.EMBEDDED:
            for line, sentence in problems_of(root):
                report.add_at(rules.NOT_RUN_EMBEDDED, line, sentence)
        errors = declared_errors(root)
        tasks = [task for process in processes for task in self._process(process, engine, report)]
        ours = [task for task in tasks if task.is_assistant]
        for task in ours:
            check_task(task, report, self._catalogue, errors)
        check_results(ours, report)
        kept = self.tasks.setdefault(engine, [])
        kept.extend((task, report, resource) for task in tasks)

    def _process(
        self, process: etree._Element, engine: EngineKind, report: Report
    ) -> list[WorkerTask]:
        check_process(process, report)
        tasks: list[WorkerTask] = []
        for node in worked_nodes(process):
            check_worker(node, engine, report)
            task = worker_task(node, process, engine)
            if task is not None:
                check_type(task, report)
                check_topic(task, engine, report)
                check_headers(task, report)
                tasks.append(task)
        check_process_scope(process, tasks, report)
        return tasks
