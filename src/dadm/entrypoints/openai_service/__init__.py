"""OpenAI Service: tasks are answered over HTTP, and threads can be read."""

from dadm.entrypoints.openai_service.app import create_app
from dadm.entrypoints.openai_service.parts import Lifecycle, ServiceParts
from dadm.entrypoints.openai_service.serving import (
    address_of,
    open_listener,
    serve,
    stop_on_signals,
)

__all__ = [
    "Lifecycle",
    "ServiceParts",
    "address_of",
    "create_app",
    "open_listener",
    "serve",
    "stop_on_signals",
]
