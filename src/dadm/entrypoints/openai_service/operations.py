"""The service's operations as they are described, read from its OpenAPI document."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A parameter or field: its name (inner ones by their path), what it holds, what it means."""

    name: str
    kind: str
    meaning: str
    is_required: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation. A table is empty where the operation has nothing of that sort."""

    method: str
    path: str
    summary: str
    description: str
    parameters: tuple[Described, ...]
    body: tuple[Described, ...]
    reply: tuple[Described, ...]


def operations_in(openapi: Schema) -> Iterator[Operation]:
    """Give every operation, in the order of the document."""
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            yield Operation(
                method=method.upper(),
                path=path,
                summary=operation["summary"],
                description=operation.get("description", ""),
                parameters=tuple(
                    Described(
                        name=each["name"],
                        kind=_kind(openapi, each["schema"]),
                        meaning=each.get("description", ""),
                        is_required=each.get("required", False),
                    )
                    for each in operation.get("parameters", ())
                ),
                body=tuple(_fields(openapi, _json_schema(operation.get("requestBody", {})))),
                reply=tuple(_fields(openapi, _json_schema(operation["responses"].get("200", {})))),
            )


def _json_schema(message: Schema) -> Schema:
    schema: Schema = message.get("content", {}).get("application/json", {}).get("schema", {})
    return schema


def _fields(openapi: Schema, schema: Schema, inside: str = "") -> Iterator[Described]:
    resolved = _resolve(openapi, schema)
    for name, inner in resolved.get("properties", {}).items():
        yield Described(
            name=inside + name,
            kind=_kind(openapi, inner),
            meaning=inner.get("description") or _resolve(openapi, inner).get("description", ""),
            is_required=name in resolved.get("required", ()),
        )
        yield from _fields(openapi, inner, f"{inside}{name}.")


def _resolve(openapi: Schema, schema: Schema) -> Schema:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: Schema = openapi["components"]["schemas"][reference.rpartition("/")[2]]
    return found


def _kind(openapi: Schema, schema: Schema) -> str:
    if "anyOf" in schema:
        kinds = [_kind(openapi, each) for each in schema["anyOf"]]
        return " or ".join(kinds)
    resolved = _resolve(openapi, schema)
    if "const" in resolved:
        return f'"{resolved["const"]}"'
    if "enum" in resolved:
        return ", ".join(f'"{each}"' for each in resolved["enum"])
    if resolved.get("type") == "array":
        return f"list of {_kind(openapi, resolved.get('items', {}))}s"
    return str(resolved.get("format") or resolved.get("type", "any"))
