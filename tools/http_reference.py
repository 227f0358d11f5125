"""Writes docs/reference/http.md from the OpenAI Service's own description; --check says if it is out of date."""

import asyncio
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from dadm.adapters.backends.scripted import ScriptedBackend
from dadm.adapters.backends.scripted_lines import echo
from dadm.adapters.stores.memory import MemoryStore
from dadm.adapters.system_clock import RandomIdentifiers, SystemClock
from dadm.application.conversations.reachable_backends import ReachableBackends
from dadm.application.limits import TurnLimits
from dadm.application.turns.name_based_assistant_manager import NameBasedAssistantManager
from dadm.application.world import World
from dadm.domain.assistant import Assistant, AssistantCatalogue
from dadm.entrypoints.openai_service import ServiceParts, create_app
from dadm.telemetry import Fanout, Metrics

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "http.md"

INTRODUCTION = """\
# OpenAI Service over HTTP

<!-- Written by `make docs` from src/dadm/entrypoints/openai_service. -->

What the service takes and gives, address by address; a running service tells the same of itself,
at `/docs` for people and at `/openapi.json` for programs. [The service](../openai_service.md) shows
it in use.

Bodies are JSON objects in UTF-8. Where `DADM_API_TOKENS` is set, every address but `/health`,
`/ready`, `/docs` and `/openapi.json` wants the header `Authorization: Bearer <token>`.

Every error is a document of the type `application/problem+json` (RFC 9457) with `type`, `title`,
`status`, `detail`, `instance`, `code` and `retryable`; where it is worth coming back, with
`retry_after_seconds` and the header `Retry-After`. About a task it also has the `task_id`: coming
back with that id never asks twice. [Errors](errors.md) lists every code with its status.
"""

Json: TypeAlias = Mapping[str, Any]


async def description() -> Json:
    """Give the service's OpenAPI description; nothing listens and nothing is asked."""
    clock, identifiers, store = SystemClock(), RandomIdentifiers(), MemoryStore(SystemClock())
    catalogue = AssistantCatalogue(
        (Assistant(name="nobody", instructions="Nobody is asked."),), default="nobody"
    )
    ways = {"scripted": lambda: ScriptedBackend(echo, new_id=identifiers.new_id)}
    async with ReachableBackends(ways, default="scripted") as backends:
        world = World(
            store=store,
            backends=backends,
            assistants=catalogue,
            observer=Fanout(()),
            clock=clock,
            identifiers=identifiers,
            limits=TurnLimits(),
        )
        parts = ServiceParts(
            service=NameBasedAssistantManager(world),
            directory=store,
            catalogue=catalogue,
            backend=backends.default,
            statistics=store.statistics,
            metrics=Metrics(backend="scripted").page,
            in_flight=lambda: 0,
            clock=clock,
            identifiers=identifiers,
            version="0",  # not on the page
        )
        return create_app(parts).openapi()


def resolved(openapi: Json, schema: Json) -> Json:
    """Give what a schema stands for where it only refers to another."""
    reference = str(schema.get("$ref", ""))
    found: Json = (
        openapi["components"]["schemas"][reference.rpartition("/")[2]] if reference else schema
    )
    return found


def kind_of(openapi: Json, schema: Json) -> str:
    """Say in words what values are allowed."""
    inner = resolved(openapi, schema)
    if "anyOf" in inner:
        kinds = [kind_of(openapi, each) for each in inner["anyOf"]]
        return " or ".join(kinds)
    if "const" in inner:
        return f'`"{inner["const"]}"`'
    if "enum" in inner:
        return ", ".join(f'`"{each}"`' for each in inner["enum"])
    if inner.get("type") == "array":
        return f"list of {kind_of(openapi, inner['items'])}s"
    return str(inner.get("format") or inner.get("type", "any"))


def fields(openapi: Json, schema: Json, above: str = "") -> Iterator[tuple[str, Json, bool]]:
    """Give every field with its path, its schema, and whether it is required."""
    inner = resolved(openapi, schema)
    for name, field in inner.get("properties", {}).items():
        yield f"{above}{name}", field, name in inner.get("required", ())
        yield from fields(openapi, field, f"{above}{name}.")


def table(
    openapi: Json, rows: Iterator[tuple[str, Json, bool]], *, says_required: bool
) -> Iterator[str]:
    """Write fields as a table."""
    yield "| name | type | meaning |"
    yield "|---|---|---|"
    for name, schema, is_required in rows:
        kind = kind_of(openapi, schema) + (", required" if is_required and says_required else "")
        said = schema.get("description") or resolved(openapi, schema).get("description", "")
        meaning = " ".join(str(said).split())
        default = schema.get("default")
        if says_required and default not in (None, "", [], {}):
            meaning = f"{meaning} Default: `{default}`.".strip()
        yield f"| `{name}` | {kind} | {meaning} |"


def operation(openapi: Json, method: str, path: str, described: Json) -> Iterator[str]:
    """Write one address."""
    yield from ("", f"## `{method.upper()} {path}`", "", described["summary"])
    if "description" in described:
        yield from ("", " ".join(described["description"].split()))
    parameters = [
        (
            each["name"],
            {**each["schema"], "description": each.get("description", "")},
            each.get("required", False),
        )
        for each in described.get("parameters", ())
    ]
    if parameters:
        yield from ("", "**Parameters**", "")
        yield from table(openapi, iter(parameters), says_required=True)
    body = described.get("requestBody", {}).get("content", {}).get("application/json")
    if body:
        yield from ("", "**Body**", "")
        yield from table(openapi, fields(openapi, body["schema"]), says_required=True)
    for status, reply in sorted(described["responses"].items()):
        yield from replies(openapi, status, reply)


def replies(openapi: Json, status: str, reply: Json) -> Iterator[str]:
    """Write a reply, if its form is described."""
    schema = reply.get("content", {}).get("application/json", {}).get("schema", {})
    if status.startswith("2") and "$ref" in schema:
        yield from ("", f"**Reply** ({status})", "")
        yield from table(openapi, fields(openapi, schema), says_required=False)
    elif status.startswith("2"):
        yield from ("", f"**Reply** ({status}): {in_words(status, reply)}.")


def in_words(status: str, reply: Json) -> str:
    """Say what a reply is whose form is not described."""
    if "application/json" in reply.get("content", {}):
        return "a JSON object"
    return "no body" if status == "204" else "text"


def page() -> str:
    """Write the whole page."""
    openapi = asyncio.run(description())
    lines = [INTRODUCTION.rstrip()]
    for path, operations in openapi["paths"].items():
        for method, described in operations.items():
            lines += operation(openapi, method, path, described)
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the page, or compare it with what is there."""
    if "--check" not in sys.argv[1:]:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(page(), encoding="utf-8")
        return
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page():
        sys.exit("docs/reference/http.md is out of date: run `make docs`.")


if __name__ == "__main__":
    main()
