"""The whitelist: every element and attribute of a model runs here as meant, or is refused."""

from collections.abc import Iterable

from lxml import etree

from dadm.adapters.engines.bpmn_names import (
    BPMN,
    CAMUNDA_7,
    ZEEBE,
    bpmn_child,
    bpmn_children,
    local_name,
    namespace_of,
    short_name,
)
from dadm.adapters.engines.embedded.models import vocabulary
from dadm.adapters.engines.embedded.models.elements import ACTIVITIES, MAPPED, WORKED, Kind
from dadm.adapters.engines.embedded.models.findings import Findings

_LOOP = "multiInstanceLoopCharacteristics"
_CAUGHT = frozenset({Kind.CATCH, Kind.BOUNDARY})
_PLACES: dict[str, frozenset[str]] = {
    "in": frozenset({Kind.CALL_ACTIVITY}),
    "out": frozenset({Kind.CALL_ACTIVITY}),
    "calledElement": frozenset({Kind.CALL_ACTIVITY}),
    "taskDefinition": frozenset(WORKED),
    "taskHeaders": frozenset(WORKED | {Kind.USER_TASK}),
    "inputOutput": frozenset(MAPPED | _CAUGHT),
    "ioMapping": frozenset(MAPPED | _CAUGHT),
    "loopCharacteristics": frozenset({_LOOP}),
}


def check_vocabulary(definitions: etree._Element, findings: Findings) -> None:
    """Note everything in a file that would not run here as its author means it."""
    _check_children(definitions, vocabulary.INSIDE_DEFINITIONS, findings)
    for process in executable_processes(definitions):
        _check_attributes(
            process,
            {"isExecutable", "processType", "isClosed", "definitionalCollaborationRef"},
            findings,
        )
        _check_extensions(process, findings)
        _check_container(process, findings)


def executable_processes(definitions: etree._Element) -> tuple[etree._Element, ...]:
    """Give the processes of a file that are meant to run; a pool may stand for someone else."""
    return tuple(
        process
        for process in bpmn_children(definitions, "process")
        if process.get("isExecutable", "true") != "false"
    )


def _check_container(container: etree._Element, findings: Findings) -> None:
    """Check what a process or a sub-process holds."""
    is_process = local_name(container.tag) == "process"
    allowed = set(vocabulary.NODE_ATTRIBUTES) | vocabulary.INSIDE_PROCESS
    if not is_process:
        allowed |= vocabulary.INSIDE_NODE | {_LOOP}
    _check_children(container, allowed, findings)
    for flow in bpmn_children(container, "sequenceFlow"):
        _check_flow(flow, findings)
    for node in bpmn_children(container, *vocabulary.NODE_ATTRIBUTES):
        _check_node(node, findings)


def _check_node(node: etree._Element, findings: Findings) -> None:
    tag = local_name(node.tag)
    _check_attributes(node, vocabulary.NODE_ATTRIBUTES[tag], findings)
    _check_extensions(node, findings)
    for loop in bpmn_children(node, _LOOP):
        _check_attributes(loop, {"isSequential", "behavior"}, findings)
        _check_extensions(loop, findings)
        _check_children(loop, vocabulary.INSIDE_LOOP, findings)
    if tag == Kind.SUB_PROCESS:
        _check_container(node, findings)
        return
    allowed = set(vocabulary.INSIDE_NODE)
    if tag in ACTIVITIES:
        allowed.add(_LOOP)
    if tag in vocabulary.EVENT_DEFINITIONS:
        allowed |= vocabulary.EVENT_DEFINITIONS[tag]
        _check_event(node, findings)
    _check_children(node, allowed, findings)


def _check_event(event: etree._Element, findings: Findings) -> None:
    definitions = [
        child for child in bpmn_children(event) if local_name(child.tag).endswith("EventDefinition")
    ]
    tag = local_name(event.tag)
    if len(definitions) > 1:
        findings.add(event, "waits for several things at once; use an event-based gateway.")
    if not definitions and tag in _CAUGHT:
        findings.add(event, "does not say what it waits for: a timer, a message or an error.")
    for definition in definitions:
        name = local_name(definition.tag)
        if name in vocabulary.EVENT_DEFINITIONS[tag]:
            _check_children(definition, vocabulary.INSIDE_EVENT_DEFINITION[name], findings)
            _check_attributes(definition, {"messageRef", "errorRef"}, findings)
            _check_extensions(definition, findings)


def _check_flow(flow: etree._Element, findings: Findings) -> None:
    _check_attributes(flow, {"sourceRef", "targetRef", "isImmediate"}, findings)
    _check_extensions(flow, findings)
    _check_children(flow, {"conditionExpression", "documentation", "extensionElements"}, findings)
    condition = bpmn_child(flow, "conditionExpression")
    if condition is not None:
        _check_attributes(condition, {"language"}, findings)
        language = condition.get("language", "juel").lower()
        if language not in {"juel", "feel"}:
            findings.add(condition, f"is written in {language!r}; write ${{…}} or =… instead.")


def _check_children(node: etree._Element, allowed: Iterable[str], findings: Findings) -> None:
    known = frozenset(allowed)
    for child in bpmn_children(node):
        tag = local_name(child.tag)
        if tag in known:
            continue
        why = vocabulary.WHY_NOT.get(tag)
        if why is None:
            why = (
                f"cannot be a {short_name(node.tag)} here"
                if tag.endswith("EventDefinition")
                else "is not run here"
            )
        findings.add(child, f"{why}.")


def _check_attributes(node: etree._Element, allowed: Iterable[str], findings: Findings) -> None:
    known = frozenset(allowed) | vocabulary.COMMON_ATTRIBUTES
    platform = vocabulary.PLATFORM_ATTRIBUTES.get(local_name(node.tag), frozenset())
    for name, value in sorted((str(name), str(value)) for name, value in node.attrib.items()):
        local, namespace = local_name(name), namespace_of(name)
        if namespace in {"", BPMN}:
            _check_plain_attribute(node, local, value, known, findings)
        elif namespace in CAMUNDA_7:
            _check_platform_attribute(node, local, value, platform, findings)
        elif namespace == ZEEBE and not local.startswith("modelerTemplate"):
            findings.add(node, f"has the attribute {short_name(name)}, which is not known here.")


def _check_plain_attribute(
    node: etree._Element, name: str, value: str, known: frozenset[str], findings: Findings
) -> None:
    only = vocabulary.ONLY_VALUE.get(name)
    if name not in known:
        why = vocabulary.WHY_NOT.get(name, f"has the attribute {name}, which is not known here")
        findings.add(node, f"{why}.")
    elif only is not None and value not in only:
        why = vocabulary.WHY_NOT.get(name, f"has {name}={value!r}, which is not run here")
        findings.add(node, f"{why}.")


def _check_platform_attribute(
    node: etree._Element, name: str, value: str, known: frozenset[str], findings: Findings
) -> None:
    if name in known or name in vocabulary.PLATFORM_WITHOUT_EFFECT:
        if name == "calledElementBinding" and value != "latest":
            findings.add(node, f"binds {value!r}; the latest version is always called here.")
        return
    if name in {"async", "asyncBefore", "asyncAfter"} and value == "false":
        return
    why = vocabulary.WHY_NOT.get(name, f"has the attribute camunda:{name}, which is not known here")
    findings.add(node, f"{why}.")


def _check_extensions(node: etree._Element, findings: Findings) -> None:
    holder = bpmn_child(node, "extensionElements")
    if holder is None:
        return
    for child in holder.iterchildren(etree.Element):
        namespace = namespace_of(child.tag)
        if namespace in CAMUNDA_7:
            known = vocabulary.PLATFORM_ELEMENTS
            without_effect = vocabulary.PLATFORM_ELEMENTS_WITHOUT_EFFECT
        elif namespace == ZEEBE:
            known = vocabulary.ZEEBE_ELEMENTS
            without_effect = vocabulary.ZEEBE_ELEMENTS_WITHOUT_EFFECT
        else:
            continue
        _check_extension(node, child, known, without_effect, findings)


def _check_extension(
    node: etree._Element,
    child: etree._Element,
    known: frozenset[str],
    without_effect: frozenset[str],
    findings: Findings,
) -> None:
    name = local_name(child.tag)
    if name in without_effect or (name == "executionListeners" and _only_tells_the_end(child)):
        return
    if name not in known or name == "executionListeners":
        unknown = f"has {short_name(child.tag)}, which is not known here"
        findings.add(child, f"{vocabulary.WHY_NOT.get(name, unknown)}.")
    elif name in _PLACES and local_name(node.tag) not in _PLACES[name]:
        findings.add(child, "stands where it has no effect here.")


def _only_tells_the_end(listeners: etree._Element) -> bool:
    """Whether the listeners only tell of the end of instances, which is told here anyway."""
    return all(
        listener.get("type") == vocabulary.END_LISTENER
        for listener in listeners.iterchildren(etree.Element)
    )
