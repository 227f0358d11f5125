"""Models of the contract suite as one writes them for Camunda 8."""

import re
from collections.abc import Iterator

from lxml import etree

BPMN = "http://www.omg.org/spec/BPMN/20100524/MODEL"
CAMUNDA = "http://camunda.org/schema/1.0/bpmn"
ZEEBE = "http://camunda.org/schema/zeebe/1.0"
LISTENER = "dadm.process-ended"
SAFE = etree.XMLParser(resolve_entities=False, no_network=True)


def in_zeebe(document: bytes, *, tells_ends: bool = False, sees_all: bool = False) -> bytes:
    """Say the same for Camunda 8: jobs, headers and FEEL.

    With `tells_ends` a listener tells the ends of its processes; with `sees_all` each task is shown
    all variables, as headers ask for it.
    """
    root = etree.fromstring(document, SAFE)
    for node in list(root.iter(f"{{{BPMN}}}*")):
        match etree.QName(node).localname:
            case "serviceTask":
                _task(node, sees_all=sees_all)
            case "callActivity":
                _call(node)
            case "process" if tells_ends:
                _listener(node)
            case "multiInstanceLoopCharacteristics":
                _loop(node)
            case "conditionExpression":
                node.text = in_feel(node.text or "")
            case _:
                continue
    for node in root.iter(f"{{{BPMN}}}*"):
        _leave_out_camunda(node)
    _name_flows(root)
    written: bytes = etree.tostring(root)
    return written


def in_feel(expression: str) -> str:
    """Say `${…}` in FEEL, whose lists begin with 1."""
    inner = expression.strip().removeprefix("${").removesuffix("}")
    if inner == expression.strip():
        return expression
    return "=" + re.sub(r"\[(\d+)\]", lambda found: f"[{int(found[1]) + 1}]", inner)


def _task(node: etree._Element, *, sees_all: bool) -> None:
    said = _extensions(node)
    job_type = node.get(f"{{{CAMUNDA}}}topic", "")
    _add(said, "taskDefinition", type=job_type, retries="3")
    headers = {each.get("name", ""): each.get("value", "") for each in _camunda(said, "property")}
    documentation = node.findtext(f"{{{BPMN}}}documentation")
    if documentation:
        headers.setdefault("prompt", documentation)
    if sees_all:
        headers.setdefault("variables", "all")
    if headers:
        written = _add(said, "taskHeaders")
        for key, value in headers.items():
            _add(written, "header", key=key, value=value)
    mappings = [
        ("input" if each.tag.endswith("inputParameter") else "output", each)
        for tag in ("inputParameter", "outputParameter")
        for each in _camunda(said, tag)
    ]
    if mappings:
        written = _add(said, "ioMapping")
        for tag, each in mappings:
            source = in_feel(each.text or "")
            quoted = source if source.startswith("=") else f'="{source}"'
            _add(written, tag, source=quoted, target=each.get("name", ""))


def _call(node: etree._Element) -> None:
    said = _extensions(node)
    called = _add(said, "calledElement", processId=node.get("calledElement", ""))
    del node.attrib["calledElement"]
    passed = [
        (tag, each)
        for tag in ("in", "out")
        for each in _camunda(said, tag)
        # It has none to hand on.
        if each.get("businessKey") is None
    ]
    if not passed:
        return
    called.set("propagateAllChildVariables", "false")
    written = _add(said, "ioMapping")
    for tag, each in passed:
        name = "input" if tag == "in" else "output"
        _add(written, name, source=f"={each.get('source')}", target=each.get("target", ""))


def _listener(node: etree._Element) -> None:
    listeners = _add(_extensions(node), "executionListeners")
    _add(listeners, "executionListener", eventType="end", type=LISTENER, retries="3")


def _loop(node: etree._Element) -> None:
    cardinality = node.find(f"{{{BPMN}}}loopCardinality")
    if cardinality is None:
        return
    node.remove(cardinality)
    collection = f"=for i in 1..{cardinality.text} return i"
    _add(_extensions(node), "loopCharacteristics", inputCollection=collection)


def _extensions(node: etree._Element) -> etree._Element:
    found = node.find(f"{{{BPMN}}}extensionElements")
    if found is not None:
        return found
    made = etree.Element(f"{{{BPMN}}}extensionElements")
    # Behind the documentation alone.
    node.insert(len(node.findall(f"{{{BPMN}}}documentation")), made)
    return made


def _add(parent: etree._Element, tag: str, **attributes: str) -> etree._Element:
    return etree.SubElement(parent, f"{{{ZEEBE}}}{tag}", attributes)


def _camunda(node: etree._Element, tag: str) -> Iterator[etree._Element]:
    yield from node.iter(f"{{{CAMUNDA}}}{tag}")


def _leave_out_camunda(node: etree._Element) -> None:
    for name in [each for each in node.attrib if str(each).startswith(f"{{{CAMUNDA}}}")]:
        del node.attrib[name]
    if etree.QName(node).localname == "extensionElements":
        for each in [each for each in node if str(each.tag).startswith(f"{{{CAMUNDA}}}")]:
            node.remove(each)


def _name_flows(root: etree._Element) -> None:
    """Have boundary events name the flows that leave them, without which the broker sees none."""
    for event in root.iter(f"{{{BPMN}}}boundaryEvent"):
        for flow in root.iter(f"{{{BPMN}}}sequenceFlow"):
            if flow.get("sourceRef") == event.get("id"):
                outgoing = etree.Element(f"{{{BPMN}}}outgoing")
                outgoing.text = flow.get("id")
                event.insert(0, outgoing)
