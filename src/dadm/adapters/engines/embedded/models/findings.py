"""What is wrong with a model, gathered so that its author sees everything at once."""

from collections.abc import Callable
from typing import cast

from lxml import etree

from dadm.adapters.engines.bpmn_names import subject_of
from dadm.adapters.engines.embedded.models.expressions import Expression
from dadm.adapters.engines.embedded.models.translation import ExpressionInvalid
from dadm.domain.errors import InvalidModel


class Findings:
    """The findings in one file, in the order they were made."""

    def __init__(self, resource: str) -> None:
        """Gather for the file called `resource`."""
        self.resource = resource
        self._found: list[tuple[int, str]] = []

    def add(self, node: etree._Element, problem: str) -> None:
        """Note a problem, with the node's line, and its id or that of what holds it."""
        line = cast("int | None", node.sourceline) or 0
        sentence = f"{subject_of(node)} {problem}"
        if (line, sentence) not in self._found:
            self._found.append((line, sentence))

    def expression(
        self, node: etree._Element, read: Callable[[str], Expression], text: str
    ) -> Expression:
        """Read an expression, noting it where it cannot run here."""
        try:
            return read(text)
        except ExpressionInvalid as invalid:
            self.add(node, f"has the expression {text.strip()!r}, which {invalid}.")
            return Expression(text, ())

    @property
    def placed(self) -> tuple[tuple[int, str], ...]:
        """All findings as lines and sentences, by line; 0 where a line is not known."""
        return tuple(sorted(self._found, key=lambda found: found[0]))

    @property
    def texts(self) -> tuple[str, ...]:
        """All findings as sentences that name the file and the line, by line."""
        return tuple(f"{self.resource}, line {line}: {said}" for line, said in self.placed)


def refuse(findings: "list[Findings]") -> None:
    """Refuse to deploy where anything was found.

    Raises:
        InvalidModel: It lists all findings, a line each.
    """
    texts = [text for each in findings for text in each.texts]
    if texts:
        raise InvalidModel("\n".join(("This model cannot be deployed:", *texts)))
