"""Health, readiness, status, metadata and metrics: what the service says about itself."""

import asyncio
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from dadm.domain.assistant import Assistant
from dadm.domain.errors import ShuttingDown, StoreError, StoreUnavailable
from dadm.entrypoints.openai_service.backend_watch import BackendWatch
from dadm.entrypoints.openai_service.messages import written
from dadm.entrypoints.openai_service.parts import ServiceParts
from dadm.ports.store_values import StoreStatistics

SERVICE_NAME = "dadm-openai-assistant"
SERVICE_TYPE = "assistant"
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STORE_PATIENCE_SECONDS = 5.0


def probe_routes(parts: ServiceParts, watch: BackendWatch) -> APIRouter:
    """Give the addresses that tell whether the service works."""
    router = APIRouter(tags=["service"])

    @router.get("/health", summary="Say that the process is alive.")
    async def health() -> dict[str, str]:
        return {"status": "alive"}

    @router.get(
        "/ready",
        summary="Say whether turns are taken; the store decides.",
        description="The backend's state is a field: its outage takes no replica out.",
    )
    async def ready() -> dict[str, Any]:
        if parts.lifecycle.is_draining:
            raise ShuttingDown
        await _ask_store(parts)
        return {"status": "ready", "store": "usable", "backend": watch.state().state}

    @router.get("/status", summary="Say how the service stands.")
    async def status() -> dict[str, Any]:
        try:
            counts = _counts(await parts.statistics())
            store = {"state": "usable", "detail": ""}
        except StoreError as error:
            counts = None
            store = {"state": "unreachable", "detail": parts.scrub(error.message)}
        return {
            "service": SERVICE_NAME,
            "version": parts.version,
            "state": "draining" if parts.lifecycle.is_draining else "running",
            "backend": _backend(parts, watch),
            "store": store,
            "engines": list(parts.engines),
            "turns_in_flight": parts.in_flight(),
            "counts": counts,
        }

    @router.get("/metrics", summary="Give counts for Prometheus.", response_class=Response)
    async def metrics() -> Response:
        return Response(await parts.metrics(), media_type=METRICS_TYPE)

    return router


def about_routes(parts: ServiceParts) -> APIRouter:
    """Give the addresses that tell who answers here."""
    router = APIRouter(tags=["assistants"])

    @router.get("/metadata", summary="Say what this service is and who answers here.")
    async def metadata() -> JSONResponse:
        return JSONResponse(
            {
                "name": SERVICE_NAME,
                "type": SERVICE_TYPE,
                "version": parts.version,
                "description": "Answers tasks of decision processes on durable threads.",
                "default_assistant": parts.catalogue.default.name,
                "assistants": [_about(each) for each in parts.catalogue.assistants],
            }
        )

    @router.get(
        "/assistants",
        summary="List the assistants, or find one by name or alias.",
        description="With `name`, the list holds the assistant so called, or nothing.",
    )
    async def assistants(name: str | None = None) -> JSONResponse:
        found = parts.catalogue.assistants
        if name is not None:
            found = (parts.catalogue.resolve(name),) if parts.catalogue.knows(name) else ()
        return JSONResponse({"assistants": [_about(each) for each in found]})

    return router


async def _ask_store(parts: ServiceParts) -> None:
    try:
        async with asyncio.timeout(STORE_PATIENCE_SECONDS):
            await parts.directory.now()
    except TimeoutError:
        msg = f"The store gave no answer within {STORE_PATIENCE_SECONDS:g} seconds."
        raise StoreUnavailable(msg) from None


def _about(assistant: Assistant) -> dict[str, Any]:
    return {
        "name": assistant.name,
        "aliases": list(assistant.aliases),
        "description": assistant.description,
        "model": assistant.model or None,
        "version": assistant.version,
    }


def _backend(parts: ServiceParts, watch: BackendWatch) -> dict[str, Any]:
    identity = parts.backend.identity
    found = watch.state()
    return {
        "kind": identity.adapter,
        "address": _without_user(identity.address) or None,
        "account": identity.account or None,
        "keeps_conversations": parts.backend.keeps_conversations,
        "state": found.state,
        "detail": parts.scrub(found.detail),
        "checked_at": written(found.checked_at) if found.checked_at else None,
    }


def _without_user(address: str) -> str:
    parsed = urlsplit(address)
    return urlunsplit(parsed._replace(netloc=parsed.netloc.rpartition("@")[2]))


def _counts(found: StoreStatistics) -> dict[str, Any]:
    return {
        "threads": {state.value: count for state, count in found.threads_by_state.items()},
        "turns": {state.value: count for state, count in found.turns_by_state.items()},
        "unreported_turns": found.unreported_turns,
        "retired_conversations": found.retired_conversations,
        "oldest_open_seconds": found.oldest_open_seconds,
    }
