"""`dadm templates` prints what Camunda Modeler reads."""

import json
from collections.abc import Callable

from tests.unit.cli.conftest import Ended


def test_all_templates_are_one_array(dadm: Callable[..., Ended]) -> None:
    ended = dadm("templates")

    assert ended.code == 0
    assert [each["id"] for each in json.loads(ended.out)] == [
        "dadm.ai-task.camunda7",
        "dadm.ai-task.camunda8",
    ]


def test_those_of_one_engine_can_be_asked_for(dadm: Callable[..., Ended]) -> None:
    (only,) = json.loads(dadm("templates", "--engine", "camunda8").out)

    assert only["engines"] == {"camunda": "^8.6"}
