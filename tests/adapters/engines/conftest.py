"""The stage that tests of engines play on."""

import pytest

from tests.adapters.engines.stage import Stage


@pytest.fixture
def stage() -> Stage:
    return Stage()
