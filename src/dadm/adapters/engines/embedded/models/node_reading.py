"""One flow node of a file, read into an element."""

import re

from lxml import etree

from dadm.adapters.engines.bpmn_names import (
    ASSISTANT,
    ASSISTANT_JOB_TYPE,
    CAMUNDA_7,
    ZEEBE,
    bpmn_child,
    bpmn_children,
    child_text,
    extensions,
    local_name,
    platform_attribute,
    text_of,
)
from dadm.adapters.engines.embedded.models.elements import (
    WORKED,
    Dialect,
    Element,
    ErrorEvent,
    Kind,
    Loop,
    Message,
    Terminate,
    Timer,
    TimerKind,
    Trigger,
    Work,
)
from dadm.adapters.engines.embedded.models.expressions import (
    Expression,
    by_its_look,
    constant,
    feel,
    juel,
    variable,
)
from dadm.adapters.engines.embedded.models.findings import Findings
from dadm.adapters.engines.embedded.models.mappings import (
    call_of,
    has_mapping,
    inputs_of,
    outputs_of,
    properties_of,
)
from dadm.adapters.engines.embedded.models.time_values import (
    TimeInvalid,
    cycle_of,
    date_of,
    duration_of,
)

DEFAULT_RESULT_VARIABLE = "recommendation"
_ZEEBE = frozenset({ZEEBE})
_RETRIES = re.compile(r"[1-9]\d{0,2}")
_READ_TIME = {
    TimerKind.DURATION: duration_of,
    TimerKind.DATE: date_of,
    TimerKind.CYCLE: cycle_of,
}


class NodeReading:
    """Reads the nodes of one process; `messages` and `errors` are those the file declares."""

    def __init__(
        self,
        findings: Findings,
        *,
        messages: dict[str, str],
        errors: dict[str, str],
        priority: str | None,
    ) -> None:
        """Note problems in `findings`; `priority` is the process's own for its tasks."""
        self._findings = findings
        self._messages = messages
        self._errors = errors
        self._priority = priority

    def element(self, node: etree._Element, scope: str) -> Element:
        """Read one node of that scope."""
        kind = Kind(local_name(node.tag))
        loop = bpmn_child(node, "multiInstanceLoopCharacteristics")
        return Element(
            element_id=node.get("id", ""),
            kind=kind,
            name=node.get("name", ""),
            documentation=child_text(node, "documentation").strip(),
            scope=scope,
            dialect=_dialect(node),
            work=self._work(node) if kind in WORKED else None,
            inputs=inputs_of(node, self._findings),
            outputs=outputs_of(node, self._findings),
            loop=None if loop is None else self._loop(loop),
            trigger=self._trigger(node, kind),
            call=call_of(node, self._findings) if kind is Kind.CALL_ACTIVITY else None,
            attached_to=node.get("attachedToRef", ""),
            is_interrupting=node.get("cancelActivity", "true") != "false",
            default_flow=node.get("default", ""),
        )

    def _work(self, node: etree._Element) -> Work | None:
        for definition in extensions(node, _ZEEBE):
            if local_name(definition.tag) == "taskDefinition":
                if platform_attribute(node, "type") is not None:
                    self._findings.add(node, "is written for Camunda 7 and 8 at once; take one.")
                return self._job(node, definition)
        if platform_attribute(node, "type") != "external":
            self._findings.add(
                node, 'has no worker: give it camunda:type="external" and a topic, or a job type.'
            )
            return None
        topic = self._plain(node, "topic", platform_attribute(node, "topic") or "")
        priority = platform_attribute(node, "taskPriority") or self._priority
        properties = properties_of(node)
        return Work(
            topic=topic,
            properties=properties,
            priority=self._findings.expression(node, juel, priority) if priority else None,
            is_assistant=properties.get("service.type") == ASSISTANT,
            result_variable=_result_variable(properties),
        )

    def _job(self, node: etree._Element, definition: etree._Element) -> Work:
        topic = self._plain(definition, "type", definition.get("type", ""))
        retries = definition.get("retries", "")
        if retries and not _RETRIES.fullmatch(retries):
            problem = f"has retries {retries!r}; write a whole number from 1 to 999."
            self._findings.add(definition, problem)
            retries = ""
        properties = properties_of(node)
        if topic == ASSISTANT_JOB_TYPE:
            properties.setdefault("service.type", ASSISTANT)
        return Work(
            topic=topic,
            properties=properties,
            retries=int(retries) if retries else None,
            is_assistant=properties.get("service.type") == ASSISTANT,
            result_variable=_result_variable(properties),
        )

    def _plain(self, node: etree._Element, what: str, text: str) -> str:
        if not text.strip():
            self._findings.add(node, f"has no {what}.")
        elif "${" in text or "#{" in text or text.lstrip().startswith("="):
            self._findings.add(node, f"computes its {what}; write it out, so that workers know it.")
        return text.strip()

    def _loop(self, node: etree._Element) -> Loop:
        is_sequential = node.get("isSequential", "false") == "true"
        condition = bpmn_child(node, "completionCondition")
        when = None if condition is None else self._by_look(condition, "completionCondition")
        for extension in extensions(node, _ZEEBE):
            if local_name(extension.tag) == "loopCharacteristics":
                return self._zeebe_loop(extension, is_sequential=is_sequential, condition=when)
        collection = self._collection(node)
        cardinality = bpmn_child(node, "loopCardinality")
        if (collection is None) == (cardinality is None):
            self._findings.add(
                node, "must have either a collection or a loopCardinality for its instances."
            )
        item = bpmn_child(node, "inputDataItem")
        named = platform_attribute(node, "elementVariable")
        return Loop(
            is_sequential=is_sequential,
            collection=collection,
            cardinality=None
            if cardinality is None
            else self._by_look(cardinality, "loopCardinality"),
            element=named or ("" if item is None else item.get("name") or item.get("id") or ""),
            condition=when,
        )

    def _collection(self, node: etree._Element) -> Expression | None:
        """Read a collection: the name of a variable, or an expression."""
        named = platform_attribute(node, "collection") or child_text(node, "loopDataInputRef")
        named = named.strip()
        if not named:
            return None
        return self._findings.expression(node, juel, named) if "{" in named else variable(named)

    def _zeebe_loop(
        self, node: etree._Element, *, is_sequential: bool, condition: Expression | None
    ) -> Loop:
        items = node.get("inputCollection", "")
        if not items.strip():
            self._findings.add(node, "has no inputCollection.")
        gathered, each = node.get("outputCollection", ""), node.get("outputElement", "")
        if bool(gathered) != bool(each):
            self._findings.add(node, "must have both an outputCollection and an outputElement.")
        return Loop(
            is_sequential=is_sequential,
            collection=self._findings.expression(node, feel, items),
            element=node.get("inputElement", ""),
            condition=condition,
            output_collection=gathered,
            output_element=self._findings.expression(node, feel, each) if each else None,
            first_index=1,
        )

    def _by_look(self, node: etree._Element, what: str) -> Expression:
        text = text_of(node).strip()
        if not text:
            self._findings.add(node, f"has an empty {what}.")
        return self._findings.expression(node, by_its_look, text)

    def _trigger(self, node: etree._Element, kind: Kind) -> Trigger | None:
        if kind is Kind.RECEIVE_TASK:
            return self._message(node)
        for definition in bpmn_children(node):
            match local_name(definition.tag):
                case "timerEventDefinition":
                    return self._timer(definition)
                case "messageEventDefinition":
                    return self._message(definition)
                case "errorEventDefinition":
                    return self._error(definition, kind)
                case "terminateEventDefinition":
                    return Terminate()
                case _:
                    continue
        return None

    def _message(self, node: etree._Element) -> Message:
        reference = node.get("messageRef", "")
        name = self._messages.get(reference, "")
        if not reference:
            self._findings.add(node, "does not say which message it waits for.")
        elif reference not in self._messages:
            self._findings.add(node, f"waits for the message {reference!r}, which is not declared.")
        else:
            name = self._plain(node, "message name", name)
        return Message(name)

    def _error(self, node: etree._Element, kind: Kind) -> ErrorEvent:
        reference = node.get("errorRef", "")
        code = self._errors.get(reference, "")
        if reference and reference not in self._errors:
            self._findings.add(node, f"refers to the error {reference!r}, which is not declared.")
        if code.lstrip().startswith("=") or "${" in code:
            self._findings.add(node, f"computes its error code {code!r}; write it out.")
        if kind is Kind.END and not code:
            self._findings.add(node, "throws an error without a code.")
        return ErrorEvent(
            code=code,
            code_variable=platform_attribute(node, "errorCodeVariable") or "",
            message_variable=platform_attribute(node, "errorMessageVariable") or "",
        )

    def _timer(self, node: etree._Element) -> Timer:
        given = [
            (kind, child) for kind in TimerKind if (child := bpmn_child(node, kind)) is not None
        ]
        if len(given) != 1:
            self._findings.add(node, "must have one of timeDuration, timeDate and timeCycle.")
            return Timer(TimerKind.DURATION, constant("PT0S"))
        ((kind, child),) = given
        when = self._by_look(child, kind)
        if when.is_constant and when.parts:
            try:
                _READ_TIME[kind](when.source)
            except TimeInvalid as invalid:
                self._findings.add(child, f"cannot be read: {invalid}.")
        return Timer(kind, when)


def _dialect(node: etree._Element) -> Dialect:
    """Tell whose rules for variables a node follows: those of the extensions it has."""
    has_zeebe = any(True for _ in extensions(node, _ZEEBE))
    has_platform = has_mapping(node, CAMUNDA_7) or platform_attribute(node, "type") is not None
    return Dialect.CAMUNDA_8 if has_zeebe and not has_platform else Dialect.CAMUNDA_7


def _result_variable(properties: dict[str, str]) -> str:
    return properties.get("resultVariable", "").strip() or DEFAULT_RESULT_VARIABLE
