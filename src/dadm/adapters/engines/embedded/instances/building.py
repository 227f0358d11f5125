"""A process model made into nodes, with nothing left to be looked up while it runs."""

from dataclasses import dataclass

from dadm.adapters.engines.embedded.instances.activities import (
    CallActivity,
    PersonTask,
    SubProcess,
    WorkedTask,
)
from dadm.adapters.engines.embedded.instances.events import BoundaryEvent, CatchEvent, EventGateway
from dadm.adapters.engines.embedded.instances.gateways import (
    DecidingGateway,
    ExclusiveGateway,
    InclusiveGateway,
    ParallelGateway,
)
from dadm.adapters.engines.embedded.instances.multi_instance import MultiInstance
from dadm.adapters.engines.embedded.instances.nodes import (
    ErrorEnd,
    FlowNode,
    ProcessSpec,
    TerminateEnd,
    WithEvents,
)
from dadm.adapters.engines.embedded.models.elements import (
    Element,
    ErrorEvent,
    Kind,
    ProcessModel,
    Terminate,
)

_NODES: dict[Kind, type[FlowNode]] = {
    Kind.START: FlowNode,
    Kind.TASK: FlowNode,
    Kind.MANUAL_TASK: FlowNode,
    Kind.THROW: FlowNode,
    Kind.SERVICE_TASK: WorkedTask,
    Kind.SEND_TASK: WorkedTask,
    Kind.BUSINESS_RULE_TASK: WorkedTask,
    Kind.USER_TASK: PersonTask,
    Kind.RECEIVE_TASK: CatchEvent,
    Kind.CALL_ACTIVITY: CallActivity,
    Kind.SUB_PROCESS: SubProcess,
    Kind.EXCLUSIVE: ExclusiveGateway,
    Kind.PARALLEL: ParallelGateway,
    Kind.INCLUSIVE: InclusiveGateway,
    Kind.EVENT_BASED: EventGateway,
    Kind.CATCH: CatchEvent,
    Kind.BOUNDARY: BoundaryEvent,
}


@dataclass(frozen=True, slots=True)
class RunnableModel:
    """A model with its nodes: of the process, and of each sub-process by its element id."""

    model: ProcessModel
    spec: ProcessSpec
    scopes: dict[str, ProcessSpec]


def build(model: ProcessModel) -> RunnableModel:
    """Make the nodes of a model that was checked."""
    scopes = {
        element.element_id: _build_scope(model, element.element_id)
        for element in model.elements.values()
        if element.kind is Kind.SUB_PROCESS
    }
    return RunnableModel(model, _build_scope(model, ""), scopes)


def _build_scope(model: ProcessModel, scope: str) -> ProcessSpec:
    spec = ProcessSpec(scope or model.key)
    entries: dict[str, FlowNode] = {}
    exits: dict[str, FlowNode] = {}
    elements = [element for element in model.elements.values() if element.scope == scope]
    for element in elements:
        exits[element.element_id] = entries[element.element_id] = _node(spec, element)
    for element in elements:
        attached = model.attached_to(element.element_id)
        if attached:
            holder = WithEvents(spec, element)
            for event in (element, *attached):
                holder.connect(exits[event.element_id])
            entries[element.element_id] = holder
    for flow in model.flows:
        if flow.scope == scope:
            source, target = exits[flow.source], entries[flow.target]
            source.connect(target)
            if isinstance(source, DecidingGateway):
                source.add_way(flow, target.name)
    spec.start = exits[model.start_of(scope).element_id]
    return spec


def _node(spec: ProcessSpec, element: Element) -> FlowNode:
    if element.loop is not None:
        instance = _NODES[element.kind](spec, element, name=f"{element.element_id} (instance)")
        return MultiInstance(spec, element, element.loop, instance.name)
    if element.kind is Kind.END:
        match element.trigger:
            case Terminate():
                return TerminateEnd(spec, element)
            case ErrorEvent():
                return ErrorEnd(spec, element)
            case _:
                return FlowNode(spec, element)
    return _NODES[element.kind](spec, element)
