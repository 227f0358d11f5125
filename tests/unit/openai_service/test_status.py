"""The service says whether it is alive, ready, and how it stands."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from dadm.domain.errors import BackendMisconfigured, BackendUnavailable, DadmError, StoreUnavailable
from dadm.entrypoints.openai_service import Lifecycle
from dadm.entrypoints.openai_service.backend_watch import BackendState, BackendWatch
from dadm.ports.store_values import StoreStatistics
from dadm.telemetry import Scrubber
from tests.unit.openai_service.world import AnsweringBackend, Service, running_service, until


async def checked(service: Service) -> dict[str, str | None]:
    """Read the status until the backend was asked once."""
    for _ in range(1000):
        found: dict[str, str | None] = (await service.client.get("/status")).json()["backend"]
        if found["checked_at"] is not None:
            return found
        await asyncio.sleep(0)
    pytest.fail("the backend was never asked")


async def test_a_living_process_says_so() -> None:
    async with running_service() as service:
        response = await service.client.get("/health")

    assert (response.status_code, response.json()) == (200, {"status": "alive"})


async def test_readiness_needs_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    async def gone() -> datetime:
        raise StoreUnavailable

    async with running_service() as service:
        assert (await service.client.get("/ready")).status_code == 200

        monkeypatch.setattr(service.store, "now", gone)
        response = await service.client.get("/ready")

    assert response.status_code == 503
    assert response.json()["code"] == "store_unavailable"


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (BackendUnavailable("Nobody listens there."), "unreachable"),
        (BackendMisconfigured("The key is wrong."), "misconfigured"),
    ],
)
async def test_readiness_does_not_need_the_backend(error: DadmError, state: str) -> None:
    async def fail() -> str:
        raise error

    async with running_service() as service:
        service.backend.ping_answer = fail
        backend = await checked(service)
        response = await service.client.get("/ready")

    assert (backend["state"], backend["detail"]) == (state, error.message)
    assert response.status_code == 200
    assert response.json()["backend"] == state


async def test_a_silent_backend_delays_no_probe() -> None:
    async def silent() -> str:
        await asyncio.Event().wait()
        return "never"

    async with running_service() as service:
        service.backend.ping_answer = silent
        async with asyncio.timeout(2):
            response = await service.client.get("/ready")

    assert response.json()["backend"] == "unknown"


async def test_a_draining_service_is_not_ready_and_says_so() -> None:
    lifecycle = Lifecycle()
    async with running_service(lifecycle=lifecycle) as service:
        lifecycle.is_draining = True
        ready = await service.client.get("/ready")
        status = await service.client.get("/status")

    assert ready.status_code == 503
    assert ready.json()["code"] == "shutting_down"
    assert status.json()["state"] == "draining"


async def test_the_status_says_who_keeps_conversations_and_no_secret() -> None:
    async with running_service(engines=("http", "embedded"), scrub=Scrubber()) as service:
        await service.answer(process_instance_id="p1")
        await checked(service)
        status = (await service.client.get("/status")).json()

    assert status["version"] == "1.2.3"
    assert status["state"] == "running"
    assert status["engines"] == ["http", "embedded"]
    assert status["backend"]["kind"] == "answering"
    assert status["backend"]["address"] == "http://host/v1"
    assert status["backend"]["keeps_conversations"] is False
    assert status["backend"]["state"] == "usable"
    assert status["store"]["state"] == "usable"
    assert status["counts"]["threads"]["open"] == 1
    assert status["counts"]["turns"]["completed"] == 1
    assert status["turns_in_flight"] == 0


async def test_the_status_is_told_without_the_store() -> None:
    async def gone() -> StoreStatistics:
        msg = "postgresql://user:word@host is not reachable."
        raise StoreUnavailable(msg)

    async with running_service(statistics=gone, scrub=Scrubber()) as service:
        response = await service.client.get("/status")

    assert response.status_code == 200
    assert response.json()["store"]["state"] == "unreachable"
    assert response.json()["counts"] is None
    assert "word" not in response.text


async def test_turns_in_flight_are_counted() -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(question: object) -> str:
        asked.set()
        await go_on.wait()
        return "At last."

    async with running_service() as service, asyncio.TaskGroup() as group:
        service.backend.answer = slowly
        group.create_task(service.answer())
        await asked.wait()
        status = (await service.client.get("/status")).json()
        go_on.set()

    assert status["turns_in_flight"] == 1


async def test_the_metadata_says_who_answers_here() -> None:
    async with running_service() as service:
        metadata = (await service.client.get("/metadata")).json()

    assert (metadata["name"], metadata["type"]) == ("dadm-openai-assistant", "assistant")
    assert metadata["version"] == "1.2.3"
    assert metadata["default_assistant"] == "analyst"
    advocate, analyst = metadata["assistants"]
    assert analyst["name"] == "analyst"
    assert analyst["aliases"] == ["dadm-openai-assistant"]
    assert len(analyst["version"]) == 12
    assert advocate["description"] == "Speaks for people."


async def test_an_assistant_is_found_by_name_or_alias() -> None:
    async with running_service() as service:

        async def named(name: str) -> list[str]:
            response = await service.client.get("/assistants", params={"name": name})
            return [each["name"] for each in response.json()["assistants"]]

        assert await named("advocate") == ["advocate"]
        assert await named("dadm-openai-assistant") == ["analyst"]
        assert await named("nobody") == []
        assert len((await service.client.get("/assistants")).json()["assistants"]) == 2


async def test_the_metrics_count_what_was_asked() -> None:
    async with running_service() as service:
        await service.answer(process_instance_id="p1")
        await service.answer(process_instance_id="p1")
        response = await service.client.get("/metrics")

    assert response.headers["content-type"].startswith("text/plain")
    assert 'dadm_turns_total{backend="answering",result="completed"} 2.0' in response.text
    assert "dadm_threads_created_total 1.0" in response.text
    assert "dadm_threads_reused_total 1.0" in response.text
    assert 'dadm_threads{state="open"} 1.0' in response.text


class HandClock:
    """A clock that is set by hand."""

    time = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time, UTC)

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


async def test_the_backend_is_asked_again_only_when_its_state_is_old() -> None:
    backend, clock, asked = AnsweringBackend(), HandClock(), 0

    async def count() -> str:
        nonlocal asked
        asked += 1
        return "well"

    backend.ping_answer = count
    watch = BackendWatch(backend, clock, fresh_seconds=30.0)
    async with watch.running():
        assert watch.state() == BackendState()
        await until(lambda: watch.state().state == "usable")
        clock.time = 29.0
        watch.state()
        assert asked == 1

        clock.time = 30.0
        assert watch.state().state == "usable", "the old state, at once"
        await until(lambda: asked == 2)


async def test_a_fault_in_the_check_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    backend = AnsweringBackend()

    async def broken() -> str:
        msg = "swordfish"
        raise KeyError(msg)

    backend.ping_answer = broken
    watch = BackendWatch(backend, HandClock())
    async with watch.running():
        watch.state()
        await until(lambda: watch.state().checked_at is not None)

    assert watch.state().state == "unknown"
    assert "swordfish" not in watch.state().detail
    assert "swordfish" in caplog.text


async def test_a_backend_that_is_silent_is_called_unreachable() -> None:
    backend = AnsweringBackend()

    async def silent() -> str:
        await asyncio.Event().wait()
        return "never"

    backend.ping_answer = silent
    watch = BackendWatch(backend, HandClock(), patience_seconds=0.01)
    async with watch.running():
        watch.state()
        await until(lambda: watch.state().checked_at is not None)

    assert watch.state() == replace(
        watch.state(), state="unreachable", detail="No answer within 0.01 seconds."
    )
