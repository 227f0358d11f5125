"""Timers, messages and the gateway that waits for the first of them."""

from datetime import timedelta

import pytest

from dadm.domain.errors import EngineRejected
from dadm.ports.engine import InstanceState
from tests.adapters.engines.bpmn import (
    boundary,
    declared_message,
    end,
    extended,
    flow,
    flows,
    message,
    model,
    node,
    start,
    task,
    timer,
)
from tests.adapters.engines.stage import Stage


def after(definition: str) -> bytes:
    """Write a process that waits for an event before its task A."""
    return model(
        start(),
        node("intermediateCatchEvent", "wait", definition),
        task("A"),
        end(),
        flows("s > wait > A > e"),
        declared=declared_message("paid"),
    )


@pytest.mark.parametrize(
    ("definition", "early", "late"),
    [
        (timer("PT5M"), timedelta(minutes=4), timedelta(minutes=1)),
        (timer("P1M"), timedelta(days=30), timedelta(days=1)),
        (timer("2030-01-02T01:00:00+01:00", "timeDate"), timedelta(hours=23), timedelta(hours=1)),
        (timer("${patience}"), timedelta(seconds=59), timedelta(seconds=1)),
        (timer('="PT1M"'), timedelta(seconds=59), timedelta(seconds=1)),
    ],
)
async def test_a_timer_comes_when_it_is_due_and_not_before(
    stage: Stage, definition: str, early: timedelta, late: timedelta
) -> None:
    await stage.run(after(definition), patience="PT60S")

    assert await stage.wait(seconds=early.total_seconds()) == 0
    assert await stage.stands_at() == ("wait",)
    assert await stage.wait(seconds=late.total_seconds()) == 1

    assert await stage.offered() == ["A"]
    assert await stage.wait(days=1000) == 0


async def test_a_timer_without_a_time_refuses_the_start(stage: Stage) -> None:
    await stage.deploy(after(timer("${patience}")))

    with pytest.raises(EngineRejected, match=r"at wait: .*no variable 'patience'"):
        await stage.start()
    with pytest.raises(EngineRejected, match="'soon' is no duration"):
        await stage.start(patience="soon")

    assert not await stage.engine.instances()


async def test_an_interrupting_timer_takes_the_task_away(stage: Stage) -> None:
    await stage.run(
        model(
            start(),
            task("A"),
            boundary("late", "A", timer("PT1H")),
            task("B"),
            task("C"),
            end(),
            flows("s > A > B > e", "late > C > e"),
        )
    )
    held = await stage.take("A")

    await stage.wait(hours=1)

    assert not await stage.engine.is_active(held)
    assert await stage.offered() == ["C"]
    await stage.work("C")
    assert (await stage.see()).state is InstanceState.COMPLETED


async def test_a_timer_whose_task_is_done_never_comes(stage: Stage) -> None:
    await stage.run(
        model(
            start(),
            task("A"),
            boundary("late", "A", timer("PT1H")),
            task("B"),
            task("C"),
            end(),
            flows("s > A > B > e", "late > C > e"),
        )
    )

    await stage.work("A")

    assert await stage.wait(hours=2) == 0
    assert await stage.offered() == ["B"]


async def test_a_non_interrupting_timer_starts_something_beside_the_task(stage: Stage) -> None:
    await stage.run(
        model(
            start(),
            task("A"),
            boundary("remind", "A", timer("PT1H"), interrupting=False),
            task("R"),
            task("B"),
            end(),
            flows("s > A > B > e", "remind > R > e"),
        )
    )

    await stage.wait(hours=1)
    assert sorted(await stage.offered()) == ["A", "R"]
    assert await stage.wait(hours=9) == 0
    await stage.work("A")
    assert sorted(await stage.offered()) == ["B", "R"]
    await stage.work("B")
    assert (await stage.see()).state is InstanceState.ACTIVE
    await stage.work("R")

    assert (await stage.see()).state is InstanceState.COMPLETED


async def test_a_repeated_timer_comes_as_often_as_it_says(stage: Stage) -> None:
    await stage.run(
        model(
            start(),
            task("A"),
            boundary("remind", "A", timer("R3/PT1H", "timeCycle"), interrupting=False),
            task("R"),
            end(),
            flows("s > A > e", "remind > R > e"),
        )
    )

    comings = [await stage.wait(hours=1) for _ in range(5)]

    assert comings == [1, 1, 1, 0, 0]
    assert sorted(await stage.offered()) == ["A", "R", "R", "R"]
    await stage.work("A", "R", "R", "R")
    assert (await stage.see()).state is InstanceState.COMPLETED


async def test_a_repeated_timer_ends_with_its_task(stage: Stage) -> None:
    await stage.run(
        model(
            start(),
            task("A"),
            boundary("remind", "A", timer("R/PT1H", "timeCycle"), interrupting=False),
            node("task", "R"),
            end(),
            flows("s > A > e", "remind > R > e"),
        )
    )

    assert await stage.wait(hours=3) == 3
    await stage.work("A")

    assert (await stage.see()).state is InstanceState.COMPLETED
    assert await stage.wait(hours=3) == 0


async def test_a_timer_on_a_sub_process_takes_away_what_is_inside(stage: Stage) -> None:
    inner = node(
        "subProcess",
        "inner",
        start("iis") + task("A") + end("iie") + flows("iis > A > iie"),
    )
    await stage.run(
        model(
            start(),
            node(
                "subProcess",
                "sub",
                start("is")
                + node("parallelGateway", "f")
                + inner
                + task("B")
                + end("ie")
                + flows("is > f > inner > ie", "f > B > ie"),
            ),
            boundary("late", "sub", timer("PT1H")),
            task("C"),
            end(),
            flows("s > sub > e", "late > C > e"),
        )
    )
    assert sorted(await stage.offered()) == ["A", "B"]

    await stage.wait(hours=1)

    assert await stage.offered() == ["C"]
    assert await stage.stands_at() == ("C",)


async def test_a_message_goes_to_the_instances_that_wait_for_it(stage: Stage) -> None:
    await stage.deploy(after(message("paid")))
    first = await stage.start()
    second = await stage.start()

    assert await stage.engine.correlate_message("other", variables={}) == 0
    assert (
        await stage.engine.correlate_message(
            "paid", instance_id=first.instance_id, variables={"sum": 5}
        )
        == 1
    )
    assert (await stage.see(first.instance_id)).variables == {"sum": 5}
    assert (await stage.see(second.instance_id)).waiting_at == ("wait",)
    assert await stage.engine.correlate_message("paid", variables={}) == 1
    assert await stage.engine.correlate_message("paid", variables={}) == 0

    assert await stage.offered() == ["A", "A"]


async def test_one_message_is_taken_once_by_the_one_that_waited_longest(stage: Stage) -> None:
    await stage.run(
        model(
            start(),
            task("Z"),
            node("parallelGateway", "f"),
            node("receiveTask", "R1", attributes="messageRef='paid'"),
            node("receiveTask", "R2", attributes="messageRef='paid'"),
            task("A"),
            task("B"),
            end(),
            flows("s > f > Z > R1 > A > e", "f > R2 > B > e"),
            declared=declared_message("paid"),
        )
    )
    await stage.work("Z")

    assert await stage.engine.correlate_message("paid", variables={}) == 1
    assert await stage.offered() == ["B"]
    assert await stage.engine.correlate_message("paid", variables={}) == 1

    assert sorted(await stage.offered()) == ["A", "B"]


async def test_a_message_after_which_the_process_cannot_go_on_is_not_taken(stage: Stage) -> None:
    await stage.run(
        model(
            start(),
            node("intermediateCatchEvent", "wait", message("paid")),
            node("exclusiveGateway", "g"),
            task("A"),
            task("B"),
            end(),
            flows("s > wait > g", "A > e", "B > e"),
            flow("g", "A", "${sum > 3}"),
            flow("g", "B", "${sum < 3}"),
            declared=declared_message("paid"),
        )
    )

    with pytest.raises(EngineRejected, match="0 instances took the message"):
        await stage.engine.correlate_message("paid", variables={"sum": 3})
    assert await stage.stands_at() == ("wait",)

    assert await stage.engine.correlate_message("paid", variables={"sum": 4}) == 1
    assert await stage.offered() == ["A"]


async def test_a_boundary_message_interrupts_or_not_as_drawn(stage: Stage) -> None:
    await stage.run(
        model(
            start(),
            task("A"),
            boundary("note", "A", message("note"), interrupting=False),
            boundary("stop", "A", message("stop")),
            task("N"),
            task("S"),
            end(),
            flows("s > A > e", "note > N > e", "stop > S > e"),
            declared=declared_message("note") + declared_message("stop"),
        )
    )

    await stage.engine.correlate_message("note", variables={})
    assert sorted(await stage.offered()) == ["A", "N"]
    await stage.engine.correlate_message("stop", variables={})

    assert sorted(await stage.offered()) == ["N", "S"]


def two_timers_and_a_message() -> bytes:
    return model(
        start(),
        node("eventBasedGateway", "g"),
        node("intermediateCatchEvent", "soon", timer("PT1H")),
        node("intermediateCatchEvent", "late", timer("PT2H")),
        node("intermediateCatchEvent", "paid_in", message("paid")),
        task("A"),
        task("B"),
        task("C"),
        end(),
        flows("s > g > late > B > e", "g > soon > A > e", "g > paid_in > C > e"),
        declared=declared_message("paid"),
    )


async def test_an_event_gateway_takes_the_way_of_the_timer_that_comes_first(stage: Stage) -> None:
    await stage.run(two_timers_and_a_message())
    assert await stage.stands_at() == ("g",)

    await stage.wait(hours=1)
    assert await stage.wait(hours=5) == 0

    assert await stage.offered() == ["A"]
    assert await stage.engine.correlate_message("paid", variables={}) == 0


async def test_an_event_gateway_takes_the_way_of_the_message_that_comes_first(
    stage: Stage,
) -> None:
    await stage.run(two_timers_and_a_message())

    await stage.engine.correlate_message("paid", variables={"sum": 1})

    assert await stage.wait(hours=5) == 0
    assert await stage.offered() == ["C"]
    assert await stage.variable("sum") == 1


async def test_what_a_message_brings_is_mapped_out(stage: Stage) -> None:
    mapped = extended(
        "<zeebe:ioMapping><zeebe:output source='=sum' target='paid_sum'/></zeebe:ioMapping>"
    )
    await stage.run(
        model(
            start(),
            node("intermediateCatchEvent", "wait", mapped + message("paid")),
            task("A"),
            end(),
            flows("s > wait > A > e"),
            declared=declared_message("paid"),
        )
    )

    await stage.engine.correlate_message("paid", variables={"sum": 7, "noise": 1})

    assert (await stage.see()).variables == {"paid_sum": 7}


async def test_what_cannot_go_on_behind_a_timer_becomes_an_incident_and_does_not_repeat(
    stage: Stage,
) -> None:
    await stage.run(
        model(
            start(),
            node("intermediateCatchEvent", "wait", timer("PT1H")),
            node("exclusiveGateway", "g"),
            task("A"),
            task("B"),
            end(),
            flows("s > wait > g", "A > e", "B > e"),
            flow("g", "A", "${size > 3}"),
            flow("g", "B", "${size < 3}"),
        )
    )

    assert await stage.wait(hours=1) == 1
    assert await stage.wait(hours=1) == 0
    incident = await stage.the_incident()
    assert incident.element_id == "g"
    assert "no variable 'size'" in incident.message
    assert await stage.stands_at() == ("wait",)

    with pytest.raises(EngineRejected, match="No condition"):
        await stage.engine.retry_incident(incident.incident_id, variables={"size": 3})
    assert await stage.the_incident() == incident
    await stage.engine.retry_incident(incident.incident_id, variables={"size": 4})

    assert await stage.offered() == ["A"]
    assert not await stage.engine.incidents()


async def test_an_incident_of_a_timer_goes_away_with_the_timer(stage: Stage) -> None:
    await stage.run(
        model(
            start(),
            task("A"),
            boundary("late", "A", timer("PT1H")),
            node("exclusiveGateway", "g"),
            task("B"),
            end(),
            end("e2"),
            flows("s > A > e", "late > g", "B > e"),
            flow("g", "B", "${nothing}"),
            flow("g", "e2", "${nothing}"),
        )
    )
    await stage.wait(hours=1)
    assert (await stage.the_incident()).details == "timer: late"

    await stage.work("A")

    assert not await stage.engine.incidents()
    assert (await stage.see()).state is InstanceState.COMPLETED
