"""What every process store promises the embedded engine."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from dadm.domain.errors import EngineRejected, LeaseLost, TaskGone
from dadm.ports.engine import InstanceState
from dadm.ports.process_store import ProcessStore
from tests.contracts.processes import (
    ANY_TOPIC,
    AT_ONCE,
    HOUR,
    THEN,
    begin,
    change,
    definition,
    incident,
    instance,
    lease,
    task,
    user_task,
)


async def test_an_empty_store_has_nothing(processes: ProcessStore) -> None:
    assert await processes.definition("decision:1") is None
    assert await processes.latest_definition("decision", tenant="") is None
    assert await processes.definitions(with_running=True) == ()
    assert await processes.instance("i1") is None
    assert await processes.instances(state=None, limit=10) == ()
    assert await processes.children("i1") == ()
    assert await lease(processes) == []
    assert await processes.tasks_of("i1") == ()
    assert not await processes.has_task("t1")
    assert await processes.user_tasks(limit=10) == ()
    assert await processes.user_task("u1") is None
    assert await processes.waiting_for_message("paid", instance_id="") == ()
    assert await processes.due_instances(limit=10) == ()
    assert await processes.incidents(instance_id=None, limit=10) == ()
    assert await processes.incident("x1") is None
    assert await processes.ended_instances(after=0, limit=10) == ()
    assert await processes.instance_states(["i1"]) == {}
    assert (await processes.now()).tzinfo is not None


async def test_definitions_are_found_by_id_and_by_their_latest_version(
    processes: ProcessStore,
) -> None:
    first, second = definition("d:1", version=1), definition("d:2", version=2)
    tenants = definition("d:3", version=1, tenant="acme")
    await processes.add_definitions([first, second, tenants])

    assert await processes.definition("d:1") == first
    assert await processes.latest_definition("decision", tenant="") == second
    assert await processes.latest_definition("decision", tenant="acme") == tenants
    assert await processes.latest_definition("decision", tenant="other") is None


@pytest.mark.parametrize("twice", [definition("d:1", version=2), definition("d:2", version=1)])
async def test_a_definition_that_is_there_already_is_refused_with_all_beside_it(
    processes: ProcessStore, twice: object
) -> None:
    assert isinstance(twice, type(definition()))
    await processes.add_definitions([definition("d:1", version=1)])

    with pytest.raises(EngineRejected):
        await processes.add_definitions([definition("d:9", key="new"), twice])

    assert await processes.definition("d:9") is None


async def test_definitions_are_the_latest_and_those_that_run(processes: ProcessStore) -> None:
    stored = [definition(f"d:{version}", version=version) for version in (1, 2, 3)]
    await processes.add_definitions([*stored, definition("a:1", key="another")])
    await begin(processes, of="d:1")
    running = await begin(processes, instance_id="i2", of="d:2")
    await processes.save([change(replace(running, state=InstanceState.COMPLETED))])

    latest = await processes.definitions(with_running=False)
    running_too = await processes.definitions(with_running=True)

    assert [known.definition_id for known in latest] == ["a:1", "d:3"]
    assert [known.definition_id for known in running_too] == ["a:1", "d:1", "d:3"]
    assert latest[1] == stored[2].definition


async def test_an_instance_is_saved_with_a_rising_revision(processes: ProcessStore) -> None:
    saved = await begin(processes)
    assert await processes.instance("i1") == saved

    assert await processes.save([change(replace(saved, document="two"))])

    assert await processes.instance("i1") == replace(saved, document="two", revision=2)


async def test_a_stale_step_is_not_saved_nor_anything_beside_it(processes: ProcessStore) -> None:
    saved = await begin(processes, task("t1"))

    for stale in (0, 7):
        assert not await processes.save(
            [
                change(instance("new"), tasks=(task("t9", instance_id="new"),)),
                change(replace(saved, revision=stale, document="lost"), opened=(incident(),)),
            ]
        )

    assert await processes.instance("i1") == saved
    assert await processes.instance("new") is None
    assert not await processes.has_task("t9")
    assert await processes.has_task("t1")
    assert await processes.incident("x1") is None


async def test_of_steps_made_at_once_from_one_revision_one_is_saved(
    processes: ProcessStore,
) -> None:
    saved = await begin(processes)

    results = await asyncio.gather(
        *(processes.save([change(replace(saved, document=str(n)))]) for n in range(5))
    )

    assert sorted(results) == [False, False, False, False, True]
    found = await processes.instance("i1")
    assert found is not None
    assert found.revision == 2
    assert found.document == str(results.index(True))


async def test_of_instances_begun_at_once_under_one_id_one_is_saved(
    processes: ProcessStore,
) -> None:
    await processes.add_definitions([definition()])

    results = await asyncio.gather(*(processes.save([change(instance())]) for _ in range(5)))

    assert sorted(results) == [False, False, False, False, True]


async def test_instances_are_listed_newest_first(processes: ProcessStore) -> None:
    for number in range(4):
        await begin(processes, instance_id=f"i{number}")
    second = await processes.instance("i1")
    assert second is not None
    await processes.save([change(replace(second, state=InstanceState.CANCELLED))])

    async def ids(state: InstanceState | None, limit: int = 10) -> list[str]:
        return [i.instance_id for i in await processes.instances(state=state, limit=limit)]

    assert await ids(None) == ["i3", "i2", "i1", "i0"]
    assert await ids(None, limit=2) == ["i3", "i2"]
    assert await ids(InstanceState.ACTIVE) == ["i3", "i2", "i0"]
    assert await ids(InstanceState.CANCELLED) == ["i1"]


async def test_children_are_those_that_an_instance_called(processes: ProcessStore) -> None:
    parent = await begin(processes)
    children = [instance(f"c{n}", parent="i1") for n in (1, 2)]
    assert await processes.save([change(parent), *map(change, children)])

    assert await processes.children("i1") == tuple(replace(c, revision=1) for c in children)
    assert await processes.children("c1") == ()
    assert await processes.children("") == ()


async def test_tasks_come_back_as_they_were_saved(processes: ProcessStore) -> None:
    given = task("t1", priority=3, retries=2, tenant="acme", text="é\x00")
    await begin(processes, given, task("t2"))

    assert await processes.tasks_of("i1") == (given, task("t2"))
    assert await processes.has_task("t1")


async def test_a_step_replaces_the_waits_of_its_instance_alone(processes: ProcessStore) -> None:
    saved = await begin(processes, task("t1", said="old"), task("t2"))
    await begin(processes, task("t8", instance_id="i2"), instance_id="i2")
    await lease(processes, limit=1)
    await processes.fail_task("t1", worker="w1", retries=4, retry_after=HOUR, incident=incident())
    before = (await processes.tasks_of("i1"))[0]

    assert await processes.save(
        [change(saved, tasks=(task("t3"), task("t1", said="new", retries=9, priority=5)))]
    )

    tasks = await processes.tasks_of("i1")
    assert [found.task_id for found in tasks] == ["t1", "t3"]
    assert tasks[0] == replace(before, payload={"said": "new"})
    assert tasks[0].retries == 4
    assert not await processes.has_task("t2")
    assert await processes.has_task("t8")


async def test_tasks_are_leased_by_priority_and_then_age(processes: ProcessStore) -> None:
    await begin(
        processes,
        task("old"),
        task("urgent", priority=9),
        task("new"),
        task("other topic", topic="pay"),
        task("no retries", retries=0),
        task("retries", retries=1),
    )

    assert await lease(processes, limit=2) == ["urgent", "old"]
    assert await lease(processes, worker="w2") == ["new", "retries"]
    assert await lease(processes) == []


async def test_a_leased_task_says_who_holds_it_and_until_when(processes: ProcessStore) -> None:
    await begin(processes, task("t1", said="x"))
    now = await processes.now()

    (leased,) = await processes.lease_tasks(topics=ANY_TOPIC, worker="w1", lease=HOUR, limit=1)

    assert leased.worker == "w1"
    assert leased.payload == {"said": "x"}
    assert leased.lease_expires_at is not None
    assert abs(leased.lease_expires_at - now - HOUR) < timedelta(minutes=1)
    assert await processes.check_lease("t1", worker="w1") == leased


async def test_tasks_not_yet_available_wait(processes: ProcessStore) -> None:
    now = await processes.now()
    await begin(processes, task("t1", available_at=now + HOUR), task("t2", available_at=now))

    assert await lease(processes) == ["t2"]


@pytest.mark.parametrize(
    ("topics", "expected"),
    [
        ([], []),
        ([("pay", frozenset[str](), frozenset[str]())], ["p"]),
        ([("decide", frozenset({"k1"}), frozenset[str]())], ["a", "b"]),
        ([("decide", frozenset({"k1", "k2"}), frozenset({"acme"}))], ["b", "c"]),
        ([("decide", frozenset[str](), frozenset({""}))], ["a"]),
        (
            [
                ("pay", frozenset({"k9"}), frozenset[str]()),
                ("decide", frozenset({"k2"}), frozenset[str]()),
            ],
            ["c"],
        ),
    ],
)
async def test_a_worker_gets_only_what_it_asked_for(
    processes: ProcessStore,
    topics: list[tuple[str, frozenset[str], frozenset[str]]],
    expected: list[str],
) -> None:
    await begin(
        processes,
        task("a", key="k1"),
        task("b", key="k1", tenant="acme"),
        task("c", key="k2", tenant="acme"),
        task("p", topic="pay"),
    )

    leased = await processes.lease_tasks(topics=topics, worker="w", lease=HOUR, limit=9)

    assert [found.task_id for found in leased] == expected


async def test_workers_at_once_never_get_the_same_task(processes: ProcessStore) -> None:
    await begin(processes, *(task(f"t{number}") for number in range(20)))

    leased = await asyncio.gather(
        *(lease(processes, worker=f"w{number}", limit=5) for number in range(6))
    )

    taken = [task_id for found in leased for task_id in found]
    assert len(taken) == len(set(taken))
    rest = await lease(processes, worker="late", limit=20)
    assert len(taken) + len(rest) == 20


async def test_a_lease_that_ran_out_may_still_be_reported_until_it_is_taken(
    processes: ProcessStore,
) -> None:
    await begin(processes, task("t1"))
    await lease(processes, worker="w1", lease=AT_ONCE)
    assert (await processes.check_lease("t1", worker="w1")).worker == "w1"
    with pytest.raises(LeaseLost):
        await processes.extend_lease("t1", worker="w1", lease=HOUR)

    assert await lease(processes, worker="w2") == ["t1"]
    with pytest.raises(LeaseLost):
        await processes.check_lease("t1", worker="w1")
    with pytest.raises(LeaseLost):
        await processes.fail_task(
            "t1", worker="w1", retries=1, retry_after=AT_ONCE, incident=incident()
        )
    assert await processes.incident("x1") is None
    await processes.release_task("t1", worker="w1")
    assert (await processes.check_lease("t1", worker="w2")).worker == "w2"


async def test_an_extended_lease_lasts_from_now(processes: ProcessStore) -> None:
    await begin(processes, task("t1"))
    await lease(processes, worker="w1", lease=timedelta(minutes=5))
    await processes.extend_lease("t1", worker="w1", lease=HOUR)

    held = await processes.check_lease("t1", worker="w1")

    assert held.lease_expires_at is not None
    assert held.lease_expires_at - await processes.now() > timedelta(minutes=50)
    with pytest.raises(LeaseLost):
        await processes.extend_lease("t1", worker="w2", lease=HOUR)


async def test_a_task_that_is_gone_cannot_be_reported(processes: ProcessStore) -> None:
    with pytest.raises(TaskGone):
        await processes.check_lease("t1", worker="w1")
    with pytest.raises(TaskGone):
        await processes.extend_lease("t1", worker="w1", lease=HOUR)
    with pytest.raises(TaskGone):
        await processes.fail_task("t1", worker="w1", retries=0, retry_after=AT_ONCE, incident=None)
    await processes.release_task("t1", worker="w1")
    await processes.retry_task("t1", retries=3, incident_id="x1")


async def test_a_failed_task_is_offered_again_later(processes: ProcessStore) -> None:
    await begin(processes, task("t1"), task("t2"))
    await lease(processes)
    await processes.fail_task("t1", worker="w1", retries=2, retry_after=HOUR, incident=None)
    await processes.fail_task("t2", worker="w1", retries=1, retry_after=AT_ONCE, incident=None)

    assert await lease(processes) == ["t2"]
    first = (await processes.tasks_of("i1"))[0]
    assert (first.retries, first.worker, first.lease_expires_at) == (2, "", None)
    assert first.available_at > await processes.now()


async def test_a_task_without_retries_waits_for_a_person(processes: ProcessStore) -> None:
    await begin(processes, task("t1"))
    await lease(processes)
    await processes.fail_task(
        "t1", worker="w1", retries=0, retry_after=AT_ONCE, incident=incident("x1")
    )
    assert await lease(processes) == []
    assert await processes.incident("x1") == incident("x1")

    await processes.retry_task("t1", retries=3, incident_id="x1")

    assert await processes.incident("x1") is None
    assert await lease(processes, worker="w2") == ["t1"]
    assert (await processes.check_lease("t1", worker="w2")).retries == 3


async def test_a_released_task_is_offered_at_once(processes: ProcessStore) -> None:
    await begin(processes, task("t1", retries=2))
    await lease(processes, worker="w1")
    await processes.release_task("t1", worker="w2")
    assert await lease(processes, worker="w2") == []

    await processes.release_task("t1", worker="w1")

    assert await lease(processes, worker="w2") == ["t1"]
    assert (await processes.check_lease("t1", worker="w2")).retries == 2


async def test_user_tasks_come_and_go_with_their_instance_s_steps(
    processes: ProcessStore,
) -> None:
    saved = await begin(processes)
    assert await processes.save([change(saved, user_tasks=(user_task("u1"), user_task("u2")))])
    assert await processes.user_tasks(limit=10) == (user_task("u1"), user_task("u2"))
    assert await processes.user_tasks(limit=1) == (user_task("u1"),)
    assert await processes.user_task("u2") == user_task("u2")

    kept = user_task("u2", name="Sign again")
    assert await processes.save(
        [change(replace(saved, revision=2), user_tasks=(user_task("u3"), kept))]
    )

    assert await processes.user_tasks(limit=10) == (kept, user_task("u3"))
    assert await processes.user_task("u1") is None


async def test_messages_find_the_instances_that_wait_for_them(processes: ProcessStore) -> None:
    first, second = await begin(processes), await begin(processes, instance_id="i2")
    await processes.save([change(second, messages=("paid", "shipped"))])
    await processes.save([change(first, messages=("paid", "paid"))])

    assert await processes.waiting_for_message("paid", instance_id="") == ("i2", "i1")
    assert await processes.waiting_for_message("paid", instance_id="i1") == ("i1",)
    assert await processes.waiting_for_message("shipped", instance_id="i1") == ()

    await processes.save([change(replace(second, revision=2), messages=("paid",))])
    assert await processes.waiting_for_message("shipped", instance_id="") == ()
    assert await processes.waiting_for_message("paid", instance_id="") == ("i2", "i1")


async def test_instances_are_due_when_their_timer_has_come(processes: ProcessStore) -> None:
    now = await processes.now()
    instances = {name: await begin(processes, instance_id=name) for name in "abcd"}
    due = {"a": now - HOUR, "b": now + HOUR, "c": now - 2 * HOUR, "d": None}
    for name, saved in instances.items():
        assert await processes.save([change(saved, due_at=due[name])])

    assert await processes.due_instances(limit=10) == ("c", "a")
    assert await processes.due_instances(limit=1) == ("c",)

    ended = replace(instances["c"], revision=2, state=InstanceState.COMPLETED)
    await processes.save([change(ended, due_at=now - HOUR)])
    await processes.save([change(replace(instances["a"], revision=2))])
    assert await processes.due_instances(limit=10) == ()


async def test_incidents_are_opened_and_closed_by_steps(processes: ProcessStore) -> None:
    saved = await begin(processes)
    await begin(processes, instance_id="i2")
    opened = tuple(incident(f"x{number}") for number in (1, 2))
    assert await processes.save([change(saved, opened=opened)])
    other = await processes.instance("i2")
    assert other is not None
    await processes.save([change(other, opened=(incident("x3", instance_id="i2"),))])

    everything = await processes.incidents(instance_id=None, limit=10)
    assert [known.incident_id for known in everything] == ["x1", "x2", "x3"]
    assert await processes.incidents(instance_id="i1", limit=10) == opened
    assert await processes.incidents(instance_id=None, limit=1) == opened[:1]

    await processes.save([change(replace(saved, revision=2), closed=("x1", "unknown"))])
    assert await processes.incidents(instance_id="i1", limit=10) == opened[1:]


async def test_the_ends_of_instances_are_told_once_and_in_order(processes: ProcessStore) -> None:
    first, second = await begin(processes), await begin(processes, instance_id="i2")
    ended = replace(second, state=InstanceState.COMPLETED, ended_at=THEN + HOUR)
    assert await processes.save([change(ended)])
    assert await processes.save([change(replace(first, state=InstanceState.CANCELLED))])
    assert await processes.save([change(replace(ended, revision=2, document="more"))])
    assert await processes.save([change(instance("i3", state=InstanceState.COMPLETED))])

    told = await processes.ended_instances(after=0, limit=10)

    assert [(end.instance_id, end.state) for end in told] == [
        ("i2", InstanceState.COMPLETED),
        ("i1", InstanceState.CANCELLED),
        ("i3", InstanceState.COMPLETED),
    ]
    assert (told[0].tenant, told[0].ended_at) == ("acme", THEN + HOUR)
    assert abs(told[1].ended_at - await processes.now()) < timedelta(minutes=1)
    assert await processes.ended_instances(after=told[0].position, limit=1) == told[1:2]

    await processes.forget_ended(up_to=told[1].position)
    assert await processes.ended_instances(after=0, limit=10) == told[2:]
    await processes.forget_ended(up_to=told[2].position)
    await begin(processes, instance_id="i4")
    last = await processes.instance("i4")
    assert last is not None
    await processes.save([change(replace(last, state=InstanceState.COMPLETED))])
    (later,) = await processes.ended_instances(after=told[2].position, limit=10)
    assert later.position > told[2].position


async def test_it_says_what_became_of_instances(processes: ProcessStore) -> None:
    await begin(processes, instance_id="running")
    done = await begin(processes, instance_id="done")
    asked = ["running", "done", "unknown", "running"]
    active = InstanceState.ACTIVE
    assert await processes.instance_states(asked) == {"running": active, "done": active}

    await processes.save([change(replace(done, state=InstanceState.CANCELLED))])

    assert await processes.instance_states(asked) == {
        "running": active,
        "done": InstanceState.CANCELLED,
    }
    assert await processes.instance_states([]) == {}
