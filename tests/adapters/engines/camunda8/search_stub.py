"""Search over process instances as the published description of 8.8 and later has it."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import httpx2

SORTABLE = {"processInstanceKey", "startDate", "endDate", "state", "tenantId"}
STATES = {"ACTIVE", "COMPLETED", "TERMINATED"}
FILTERED = {"state", "endDate", "processInstanceKey"}
MOST = 10_000
KEY_DIGITS = 25


class SearchStub:
    """Answers `POST /process-instances/search`, and refuses what the description does not have."""

    def __init__(self, *rows: Mapping[str, Any]) -> None:
        self.rows: list[Mapping[str, Any]] = list(rows)
        self.asked: list[dict[str, Any]] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        assert (request.method, request.url.path) == ("POST", "/v2/process-instances/search")
        query = json.loads(request.content)
        self.asked.append(query)
        try:
            return httpx2.Response(200, json=self._answer(query))
        except Unpublished as wrong:
            problem = {"title": "INVALID_ARGUMENT", "detail": str(wrong), "status": 400}
            return httpx2.Response(400, json=problem)

    def _answer(self, query: dict[str, Any]) -> dict[str, Any]:
        demand(set(query) <= {"sort", "filter", "page"}, f"unknown property in {set(query)}")
        found = [row for row in self.rows if _fits(row, query.get("filter", {}))]
        for each in reversed(query.get("sort", [])):
            demand(each["field"] in SORTABLE, f"no sort field {each['field']}")
            demand(each.get("order", "ASC") in {"ASC", "DESC"}, "no such order")
            field, is_turned = each["field"], each.get("order") == "DESC"
            found.sort(key=lambda row: _comparable(field, row[field]), reverse=is_turned)
        page = query.get("page", {})
        demand(set(page) in ({"limit"}, {"after", "limit"}, set()), f"no such page: {page}")
        limit = page.get("limit", 100)
        demand(0 <= limit <= MOST, "limit out of range")
        begin = int(page.get("after", "cursor0").removeprefix("cursor"))
        items = found[begin : begin + limit]
        return {
            "items": items,
            "page": {
                "totalItems": len(found),
                "hasMoreTotalItems": False,
                "startCursor": f"cursor{begin}" if items else None,
                "endCursor": f"cursor{begin + len(items)}" if items else None,
            },
        }


class Unpublished(Exception):
    """The description has nothing like it."""


def demand(is_so: bool, otherwise: str) -> None:
    """Refuse what is not so."""
    if not is_so:
        raise Unpublished(otherwise)


def _fits(row: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    demand(set(wanted) <= FILTERED, f"unknown filter in {set(wanted)}")
    return all(_matches(name, row.get(name), condition) for name, condition in wanted.items())


def _matches(name: str, value: Any, condition: Any) -> bool:
    given: Mapping[str, Any] = condition if isinstance(condition, Mapping) else {"$eq": condition}
    for operator, operand in given.items():
        operands: Sequence[str] = operand if operator == "$in" else [operand]
        for each in operands:
            _check(name, each)
        match operator:
            case "$in":
                is_fit = value in operands
            case "$gte" if name == "endDate":
                is_fit = value is not None and _date(value) >= _date(operand)
            case "$eq":
                is_fit = value == operand
            case _:
                raise Unpublished(f"{name} has no {operator}")
        if not is_fit:
            return False
    return True


def _check(name: str, value: Any) -> None:
    match name:
        case "state":
            demand(value in STATES, f"no state {value}")
        case "processInstanceKey":
            is_key = isinstance(value, str) and value.isdecimal() and len(value) <= KEY_DIGITS
            demand(is_key, f"no key: {value!r}")
        case _:
            demand(isinstance(value, str) and _date(value).tzinfo is not None, f"no date: {value}")


def _comparable(field: str, value: Any) -> Any:
    return int(value) if field == "processInstanceKey" else value or ""


def _date(text: str) -> datetime:
    return datetime.fromisoformat(text)
