"""Whether two nodes of a process may both run in one instance, by the flows that are drawn."""

from collections.abc import Iterator

from lxml import etree

from dadm.adapters.engines.bpmn_names import bpmn_children, local_name

_TAKES_ONE = frozenset({"exclusiveGateway", "eventBasedGateway"})


def may_both_run(first: etree._Element, second: etree._Element) -> bool:
    """Whether one is done behind the other, or both on branches that run side by side.

    Nodes of different sub-processes are compared by these. Two ways out of one decision are
    apart, and so is what follows an event that interrupts a task: that task was not done.
    """
    above = [*_scopes(second)]
    at = first
    for scope in _scopes(first):
        if scope in above:
            other = second
            while other.getparent() is not scope:
                other = _parent(other)
            return at is other or _Flows(scope).may_both_run(at, other)
        at = scope
    return True


def _scopes(node: etree._Element) -> Iterator[etree._Element]:
    """Give what holds a node, from the inside out."""
    at = node.getparent()
    while at is not None:
        yield at
        at = at.getparent()


def _parent(node: etree._Element) -> etree._Element:
    above = node.getparent()
    return node if above is None else above


class _Flows:
    """The flows of one scope."""

    def __init__(self, scope: etree._Element) -> None:
        self._next: dict[str, list[str]] = {}
        # Those behind a node that was done; a sub-process may be half done when interrupted.
        self._done: dict[str, list[str]] = {}
        self._splits: set[str] = set()
        self._reached: dict[tuple[str, bool], frozenset[str]] = {}
        for flow in bpmn_children(scope, "sequenceFlow"):
            self._next.setdefault(flow.get("sourceRef", ""), []).append(flow.get("targetRef", ""))
        for node in bpmn_children(scope):
            name = node.get("id", "")
            if len(self._next.get(name, ())) > 1 and local_name(node.tag) not in _TAKES_ONE:
                self._splits.add(name)
        for event in bpmn_children(scope, "boundaryEvent"):
            attached = event.get("attachedToRef", "")
            self._done.setdefault(attached, [*self._next.get(attached, ())])
            self._next.setdefault(attached, []).append(event.get("id", ""))
            if event.get("cancelActivity") == "false":
                self._done[attached].append(event.get("id", ""))
                self._splits.add(attached)
        for container in bpmn_children(scope, "subProcess"):
            self._done.pop(container.get("id", ""), None)

    def may_both_run(self, first: etree._Element, second: etree._Element) -> bool:
        """Whether both may run, however they are ordered."""
        one, other = first.get("id", ""), second.get("id", "")
        if other in self._behind(one) or one in self._behind(other):
            return True
        return any(self._parts(split, one, other) for split in self._splits)

    def _parts(self, split: str, one: str, other: str) -> bool:
        """Whether different branches of a split lead to each."""
        to_one, to_other = (
            frozenset(
                branch
                for branch in self._next[split]
                if wanted == branch
                or wanted in self._behind(branch, is_done=branch in (one, other))
            )
            for wanted in (one, other)
        )
        return bool(to_one - to_other) and bool(to_other - to_one)

    def _behind(self, node: str, *, is_done: bool = True) -> frozenset[str]:
        """Give all that may follow a node: once it was done, or whatever becomes of it."""
        if (node, is_done) not in self._reached:
            own = self._next.get(node, [])
            reached: set[str] = set()
            waiting = [*(self._done.get(node, own) if is_done else own)]
            while waiting:
                at = waiting.pop()
                if at not in reached:
                    reached.add(at)
                    waiting.extend(self._next.get(at, ()))
            self._reached[node, is_done] = frozenset(reached)
        return self._reached[node, is_done]
