"""The way into an engine elsewhere, as the settings name it."""

from typing import TYPE_CHECKING

from dadm.domain.errors import SettingsError
from dadm.settings import NamedEngineSettings, Settings

if TYPE_CHECKING:
    from dadm.adapters.engines.access import Access


def engine_access(settings: Settings) -> "Access | None":
    """Give what requests to the engine bring; None where it is open to everybody.

    Raises:
        SettingsError: There are several ways in at once, or half of one.
    """
    from dadm.adapters.engines.access import WAYS_IN, BasicAccess, BearerAccess, ClientCredentials

    given = settings.engine
    by_password = (given.user, given.password)
    by_client = (given.token_url, given.client_id, given.client_secret)
    begun = [any(by_password), bool(given.token), any((*by_client, given.scope, given.audience))]
    ended = [all(by_password), bool(given.token), all(by_client)]
    if begun != ended or sum(begun) > 1:
        which, ways = "the engine", WAYS_IN
        if isinstance(given, NamedEngineSettings):
            which = f"the engine {settings.engine_id}"
            ways = WAYS_IN.replace("DADM_ENGINE__", "DADM_ENGINES__…__")
        msg = f"One whole way into {which} is set, and no part of another: {ways}."
        raise SettingsError(msg)
    if given.password:
        return BasicAccess(given.user, given.password.get_secret_value())
    if given.token:
        return BearerAccess(given.token.get_secret_value())
    if given.client_secret:
        return ClientCredentials(
            token_url=given.token_url,
            client_id=given.client_id,
            client_secret=given.client_secret.get_secret_value(),
            scope=given.scope,
            audience=given.audience,
            has_secret_in_header=given.credentials_in == "header",
        )
    return None
