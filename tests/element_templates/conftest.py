"""Fixtures of the tests of element templates: their validator, and a stage to run tasks on."""

import pytest

from tests.adapters.engines.stage import Stage
from tests.element_templates.fixtures import validate_templates

__all__ = ["validate_templates"]


@pytest.fixture
def stage() -> Stage:
    return Stage()
