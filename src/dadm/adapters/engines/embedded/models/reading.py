"""A BPMN file, read into the processes it holds or refused with all that is wrong with it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lxml import etree

from dadm.adapters.engines.bpmn_names import (
    BPMN,
    bpmn_child,
    bpmn_children,
    local_name,
    platform_attribute,
    short_name,
    text_of,
)
from dadm.adapters.engines.bpmn_xml import read_xml
from dadm.adapters.engines.embedded.models.elements import Element, Flow, ProcessModel
from dadm.adapters.engines.embedded.models.expressions import by_its_look
from dadm.adapters.engines.embedded.models.findings import Findings, refuse
from dadm.adapters.engines.embedded.models.node_reading import NodeReading
from dadm.adapters.engines.embedded.models.structure_check import StructureCheck
from dadm.adapters.engines.embedded.models.vocabulary import NODE_ATTRIBUTES
from dadm.adapters.engines.embedded.models.vocabulary_check import (
    check_vocabulary,
    executable_processes,
)
from dadm.adapters.engines.process_scope import scope_of

_USABLE_ID = re.compile(r"[\w.-]{1,200}")


@dataclass(frozen=True, slots=True)
class ReadProcess:
    """One process, and the file it came from."""

    model: ProcessModel
    resource: str
    source: bytes


def read_models(documents: Mapping[str, bytes]) -> tuple[ReadProcess, ...]:
    """Read all processes of these files, in order.

    Raises:
        InvalidModel: Something in one of the files would not run as meant; the message names
            every such place.
    """
    read: list[ReadProcess] = []
    gathered: list[Findings] = []
    for resource, source in documents.items():
        findings = Findings(resource)
        gathered.append(findings)
        models = _FileReading(read_xml(source, resource), findings).models()
        read.extend(ReadProcess(model, resource, source) for model in models)
    refuse(gathered)
    return tuple(read)


def problems_of(definitions: etree._Element) -> tuple[tuple[int, str], ...]:
    """Give what would not run as meant in a file, as lines and sentences; empty if it would run."""
    findings = Findings("")
    for _ in _FileReading(definitions, findings).models():
        pass
    return findings.placed


def read_process(source: bytes, resource: str, key: str) -> ProcessModel:
    """Read one process of a file that was deployed before.

    Raises:
        InvalidModel: It is not there, or this version of the program would not run it.
    """
    findings = Findings(resource)
    root = read_xml(source, resource)
    models = {model.key: model for model in _FileReading(root, findings).models()}
    if key not in models:
        findings.add(root, f"holds no process {key!r}.")
    refuse([findings])
    return models[key]


class _FileReading:
    """Reads one file; everything doubtful goes into the findings."""

    def __init__(self, definitions: etree._Element, findings: Findings) -> None:
        self._definitions = definitions
        self._findings = findings

    def models(self) -> Iterator[ProcessModel]:
        if self._definitions.tag != f"{{{BPMN}}}definitions":
            self._findings.add(self._definitions, "is not BPMN 2.0: bpmn:definitions is expected.")
            return
        check_vocabulary(self._definitions, self._findings)
        processes = executable_processes(self._definitions)
        if not processes:
            self._findings.add(self._definitions, "holds no process that is executable.")
        seen: set[str] = set()
        for process in processes:
            self._refuse_unusable_id(process, seen)
            model = self._model(process, seen)
            if model is not None:
                yield model

    def _model(self, process: etree._Element, seen: set[str]) -> ProcessModel | None:
        reading = NodeReading(
            self._findings,
            messages=self._declared("message", "name"),
            errors=self._declared("error", "errorCode"),
            priority=platform_attribute(process, "taskPriority"),
        )
        nodes: dict[str, etree._Element] = {}
        elements: dict[str, Element] = {}
        flows: list[Flow] = []
        for scope, node in _inside(process, ""):
            if not self._refuse_unusable_id(node, seen):
                continue
            nodes[node.get("id", "")] = node
            if local_name(node.tag) == "sequenceFlow":
                flows.append(self._flow(node, scope))
            else:
                elements[node.get("id", "")] = reading.element(node, scope)
        model = ProcessModel(
            key=process.get("id", ""),
            name=process.get("name", ""),
            elements=elements,
            flows=tuple(flows),
            thread_scope=scope_of(process),
        )
        StructureCheck(model, process, nodes, self._findings).run()
        return model

    def _flow(self, node: etree._Element, scope: str) -> Flow:
        condition = bpmn_child(node, "conditionExpression")
        text = "" if condition is None else text_of(condition)
        return Flow(
            flow_id=node.get("id", ""),
            source=node.get("sourceRef", ""),
            target=node.get("targetRef", ""),
            scope=scope,
            condition=self._findings.expression(node, by_its_look, text) if text.strip() else None,
        )

    def _declared(self, tag: str, attribute: str) -> dict[str, str]:
        return {
            node.get("id", ""): node.get(attribute, "")
            for node in bpmn_children(self._definitions, tag)
        }

    def _refuse_unusable_id(self, node: etree._Element, seen: set[str]) -> bool:
        """Note an id that is missing, taken or unusable; say whether it can be used."""
        given = node.get("id", "")
        if not _USABLE_ID.fullmatch(given):
            what = f"has the id {given!r}" if given else "has no id"
            self._findings.add(
                node, f"{what}; 1 to 200 letters, digits, dots and hyphens are needed."
            )
            return False
        if given in seen:
            self._findings.add(node, f"({short_name(node.tag)}) has an id that is taken already.")
            return False
        seen.add(given)
        return True


def _inside(container: etree._Element, scope: str) -> Iterator[tuple[str, etree._Element]]:
    """Give the flow nodes and flows of a process with the scope that holds each, in order."""
    for node in bpmn_children(container, "sequenceFlow", *NODE_ATTRIBUTES):
        yield scope, node
        if local_name(node.tag) == "subProcess":
            yield from _inside(node, node.get("id", ""))
