"""What a process model says, element by element, whichever dialect it is written in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TypeAlias

from dadm.adapters.engines.embedded.models.expressions import Expression


class Kind(StrEnum):
    """The flow nodes that run here, by their tag."""

    START = "startEvent"
    END = "endEvent"
    TASK = "task"
    MANUAL_TASK = "manualTask"
    SERVICE_TASK = "serviceTask"
    SEND_TASK = "sendTask"
    BUSINESS_RULE_TASK = "businessRuleTask"
    USER_TASK = "userTask"
    RECEIVE_TASK = "receiveTask"
    CALL_ACTIVITY = "callActivity"
    SUB_PROCESS = "subProcess"
    EXCLUSIVE = "exclusiveGateway"
    PARALLEL = "parallelGateway"
    INCLUSIVE = "inclusiveGateway"
    EVENT_BASED = "eventBasedGateway"
    CATCH = "intermediateCatchEvent"
    THROW = "intermediateThrowEvent"
    BOUNDARY = "boundaryEvent"


WORKED = frozenset({Kind.SERVICE_TASK, Kind.SEND_TASK, Kind.BUSINESS_RULE_TASK})
"""What a worker does."""

ACTIVITIES = WORKED | {
    Kind.TASK,
    Kind.MANUAL_TASK,
    Kind.USER_TASK,
    Kind.RECEIVE_TASK,
    Kind.CALL_ACTIVITY,
    Kind.SUB_PROCESS,
}
"""What boundary events may be attached to and what may have several instances."""

MAPPED = ACTIVITIES - {Kind.TASK, Kind.MANUAL_TASK}
"""What may map variables in."""


class Dialect(StrEnum):
    """Whose rules for variables an element follows."""

    CAMUNDA_7 = "camunda_7"
    CAMUNDA_8 = "camunda_8"


@dataclass(frozen=True, slots=True)
class Listed:
    """A list built from a model's values."""

    values: tuple["Value", ...]


@dataclass(frozen=True, slots=True)
class Mapped:
    """A map built from a model's values."""

    entries: tuple[tuple[str, "Value"], ...]


Value: TypeAlias = "Expression | Listed | Mapped"


@dataclass(frozen=True, slots=True)
class Assignment:
    """A mapping's one variable: its name, and what it is given."""

    name: str
    value: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a worker needs to know of its task; AI tasks name an assistant, or leave it out."""

    topic: str
    properties: Mapping[str, str]
    priority: Expression | None = None
    retries: int | None = None
    is_assistant: bool = False
    result_variable: str = ""

    @property
    def assistant(self) -> str:
        """The assistant wanted, as the model names it."""
        return self.properties.get("assistant", "") or self.properties.get("service.name", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """Several instances of one activity, over a collection or so many times."""

    is_sequential: bool
    collection: Expression | None = None
    cardinality: Expression | None = None
    element: str = ""
    condition: Expression | None = None
    output_collection: str = ""
    output_element: Expression | None = None
    first_index: int = 0


class TimerKind(StrEnum):
    """How a timer says when it is due."""

    DURATION = "timeDuration"
    DATE = "timeDate"
    CYCLE = "timeCycle"


@dataclass(frozen=True, slots=True)
class Timer:
    """The event comes at a time."""

    kind: TimerKind
    when: Expression


@dataclass(frozen=True, slots=True)
class Message:
    """The event comes with a message of that name."""

    name: str


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """An error is thrown, or caught: code `""` catches any; the variables are set when caught."""

    code: str
    code_variable: str = ""
    message_variable: str = ""


@dataclass(frozen=True, slots=True)
class Terminate:
    """Everything else in the scope ends."""


Trigger: TypeAlias = Timer | Message | ErrorEvent | Terminate


@dataclass(frozen=True, slots=True)
class Carry:
    """One `in` or `out` of a call activity: everything, or one value under the name `target`."""

    value: Expression | None = None
    target: str = ""

    @property
    def is_everything(self) -> bool:
        """Whether all variables are carried over."""
        return self.value is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Which process a call activity starts, and what it gives and takes."""

    process: Expression
    given: tuple[Carry, ...] = ()
    taken: tuple[Carry, ...] = ()
    business_key: Expression | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One flow node. `scope` is the sub-process that holds it, `""` for the process itself.

    `inputs` is None where the element maps nothing in.
    """

    element_id: str
    kind: Kind
    name: str = ""
    documentation: str = ""
    scope: str = ""
    dialect: Dialect = Dialect.CAMUNDA_7
    work: Work | None = None
    inputs: tuple[Assignment, ...] | None = None
    outputs: tuple[Assignment, ...] = ()
    loop: Loop | None = None
    trigger: Trigger | None = None
    call: Call | None = None
    attached_to: str = ""
    is_interrupting: bool = True
    default_flow: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """A sequence flow."""

    flow_id: str
    source: str
    target: str
    scope: str
    condition: Expression | None = None


@dataclass(frozen=True, kw_only=True)
class ProcessModel:
    """One executable process: its elements by id, and its flows in the order of the file.

    `thread_scope` is what it sets for its tasks, `""` where it sets none.
    """

    key: str
    name: str
    elements: Mapping[str, Element]
    flows: tuple[Flow, ...] = field(default=())
    thread_scope: str = ""

    def outgoing(self, element_id: str) -> tuple[Flow, ...]:
        """Give the flows that leave an element."""
        return tuple(flow for flow in self.flows if flow.source == element_id)

    def incoming(self, element_id: str) -> tuple[Flow, ...]:
        """Give the flows that reach an element."""
        return tuple(flow for flow in self.flows if flow.target == element_id)

    def attached_to(self, element_id: str) -> tuple[Element, ...]:
        """Give the boundary events of an activity."""
        return tuple(
            element for element in self.elements.values() if element.attached_to == element_id
        )

    def start_of(self, scope: str) -> Element:
        """Give the start event of the process or of a sub-process."""
        return next(
            element
            for element in self.elements.values()
            if element.scope == scope and element.kind is Kind.START
        )

    @cached_property
    def assistant_elements(self) -> tuple[Element, ...]:
        """The AI tasks."""
        return tuple(
            element
            for element in self.elements.values()
            if element.work is not None and element.work.is_assistant
        )

    @cached_property
    def own_answers(self) -> frozenset[str]:
        """The variables that hold what AI tasks of this process answered.

        Beside those the orchestrator writes, these are the ones that a mapping or a collection
        copies an answer to as it is.
        """
        return frozenset(
            name for element in self.assistant_elements for name in _answers_of(element)
        )

    def caught_around(self, element_id: str) -> frozenset[str]:
        """Give the error codes caught at an element and its enclosing sub-processes."""
        codes: set[str] = set()
        while element_id:
            codes |= {
                attached.trigger.code
                for attached in self.attached_to(element_id)
                if isinstance(attached.trigger, ErrorEvent)
            }
            element_id = self.elements[element_id].scope
        return frozenset(codes)


def _answers_of(element: Element) -> frozenset[str]:
    if element.work is None:
        return frozenset()
    names = {element.work.result_variable, f"{element.element_id}_result"}
    copies = {
        output.name
        for output in element.outputs
        if isinstance(output.value, Expression) and output.value.variable in names
    }
    loop = element.loop
    if loop and loop.output_element and loop.output_element.variable in names | copies:
        copies.add(loop.output_collection)
    return frozenset(names | copies)
