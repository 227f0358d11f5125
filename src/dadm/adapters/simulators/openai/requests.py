"""A request for a response, read from its JSON and checked as far as it can be by itself."""

from dataclasses import dataclass

from dadm.adapters.simulators.openai import errors, validation
from dadm.adapters.simulators.openai.items import GivenItem, read_items, user_message
from dadm.adapters.simulators.openai.wire import JsonObject

PARAMETERS = frozenset(
    {
        "access_programs",
        "background",
        "background_options",
        "context_management",
        "conversation",
        "image",
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "model",
        "moderation",
        "parallel_tool_calls",
        "previous_response_id",
        "prompt",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning",
        "safety_identifier",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
        "user",
    }
)
MINIMUM_OUTPUT_TOKENS = 16
MINIMUM_COMPACT_THRESHOLD = 1000
SAFETY_IDENTIFIER_LENGTH = 128
FORMAT_NAME_LENGTH = 64
DISCOUNT_WINDOWS = ("2h", "8h")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseRequest:
    """What a caller of `POST /responses` asks for.

    `body` is the request as it came, for what is only echoed. `json_schema` is the schema of a
    structured answer. `compact_threshold` is in tokens.
    """

    body: JsonObject
    model: str
    input: tuple[GivenItem, ...]
    instructions: str | None
    conversation_id: str | None
    previous_response_id: str | None
    metadata: dict[str, str]
    background: bool
    stream: bool
    store: bool
    truncates: bool
    temperature: float | None
    top_p: float | None
    max_output_tokens: int | None
    compact_threshold: int | None
    json_schema: JsonObject | None


def read_request(body: JsonObject) -> ResponseRequest:
    """Read and check the body of `POST /responses`, apart from what depends on the API's state.

    Raises:
        ApiError: a parameter is unknown, missing, of the wrong type or beyond its limits.
    """
    validation.only_known(body, PARAMETERS)
    model = validation.required_text(body, "model")
    conversation_id = _conversation_id(body)
    previous = validation.text(body, "previous_response_id")
    if previous is not None and conversation_id is not None:
        raise errors.mutually_exclusive("previous_response_id", "conversation")
    validation.short_text(body, "safety_identifier", SAFETY_IDENTIFIER_LENGTH)
    validation.array(body, "tools")
    truncation = validation.choice(body, "truncation", ("auto", "disabled"))
    request = ResponseRequest(
        body=body,
        model=model,
        input=_input(body),
        instructions=validation.text(body, "instructions"),
        conversation_id=conversation_id,
        previous_response_id=previous,
        metadata=validation.metadata(body),
        background=validation.flag(body, "background", default=False),
        stream=validation.flag(body, "stream", default=False),
        store=validation.flag(body, "store", default=True),
        truncates=truncation == "auto",
        temperature=validation.number(body, "temperature", minimum=0, maximum=2),
        top_p=validation.number(body, "top_p", minimum=0, maximum=1),
        max_output_tokens=validation.whole_number(
            body, "max_output_tokens", minimum=MINIMUM_OUTPUT_TOKENS
        ),
        compact_threshold=_compact_threshold(body),
        json_schema=_json_schema(body),
    )
    _check_background(request)
    return request


def _conversation_id(body: JsonObject) -> str | None:
    given = body.get("conversation")
    if given is None:
        return None
    if isinstance(given, dict):
        given = validation.required_text(given, "id", where="conversation.")
    if not isinstance(given, str):
        raise errors.invalid_type("conversation", "a string or an object")
    return validation.identifier(given, "conv", param="conversation")


def _input(body: JsonObject) -> tuple[GivenItem, ...]:
    given = body.get("input")
    if given is None or given == "":
        return ()
    if isinstance(given, str):
        return (user_message(given),)
    if not isinstance(given, list):
        raise errors.invalid_type("input", "a string or an array")
    return read_items(given, param="input")


def _compact_threshold(body: JsonObject) -> int | None:
    for index, entry in enumerate(validation.array(body, "context_management") or []):
        where = f"context_management[{index}]."
        if not isinstance(entry, dict):
            raise errors.invalid_type(where.rstrip("."), "an object")
        if validation.choice(entry, "type", ("compaction",), where=where) is None:
            raise errors.missing_parameter(f"{where}type")
        return validation.whole_number(
            entry, "compact_threshold", minimum=MINIMUM_COMPACT_THRESHOLD, where=where
        )
    return None


def _json_schema(body: JsonObject) -> JsonObject | None:
    answer_format = validation.json_object(
        validation.json_object(body, "text") or {}, "format", where="text."
    )
    if answer_format is None:
        return None
    where = "text.format."
    kinds = ("text", "json_object", "json_schema")
    if validation.choice(answer_format, "type", kinds, where=where) != "json_schema":
        return None
    if validation.short_text(answer_format, "name", FORMAT_NAME_LENGTH, where=where) is None:
        raise errors.missing_parameter("text.format.name")
    schema = validation.json_object(answer_format, "schema", where=where)
    if schema is None:
        raise errors.missing_parameter("text.format.schema")
    return schema


def _check_background(request: ResponseRequest) -> None:
    options = validation.json_object(request.body, "background_options") or {}
    window = validation.choice(
        options, "completion_window", ("soonest", *DISCOUNT_WINDOWS), where="background_options."
    )
    if window in DISCOUNT_WINDOWS and (request.stream or not request.background):
        raise errors.invalid_value("background_options.completion_window", window, ("soonest",))
