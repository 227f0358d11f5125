"""XML names of BPMN and of the engines whose extensions are read."""

from collections.abc import Iterator

from lxml import etree

BPMN = "http://www.omg.org/spec/BPMN/20100524/MODEL"
CAMUNDA = "http://camunda.org/schema/1.0/bpmn"
OPERATON = "http://operaton.org/schema/1.0/bpmn"
ZEEBE = "http://camunda.org/schema/zeebe/1.0"
CAMUNDA_7 = frozenset({CAMUNDA, OPERATON})
"""The namespaces that mean the same: the Camunda 7 family."""

ASSISTANT = "assistant"
"""The value of `service.type` that makes a task an AI task."""
ASSISTANT_JOB_TYPE = "dadm.assistant"
"""A Camunda 8 job type that marks an AI task without any header."""

_SHORT = {BPMN: "bpmn", CAMUNDA: "camunda", OPERATON: "operaton", ZEEBE: "zeebe"}


def namespace_of(name: str) -> str:
    """Give the namespace of `{namespace}local`, `""` for none."""
    return name[1:].partition("}")[0] if name.startswith("{") else ""


def local_name(name: str) -> str:
    """Give the name without its namespace."""
    return name.rpartition("}")[2]


def short_name(name: str) -> str:
    """Write a name as people do: `bpmn:userTask`."""
    prefix = _SHORT.get(namespace_of(name), "")
    return f"{prefix}:{local_name(name)}" if prefix else local_name(name)


def bpmn_children(node: etree._Element, *tags: str) -> Iterator[etree._Element]:
    """Give the children that are BPMN elements of these tags, or of any."""
    wanted = [f"{{{BPMN}}}{tag}" for tag in tags] or [f"{{{BPMN}}}*"]
    return node.iterchildren(*wanted)


def bpmn_child(node: etree._Element, tag: str) -> etree._Element | None:
    """Give the first child of that BPMN tag."""
    return next(bpmn_children(node, tag), None)


def child_text(node: etree._Element, tag: str) -> str:
    """Give the text of the first child of that BPMN tag, `""` where there is none."""
    child = bpmn_child(node, tag)
    return "" if child is None else text_of(child)


def text_of(node: etree._Element) -> str:
    """Give all text inside a node."""
    return "".join(str(text) for text in node.itertext())


def extensions(node: etree._Element, namespaces: frozenset[str]) -> Iterator[etree._Element]:
    """Give the extension elements of a node in these namespaces."""
    holder = bpmn_child(node, "extensionElements")
    if holder is not None:
        for child in holder.iterchildren(etree.Element):
            if namespace_of(child.tag) in namespaces:
                yield child


def platform_attribute(node: etree._Element, name: str) -> str | None:
    """Give an attribute of the Camunda 7 family."""
    value = node.get(f"{{{CAMUNDA}}}{name}")
    return value if value is not None else node.get(f"{{{OPERATON}}}{name}")


def subject_of(node: etree._Element) -> str:
    """Name a node for people: its tag and id, or those of the nearest that has an id."""
    holder = node
    while holder.get("id") is None:
        above = holder.getparent()
        if above is None:
            break
        holder = above
    named = f"{short_name(holder.tag)} {holder.get('id')}" if holder.get("id") else ""
    if holder is node or not named:
        return named or short_name(node.tag)
    return f"{named} ({short_name(node.tag)})"
