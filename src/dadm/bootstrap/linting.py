"""Linting models, put together: files, the assistants they may name, and what reads BPMN."""

from collections.abc import Mapping

from dadm.domain.assistant import AssistantCatalogue
from dadm.ports.model_findings import EngineKind, LintedModel


def lint_models(
    documents: Mapping[str, bytes], catalogue: AssistantCatalogue, *, engine: EngineKind | None
) -> tuple[LintedModel, ...]:
    """Lint models, by name, for `engine` or for whom each was drawn."""
    from dadm.adapters.engines import linting

    return linting.lint(documents, catalogue, engine=engine)
