"""How the nodes and flows of a process hang together: what has no meaning, or none here."""

from collections import Counter
from collections.abc import Callable, Mapping

from lxml import etree

from dadm.adapters.engines.embedded.models.elements import (
    ACTIVITIES,
    Element,
    ErrorEvent,
    Flow,
    Kind,
    ProcessModel,
    Timer,
    TimerKind,
)
from dadm.adapters.engines.embedded.models.findings import Findings

_DECIDING = frozenset({Kind.EXCLUSIVE, Kind.INCLUSIVE})
_JOINING = frozenset({Kind.PARALLEL, Kind.INCLUSIVE})
_FIRST = frozenset({Kind.START, Kind.BOUNDARY})


class StructureCheck:
    """Checks one process; `nodes` gives the XML of elements and flows, for their lines."""

    def __init__(
        self,
        model: ProcessModel,
        process: etree._Element,
        nodes: Mapping[str, etree._Element],
        findings: Findings,
    ) -> None:
        """Check `model`, noting problems in `findings`."""
        self._model = model
        self._process = process
        self._nodes = nodes
        self._findings = findings

    def run(self) -> None:
        """Make all checks."""
        for flow in self._model.flows:
            self._check_flow(flow)
        self._check_scope("", self._process)
        by_kind: Mapping[Kind, Callable[[Element], None]] = {
            Kind.SUB_PROCESS: lambda inner: self._check_scope(
                inner.element_id, self._nodes[inner.element_id]
            ),
            Kind.BOUNDARY: self._check_boundary,
            Kind.CATCH: self._check_catch,
            Kind.EVENT_BASED: self._check_event_gateway,
            Kind.EXCLUSIVE: self._check_decision,
            Kind.INCLUSIVE: self._check_decision,
        }
        for element in self._model.elements.values():
            self._check_ways(element)
            if element.kind in by_kind:
                by_kind[element.kind](element)

    def _add(self, element_id: str, problem: str) -> None:
        self._findings.add(self._nodes[element_id], problem)

    def _check_scope(self, scope: str, node: etree._Element) -> None:
        starts = [
            element
            for element in self._model.elements.values()
            if element.scope == scope and element.kind is Kind.START
        ]
        if len(starts) != 1:
            self._findings.add(
                node, f"has {len(starts)} start events; exactly one without a trigger runs here."
            )

    def _check_flow(self, flow: Flow) -> None:
        source = self._model.elements.get(flow.source)
        target = self._model.elements.get(flow.target)
        if source is None or target is None:
            self._add(flow.flow_id, "leads from or to something that is not there.")
            return
        if not source.scope == target.scope == flow.scope:
            self._add(flow.flow_id, "crosses the border of a sub-process.")
        if flow.condition is not None and source.kind not in _DECIDING:
            self._add(
                flow.flow_id,
                f"has a condition but leaves {source.element_id}, which does not decide; "
                "put an exclusive gateway behind it.",
            )
        if flow.condition is not None and flow.condition.is_constant and flow.condition.parts:
            self._add(flow.flow_id, "has a condition that is plain text; write ${…} or =….")

    def _check_ways(self, element: Element) -> None:
        """Check that something leads to the element, and nowhere it must not."""
        arriving = self._model.incoming(element.element_id)
        leaving = self._model.outgoing(element.element_id)
        if element.kind in _FIRST and arriving:
            self._add(element.element_id, "has a flow that leads to it, which it must not.")
        if element.kind not in _FIRST and not arriving:
            self._add(element.element_id, "is never reached: no flow leads to it.")
        if element.kind is Kind.END and leaving:
            self._add(element.element_id, "is an end event, but a flow leaves it.")
        if element.kind is Kind.START and not leaving:
            self._add(element.element_id, "is a start event that no flow leaves.")
        if element.kind in _JOINING:
            doubled = [
                source
                for source, count in Counter(flow.source for flow in arriving).items()
                if count > 1
            ]
            for source in doubled:
                self._add(element.element_id, f"is reached from {source} by two flows at once.")
        if element.default_flow and element.kind not in _DECIDING:
            self._add(element.element_id, "has a default flow but does not decide.")

    def _check_decision(self, gateway: Element) -> None:
        leaving = self._model.outgoing(gateway.element_id)
        if gateway.default_flow and gateway.default_flow not in {flow.flow_id for flow in leaving}:
            self._add(gateway.element_id, "has a default flow that does not leave it.")
        if len(leaving) < 2:  # noqa: PLR2004 - one way out needs no decision
            return
        for flow in leaving:
            if flow.condition is None and flow.flow_id != gateway.default_flow:
                self._add(flow.flow_id, "has no condition and is not the default flow.")

    def _check_boundary(self, event: Element) -> None:
        host = self._model.elements.get(event.attached_to)
        if host is None or host.kind not in ACTIVITIES or host.scope != event.scope:
            self._add(event.element_id, "is not attached to an activity beside it.")
        match event.trigger:
            case ErrorEvent() if not event.is_interrupting:
                self._add(event.element_id, "catches an error without interrupting.")
            case Timer(kind=TimerKind.CYCLE) if event.is_interrupting:
                self._add(event.element_id, "repeats, but interrupts the first time it comes.")
            case _:
                pass
        self._check_inputs(event)

    def _check_catch(self, event: Element) -> None:
        match event.trigger:
            case Timer(kind=TimerKind.CYCLE):
                self._add(event.element_id, "repeats; only a non-interrupting boundary event may.")
            case _:
                pass
        self._check_inputs(event)

    def _check_inputs(self, event: Element) -> None:
        if event.inputs is not None:
            self._add(event.element_id, "maps variables in, which an event does not do here.")

    def _check_event_gateway(self, gateway: Element) -> None:
        leaving = self._model.outgoing(gateway.element_id)
        if not leaving:
            self._add(gateway.element_id, "leads to no event.")
        for flow in leaving:
            target = self._model.elements.get(flow.target)
            if target is None or target.kind is not Kind.CATCH:
                self._add(flow.flow_id, "must lead to an intermediate catch event.")
            elif len(self._model.incoming(target.element_id)) > 1:
                self._add(
                    target.element_id, "follows an event-based gateway and something else as well."
                )
