"""What a reply of OpenAI's API, or of a server like it, says: codes, words, and what they mean."""

import json
import re
from datetime import timedelta
from email.utils import parsedate_to_datetime

import httpx2
import openai

POLICY_CODES = frozenset(
    {
        "bio_policy",
        "content_filter",
        "content_policy_violation",
        "cyber_policy_violation",
        "image_content_policy_violation",
        "invalid_prompt",
        "misalignment_policy_violation",
        "moderation_blocked",
    }
)
QUOTA_CODES = frozenset(
    {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "credits_exhausted"}
)
TOO_LONG_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error"})
NO_MODEL_CODES = frozenset({"DeploymentNotFound", "model_not_found", "unknown_model"})
WITH_THE_TURN = frozenset(
    {"", "after", "conversation", "conversation_id", "input", "items", "messages"}
)
"""Parameters that come with the turn; all others come from the configuration."""

TOO_LONG = re.compile(r"context (length|size|window)|maximum input length", re.IGNORECASE)
NO_CONVERSATION = re.compile(
    r"conversation\b.*\bnot found|\bnot found:? conversation with id\b", re.IGNORECASE
)
BROKEN = re.compile(
    r"no tool output found for|provided without its required|\bitem with id .* not found",
    re.IGNORECASE,
)
NO_MODEL = re.compile(r"\b(model|deployment)\b", re.IGNORECASE)
NONE_SUCH = re.compile(
    r"\b(unknown|no such|not found|does not exist|not available|not supported)\b", re.IGNORECASE
)
NO_SUCH_ADDRESS = re.compile(r"^$|invalid url|^not found$", re.IGNORECASE)
BAD_PARAMETER = re.compile(
    r"(unsupported|unknown|unrecognized|mutually exclusive) (parameter|value|request argument)",
    re.IGNORECASE,
)
KEY_LIKE = re.compile(r"\b(sk|pk|rk|sess)-[\w*.-]{4,}")

NOT_OFFERED = frozenset({405, 501})
"""What servers say that have a part of the API: nothing was done, and nothing will be."""

LONGEST_WAIT_SECONDS = 24 * 3600


def is_about_model(error: openai.APIStatusError) -> bool:
    """Whether it says that there is no such model, or none of that name for us."""
    if error.code in NO_MODEL_CODES or error.param == "model":
        return True
    words = words_of(error)
    return bool(NO_MODEL.search(words)) and bool(NONE_SUCH.search(words))


def says_gone(error: openai.APIStatusError) -> bool:
    """Whether it is the API's own word that a thing is gone, not a wrong address."""
    is_from_api = isinstance(error.body, dict) and not NO_SUCH_ADDRESS.search(words_of(error))
    return isinstance(error, openai.NotFoundError) and is_from_api


def says_no_such_address(error: openai.APIStatusError) -> bool:
    """Whether there is nothing where the request went, as opposed to nothing of the name in it."""
    return isinstance(error, openai.NotFoundError) and not says_gone(error)


def says_gone_or_not_offered(error: openai.APIStatusError) -> bool:
    """Whether what was to be deleted is gone, or is of a kind that this server never deletes."""
    return says_gone(error) or error.status_code in NOT_OFFERED


def says_gone_or_ended(error: openai.APIStatusError) -> bool:
    """Whether a run that was to be cancelled is none, or cannot be (any more, or on this server).

    A wrong address looks like the last; whoever cancels has already been answered at this one.
    """
    is_definite = isinstance(
        error, openai.NotFoundError | openai.BadRequestError | openai.ConflictError
    )
    return is_definite or error.status_code in NOT_OFFERED


def says_already_there(error: openai.APIStatusError) -> bool:
    """Whether items that were to be linked are in the conversation already."""
    return isinstance(error, openai.BadRequestError) and (
        error.code == "item_already_in_conversation"
        or words_of(error).startswith("Item already in conversation")
    )


def says_unknown_item(error: openai.APIStatusError) -> bool:
    """Whether the item that a listing was to begin behind is not in the conversation."""
    is_about_item = error.param == "after" or words_of(error).startswith("No item found with id")
    return isinstance(error, openai.NotFoundError) and is_about_item


def words_of(error: openai.APIStatusError) -> str:
    """Give what the server said, without the SDK's prefix; empty where it said nothing readable."""
    body = error.body
    match body:
        case {"message": str(said)} | {"detail": str(said)} | {"error": str(said)}:
            return said
        case dict():
            return json.dumps(body, default=str)
        case str() if not body.lstrip().startswith("<"):
            return body
        case _:
            return ""


def retry_after(response: httpx2.Response) -> timedelta | None:
    """Read how long the server asks us to wait: milliseconds, seconds, or a date beside its own."""
    headers = response.headers
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        return timedelta(seconds=seconds) if 0 <= seconds <= LONGEST_WAIT_SECONDS else None
    try:
        until = parsedate_to_datetime(headers.get("retry-after", ""))
        return max(until - parsedate_to_datetime(headers.get("date", "")), timedelta(0))
    except (TypeError, ValueError):
        return None
