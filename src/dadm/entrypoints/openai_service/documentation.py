"""The page at /docs: the service's own description, readable without anything from elsewhere."""

from collections.abc import Iterator
from html import escape

from dadm.entrypoints.openai_service.operations import (
    Described,
    Operation,
    Schema,
    operations_in,
)
from dadm.entrypoints.openai_service.problems import HTTP_PROBLEMS, STATUS_OF, title_of

STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "code{background:#8882;padding:0 .2rem}table{border-collapse:collapse;width:100%}"
    "td,th{border:1px solid #8886;padding:.3rem .5rem;text-align:left;vertical-align:top}"
    "h2{margin-top:2.5rem}:root{color-scheme:light dark}"
)


def documentation_page(openapi: Schema) -> str:
    """Write the OpenAPI description, and the list of problems, as one page of HTML."""
    title = escape(f"{openapi['info']['title']} {openapi['info']['version']}")
    lines = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f"<title>{title}</title><style>{STYLE}</style></head><body>",
        f"<h1>{title}</h1><p>{escape(openapi['info']['description'])}</p>",
        '<p>For programs: <a href="openapi.json">openapi.json</a>.</p>',
    ]
    for operation in operations_in(openapi):
        lines += _operation(operation)
    lines += _problems()
    lines.append("</body></html>")
    return "\n".join(lines)


def all_problems() -> list[tuple[str, int, str]]:
    """Give the code, the status and the meaning of everything that can be wrong."""
    told = [(kind.code, status, title_of(kind)) for kind, status in STATUS_OF.items()]
    return told + [(each.code, each.status, each.title) for each in HTTP_PROBLEMS]


def _operation(operation: Operation) -> Iterator[str]:
    yield f"<h2><code>{operation.method} {escape(operation.path)}</code></h2>"
    yield f"<p>{escape(operation.summary)}</p>"
    if operation.description:
        yield f"<p>{escape(operation.description)}</p>"
    for title, rows in (
        ("Parameters", operation.parameters),
        ("Body", operation.body),
        ("Reply", operation.reply),
    ):
        if rows:
            yield from _table(title, rows)


def _table(title: str, rows: tuple[Described, ...]) -> Iterator[str]:
    yield f"<h3>{title}</h3><table><tr><th>name</th><th>type</th><th>meaning</th></tr>"
    for row in rows:
        needed = ", required" if row.is_required and title != "Reply" else ""
        kind, meaning = escape(row.kind + needed), escape(row.meaning)
        yield f"<tr><td><code>{escape(row.name)}</code></td><td>{kind}</td><td>{meaning}</td></tr>"
    yield "</table>"


def _problems() -> Iterator[str]:
    yield "<h2>Problems</h2><table><tr><th>code</th><th>status</th><th>meaning</th></tr>"
    for code, status, title in all_problems():
        anchor = f'<td id="{escape(code)}"><code>{escape(code)}</code></td>'
        yield f"<tr>{anchor}<td>{status}</td><td>{escape(title)}</td></tr>"
    yield "</table>"
