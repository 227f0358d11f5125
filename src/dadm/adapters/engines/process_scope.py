"""The scope of threads that a process sets for its tasks, as both dialects write it."""

from collections.abc import Mapping

from lxml import etree

from dadm.adapters.engines.bpmn_names import CAMUNDA_7, ZEEBE, extensions, local_name
from dadm.domain.thread_scope import SETTING

_EITHER = CAMUNDA_7 | {ZEEBE}


def scope_node(process: etree._Element) -> etree._Element | None:
    """Give the extension property of a process that sets the scope, the last of several."""
    found = None
    for extension in extensions(process, _EITHER):
        if local_name(extension.tag) == "properties":
            for child in extension.iterchildren(etree.Element):
                if child.get("name") == SETTING:
                    found = child
    return found


def scope_of(process: etree._Element) -> str:
    """Give the scope that a process sets for its tasks, `""` where it sets none."""
    node = scope_node(process)
    return "" if node is None else node.get("value", "").strip()


def with_scope(properties: Mapping[str, str], of_process: str) -> Mapping[str, str]:
    """Give a task's properties, with its process's scope where it has none of its own."""
    if not of_process or properties.get(SETTING, "").strip():
        return properties
    return {**properties, SETTING: of_process}
