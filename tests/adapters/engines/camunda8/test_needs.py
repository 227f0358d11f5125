"""Which variables a job's task is asked for, told by its headers, its prompt and what is mapped in."""

import pytest

from dadm.adapters.engines.camunda8.needs import NOTHING, Needs, needs_of


@pytest.mark.parametrize(
    ("variables", "mapped", "names"),
    [
        (None, None, ["named"]),
        (None, ("in",), ["in", "named"]),
        ("none", ("in",), ["named"]),
        ("a, b", ("in",), ["a", "b", "named"]),
        ("changed", ("in",), ["in", "named"]),
        ("all", ("in",), ["in", "named"]),
        # Nobody tells their names beforehand.
        ("changed", None, None),
        ("all", None, None),
    ],
)
def test_only_what_a_task_needs_is_asked_for(
    variables: str | None, mapped: tuple[str, ...] | None, names: list[str] | None
) -> None:
    headers = {} if variables is None else {"variables": variables}

    assert needs_of(headers, "See ${named}.", mapped).written() == names


def test_a_task_that_needs_nothing_is_given_nothing() -> None:
    assert Needs().written() == [NOTHING]
