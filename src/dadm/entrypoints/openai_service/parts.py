"""ServiceParts: what the OpenAI Service is put together from."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from dadm.domain.assistant import AssistantCatalogue
from dadm.domain.task import DEFAULT_ENGINE
from dadm.ports.assistant_service import AssistantService
from dadm.ports.backend import ConversationBackend
from dadm.ports.clock import Clock, Identifiers
from dadm.ports.store import ThreadDirectory
from dadm.ports.store_values import StoreStatistics


@dataclass(slots=True, eq=False)
class Lifecycle:
    """Whether the service still takes turns; set by whoever stops it, read by `/ready`."""

    is_draining: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceParts:
    """What the OpenAI Service answers with.

    Attributes:
        service: Answers tasks.
        directory: Where threads are read; also the proof that the store answers.
        catalogue: The assistants there are.
        backend: Where new threads are opened; asked now and then whether it is usable.
        statistics: The store's counts, from a cache.
        metrics: The page that Prometheus reads.
        in_flight: How many turns are running or waiting here.
        clock: For timestamps and caches.
        identifiers: For minted task ids.
        version: DADM's own.
        engines: The ids of the engines that this program serves.
        tokens: Tokens that callers may bring; without any, all may call.
        max_body_bytes: The largest request body accepted.
        scrub: Takes secrets out of what callers are told.
        lifecycle: Shared with whoever stops the service.
    """

    service: AssistantService
    directory: ThreadDirectory
    catalogue: AssistantCatalogue
    backend: ConversationBackend
    statistics: Callable[[], Awaitable[StoreStatistics]]
    metrics: Callable[[], Awaitable[bytes]]
    in_flight: Callable[[], int]
    clock: Clock
    identifiers: Identifiers
    version: str
    engines: tuple[str, ...] = (DEFAULT_ENGINE,)
    tokens: tuple[str, ...] = ()
    max_body_bytes: int = 1024 * 1024
    scrub: Callable[[str], str] = str
    lifecycle: Lifecycle = field(default_factory=Lifecycle)
