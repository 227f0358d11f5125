"""The reference pages say what the code says."""

from types import ModuleType

import pytest

from dadm.settings import known_settings
from tools import http_reference, settings_reference


@pytest.mark.parametrize(
    "tool", [http_reference, settings_reference], ids=lambda tool: tool.__name__
)
def test_a_reference_page_is_up_to_date(tool: ModuleType) -> None:
    assert tool.PAGE.read_text(encoding="utf-8") == tool.page(), "run `make docs`"


def test_every_setting_is_on_its_page() -> None:
    page = settings_reference.page()

    assert not [each.variable for each in known_settings() if f"`{each.variable}`" not in page]


def test_every_operation_is_on_its_page() -> None:
    page = http_reference.page()

    operations = http_reference.description()
    assert len(operations) >= 10
    assert not [each for each in operations if f"## `{each.method} {each.path}`" not in page]
