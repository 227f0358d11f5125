"""Items of conversations: what callers may send, and the form in which the API keeps them."""

from dataclasses import dataclass
from typing import Any, TypeAlias

from dadm.adapters.simulators.openai import errors, validation
from dadm.adapters.simulators.openai.context import unpacked
from dadm.adapters.simulators.openai.wire import JsonObject

ITEMS_PER_CALL = 20
CALL_ID_LENGTH = 64

PREFIXES: dict[str, tuple[str, ...]] = {
    "message": ("msg",),
    "function_call": ("fc",),
    "function_call_output": ("fco", "fc"),
    "reasoning": ("rs",),
    "compaction": ("cmp",),
}
"""Type of item to the prefixes its id may have; the first is the one that is minted."""

ROLES = ("user", "assistant", "system", "developer")
FIELDS: dict[str, frozenset[str]] = {
    "message": frozenset({"role", "content", "status", "phase"}),
    "function_call": frozenset({"call_id", "name", "arguments", "status"}),
    "function_call_output": frozenset({"call_id", "output", "status"}),
    "reasoning": frozenset({"summary", "content", "encrypted_content", "status"}),
    "compaction": frozenset({"encrypted_content"}),
}
INPUT_PARTS = {
    "input_text": frozenset({"text"}),
    "input_image": frozenset({"detail", "file_id", "image_url"}),
    "input_file": frozenset({"detail", "file_data", "file_id", "file_url", "filename"}),
}
OUTPUT_PARTS = {
    "output_text": frozenset({"text", "annotations", "logprobs"}),
    "refusal": frozenset({"refusal"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """An item named by its id alone."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An item given in full, with the id that its sender gave it, if any.

    `fields` is the item as it will be kept, without an id.
    """

    given_id: str | None
    fields: JsonObject


GivenItem: TypeAlias = Reference | Draft


def id_prefix(item_type: str) -> str:
    """Give the prefix of a minted id for an item of this type."""
    return PREFIXES[item_type][0]


def read_items(given: list[Any], *, param: str) -> tuple[GivenItem, ...]:
    return tuple(_read_item(item, f"{param}[{index}]") for index, item in enumerate(given))


def read_batch(given: list[Any], *, param: str = "items") -> tuple[GivenItem, ...]:
    """Read the items of one call that adds some; at most 20, and at least one."""
    if not given:
        raise errors.array_is_empty(param)
    if len(given) > ITEMS_PER_CALL:
        raise errors.array_too_long(param, len(given), ITEMS_PER_CALL)
    return read_items(given, param=param)


def user_message(text: str) -> Draft:
    return Draft(
        given_id=None,
        fields={
            "type": "message",
            "role": "user",
            "status": "completed",
            "content": [{"type": "input_text", "text": text}],
        },
    )


def output_text(text: str) -> JsonObject:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _read_item(item: Any, where: str) -> GivenItem:
    if not isinstance(item, dict):
        raise errors.invalid_type(where, "an object")
    kind = item.get("type") or ("message" if "role" in item else "item_reference")
    given_id = validation.text(item, "id", where=f"{where}.")
    if kind == "item_reference":
        if given_id is None:
            raise errors.missing_parameter(f"{where}.id")
        return Reference(id=given_id)
    if not isinstance(kind, str) or kind not in PREFIXES:
        raise errors.invalid_value(f"{where}.type", kind, (*PREFIXES, "item_reference"))
    validation.only_known(item, FIELDS[kind] | {"id", "type"}, where=f"{where}.")
    if given_id is not None and not given_id.startswith(tuple(f"{p}_" for p in PREFIXES[kind])):
        raise errors.malformed_id(f"{where}.id", given_id, PREFIXES[kind][0])
    return Draft(given_id=given_id, fields={"type": kind} | _kept(kind, item, f"{where}."))


def _kept(kind: str, item: JsonObject, where: str) -> JsonObject:
    if kind == "message":
        return _kept_message(item, where)
    if kind == "reasoning":
        thought: JsonObject = {"summary": validation.array(item, "summary", where=where) or []}
        return thought | {
            name: item[name] for name in ("content", "encrypted_content") if name in item
        }
    if kind == "compaction":
        content = validation.required_text(item, "encrypted_content", where=where)
        unpacked(content)
        return {"encrypted_content": content}
    call_id = validation.required_text(item, "call_id", where=where)
    if not call_id:
        raise errors.string_too_short(f"{where}call_id")
    validation.short_text(item, "call_id", CALL_ID_LENGTH, where=where)
    kept: JsonObject = {"call_id": call_id, "status": "completed"}
    if kind == "function_call":
        kept["name"] = validation.required_text(item, "name", where=where)
        kept["arguments"] = validation.required_text(item, "arguments", where=where)
        return kept
    return kept | {"output": _kept_output(item, where)}


def _kept_output(item: JsonObject, where: str) -> str | list[JsonObject]:
    output = item.get("output")
    if isinstance(output, str):
        return output
    if not isinstance(output, list):
        raise errors.missing_parameter(f"{where}output")
    return [
        _kept_part(part, INPUT_PARTS, f"{where}output[{index}]")
        for index, part in enumerate(output)
    ]


def _kept_message(item: JsonObject, where: str) -> JsonObject:
    role = validation.choice(item, "role", ROLES, where=where)
    if role is None:
        raise errors.missing_parameter(f"{where}role")
    content = item.get("content")
    if isinstance(content, str):
        is_answer = role == "assistant"
        parts = [output_text(content) if is_answer else {"type": "input_text", "text": content}]
    elif isinstance(content, list):
        allowed = OUTPUT_PARTS if role == "assistant" else INPUT_PARTS
        parts = [
            _kept_part(part, allowed, f"{where}content[{index}]")
            for index, part in enumerate(content)
        ]
    elif content is None:
        raise errors.missing_parameter(f"{where}content")
    else:
        raise errors.invalid_type(f"{where}content", "a string or an array")
    kept: JsonObject = {"role": role, "status": "completed", "content": parts}
    phase = validation.choice(item, "phase", ("commentary", "final_answer"), where=where)
    return kept | ({"phase": phase} if phase is not None else {})


def _kept_part(part: Any, allowed: dict[str, frozenset[str]], where: str) -> JsonObject:
    if not isinstance(part, dict):
        raise errors.invalid_type(where, "an object")
    kind = part.get("type")
    if not isinstance(kind, str) or kind not in allowed:
        raise errors.invalid_value(where, kind, tuple(allowed))
    validation.only_known(part, allowed[kind] | {"type"}, where=f"{where}.")
    if kind == "output_text":
        return output_text(validation.required_text(part, "text", where=f"{where}."))
    if kind in {"input_text", "refusal"}:
        name = "text" if kind == "input_text" else "refusal"
        return {"type": kind, name: validation.required_text(part, name, where=f"{where}.")}
    detail = {"detail": "auto"} if kind == "input_image" else {}
    return detail | {name: value for name, value in part.items() if value is not None}
