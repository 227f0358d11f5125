"""Scopes are spelled so that no two are alike, and end with the instance they belong to."""

from itertools import product

import pytest

from dadm.domain.errors import InvalidTask
from dadm.domain.thread_scope import (
    RESERVED,
    ThreadScope,
    instance_of,
    scope_name,
    scopes_within,
)
from tests.builders import make_key, make_task

PLAIN = ThreadScope.PROCESS_INSTANCE


def named(
    wanted: ThreadScope,
    *,
    instance: str = "p1",
    root: str | None = "p0",
    key: str = "order-7",
    element: str = "Review",
    task: str = "t1",
) -> str:
    return scope_name(
        wanted,
        process_instance_id=instance,
        root_process_instance_id=root,
        business_key=key,
        element_id=element,
        task_id=task,
    )


def test_the_process_instance_is_the_default() -> None:
    assert ThreadScope.parse("") is ThreadScope.parse("  ") is PLAIN
    assert named(PLAIN) == ""


@pytest.mark.parametrize("scope", ThreadScope)
def test_a_scope_is_read_as_it_is_written(scope: ThreadScope) -> None:
    assert ThreadScope.parse(f" {scope} ") is scope


def test_what_is_no_scope_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidTask, match=r"'root'.*process-instance, root-instance"):
        ThreadScope.parse("root")


def test_a_called_process_joins_the_thread_of_its_root() -> None:
    assert named(ThreadScope.ROOT_INSTANCE) == "p0"
    assert named(ThreadScope.ROOT_INSTANCE, root="p1") == ""


@pytest.mark.parametrize("root", [None, ""])
def test_a_root_that_is_not_told_is_no_root(root: str | None) -> None:
    with pytest.raises(InvalidTask, match="does not tell"):
        named(ThreadScope.ROOT_INSTANCE, root=root)


def test_a_scope_without_its_business_key_says_what_to_do() -> None:
    with pytest.raises(InvalidTask, match="Start instances with one"):
        named(ThreadScope.BUSINESS_KEY, key="")


@pytest.mark.parametrize("wanted", [ThreadScope.ELEMENT, ThreadScope.ELEMENT_INSTANCE])
@pytest.mark.parametrize("ids", [{"instance": "a:b"}, {"element": "a:b"}, {"element": ""}])
def test_an_id_that_could_be_taken_for_two_is_refused(
    wanted: ThreadScope, ids: dict[str, str]
) -> None:
    with pytest.raises(InvalidTask, match="colon"):
        named(wanted, **ids)


def test_an_element_ends_with_its_instance() -> None:
    element, execution = named(ThreadScope.ELEMENT), named(ThreadScope.ELEMENT_INSTANCE)

    assert (element, execution) == ("element:p1:Review", "element:p1:Review:t1")
    for scope in (element, execution):
        assert scope.startswith(scopes_within("p1"))
        assert instance_of(scope) == make_key(scope=scope).process_instance_id == "p1"
    assert not element.startswith(scopes_within("p"))
    assert scopes_within("p1:Review") == ""


def test_what_outlives_instances_ends_with_none() -> None:
    assert instance_of(named(ThreadScope.BUSINESS_KEY)) == ""
    assert instance_of("task:t1") == ""
    assert instance_of("p1") == "p1"


def test_no_two_scopes_are_spelled_alike() -> None:
    ids = ("p1", "p2", "order-7", "a")
    spelled = [
        named(wanted, instance=instance, root=instance, key=key, element=element, task=task)
        for wanted, instance, key, element, task in product(ThreadScope, ids, ids, ids, ids)
    ]

    assert len(set(spelled) - {""}) == 4 + 4 * 4 + 4 * 4 * 4


@pytest.mark.parametrize("reserved", RESERVED)
def test_nobody_but_an_engine_brings_a_scope_of_a_kind_of_its_own(reserved: str) -> None:
    with pytest.raises(InvalidTask, match=reserved):
        make_task(engine="http", scope=f"{reserved}p1:x")
    with pytest.raises(InvalidTask, match=reserved):
        make_task(process_instance_id=f"{reserved}p1:x")


def test_an_element_of_another_instance_is_refused() -> None:
    assert make_task(scope="element:p1:Review").thread_scope == "element:p1:Review"
    assert make_task(scope="business-key:order-7").thread_scope == "business-key:order-7"
    with pytest.raises(InvalidTask, match="another process instance"):
        make_task(scope="element:p2:Review")
