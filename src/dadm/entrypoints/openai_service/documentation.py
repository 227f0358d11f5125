"""The page at /docs: the service's own description, readable without anything from elsewhere."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, TypeAlias

from dadm.entrypoints.openai_service.problems import HTTP_PROBLEMS, STATUS_OF, title_of

STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "code{background:#8882;padding:0 .2rem}table{border-collapse:collapse;width:100%}"
    "td,th{border:1px solid #8886;padding:.3rem .5rem;text-align:left;vertical-align:top}"
    "h2{margin-top:2.5rem}:root{color-scheme:light dark}"
)


def documentation_page(openapi: Mapping[str, Any]) -> str:
    """Write the OpenAPI description, and the list of problems, as one page of HTML."""
    title = escape(f"{openapi['info']['title']} {openapi['info']['version']}")
    lines = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f"<title>{title}</title><style>{STYLE}</style></head><body>",
        f"<h1>{title}</h1><p>{escape(openapi['info']['description'])}</p>",
        '<p>For programs: <a href="openapi.json">openapi.json</a>.</p>',
    ]
    for path, operations in openapi["paths"].items():
        for method, operation in operations.items():
            lines += _operation(openapi, method, path, operation)
    lines += _problems()
    lines.append("</body></html>")
    return "\n".join(lines)


_Row: TypeAlias = tuple[str, Mapping[str, Any], bool]
"""A field's name, its schema, and whether it is required."""


def _operation(
    openapi: Mapping[str, Any], method: str, path: str, operation: Mapping[str, Any]
) -> Iterator[str]:
    yield f"<h2><code>{method.upper()} {escape(path)}</code></h2>"
    yield f"<p>{escape(operation.get('summary', ''))}</p>"
    if "description" in operation:
        yield f"<p>{escape(operation['description'])}</p>"
    parameters: list[_Row] = [
        (
            each["name"],
            each["schema"] | {"description": each.get("description", "")},
            each.get("required", False),
        )
        for each in operation.get("parameters", ())
    ]
    if parameters:
        yield from _table("Parameters", openapi, parameters)
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body:
        yield from _table("Body", openapi, _fields(openapi, body["schema"]))
    reply = operation["responses"].get("200", {}).get("content", {}).get("application/json")
    if reply and "$ref" in reply["schema"]:
        yield from _table("Reply", openapi, _fields(openapi, reply["schema"]))


def _fields(openapi: Mapping[str, Any], schema: Mapping[str, Any]) -> list[_Row]:
    """Give every field; those inside another by their path."""
    resolved = _resolve(openapi, schema)
    required = resolved.get("required", ())
    found: list[_Row] = []
    for name, inner in resolved.get("properties", {}).items():
        found.append((name, inner, name in required))
        for deeper, deeper_schema, is_needed in _fields(openapi, inner):
            found.append((f"{name}.{deeper}", deeper_schema, is_needed))
    return found


def _resolve(openapi: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    name = reference.rpartition("/")[2]
    found: Mapping[str, Any] = openapi["components"]["schemas"][name]
    return found


def _table(title: str, openapi: Mapping[str, Any], rows: list[_Row]) -> Iterator[str]:
    yield f"<h3>{title}</h3><table><tr><th>name</th><th>type</th><th>meaning</th></tr>"
    for name, schema, is_needed in rows:
        needed = ", required" if is_needed else ""
        kind = escape(_kind(openapi, schema) + needed)
        meaning = escape(_resolve(openapi, schema).get("description", ""))
        yield f"<tr><td><code>{escape(name)}</code></td><td>{kind}</td><td>{meaning}</td></tr>"
    yield "</table>"


def _kind(openapi: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        kinds = [_kind(openapi, each) for each in schema["anyOf"]]
        return " or ".join(kind for kind in kinds if kind != "null")
    resolved = _resolve(openapi, schema)
    if "const" in resolved:
        return f'"{resolved["const"]}"'
    if "enum" in resolved:
        return ", ".join(f'"{each}"' for each in resolved["enum"])
    return str(resolved.get("format") or resolved.get("type", "any"))


def _problems() -> Iterator[str]:
    yield "<h2>Problems</h2><table><tr><th>code</th><th>status</th><th>meaning</th></tr>"
    told = [(kind.code, status, title_of(kind)) for kind, status in STATUS_OF.items()]
    told += [(each.code, each.status, each.title) for each in HTTP_PROBLEMS]
    for code, status, title in told:
        anchor = f'<td id="{escape(code)}"><code>{escape(code)}</code></td>'
        yield f"<tr>{anchor}<td>{status}</td><td>{escape(title)}</td></tr>"
    yield "</table>"
