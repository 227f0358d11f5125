"""What the OpenAI SDK raises, at OpenAI and at servers like it, in DADM's own errors by one table."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Self

import httpx2
import openai

from dadm.adapters.backends.openai_replies import (
    BAD_PARAMETER,
    BROKEN,
    KEY_LIKE,
    NO_CONVERSATION,
    NO_SUCH_ADDRESS,
    NOT_OFFERED,
    POLICY_CODES,
    QUOTA_CODES,
    TOO_LONG,
    TOO_LONG_CODES,
    WITH_THE_TURN,
    is_about_model,
    retry_after,
    words_of,
)
from dadm.domain.assistant import Assistant
from dadm.domain.errors import (
    BackendError,
    BackendMisconfigured,
    BackendRefused,
    BackendUnavailable,
    ConversationBroken,
    ConversationBusy,
    ConversationLost,
    ConversationTooLong,
    OutcomeUnknown,
)

# The SDK lets through what its HTTP client and the JSON parser say about half a reply.
VENDOR_ERRORS = (
    openai.OpenAIError,
    httpx2.HTTPError,
    httpx2.InvalidURL,
    httpx2.StreamError,
    json.JSONDecodeError,
    UnicodeDecodeError,
)
NEVER_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
)
CANNOT_BE_SENT = (httpx2.UnsupportedProtocol, httpx2.LocalProtocolError, httpx2.InvalidURL)

LONGEST_QUOTE = 300
SHORTEST_SECRET = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorTable:
    """Translates what one server's SDK raises.

    `service` is what messages call the server. `key` is never repeated in any of them. The names
    of settings are for messages that say what to change, and so is `assistant`, whose model and
    parameters were sent. A turn or a deletion may be refused for what it is about
    (`may_refuse`); any other request that is refused was put wrongly.
    """

    service: str
    key: str = field(repr=False)
    key_setting: str
    address_setting: str
    window_hint: str
    assistant: str = ""
    may_refuse: bool = False

    def asked_as(self, assistant: Assistant) -> Self:
        """Give the table for a request with the assistant's model and parameters."""
        where = f" in {assistant.origin}" if assistant.origin else ""
        return replace(self, assistant=f" (assistant {assistant.name!r}{where})", may_refuse=True)

    def of_deletions(self) -> Self:
        """Give the table for requests that delete."""
        return replace(self, may_refuse=True)

    @contextmanager
    def at_boundary(
        self, *, but: Callable[[openai.APIStatusError], bool] | None = None
    ) -> Iterator[None]:
        """Raise DADM's error where the body raises the vendor's.

        Args:
            but: Chooses those replies that go through as they are, for the caller to handle.

        Raises:
            BackendError: By the table; its cause is left out where that could repeat the key.
        """
        try:
            yield
        except VENDOR_ERRORS as error:
            if but and isinstance(error, openai.APIStatusError) and but(error):
                raise
            translated = self.translate(error)
            raise translated from (None if self._could_tell_key(error) else error)

    def translate(self, error: Exception) -> BackendError:
        """Give DADM's error for a vendor's; every error has one."""
        translated = self._translated(error)
        if isinstance(translated, BackendRefused) and not self.may_refuse:
            return BackendMisconfigured(translated.message)
        return translated

    def _translated(self, error: Exception) -> BackendError:
        if isinstance(error, openai.APIStatusError):
            return self._by_code(error) or self._by_status(error)
        if isinstance(error, openai.APIConnectionError):
            return self._by_connection(error.__cause__)
        if isinstance(error, httpx2.InvalidURL):
            return self._by_connection(error)
        if isinstance(error, openai.APIError):
            text = f"{self.service} broke off with an error: {self.quote(error.message)}"
            return OutcomeUnknown(text)
        return OutcomeUnknown(f"{self.service} sent a reply that cannot be read.")

    def quote(self, text: str) -> str:
        """Give the vendor's words, cut short, without our key or anything like one."""
        words = " ".join(self._without_key(text).split())
        return words if len(words) <= LONGEST_QUOTE else f"{words[: LONGEST_QUOTE - 1]}…"

    def _without_key(self, text: str) -> str:
        if len(self.key) >= SHORTEST_SECRET:
            text = text.replace(self.key, "[key]")
        return KEY_LIKE.sub("[key]", text)

    def _could_tell_key(self, error: Exception) -> bool:
        if isinstance(error, openai.AuthenticationError):
            return True
        return any(
            self._without_key(text) != text for text in (str(error), str(error.__cause__ or ""))
        )

    def _by_connection(self, cause: BaseException | None) -> BackendError:
        if isinstance(cause, CANNOT_BE_SENT):
            text = (
                f"A request to {self.service} cannot even be sent. "
                f"Check {self.address_setting} and {self.key_setting}."
            )
            return BackendMisconfigured(text)
        if isinstance(cause, NEVER_SENT):
            return BackendUnavailable(f"{self.service} is not reachable ({type(cause).__name__}).")
        kind = type(cause).__name__ if cause else "no reason given"
        return OutcomeUnknown(f"The connection to {self.service} broke or fell silent ({kind}).")

    def _by_status(self, error: openai.APIStatusError) -> BackendError:
        match error.status_code:
            case 401 | 402 | 403 | 407:
                return self._not_allowed(error)
            case 404 | 405 | 501:
                return self._not_found(error)
            case 400 | 422:
                return self._rejected(error)
            case 413:
                return BackendRefused(f"{self.service} finds the request too large.")
            case 429:
                wait = retry_after(error.response)
                text = f"{self.service} takes no more requests for now (HTTP 429)."
                return BackendUnavailable(text, retry_after=wait)
            case _:
                text = f"{self.service} gave no definite answer (HTTP {error.status_code})."
                return OutcomeUnknown(text, retry_after=retry_after(error.response))

    def _by_code(self, error: openai.APIStatusError) -> BackendError | None:
        """Translate what the body says more exactly than the status; None where it does not."""
        codes = {error.code, error.type}
        words = words_of(error)
        is_definite = error.status_code in {400, 404, 413, 422}
        if "conversation_locked" in codes:
            return ConversationBusy(f"{self.service} is still running another turn here.")
        if codes & QUOTA_CODES:
            text = f"The quota or credit of our account at {self.service} is used up."
            return BackendMisconfigured(text)
        if is_definite and (codes & TOO_LONG_CODES or TOO_LONG.search(words)):
            text = f"It does not fit the model's window: {self.quote(words)} {self.window_hint}"
            return ConversationTooLong(text)
        if is_definite and BROKEN.search(words):
            return ConversationBroken(f"{self.service} cannot go on here: {self.quote(words)}")
        return None

    def _not_allowed(self, error: openai.APIStatusError) -> BackendError:
        # A 401 may quote the key that was sent, so its words are not repeated at all.
        is_about_key = isinstance(error, openai.AuthenticationError)
        said = "" if is_about_key else f" It says: {self.quote(words_of(error))}"
        text = (
            f"{self.service} does not accept our key or its rights (HTTP {error.status_code}). "
            f"Check {self.key_setting}.{said}"
        )
        return BackendMisconfigured(text)

    def _not_found(self, error: openai.APIStatusError) -> BackendError:
        words = words_of(error)
        if error.param == "conversation_id" or NO_CONVERSATION.search(words):
            return ConversationLost(f"{self.service} says: {self.quote(words)}")
        if is_about_model(error):
            return self._no_model(error)
        is_unknown = NO_SUCH_ADDRESS.search(words) or not isinstance(error.body, dict)
        if is_unknown or error.status_code in NOT_OFFERED:
            text = f"{self.service} does not know this address. Check {self.address_setting}."
            return BackendMisconfigured(text)
        text = (
            f"{self.service} has nothing of what was asked for. Check {self.address_setting} and "
            f"the model{self.assistant}. It says: {self.quote(words)}"
        )
        return BackendMisconfigured(text)

    def _no_model(self, error: openai.APIStatusError) -> BackendError:
        said = self.quote(words_of(error))
        return BackendMisconfigured(f"{self.service} has no such model{self.assistant}: {said}")

    def _rejected(self, error: openai.APIStatusError) -> BackendError:
        words = words_of(error)
        root = re.split(r"[.\[]", error.param or "", maxsplit=1)[0]
        if not isinstance(error.body, dict):
            # No error of the API's own: something in between spoke, and what it did is unknown.
            text = f"{self.service} answered HTTP {error.status_code} without saying why."
            return OutcomeUnknown(text)
        if error.code in POLICY_CODES:
            return BackendRefused(f"{self.service} will not answer this: {self.quote(words)}")
        if is_about_model(error):
            return self._no_model(error)
        if root not in WITH_THE_TURN or BAD_PARAMETER.search(words):
            named = f"the parameter {error.param!r}" if error.param else "a parameter"
            text = (
                f"{self.service} does not take {named} as it is set{self.assistant}: "
                f"{self.quote(words)}"
            )
            return BackendMisconfigured(text)
        return BackendRefused(f"{self.service} refused: {self.quote(words)}")
