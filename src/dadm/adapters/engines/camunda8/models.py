"""What a deployed model of Camunda 8 says about its job-based tasks."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lxml import etree

from dadm.adapters.engines.bpmn_errors import caught_errors, declared_errors
from dadm.adapters.engines.bpmn_names import (
    ASSISTANT,
    ASSISTANT_JOB_TYPE,
    BPMN,
    ZEEBE,
    bpmn_children,
    child_text,
    extensions,
    local_name,
)
from dadm.adapters.engines.bpmn_xml import read_xml
from dadm.adapters.engines.process_scope import scope_of

DEFAULT_RESULT_VARIABLE = "recommendation"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobModel:
    """One task as its model has it. A computed job type is `""`: nobody knows it beforehand."""

    element_id: str
    name: str = ""
    documentation: str = ""
    job_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    mapped: tuple[str, ...] | None = None
    caught_errors: frozenset[str] = frozenset()

    @property
    def is_assistant(self) -> bool:
        """Whether the model says that an assistant does it, by a header or by the job type."""
        marked = ASSISTANT if self.job_type == ASSISTANT_JOB_TYPE else ""
        return self.headers.get("service.type", marked) == ASSISTANT

    @property
    def assistant(self) -> str:
        """The assistant wanted, as the model names it."""
        return self.headers.get("assistant", "") or self.headers.get("service.name", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinitionModel:
    """The job-based tasks of one definition, by element; `own_answers` of its AI tasks.

    `thread_scope` is the process's own for its tasks, `""` where it sets none.
    """

    tasks: Mapping[str, JobModel] = field(default_factory=dict)
    own_answers: frozenset[str] = frozenset()
    thread_scope: str = ""


def read_definition(document: bytes, key: str) -> DefinitionModel:
    """Read the process `key` of a deployed file.

    Raises:
        InvalidModel: It is no XML that is safe to read.
    """
    root = read_xml(document, f"the deployed model of {key}")
    errors = declared_errors(root)
    tasks: dict[str, JobModel] = {}
    answers: set[str] = set()
    scope = ""
    for process in bpmn_children(root, "process"):
        if process.get("id") != key:
            continue
        scope = scope_of(process)
        for node in process.iter(f"{{{BPMN}}}*"):
            for definition in _extended(node, "taskDefinition"):
                task = _task(node, definition.get("type", ""), errors)
                tasks[task.element_id] = task
                if task.is_assistant:
                    answers |= _answers(node, task)
    return DefinitionModel(tasks=tasks, own_answers=frozenset(answers), thread_scope=scope)


def answers_of(element_id: str, headers: Mapping[str, str]) -> frozenset[str]:
    """Give the variables that a task's answer is written to."""
    named = headers.get("resultVariable", "").strip() or DEFAULT_RESULT_VARIABLE
    return frozenset({named, f"{element_id}_result"})


def _task(node: etree._Element, job_type: str, errors: Mapping[str, str]) -> JobModel:
    headers = {
        header.get("key", ""): header.get("value", "")
        for headers in _extended(node, "taskHeaders")
        for header in headers.iterchildren(etree.Element)
    }
    mapped = tuple(each.get("target", "") for each in _mappings(node, "input"))
    return JobModel(
        element_id=node.get("id", ""),
        name=node.get("name", ""),
        documentation=child_text(node, "documentation").strip(),
        job_type="" if job_type.startswith("=") else job_type.strip(),
        headers=headers,
        mapped=mapped or None,
        caught_errors=frozenset(caught_errors(node, errors)),
    )


def _answers(node: etree._Element, task: JobModel) -> frozenset[str]:
    """Give the answer's variables, and those that the output mapping copies it to as it is."""
    names = answers_of(task.element_id, task.headers)
    copied = {
        each.get("target", "")
        for each in _mappings(node, "output")
        if each.get("source", "").removeprefix("=").strip() in names
    }
    return names | copied


def _mappings(node: etree._Element, tag: str) -> Iterator[etree._Element]:
    for mapping in _extended(node, "ioMapping"):
        for child in mapping.iterchildren(etree.Element):
            if local_name(child.tag) == tag:
                yield child


def _extended(node: etree._Element, tag: str) -> Iterator[etree._Element]:
    for child in extensions(node, frozenset({ZEEBE})):
        if local_name(child.tag) == tag:
            yield child
