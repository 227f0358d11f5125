"""Which models a chat server offers and how much they take in, as far as the server tells."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, TypeAlias

import httpx2
import openai

from dadm.adapters.backends.openai_errors import ErrorTable
from dadm.domain.errors import BackendMisconfigured, BackendUnavailable, OutcomeUnknown

Json: TypeAlias = Mapping[str, Any]

MODEL_SETTING = "DADM_CHAT__MODEL"

ASSUMED_TOKENS = 8192
QUESTIONS = 2
"""How often a server is asked for a context: Ollama tells it only after a model's first question."""

OF_A_MODEL = ("max_model_len", "context_length", "context_window", "max_context_length")
"""What vLLM and SGLang, OpenRouter, Groq, and Mistral call it in their lists of models."""

LLAMA_CPP = "llamacpp"
OLLAMA = "library"
"""What the servers say who owns their models."""


class ServedModels:
    """Asks a server about its models, remembers what it said, and changes nothing there."""

    def __init__(
        self, client: openai.AsyncOpenAI, errors: ErrorTable, *, context_tokens: int | None
    ) -> None:
        """Ask through `client`; `context_tokens`, where set, is believed instead."""
        self._client = client
        self._errors = errors
        self._context_tokens = context_tokens
        self._told: dict[str, int] = {}
        self._times_asked: Counter[str] = Counter()
        self._first = ""

    async def first(self) -> str:
        """Give the first model that the server lists.

        Raises:
            BackendUnavailable: The server did not answer.
            BackendMisconfigured: It lists none, or cannot be asked at its address.
        """
        if not self._first:
            offered = await self.models()
            self._first = str(offered[0].get("id") or "") if offered else ""
        if not self._first:
            text = f"{self._errors.service} lists no models: set {MODEL_SETTING}."
            raise BackendMisconfigured(text)
        return self._first

    def known_context(self, model: str) -> int | None:
        """Give the context of `model`, in tokens, if it is known by now."""
        return self._context_tokens or self._told.get(model)

    async def context(self, model: str) -> int:
        """Give the context of `model`, in tokens: as set, as the server tells, or as assumed.

        Raises:
            BackendUnavailable: The server did not answer.
            BackendMisconfigured: It cannot be asked at its address.
        """
        if not self.known_context(model) and self._times_asked[model] < QUESTIONS:
            self._times_asked[model] += 1
            told = await self._context_of(model)
            if told is not None:
                self._told[model] = told
        return self.known_context(model) or ASSUMED_TOKENS

    async def _context_of(self, model: str) -> int | None:
        offered = await self.models()
        entry = next((each for each in offered if each.get("id") == model), None)
        if entry is None and len(offered) == 1:
            entry = offered[0]
        if entry is None:
            return None
        if entry.get("owned_by") == OLLAMA:
            return await self._of_ollama(model)
        if entry.get("owned_by") == LLAMA_CPP:
            props = await self._get(self._beside_v1("props"))
            return _count(_object(props.get("default_generation_settings")).get("n_ctx"))
        return next((count for name in OF_A_MODEL if (count := _count(entry.get(name)))), None)

    async def models(self) -> list[Json]:
        """Give what the server says of the models it offers; empty where it says nothing.

        Raises:
            BackendUnavailable: The server did not answer.
            BackendMisconfigured: It cannot be asked at its address.
        """
        listed = (await self._get("/models")).get("data")
        return [_object(each) for each in listed] if isinstance(listed, list) else []

    async def _of_ollama(self, model: str) -> int | None:
        # Ollama tells of loaded models only; a model is loaded by its first question.
        loaded = (await self._get(self._beside_v1("api/ps"))).get("models")
        for each in map(_object, loaded if isinstance(loaded, list) else []):
            if model in {each.get("name"), each.get("model")}:
                return _count(each.get("context_length"))
        return None

    def _beside_v1(self, path: str) -> str:
        return str(self._client.base_url.join(f"../{path}"))

    async def _get(self, path: str) -> Json:
        try:
            with self._errors.at_boundary(but=_is_any):
                reply = await self._client.get(path, cast_to=httpx2.Response)
                return _object(reply.json())
        except openai.APIStatusError:
            return {}
        except OutcomeUnknown as error:
            raise BackendUnavailable(error.message) from error


def _is_any(error: openai.APIStatusError) -> bool:
    return bool(error.status_code)


def _object(value: object) -> Json:
    return value if isinstance(value, Mapping) else {}


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and value > 0 else None
