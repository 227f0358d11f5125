"""The adapter on a real broker: what is measured there, and nowhere written."""

import itertools
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import httpx2
import pytest

from dadm.adapters.engines.camunda8 import Camunda8Engine
from dadm.adapters.system_clock import RandomIdentifiers, SystemClock
from dadm.domain.errors import LeaseLost, TaskGone
from dadm.domain.json import JsonObject
from dadm.ports.engine import LeasedTask, TopicSubscription
from tests.adapters.engines.bpmn import boundary, caught, end, error, flows, job, model, start
from tests.engines.broker import Broker
from tests.engines.broker_records import BrokerRecords

pytestmark = [pytest.mark.engines, pytest.mark.timeout(240)]

LONG = timedelta(hours=1)
AT_ONCE = timedelta(0)
NUMBERS = itertools.count(1)


class Stage:
    """An engine, and tasks of a type that no other test has."""

    def __init__(self, engine: Camunda8Engine, engine_address: str) -> None:
        self.engine = engine
        self.engine_address = engine_address
        self.job_type = f"type{next(NUMBERS)}"

    async def offer(
        self, *, variables: JsonObject | None = None, chained: int = 0, **headers: str
    ) -> str:
        """Start an instance that waits with one task; give its id. `__` in a header is a dot."""
        written = "".join(
            f"<zeebe:header key='{name.replace('__', '.')}' value='{text}'/>"
            for name, text in headers.items()
        )
        extended_headers = f"<zeebe:taskHeaders>{written}</zeebe:taskHeaders>"
        task = job("T", job_type=self.job_type, extensions=extended_headers)
        names = [f"T{number}" for number in range(chained)]
        document = model(
            start(),
            task,
            boundary("c", "T", caught("bad"), inner="<bpmn:outgoing>c_e2</bpmn:outgoing>"),
            end(),
            end("e2"),
            *(job(name, job_type=self.job_type, extensions=extended_headers) for name in names),
            flows(" > ".join(("s", "T", *names, "e")), "c > e2"),
            key=self.job_type,
            declared=error("BAD"),
        )
        await self.engine.runtime.deploy({"model.bpmn": document})
        started = await self.engine.runtime.start(self.job_type, variables=variables or {})
        return started.instance_id

    async def fetch(
        self, *, lease: timedelta = LONG, wait: timedelta = AT_ONCE, keys: tuple[str, ...] = ()
    ) -> Sequence[LeasedTask]:
        wanted = TopicSubscription(
            topic=self.job_type, lease_duration=lease, process_definition_keys=keys
        )
        return await self.engine.fetch_and_lease([wanted], max_tasks=10, request_timeout=wait)

    async def take(self, *, lease: timedelta = LONG) -> LeasedTask:
        (task,) = await self.fetch(lease=lease, wait=timedelta(seconds=5))
        return task


@pytest.fixture
async def stage(camunda8_url: str) -> AsyncIterator[Stage]:
    async with (
        httpx2.AsyncClient() as client,
        Camunda8Engine(camunda8_url, SystemClock(), RandomIdentifiers(), client=client) as engine,
    ):
        yield Stage(engine, camunda8_url)


async def test_a_task_carries_what_its_prompt_names_and_no_more(stage: Stage) -> None:
    instance = await stage.offer(
        variables={"deep": {"l": [1, 2.5, None, "ü"]}, "other": 1}, prompt="See ${deep.l[0]}."
    )

    task = await stage.take()

    assert task.process_instance_id == instance
    assert task.variables == {"deep": {"l": [1, 2.5, None, "ü"]}}
    assert (task.element_id, task.documentation) == ("T", "See ${deep.l[0]}.")
    # What was given back to learn what the type needs has all its retries.
    assert task.retries == 3


async def test_an_instance_with_more_variables_than_fit_a_reply_is_worked(stage: Stage) -> None:
    most = "x" * 1_500_000
    await stage.offer(variables={"first": most, "small": "y"}, chained=2, prompt="${small}")
    for name in ("second", "third"):
        await stage.engine.complete(await stage.take(), variables={name: most})

    task = await stage.take()

    assert (task.element_id, task.variables) == ("T1", {"small": "y"})


async def test_a_failure_is_not_reported_after_the_timeout_but_an_answer_is(stage: Stage) -> None:
    await stage.offer()
    late = await stage.take(lease=timedelta(milliseconds=700))
    again = await stage.take()

    with pytest.raises(LeaseLost):
        await stage.engine.fail(late, message="No.", details="", retries=2, retry_after=AT_ONCE)
    with pytest.raises(LeaseLost):
        await stage.engine.extend(late, lease_duration=LONG)
    await stage.engine.unlease(late)
    assert not await stage.fetch()
    await stage.engine.complete(late, variables={})
    with pytest.raises(TaskGone):
        await stage.engine.complete(again, variables={})


async def test_a_lease_that_was_extended_lets_a_failure_through(stage: Stage) -> None:
    await stage.offer()
    task = await stage.take(lease=timedelta(seconds=1))
    await stage.engine.extend(task, lease_duration=LONG)

    await stage.engine.fail(task, message="No.", details="", retries=2, retry_after=LONG)

    # While it waits for its next try, it is there, and takes no report.
    assert await stage.engine.is_active(task)
    with pytest.raises(LeaseLost):
        await stage.engine.complete(task, variables={})
    assert not await stage.fetch()


async def test_an_error_is_thrown_where_a_header_says_that_it_is_caught(stage: Stage) -> None:
    await stage.offer(errors="BAD")
    task = await stage.take()

    await stage.engine.bpmn_error(task, error_code="BAD", message="No.", variables={})

    assert not await stage.engine.is_active(task)


async def test_a_job_of_another_process_is_left_to_others(stage: Stage) -> None:
    await stage.offer()

    assert not await stage.fetch(keys=("another",))


async def test_oldest_first_and_no_more_than_wanted(stage: Stage) -> None:
    offered = [await stage.offer() for _ in range(12)]

    first = await stage.fetch()
    rest = await stage.fetch()

    assert [task.process_instance_id for task in (*first, *rest)] == offered
    assert len(first) == 10


async def test_a_header_says_whose_thread_a_task_continues(stage: Stage) -> None:
    await stage.offer(thread__scope="element")

    task = await stage.take()

    assert task.properties["thread.scope"] == "element"
    # This version tells neither; both scopes leave an incident that says so.
    assert (task.root_process_instance_id, task.business_key) == (None, "")


async def test_more_than_fits_a_reply_is_an_incident_where_everything_is_wanted(
    stage: Stage, camunda8_records: BrokerRecords
) -> None:
    broker = Broker(stage.engine_address, camunda8_records)
    all_of_them = (
        "<zeebe:taskHeaders><zeebe:header key='variables' value='all'/></zeebe:taskHeaders>"
    )
    task = job("T", job_type=stage.job_type, extensions=all_of_them)
    await broker.deploy(model(start(), task, end(), flows("s > T > e"), key=stage.job_type))
    instance = await broker.start(stage.job_type)
    for name in ("first", "second", "third"):
        # More do not fit one request either.
        await broker.set_variables(instance, {name: "x" * 1_500_000})

    assert not await stage.fetch()

    (incident,) = await broker.incidents(instance)
    assert "larger than the configured message size" in incident
    await broker.close()
