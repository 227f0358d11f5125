"""The error bodies of the API, one function for each situation a caller can get into."""

from collections.abc import Mapping, Sequence

from dadm.adapters.simulators.openai.wire import JsonObject


class ApiError(Exception):
    """An error reply: its HTTP status, headers, and what stands inside its `error` object."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        param: str | None = None,
        code: str | None = None,
        kind: str = "invalid_request_error",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.param = param
        self.code = code
        self.kind = kind
        self.headers = dict(headers or {})

    def body(self) -> JsonObject:
        return {
            "error": {
                "message": self.message,
                "type": self.kind,
                "param": self.param,
                "code": self.code,
            }
        }


# Conversations and their items


def conversation_locked() -> ApiError:
    return ApiError(
        "Another process is currently operating on this conversation. "
        "Please retry in a few seconds.",
        param="conversation",
        code="conversation_locked",
    )


def conversation_not_found(conversation_id: str, *, azure: bool) -> ApiError:
    message = f"Conversation with id '{conversation_id}' not found."
    if azure:
        return ApiError(message, status=404, param="conversation_id", code="invalid_request_error")
    return ApiError(message, status=404)


def malformed_id(param: str, value: str, prefix: str) -> ApiError:
    return ApiError(
        f"Invalid '{param}': '{value}'. Expected an ID that begins with '{prefix}'.",
        param=param,
        code="invalid_value",
    )


def item_not_found(item_id: str) -> ApiError:
    return ApiError(
        f"Item with id '{item_id}' not found. Items are not persisted when `store` is set to "
        "false. Try again with `store` set to true, or remove this item from your input.",
        status=404,
        param="input",
    )


def item_not_in_conversation(item_id: str, conversation_id: str) -> ApiError:
    return ApiError(
        f"Item with id '{item_id}' not found in conversation '{conversation_id}'.", status=404
    )


def unknown_cursor(item_id: str) -> ApiError:
    return ApiError(f"No item found with id '{item_id}'", status=404, param="after")


def item_already_in_conversation() -> ApiError:
    return ApiError(
        "Item already in conversation", param="items", code="item_already_in_conversation"
    )


# Responses


def response_not_found(response_id: str) -> ApiError:
    return ApiError(f"Response with id '{response_id}' not found.", status=404)


def previous_response_not_found(response_id: str) -> ApiError:
    return ApiError(
        f"Previous response with id '{response_id}' not found.",
        param="previous_response_id",
        code="previous_response_not_found",
    )


def model_not_found(model: str) -> ApiError:
    return ApiError(
        f"The requested model '{model}' does not exist.", status=404, code="model_not_found"
    )


def input_missing() -> ApiError:
    return ApiError(
        "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation_id' "
        "must be provided."
    )


def mutually_exclusive(*names: str) -> ApiError:
    one_of = " or ".join(f"'{name}'" for name in names)
    return ApiError(
        f"Mutually exclusive parameters: ''. Ensure you are only providing one of: {one_of}.",
        code="mutually_exclusive_parameters",
    )


def duplicate_item(item_id: str) -> ApiError:
    return ApiError(
        f"Duplicate item found with id {item_id}. "
        "Remove duplicate items from your input and try again.",
        param="input",
    )


def missing_tool_output(call_id: str) -> ApiError:
    return ApiError(f"No tool output found for function call {call_id}.", param="input")


def missing_tool_call(call_id: str) -> ApiError:
    return ApiError(
        f"No tool call found for function call output with call_id {call_id}.", param="input"
    )


def half_a_reasoning_pair(item_id: str) -> ApiError:
    return ApiError(
        f"Item '{item_id}' of type 'reasoning' was provided without its required following item.",
        param="input",
    )


def input_over_the_window() -> ApiError:
    return ApiError(
        "Your input exceeds the context window of this model. "
        "Please adjust your input and try again.",
        param="input",
        code="context_length_exceeded",
    )


def stream_without_background() -> ApiError:
    return ApiError(
        "This response cannot be streamed because it was not created with background=true.",
        param="stream",
        code="invalid_request_error",
    )


def stream_without_stream() -> ApiError:
    return ApiError(
        "This response cannot be streamed because it was not created with stream=true.",
        param="stream",
        code="invalid_request_error",
    )


def stream_is_over() -> ApiError:
    return ApiError(
        "This response can no longer be streamed.", param="stream", code="invalid_request_error"
    )


def foreground_not_cancellable() -> ApiError:
    return ApiError("Cannot cancel a synchronous response.")


def background_without_store() -> ApiError:
    return ApiError(
        "Background responses must be stored: 'store' cannot be false.",
        param="store",
        code="invalid_value",
    )


# Parameters of any endpoint


def missing_parameter(param: str) -> ApiError:
    return ApiError(
        f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter"
    )


def unknown_parameter(param: str) -> ApiError:
    return ApiError(f"Unknown parameter: '{param}'.", param=param, code="unknown_parameter")


def unsupported_parameter(
    param: str, *, reason: str = "is not supported with this model"
) -> ApiError:
    return ApiError(f"Unsupported parameter: '{param}' {reason}.", param=param)


def invalid_type(param: str, expected: str) -> ApiError:
    return ApiError(
        f"Invalid type for '{param}': expected {expected}.", param=param, code="invalid_type"
    )


def invalid_value(param: str, value: object, supported: Sequence[str]) -> ApiError:
    choices = ", ".join(f"'{choice}'" for choice in supported)
    return ApiError(
        f"Invalid value: '{value}'. Supported values are: {choices}.",
        param=param,
        code="invalid_value",
    )


def below_minimum(param: str, value: float, minimum: float, *, whole: bool = True) -> ApiError:
    noun = "integer" if whole else "decimal"
    return ApiError(
        f"Invalid '{param}': {noun} below minimum value. "
        f"Expected a value >= {minimum}, but got {value} instead.",
        param=param,
        code=f"{noun}_below_min_value",
    )


def above_maximum(param: str, value: float, maximum: float, *, whole: bool = True) -> ApiError:
    noun = "integer" if whole else "decimal"
    return ApiError(
        f"Invalid '{param}': {noun} above maximum value. "
        f"Expected a value <= {maximum}, but got {value} instead.",
        param=param,
        code=f"{noun}_above_max_value",
    )


def string_too_long(param: str, length: int, limit: int) -> ApiError:
    return ApiError(
        f"Invalid '{param}': string too long. Expected a string with maximum length {limit}, "
        f"but got a string with length {length} instead.",
        param=param,
        code="string_above_max_length",
    )


def string_too_short(param: str) -> ApiError:
    return ApiError(
        f"Invalid '{param}': empty string. Expected a string with minimum length 1.",
        param=param,
        code="empty_string",
    )


def array_is_empty(param: str) -> ApiError:
    return ApiError(
        f"Invalid '{param}': empty array. Expected an array with minimum length 1.",
        param=param,
        code="empty_array",
    )


def array_too_long(param: str, length: int, limit: int) -> ApiError:
    return ApiError(
        f"Invalid '{param}': array too long. Expected an array with maximum length {limit}, "
        f"but got an array with length {length} instead.",
        param=param,
        code="array_above_max_length",
    )


def too_many_properties(param: str, count: int, limit: int) -> ApiError:
    return ApiError(
        f"Invalid '{param}': too many properties. Expected an object with at most {limit} "
        f"properties, but got an object with {count} properties instead.",
        param=param,
        code="object_above_max_properties",
    )


def property_name_too_long(param: str, length: int, limit: int) -> ApiError:
    return ApiError(
        f"Invalid property name in '{param}': too long. Expected a string with maximum length "
        f"{limit}, but got a string with length {length} instead.",
        param=param,
        code="property_name_above_max_length",
    )


# The request itself


def api_key_missing() -> ApiError:
    return ApiError("Missing bearer authentication in header", status=401)


def api_key_wrong(key: str) -> ApiError:
    shown = f"{'*' * 8}{key[-4:]}" if len(key) > 8 else "*" * 8  # noqa: PLR2004 - a short key would show whole
    return ApiError(f"Incorrect API key provided: {shown}.", status=401, code="invalid_api_key")


def not_json() -> ApiError:
    return ApiError("The body of this request could not be read as a JSON object.")


def unknown_url(method: str, path: str) -> ApiError:
    return ApiError(f"Invalid URL ({method} {path})", status=404)


def method_not_allowed(method: str, path: str) -> ApiError:
    return ApiError(f"Not allowed to {method} on {path}.", status=405, code="method_not_supported")
