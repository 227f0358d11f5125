"""A delivery that has no turn is told which task, element or thread it is about, and what to do."""

import pytest

from dadm.domain.errors import (
    InvalidTask,
    StoreUnavailable,
    TaskContentChanged,
    TaskIdentityConflict,
    ThreadClosed,
    ThreadErased,
)
from dadm.ports.store_values import ThreadGranted
from tests.unit.application.stage import Stage


async def test_other_work_under_a_known_task_id_is_told_with_both_elements(stage: Stage) -> None:
    replica = await stage.replica()
    await replica.ask("t1", element_id="Frame", process_definition="decision")

    with pytest.raises(TaskIdentityConflict) as raised:
        await replica.ask("t1", element_id="Evaluate", process_definition="decision")

    assert "Task t1 of engine embedded is recorded for element Frame" in raised.value.message
    assert "now comes for element Evaluate of process decision" in raised.value.message
    assert "DADM_ENGINE__ID" in raised.value.message


async def test_plain_caller_is_told_to_use_another_task_id(stage: Stage) -> None:
    replica = await stage.replica()
    await replica.ask("t1", engine="http", element_id="Frame")

    with pytest.raises(TaskIdentityConflict, match="under a task_id of its own"):
        await replica.ask("t1", engine="http", element_id="Evaluate")
    with pytest.raises(TaskContentChanged, match="Task t1 was already used"):
        await replica.ask("t1", engine="http", element_id="Frame", variables={"a": 1})


async def test_closed_thread_is_named(stage: Stage) -> None:
    replica = await stage.replica()
    answer = await replica.ask("t1")
    await stage.store.close_scope(engine="embedded", tenant="", scope="p1")

    with pytest.raises(ThreadClosed) as raised:
        await replica.ask("t2")

    assert f"Thread {answer.thread_id} of p1 with assistant analyst" in raised.value.message
    assert f"dadm threads show {answer.thread_id}" in raised.value.message
    with pytest.raises(ThreadClosed, match="Thread of p1 with assistant analyst is closed"):
        await replica.manager.get_or_create_process_thread("p1", "analyst", engine="embedded")


async def test_thread_that_is_being_erased_is_named(stage: Stage) -> None:
    replica = await stage.replica()
    answer = await replica.ask("t1")
    thread = await stage.thread()
    granted = await stage.store.lease_known_thread(thread.ref, owner="x", lease_seconds=9)
    assert isinstance(granted, ThreadGranted)
    await stage.store.begin_erasure(granted.lease)

    with pytest.raises(ThreadErased) as raised:
        await replica.ask("t2")

    assert "of p1 with assistant analyst is being erased" in raised.value.message
    assert f"dadm threads erase {answer.thread_id}" in raised.value.message
    with pytest.raises(ThreadErased, match="being erased"):
        await replica.manager.get_or_create_process_thread("p1", "analyst", engine="embedded")


async def test_error_with_words_of_its_own_keeps_them(stage: Stage) -> None:
    replica = await stage.replica()

    with pytest.raises(InvalidTask, match="owner"):
        await replica.ask("t1", documentation="What should ${owner} do?", variables={})


async def test_refusal_is_told_even_where_the_store_has_gone_since(stage: Stage) -> None:
    replica = await stage.replica()
    await replica.ask("t1", element_id="Frame")
    arrived, let_go = replica.store.hold_next("claim")
    asking = stage.begin(replica.ask("t1", element_id="Evaluate"))
    await arrived.wait()
    replica.store.fail_next("look_up", StoreUnavailable())
    let_go.set()

    with pytest.raises(TaskIdentityConflict):
        await asking
