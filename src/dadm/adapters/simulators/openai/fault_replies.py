"""The errors that the service, or a proxy before it, answers when it is not well."""

from http import HTTPStatus

from dadm.adapters.simulators.openai.errors import ApiError
from dadm.adapters.simulators.openai.fault_kinds import HttpError
from dadm.adapters.simulators.openai.wire import PageReply

SERVER_ERRORS = 500
USUAL: dict[int, tuple[str, str, str | None]] = {
    401: ("Incorrect API key provided: ********.", "invalid_request_error", "invalid_api_key"),
    403: ("You have insufficient permissions for this operation.", "invalid_request_error", None),
    408: ("The request took too long to arrive.", "invalid_request_error", None),
    409: ("The resource was changed by another request.", "invalid_request_error", None),
    429: ("Rate limit reached. Please try again later.", "requests", "rate_limit_exceeded"),
    500: ("The server had an error while processing your request.", "server_error", None),
    502: ("Bad gateway.", "server_error", None),
    503: ("The engine is currently overloaded, please try again later.", "server_error", None),
    504: ("The server took too long to answer.", "server_error", None),
}
"""Message, type and code for a status."""
QUOTA = "insufficient_quota"
QUOTA_MESSAGE = "You exceeded your current quota, please check your plan and billing details."


def error_reply(fault: HttpError) -> PageReply:
    """Give the page of a proxy.

    Raises:
        ApiError: it is the API that answers.
    """
    headers = {} if fault.retry_after is None else {"retry-after": str(fault.retry_after)}
    phrase = _phrase(fault.status)
    if fault.html:
        title = f"{fault.status} {fault.message or phrase}"
        html = f"<!doctype html>\n<title>{title}</title>\n<h1>{title}</h1>\n<hr>proxy\n"
        return PageReply(html=html, status=fault.status, headers=headers)
    kind = "server_error" if fault.status >= SERVER_ERRORS else "invalid_request_error"
    message, kind, code = USUAL.get(fault.status, (f"{phrase}.", kind, None))
    if fault.code == QUOTA:
        message, kind = QUOTA_MESSAGE, QUOTA
    raise ApiError(
        fault.message or message,
        status=fault.status,
        code=fault.code or code,
        kind=kind,
        headers=headers,
    )


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
