"""Which BPMN errors a model declares, and which are caught at an activity."""

from collections.abc import Iterator, Mapping

from lxml import etree

from dadm.adapters.engines.bpmn_names import BPMN, bpmn_child, bpmn_children


def declared_errors(definitions: etree._Element) -> dict[str, str]:
    """Give the codes of the errors that a file declares, by their ids."""
    return {
        node.get("id", ""): node.get("errorCode", "")
        for node in bpmn_children(definitions, "error")
    }


def caught_errors(node: etree._Element, errors: Mapping[str, str]) -> Iterator[str]:
    """Give the codes caught at an activity, and by the scopes around it within its process."""
    at: etree._Element | None = node
    while at is not None and at.tag != f"{{{BPMN}}}process":
        scope = at.getparent()
        if scope is None:
            return
        for event in bpmn_children(scope, "boundaryEvent"):
            if event.get("attachedToRef") == at.get("id"):
                yield from error_codes(event, errors)
        for sub_process in bpmn_children(scope, "subProcess"):
            if sub_process.get("triggeredByEvent") == "true" and sub_process is not at:
                for event in bpmn_children(sub_process, "startEvent"):
                    yield from error_codes(event, errors)
        at = scope


def error_codes(event: etree._Element, errors: Mapping[str, str]) -> Iterator[str]:
    """Give the code that an event catches, `""` for any; nothing where it is no error event."""
    definition = bpmn_child(event, "errorEventDefinition")
    if definition is not None:
        reference = definition.get("errorRef", "")
        # A reference that is not declared is the code itself, as these engines read it.
        yield errors.get(reference, reference)
