"""Variable mappings, properties and calls as the two dialects write them."""

from collections.abc import Iterator

from lxml import etree

from dadm.adapters.engines.bpmn_names import (
    CAMUNDA_7,
    ZEEBE,
    extensions,
    local_name,
    namespace_of,
)
from dadm.adapters.engines.embedded.models.elements import (
    Assignment,
    Call,
    Carry,
    Listed,
    Mapped,
    Value,
)
from dadm.adapters.engines.embedded.models.expressions import (
    Expression,
    constant,
    feel,
    juel,
    variable,
)
from dadm.adapters.engines.embedded.models.findings import Findings

_EITHER = CAMUNDA_7 | {ZEEBE}
_ZEEBE = frozenset({ZEEBE})


def inside(
    node: etree._Element, holder: str, *tags: str, namespaces: frozenset[str] = _EITHER
) -> Iterator[etree._Element]:
    """Give the children of a node's extension element `holder`, of these tags."""
    for extension in extensions(node, namespaces):
        if local_name(extension.tag) == holder:
            for child in extension.iterchildren(etree.Element):
                if local_name(child.tag) in tags:
                    yield child


def properties_of(node: etree._Element) -> dict[str, str]:
    """Read extension properties and task headers; of two with one name the last wins."""
    found = {
        child.get("name") or child.get("key") or "": child.get("value", "")
        for holder, tag in (("properties", "property"), ("taskHeaders", "header"))
        for child in inside(node, holder, tag)
    }
    found.pop("", None)
    return found


def has_mapping(node: etree._Element, dialect: frozenset[str]) -> bool:
    """Whether the element maps variables in that dialect."""
    return any(
        local_name(extension.tag) in {"inputOutput", "ioMapping"}
        for extension in extensions(node, dialect)
    )


def inputs_of(node: etree._Element, findings: Findings) -> tuple[Assignment, ...] | None:
    """Read what an element maps in, None where it maps nothing."""
    found = _assignments(node, "inputParameter", "input", findings)
    return found or None


def outputs_of(node: etree._Element, findings: Findings) -> tuple[Assignment, ...]:
    """Read what an element maps out."""
    return _assignments(node, "outputParameter", "output", findings)


def _assignments(
    node: etree._Element, parameter: str, mapping: str, findings: Findings
) -> tuple[Assignment, ...]:
    found: list[Assignment] = []
    for child in inside(node, "inputOutput", parameter, namespaces=CAMUNDA_7):
        name = child.get("name", "")
        if not name:
            findings.add(child, "has no name.")
        found.append(Assignment(name, _value(child, findings)))
    for child in inside(node, "ioMapping", mapping, namespaces=_ZEEBE):
        target = child.get("target", "")
        if not target or "." in target:
            findings.add(child, f"has the target {target!r}; name one variable.")
        source = findings.expression(child, feel, child.get("source", ""))
        found.append(Assignment(target, source))
    return tuple(found)


def _value(node: etree._Element, findings: Findings) -> Value:
    """Read a value of the Camunda 7 family: text, an expression, a list or a map."""
    nested = list(node.iterchildren(etree.Element))
    if not nested:
        return findings.expression(node, juel, (node.text or "").strip())
    first = nested[0]
    if len(nested) > 1 or namespace_of(first.tag) not in CAMUNDA_7:
        findings.add(node, "must hold text, one list or one map.")
        return constant("")
    match local_name(first.tag):
        case "list":
            values = tuple(_value(child, findings) for child in first.iterchildren(etree.Element))
            return Listed(values)
        case "map":
            entries = tuple(
                (child.get("key", ""), _value(child, findings))
                for child in first.iterchildren(etree.Element)
            )
            return Mapped(entries)
        case other:
            findings.add(first, f"is a {other}; only text, lists and maps are read here.")
            return constant("")


def call_of(node: etree._Element, findings: Findings) -> Call | None:
    """Read which process a call activity starts and what passes between the two."""
    for extension in extensions(node, _ZEEBE):
        if local_name(extension.tag) == "calledElement":
            return _zeebe_call(extension, findings)
    called = node.get("calledElement", "")
    if not called.strip():
        findings.add(node, "does not say which process it calls.")
        return None
    given, taken, business_key = _carried(node, findings)
    return Call(
        process=findings.expression(node, juel, called.strip()),
        given=given,
        taken=taken,
        business_key=business_key,
    )


def _zeebe_call(extension: etree._Element, findings: Findings) -> Call:
    everything = (Carry(),)
    process = extension.get("processId", "")
    if not process.strip():
        findings.add(extension, "has no processId.")
    if extension.get("bindingType", "latest") != "latest":
        findings.add(extension, "binds a version; the latest version is always called here.")
    gives_all = extension.get("propagateAllParentVariables", "true") == "true"
    takes_all = extension.get("propagateAllChildVariables", "true") == "true"
    return Call(
        process=findings.expression(extension, feel, process.strip()),
        given=everything if gives_all else (),
        taken=everything if takes_all else (),
    )


def _carried(
    node: etree._Element, findings: Findings
) -> tuple[tuple[Carry, ...], tuple[Carry, ...], Expression | None]:
    given: list[Carry] = []
    taken: list[Carry] = []
    business_key: Expression | None = None
    for extension in extensions(node, CAMUNDA_7):
        direction = local_name(extension.tag)
        if direction not in {"in", "out"}:
            continue
        if extension.get("businessKey") is not None:
            key = _business_key(extension.get("businessKey", ""))
            business_key = findings.expression(extension, juel, key)
            continue
        (given if direction == "in" else taken).append(_carry(extension, findings))
    return tuple(given), tuple(taken), business_key


def _business_key(text: str) -> str:
    """Read the usual way to hand on the caller's own key, which is a call in JUEL."""
    is_own = "execution.processBusinessKey" in text or "execution.businessKey" in text
    return f"${{{OWN_BUSINESS_KEY}}}" if is_own else text


OWN_BUSINESS_KEY = "dadm_business_key"
"""The variable under which a call activity's expressions find the caller's business key."""


def _carry(extension: etree._Element, findings: Findings) -> Carry:
    if extension.get("local") == "true":
        findings.add(extension, "carries local variables only, which is not told apart here.")
    if extension.get("variables") == "all":
        return Carry()
    source, target = extension.get("source"), extension.get("target", "")
    expression = extension.get("sourceExpression")
    if not target or (source is None) == (expression is None):
        findings.add(extension, "must name a target, and a source or a sourceExpression.")
        return Carry(constant(""), target)
    if source is not None:
        return Carry(variable(source), target)
    return Carry(findings.expression(extension, juel, expression or ""), target)
