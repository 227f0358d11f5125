"""What linting a model finds, and for which engine it was linted."""

from dataclasses import dataclass
from enum import StrEnum


class EngineKind(StrEnum):
    """The kinds of engine that a model may be meant for."""

    EMBEDDED = "embedded"
    CAMUNDA_7 = "camunda7"
    CAMUNDA_8 = "camunda8"


class Severity(StrEnum):
    """An error stops the model or a task of it; a warning is probably not what was meant."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFinding:
    """One thing found in a model.

    `code` names its kind and stays as it is; `line` is counted from 1, and is the last one of the
    start tag of the element that `message` names.
    """

    line: int
    severity: Severity
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LintedModel:
    """A model as it was linted: by which name, for which engine, and what was found, by line."""

    resource: str
    engine: EngineKind
    findings: tuple[ModelFinding, ...]
