"""What a program says about itself when it starts: where it is, who answers, where things are kept."""

from typing import TYPE_CHECKING

from dadm.domain.assistant import AssistantCatalogue
from dadm.domain.thread import BackendIdentity

if TYPE_CHECKING:
    from dadm.settings import Settings


def version() -> str:
    """Give the version that is installed."""
    from importlib.metadata import version as installed

    return installed("dadm")


def database_address(settings: "Settings") -> str:
    """Give the database's address without its password."""
    from dadm.settings import effective_settings

    if settings.database_url.get_secret_value().startswith("memory:"):
        return "in memory"
    return next(
        each.value for each in effective_settings(settings) if each.variable == "DADM_DATABASE_URL"
    )


def startup_line(
    settings: "Settings",
    *,
    parts: tuple[str, ...],
    address: str = "",
    backend: BackendIdentity | None = None,
    catalogue: AssistantCatalogue | None = None,
) -> str:
    """Say in one line what is running and with what."""
    *first, last = parts
    said = [f"DADM {version()} runs {' and '.join(filter(None, (', '.join(first), last)))}"]
    if address:
        said.append(f"listens at {address}")
    if backend is not None:
        said.append(f"backend {described(backend)}")
    else:
        said.append(f"assistant service at {settings.service_url}")
    said.append(f"database {database_address(settings)}")
    if "engine" in parts:
        engines = [_engine(each) for each in settings.by_engine]
        said.append(f"{'engine' if len(engines) == 1 else 'engines'} {', '.join(engines)}")
    if catalogue is not None:
        said.append(f"assistants {', '.join(catalogue.names)}")
    return "; ".join(said)


def _engine(settings: "Settings") -> str:
    at = f" at {settings.engine_url}" if settings.engine_url else ""
    return f"{settings.engine_id}{at}"


def described(identity: BackendIdentity) -> str:
    """Say who answers, without the account."""
    return " at ".join(filter(None, (identity.adapter, identity.address)))
