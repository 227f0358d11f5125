"""Metrics: an Observer that counts, and the page that Prometheus reads."""

from collections.abc import Awaitable, Callable
from typing import assert_never

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from dadm.domain.errors import StoreError
from dadm.domain.thread import Usage
from dadm.ports.observer import (
    BackendTrouble,
    ConversationDeleted,
    DeletionTrouble,
    EngineTrouble,
    Event,
    ForeignItemsFound,
    LossesNotBelieved,
    ModelShown,
    OutcomeReported,
    ReportLost,
    RunStopped,
    ServiceTrouble,
    TaskReceived,
    ThreadCleared,
    ThreadCreated,
    ThreadRebuilt,
    ThreadReused,
    ThreadsClosed,
    TurnCompleted,
    TurnDelayed,
    TurnRefused,
    TurnReplayed,
    TurnStarted,
    TurnUnsettled,
    TurnWaiting,
)
from dadm.ports.store_values import StoreStatistics
from dadm.telemetry.store_gauges import StoreGauges

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

BACKEND_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640)
STORE_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
WAITING_SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600)


class Metrics:
    """Counts events. No label ever names an instance, a task or a thread."""

    def __init__(
        self, *, backend: str, statistics: Callable[[], Awaitable[StoreStatistics]] | None = None
    ) -> None:
        """Count for one replica.

        Args:
            backend: The kind of backend that turns are asked at, a label.
            statistics: What the store counts; asked for when the page is read.
        """
        self._statistics = statistics
        self.registry = CollectorRegistry()
        PlatformCollector(registry=self.registry)
        ProcessCollector(registry=self.registry)
        self._count_turns(backend)
        self._count_threads()
        self._count_engine()
        self._count_backend()
        self._count_deletions()
        self._store = StoreGauges(self.registry)

    def _count_turns(self, backend: str) -> None:
        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(name, meaning, labels, registry=self.registry)

        def histogram(name: str, meaning: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(name, meaning, buckets=buckets, registry=self.registry)

        self._backend = backend
        self._received = counter("dadm_tasks_received", "Tasks taken in.", "engine", "assistant")
        self._turns = counter(
            "dadm_turns",
            "How attempts at turns ended: completed, recovered, refused, unknown, not_applied.",
            "backend",
            "result",
        )
        self._failures = counter(
            "dadm_turn_failures", "Attempts that failed, by error.", "backend", "code"
        )
        self._replayed = counter("dadm_turns_replayed", "Recorded answers given again.", "content")
        self._tokens = counter("dadm_tokens", "Tokens as backends counted them.", "kind")
        self._queued = counter("dadm_turns_waited", "Turns that waited for their thread.")
        self._started = counter("dadm_turns_started", "Requests about to leave.", "backend")
        self._waiting_seconds = histogram(
            "dadm_turn_waiting_seconds", "Time waited for the thread.", WAITING_SECONDS
        )
        self._backend_seconds = histogram(
            "dadm_turn_backend_seconds", "Time until the backend's answer.", BACKEND_SECONDS
        )
        self._store_seconds = histogram(
            "dadm_turn_store_seconds", "Time to settle an answer.", STORE_SECONDS
        )

    def _count_threads(self) -> None:
        self._created = Counter("dadm_threads_created", "New threads.", registry=self.registry)
        self._reused = Counter(
            "dadm_threads_reused", "Turns that went on in their thread.", registry=self.registry
        )
        self._rebuilt = Counter(
            "dadm_threads_rebuilt",
            "Conversations replaced, by reason.",
            ("reason",),
            registry=self.registry,
        )
        self._given_back = Counter(
            "dadm_messages_given_back",
            "Messages copied into rebuilt conversations.",
            registry=self.registry,
        )
        self._closed = Counter(
            "dadm_threads_closed", "Threads whose process ended.", registry=self.registry
        )

    def _count_engine(self) -> None:
        self._outcomes = Counter(
            "dadm_outcomes_reported",
            "What engines were told, by outcome.",
            ("engine", "outcome"),
            registry=self.registry,
        )
        self._lost = Counter(
            "dadm_reports_lost",
            "Outcomes that engines could not be told.",
            ("engine", "code"),
            registry=self.registry,
        )
        self._trouble = Gauge(
            "dadm_engine_trouble",
            "1 while the engine cannot be asked for tasks, or which instances ended.",
            ("engine", "about"),
            registry=self.registry,
        )
        self._service_trouble = Gauge(
            "dadm_service_trouble",
            "1 while the assistant service takes no tasks of the engine.",
            ("engine",),
            registry=self.registry,
        )

    def _count_backend(self) -> None:
        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(name, meaning, labels, registry=self.registry)

        self._delayed = counter(
            "dadm_turns_delayed", "Attempts that were tried again after a pause, by error.", "code"
        )
        self._stopped = counter("dadm_runs_stopped", "Model runs that were stopped.")
        self._foreign = counter(
            "dadm_foreign_messages", "Messages of others found in conversations of ours."
        )
        self._not_believed = counter(
            "dadm_losses_not_believed",
            "Conversations reported lost that were not rebuilt, since too many were.",
            "backend",
        )
        self._backend_trouble = Gauge(
            "dadm_backend_trouble",
            "1 while the backend is left alone after failures in a row.",
            ("backend",),
            registry=self.registry,
        )

    def _count_deletions(self) -> None:
        self._cleared = Counter(
            "dadm_threads_cleared",
            "Threads of ended processes that were cleared or erased, by policy.",
            ("policy",),
            registry=self.registry,
        )
        self._deleted = Counter(
            "dadm_conversations_deleted",
            "Conversations no longer in use that were deleted.",
            ("backend",),
            registry=self.registry,
        )
        self._deletion_trouble = Gauge(
            "dadm_deletion_trouble",
            "1 while conversations no longer in use cannot be deleted.",
            ("backend",),
            registry=self.registry,
        )

    def notify(self, event: Event) -> None:
        """Count `event`."""
        match event:
            case TaskReceived():
                self._received.labels(event.engine, event.assistant).inc()
            case ThreadCreated() | ThreadReused() | ThreadRebuilt() | ThreadsClosed():
                self._notify_thread(event)
            case TurnWaiting() | TurnStarted() | TurnCompleted() | TurnReplayed():
                self._notify_turn(event)
            case TurnRefused() | TurnUnsettled():
                self._notify_failure(event)
            case OutcomeReported() | ReportLost() | EngineTrouble() | ServiceTrouble():
                self._notify_engine(event)
            case (
                BackendTrouble()
                | TurnDelayed()
                | RunStopped()
                | ForeignItemsFound()
                | LossesNotBelieved()
            ):
                self._notify_backend(event)
            case ConversationDeleted() | DeletionTrouble() | ThreadCleared():
                self._notify_deletion(event)
            case ModelShown():
                pass
            case _:
                assert_never(event)

    def _notify_thread(
        self, event: ThreadCreated | ThreadReused | ThreadRebuilt | ThreadsClosed
    ) -> None:
        match event:
            case ThreadCreated():
                self._created.inc()
            case ThreadReused():
                self._reused.inc()
            case ThreadRebuilt():
                self._rebuilt.labels(event.reason.value).inc()
                self._given_back.inc(event.copied_messages)
            case ThreadsClosed():
                self._closed.inc(event.count)
            case _:
                assert_never(event)

    def _notify_turn(self, event: TurnWaiting | TurnStarted | TurnCompleted | TurnReplayed) -> None:
        match event:
            case TurnWaiting():
                self._queued.inc()
            case TurnStarted():
                self._started.labels(self._backend).inc()
            case TurnCompleted():
                result = "recovered" if event.is_recovered else "completed"
                self._turns.labels(self._backend, result).inc()
                self._waiting_seconds.observe(event.waited_seconds)
                self._backend_seconds.observe(event.backend_seconds)
                self._store_seconds.observe(event.store_seconds)
                self._count_tokens(event.usage)
            case TurnReplayed():
                self._replayed.labels("changed" if event.content_differs else "same").inc()
            case _:
                assert_never(event)

    def _count_tokens(self, usage: Usage) -> None:
        self._tokens.labels("input").inc(usage.input_tokens)
        self._tokens.labels("output").inc(usage.output_tokens)
        self._tokens.labels("cached").inc(usage.cached_tokens)

    def _notify_failure(self, event: TurnRefused | TurnUnsettled) -> None:
        match event:
            case TurnRefused():
                result = "refused"
            case TurnUnsettled():
                result = "unknown" if event.is_unknown else "not_applied"
            case _:
                assert_never(event)
        self._turns.labels(self._backend, result).inc()
        self._failures.labels(self._backend, event.code).inc()

    def _notify_engine(
        self, event: OutcomeReported | ReportLost | EngineTrouble | ServiceTrouble
    ) -> None:
        match event:
            case OutcomeReported():
                self._outcomes.labels(event.engine, event.outcome).inc()
            case ReportLost():
                self._lost.labels(event.engine, event.code).inc()
            case EngineTrouble():
                self._trouble.labels(event.engine, event.about).set(0 if event.is_over else 1)
            case ServiceTrouble():
                self._service_trouble.labels(event.engine).set(0 if event.is_over else 1)
            case _:
                assert_never(event)

    def _notify_backend(
        self,
        event: BackendTrouble | TurnDelayed | RunStopped | ForeignItemsFound | LossesNotBelieved,
    ) -> None:
        match event:
            case BackendTrouble():
                self._backend_trouble.labels(event.backend).set(0 if event.is_over else 1)
            case TurnDelayed():
                self._delayed.labels(event.code).inc()
            case RunStopped():
                self._stopped.inc()
            case ForeignItemsFound():
                self._foreign.inc(event.count)
            case LossesNotBelieved():
                self._not_believed.labels(event.backend).inc()
            case _:
                assert_never(event)

    def _notify_deletion(
        self, event: ConversationDeleted | DeletionTrouble | ThreadCleared
    ) -> None:
        match event:
            case ThreadCleared():
                self._cleared.labels(event.policy).inc()
            case ConversationDeleted():
                self._deleted.labels(event.backend).inc()
            case DeletionTrouble():
                self._deletion_trouble.labels(event.backend).set(0 if event.is_over else 1)
            case _:
                assert_never(event)

    async def page(self) -> bytes:
        """Write everything as Prometheus reads it; without the store, what was counted here."""
        if self._statistics is not None:
            try:
                self._store.show(await self._statistics())
            except StoreError:
                self._store.show_away()
        return generate_latest(self.registry)
