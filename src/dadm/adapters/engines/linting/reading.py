"""A file as it is linted: its processes, and the tasks of workers with their settings and lines."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast

from lxml import etree

from dadm.adapters.engines.bpmn_names import (
    ASSISTANT,
    ASSISTANT_JOB_TYPE,
    BPMN,
    CAMUNDA_7,
    ZEEBE,
    bpmn_children,
    child_text,
    extensions,
    local_name,
    namespace_of,
    platform_attribute,
    subject_of,
)
from dadm.adapters.engines.linting.rules import Rule
from dadm.ports.model_findings import EngineKind, ModelFinding

WORKED = ("serviceTask", "sendTask", "businessRuleTask")
_ZEEBE = frozenset({ZEEBE})
_PLATFORM = "{http://camunda.org/schema/modeler/1.0}executionPlatform"
_PLATFORMS = {"Camunda Cloud": EngineKind.CAMUNDA_8, "Camunda Platform": EngineKind.CAMUNDA_7}


class Report:
    """Gathers the findings in one file for one engine."""

    def __init__(self, engine: EngineKind) -> None:
        """Take the findings that matter to `engine`."""
        self._engine = engine
        self._found: dict[ModelFinding, None] = {}

    def add(self, rule: Rule, node: etree._Element, problem: str) -> None:
        """Note a problem of a node; what its rule says of another engine is passed over."""
        self.add_at(rule, line_of(node), f"{subject_of(node)} {problem}")

    def add_at(self, rule: Rule, line: int, message: str) -> None:
        """Note a problem at a line."""
        if self._engine in rule.engines:
            finding = ModelFinding(
                line=max(1, line), severity=rule.severity, code=rule.code, message=message
            )
            self._found[finding] = None

    @property
    def findings(self) -> tuple[ModelFinding, ...]:
        """What was found, by line."""
        return tuple(sorted(self._found, key=lambda found: found.line))


@dataclass(frozen=True, slots=True)
class Setting:
    """A property or a header: its value, and where it stands."""

    value: str
    node: etree._Element


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerTask:
    """A task of a worker, as the engine would hand it out; `settings` hold what comes with it.

    `unsent` are extension properties that this engine keeps to itself.
    """

    node: etree._Element
    process: etree._Element
    topic: str
    settings: Mapping[str, Setting] = field(default_factory=dict)
    unsent: Mapping[str, Setting] = field(default_factory=dict)

    @property
    def is_assistant(self) -> bool:
        """Whether an assistant does it."""
        return self.value("service.type") == ASSISTANT or (
            self.topic == ASSISTANT_JOB_TYPE and "service.type" not in self.settings
        )

    @property
    def documentation(self) -> str:
        """Its documentation."""
        return child_text(self.node, "documentation").strip()

    def value(self, name: str) -> str:
        """Give a setting's value, `""` where it is not set."""
        setting = self.settings.get(name)
        return "" if setting is None else setting.value

    @property
    def process_key(self) -> str:
        """The id of its process."""
        return self.process.get("id", "")


def line_of(node: etree._Element) -> int:
    """Give the line of a node, 1 where it is not known."""
    return cast("int | None", node.sourceline) or 1


def engine_meant(definitions: etree._Element) -> EngineKind:
    """Tell which engine a model is drawn for: what its modeler noted, else whose words it uses."""
    noted = _PLATFORMS.get(definitions.get(_PLATFORM, ""))
    if noted is not None:
        return noted
    seven = eight = 0
    for node in definitions.iter(etree.Element):
        for name in (node.tag, *(str(each) for each in node.attrib)):
            namespace = namespace_of(name)
            seven += namespace in CAMUNDA_7
            eight += namespace == ZEEBE
    if not seven and not eight:
        return EngineKind.EMBEDDED
    return EngineKind.CAMUNDA_8 if eight > seven else EngineKind.CAMUNDA_7


def processes_of(definitions: etree._Element) -> tuple[etree._Element, ...]:
    """Give the processes that an engine can start."""
    return tuple(
        process
        for process in bpmn_children(definitions, "process")
        if process.get("isExecutable", "true") != "false"
    )


def worked_nodes(process: etree._Element) -> Iterator[etree._Element]:
    """Give the nodes that a worker may do, in the order of the file."""
    return process.iter(*(f"{{{BPMN}}}{tag}" for tag in WORKED))


def worker_task(
    node: etree._Element, process: etree._Element, engine: EngineKind
) -> WorkerTask | None:
    """Read a node as a task of a worker of that engine, None where it is none there."""
    job = _zeebe(node, "taskDefinition")
    is_external = platform_attribute(node, "type") == "external"
    headers = dict(_settings(node, _ZEEBE, "taskHeaders", "header"))
    properties = dict(_settings(node, _ZEEBE, "properties", "property"))
    platform = dict(_settings(node, CAMUNDA_7, "properties", "property"))
    topic = (platform_attribute(node, "topic") or "").strip()
    job_type = "" if job is None else job.get("type", "").strip()
    match engine:
        case EngineKind.CAMUNDA_7 if is_external:
            return WorkerTask(node=node, process=process, topic=topic, settings=platform)
        case EngineKind.CAMUNDA_8 if job is not None:
            # Where the value is empty the engine drops the header.
            sent = {name: each for name, each in headers.items() if each.value}
            return WorkerTask(
                node=node, process=process, topic=job_type, settings=sent, unsent=properties
            )
        case EngineKind.EMBEDDED if is_external or job is not None:
            return WorkerTask(
                node=node,
                process=process,
                topic=topic if job is None else job_type,
                settings=platform | properties | headers,
            )
        case _:
            return None


def headers_of(node: etree._Element) -> Iterator[tuple[str, Setting]]:
    """Give the task headers of a node, those without a value too."""
    return _settings(node, _ZEEBE, "taskHeaders", "header")


def has_implementation(node: etree._Element, engine: EngineKind) -> bool:
    """Whether the engine knows something that does the task, whoever that is."""
    if engine is EngineKind.CAMUNDA_8:
        return any(
            local_name(each.tag) in {"taskDefinition", "calledDecision", "script"}
            for each in extensions(node, _ZEEBE)
        )
    names = ("type", "class", "expression", "delegateExpression", "decisionRef")
    return any(platform_attribute(node, name) is not None for name in names) or any(
        local_name(each.tag) == "connector" for each in extensions(node, CAMUNDA_7)
    )


def is_computed(text: str) -> bool:
    """Whether a text is an expression."""
    return "${" in text or "#{" in text or text.lstrip().startswith("=")


def _zeebe(node: etree._Element, tag: str) -> etree._Element | None:
    return next((each for each in extensions(node, _ZEEBE) if local_name(each.tag) == tag), None)


def _settings(
    node: etree._Element, namespaces: frozenset[str], holder: str, tag: str
) -> Iterator[tuple[str, Setting]]:
    for extension in extensions(node, namespaces):
        if local_name(extension.tag) == holder:
            for child in extension.iterchildren(etree.Element):
                name = child.get("name") or child.get("key") or ""
                if name and local_name(child.tag) == tag:
                    yield name, Setting(child.get("value", ""), child)
