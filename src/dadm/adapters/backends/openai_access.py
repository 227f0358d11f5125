"""The way to one account at OpenAI: the SDK's client, checked, and what its errors mean to us."""

from dataclasses import dataclass

import httpx2
import openai

from dadm.adapters.backends.openai_client import (
    checked_address,
    checked_key,
    fingerprint,
    listed,
    read_object,
    shown_address,
    timeouts,
)
from dadm.adapters.backends.openai_errors import ErrorTable
from dadm.adapters.backends.openai_replies import says_no_such_address
from dadm.domain.errors import BackendMisconfigured, BackendUnavailable, OutcomeUnknown

KEY_SETTING = "OPENAI_API_KEY"
ADDRESS_SETTING = "OPENAI_BASE_URL"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAIAccess:
    """A client that never retries.

    `address` is the base URL as others may see it; `account` is organisation and project where they
    are set, else the key's fingerprint.
    """

    client: openai.AsyncOpenAI
    errors: ErrorTable
    address: str
    account: str

    async def check_model(self, model: str) -> str:
        """Make sure that the model can be asked, at no cost; say what was found.

        A server that cannot be asked for one model is asked for all that it lists, which proves
        address and key, but not the name: it may take others than those it lists.

        Raises:
            BackendUnavailable: It cannot be reached.
            BackendMisconfigured: The key, the address or the model is wrong.
        """
        try:
            return await self._found(model)
        except OutcomeUnknown as error:
            raise BackendUnavailable(error.message) from error

    async def _found(self, model: str) -> str:
        service = self.errors.service
        try:
            with self.errors.at_boundary(but=says_no_such_address):
                found = await self.client.models.retrieve(model)
        except openai.NotFoundError:
            with self.errors.at_boundary():
                await listed(self.client, "/models", service=service)
            return f"{service} answers, and does not say whether it offers {model}."
        return f"{service} offers {read_object(found, service=service).get('id')}."


def open_access(
    *,
    api_key: str | None,
    base_url: str | None,
    organization: str | None,
    project: str | None,
    timeout_seconds: float,
    http_client: httpx2.AsyncClient | None,
) -> OpenAIAccess:
    """Prepare a client; nothing is sent yet. What is None, the SDK reads from its environment.

    Raises:
        BackendMisconfigured: There is no key, or the key or the address cannot be sent.
    """
    missing = f"There is no key for OpenAI: set {KEY_SETTING}."
    try:
        client = openai.AsyncOpenAI(
            api_key=api_key,
            base_url=base_url,
            organization=organization,
            project=project,
            max_retries=0,
            timeout=timeouts(timeout_seconds),
            http_client=http_client,
        )
    except openai.OpenAIError as error:
        raise BackendMisconfigured(missing) from error
    key = checked_key(client.api_key, setting=KEY_SETTING)
    if not key:
        raise BackendMisconfigured(missing)
    address = checked_address(client.base_url, setting=ADDRESS_SETTING)
    named = (client.organization or "", client.project or "")
    return OpenAIAccess(
        client=client,
        errors=ErrorTable(
            service="OpenAI" if address.host == "api.openai.com" else f"OpenAI at {address.host}",
            key=key,
            key_setting=KEY_SETTING,
            address_setting=ADDRESS_SETTING,
            window_hint="Shorten what the task asks or the variables it shows, or choose a model with a larger window.",
        ),
        address=shown_address(address),
        account="/".join(named) if any(named) else fingerprint(key),
    )
