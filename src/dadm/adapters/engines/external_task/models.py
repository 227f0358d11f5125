"""What a deployed model says about its external tasks: topics, prompts, caught errors, own answers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lxml import etree

from dadm.adapters.engines.bpmn_errors import caught_errors, declared_errors
from dadm.adapters.engines.bpmn_names import (
    ASSISTANT,
    BPMN,
    CAMUNDA_7,
    bpmn_children,
    child_text,
    extensions,
    local_name,
    platform_attribute,
    text_of,
)
from dadm.adapters.engines.bpmn_xml import read_xml
from dadm.adapters.engines.process_scope import scope_of

DEFAULT_RESULT_VARIABLE = "recommendation"
ACTIVITIES = frozenset({"serviceTask", "sendTask", "businessRuleTask"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskModel:
    """One external task as its model has it. A computed topic is `""`: nobody knows it beforehand.

    `mapped` is None where nothing is mapped in; `caught_errors` has `""` for a catch-all.
    """

    element_id: str
    name: str = ""
    documentation: str = ""
    topic: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)
    mapped: tuple[str, ...] | None = None
    caught_errors: frozenset[str] = frozenset()

    @property
    def is_assistant(self) -> bool:
        """Whether the model says that an assistant does it."""
        return self.properties.get("service.type") == ASSISTANT

    @property
    def assistant(self) -> str:
        """The assistant wanted, as the model names it."""
        return self.properties.get("assistant", "") or self.properties.get("service.name", "")

    @property
    def answers(self) -> frozenset[str]:
        """The variables that its answer is written to."""
        named = self.properties.get("resultVariable", "").strip() or DEFAULT_RESULT_VARIABLE
        return frozenset({named, f"{self.element_id}_result"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CallModel:
    """One call of another process, `""` where which one is computed, and the errors caught there."""

    called: str
    caught_errors: frozenset[str]

    def may_be_of(self, key: str) -> bool:
        """Whether it may call the process `key`."""
        return self.called in (key, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinitionModel:
    """The external tasks of one definition, by element, and its calls; `own_answers` of AI tasks.

    `thread_scope` is the process's own for its tasks, `""` where it sets none.
    """

    tasks: Mapping[str, TaskModel] = field(default_factory=dict)
    calls: tuple[CallModel, ...] = ()
    own_answers: frozenset[str] = frozenset()
    thread_scope: str = ""


def read_definition(document: bytes, key: str, *, topics: frozenset[str]) -> DefinitionModel:
    """Read the process `key` of a deployed file; tasks of `topics` count as an assistant's too.

    The engine has accepted the file: what is of no interest here is passed over.

    Raises:
        InvalidModel: It is no XML that is safe to read.
    """
    root = read_xml(document, f"the deployed model of {key}")
    errors = declared_errors(root)
    tasks: dict[str, TaskModel] = {}
    calls: list[CallModel] = []
    answers: set[str] = set()
    scope = ""
    for process in bpmn_children(root, "process"):
        if process.get("id") != key:
            continue
        scope = scope_of(process)
        for node in process.iter(*(f"{{{BPMN}}}{tag}" for tag in ACTIVITIES)):
            if platform_attribute(node, "type") == "external":
                task = _task(node, errors)
                tasks[task.element_id] = task
                if task.is_assistant or task.topic in topics:
                    answers |= {*task.answers, *_copies(node, task.answers)}
        for node in process.iter(f"{{{BPMN}}}callActivity"):
            called = _written_out(node.get("calledElement", ""))
            caught = frozenset(caught_errors(node, errors))
            calls.append(CallModel(called=called, caught_errors=caught))
    return DefinitionModel(
        tasks=tasks, calls=tuple(calls), own_answers=frozenset(answers), thread_scope=scope
    )


def _task(node: etree._Element, errors: Mapping[str, str]) -> TaskModel:
    mapped = tuple(
        child.get("name", "") for child in _inside(node, "inputOutput", "inputParameter")
    )
    return TaskModel(
        element_id=node.get("id", ""),
        name=node.get("name", ""),
        documentation=child_text(node, "documentation").strip(),
        topic=_written_out(platform_attribute(node, "topic") or ""),
        properties={
            child.get("name") or child.get("id") or "": child.get("value", "")
            for child in _inside(node, "properties", "property")
        },
        mapped=mapped or None,
        caught_errors=frozenset(caught_errors(node, errors)),
    )


def _written_out(text: str) -> str:
    """Give what a model writes out, `""` where it is computed."""
    return "" if "${" in text or "#{" in text else text.strip()


def _copies(node: etree._Element, answers: frozenset[str]) -> Iterator[str]:
    """Give the variables that the task's output mapping copies its answer to as it is."""
    copied = {f"${{{name}}}" for name in answers} | {f"#{{{name}}}" for name in answers}
    for child in _inside(node, "inputOutput", "outputParameter"):
        if text_of(child).strip() in copied:
            yield child.get("name", "")


def _inside(node: etree._Element, holder: str, tag: str) -> Iterator[etree._Element]:
    for extension in extensions(node, CAMUNDA_7):
        if local_name(extension.tag) == holder:
            for child in extension.iterchildren(etree.Element):
                if local_name(child.tag) == tag:
                    yield child
