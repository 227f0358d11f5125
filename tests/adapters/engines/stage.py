"""An embedded engine for tests, made anew for every call so that nothing lives but its store."""

from datetime import UTC, datetime, timedelta

from dadm.adapters.engines.embedded import EmbeddedEngine
from dadm.adapters.stores.memory import MemoryProcessStore
from dadm.domain.json import JsonValue
from dadm.ports.engine import EngineIncident, LeasedTask, ProcessInstance, TopicSubscription
from dadm.ports.process_store import ProcessStore
from tests.clocks import Numbers

LONG = timedelta(days=10_000)


class HandClock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self._now = datetime(2030, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._now.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.pass_time(seconds=seconds)

    def pass_time(self, **span: float) -> None:
        self._now += timedelta(**span)


class Stage:
    """What a test does with an engine. Tasks that were fetched are held until they are worked."""

    def __init__(self, store: ProcessStore | None = None) -> None:
        self.clock = HandClock()
        self.numbers = Numbers()
        self.store = store or MemoryProcessStore(self.clock)
        self.instance_id = ""
        self._topics: set[str] = set()
        self._held: list[LeasedTask] = []

    @property
    def engine(self) -> EmbeddedEngine:
        """An engine that knows nothing but what the store holds."""
        return EmbeddedEngine(self.store, self.clock, self.numbers)

    async def deploy(self, *documents: bytes) -> None:
        await self.engine.deploy({f"model{i}.bpmn": text for i, text in enumerate(documents)})
        await self._learn_topics()

    async def _learn_topics(self) -> None:
        engine = self.engine
        for definition in await engine.definitions():
            deployed = await engine._stepping.models.model(definition.definition_id)
            for element in deployed.runnable.model.elements.values():
                if element.work is not None:
                    self._topics.add(element.work.topic)

    async def start(self, process_key: str = "p", /, **variables: JsonValue) -> ProcessInstance:
        started = await self.engine.start(process_key, variables=variables)
        self.instance_id = started.instance_id
        return started

    async def run(self, document: bytes, **variables: JsonValue) -> ProcessInstance:
        """Deploy a model and start it."""
        await self.deploy(document)
        return await self.start("p", **variables)

    async def fetch(self, *topics: str, lease: timedelta = LONG) -> list[LeasedTask]:
        """Lease what waits, of some topics or any, and hold it; give all that is held."""
        wanted = topics or sorted(self._topics)
        self._held += await self.engine.fetch_and_lease(
            [TopicSubscription(topic=topic, lease_duration=lease) for topic in wanted],
            max_tasks=1000,
            request_timeout=timedelta(0),
        )
        return list(self._held)

    async def offered(self) -> list[str]:
        """Name the elements of all tasks that are held or wait for workers."""
        await self.fetch()
        alive = [task for task in self._held if await self.engine.is_active(task)]
        return [task.element_id for task in alive]

    async def take(self, element_id: str) -> LeasedTask:
        """Give the oldest task of that element."""
        for task in await self.fetch():
            if task.element_id == element_id and await self.engine.is_active(task):
                self._held.remove(task)
                return task
        message = f"no task of {element_id}: {[task.element_id for task in self._held]}"
        raise AssertionError(message)

    async def work(self, *element_ids: str, **variables: JsonValue) -> None:
        """Complete the oldest task of each of these elements, one after the other."""
        for element_id in element_ids:
            await self.engine.complete(await self.take(element_id), variables=variables)

    async def fail(self, element_id: str, message: str = "No.", *, retries: int = 0) -> LeasedTask:
        task = await self.take(element_id)
        await self.engine.fail(
            task, message=message, details="", retries=retries, retry_after=timedelta(0)
        )
        return task

    async def throw(self, element_id: str, code: str, **variables: JsonValue) -> None:
        await self.engine.bpmn_error(
            await self.take(element_id), error_code=code, message="Thrown.", variables=variables
        )

    async def do(self, element_id: str, **variables: JsonValue) -> None:
        """Complete a user task."""
        for waiting in await self.engine.user_tasks():
            if waiting.element_id == element_id:
                await self.engine.complete_user_task(waiting.task_id, variables=variables)
                return
        raise AssertionError(element_id)

    async def wait(self, **span: float) -> int:
        """Let time pass and timers come."""
        self.clock.pass_time(**span)
        return await self.engine.run_due()

    async def see(self, instance_id: str = "") -> ProcessInstance:
        return await self.engine.instance(instance_id or self.instance_id)

    async def stands_at(self) -> tuple[str, ...]:
        return tuple(sorted((await self.see()).waiting_at))

    async def variable(self, name: str) -> JsonValue:
        return (await self.see()).variables[name]

    async def the_incident(self) -> EngineIncident:
        (incident,) = await self.engine.incidents()
        return incident
