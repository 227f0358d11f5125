"""Whatever is sent to the service is taken or refused, and never trips it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dadm.domain.errors import InvalidTask
from dadm.entrypoints.openai_service.bodies import parse_json
from dadm.entrypoints.openai_service.messages import ProcessTaskRequest
from dadm.entrypoints.openai_service.problems import RequestRefused

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
JSON = st.recursive(
    SCALARS | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=20,
)
FIELDS = st.sampled_from(sorted(ProcessTaskRequest.model_fields))


@given(JSON)
def test_json_that_stores_can_keep_is_read_as_it_was_written(value: Any) -> None:
    for escaped in (True, False):
        assert parse_json(json.dumps(value, ensure_ascii=escaped).encode()) == value


@given(st.binary() | st.text().map(lambda text: text.encode(errors="surrogatepass")))
def test_anything_else_is_refused(body: bytes) -> None:
    try:
        value = parse_json(body)
    except RequestRefused:
        return
    assert value == json.loads(body)


@given(st.integers(min_value=65, max_value=5000), st.sampled_from(["[]", "{}"]))
def test_nesting_is_bounded(depth: int, kind: str) -> None:
    opened = "[" if kind == "[]" else '{"a":'
    body = opened * depth + "1" + kind[1] * depth

    with pytest.raises(RequestRefused, match="nested"):
        parse_json(body.encode())


@given(st.dictionaries(FIELDS, JSON))
def test_a_body_becomes_a_task_or_is_refused(body: dict[str, Any]) -> None:
    try:
        task = ProcessTaskRequest.read(body).as_task(task_id="t1")
    except (RequestRefused, InvalidTask):
        return
    assert task.question.strip()
    assert task.content_digest
