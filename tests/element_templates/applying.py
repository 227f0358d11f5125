"""Applies an element template to a task, as Camunda Modeler writes it down."""

from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import quoteattr


def task_from(
    template: Mapping[str, Any],
    filled: Mapping[str, str],
    *,
    inner: str = "",
    name: str = "Explain",
) -> str:
    """Write a service task with the template's values, those of `filled` by id first.

    An optional one without a value is left out; any other stands there, empty if need be.
    """
    attributes = [f'id="Explain" name={quoteattr(name)}']
    written: dict[str, list[str]] = {}
    definition: list[str] = []
    for each in template["properties"]:
        value = filled.get(each.get("id", ""), each.get("value", ""))
        if not value and each.get("optional"):
            continue
        binding = each["binding"]
        match binding["type"]:
            case "property":
                attributes.append(f"{binding['name']}={quoteattr(value)}")
            case "camunda:property":
                named = f"name={quoteattr(binding['name'])} value={quoteattr(value)}"
                written.setdefault("camunda:properties", []).append(f"<camunda:property {named}/>")
            case "zeebe:taskHeader":
                named = f"key={quoteattr(binding['key'])} value={quoteattr(value)}"
                written.setdefault("zeebe:taskHeaders", []).append(f"<zeebe:header {named}/>")
            case "zeebe:taskDefinition":
                definition.append(f"{binding['property']}={quoteattr(value)}")
            case unknown:
                raise AssertionError(unknown)
    held = "".join(f"<{tag}>{''.join(parts)}</{tag}>" for tag, parts in written.items())
    if definition:
        held = f"<zeebe:taskDefinition {' '.join(definition)}/>{held}"
    return (
        f"<bpmn:serviceTask {' '.join(attributes)}>{inner}"
        f"<bpmn:extensionElements>{held}</bpmn:extensionElements></bpmn:serviceTask>"
    )
