"""LogObserver and the rendering of logs: ours and everybody else's, as text or as JSON."""

import dataclasses
import logging
import re
import sys
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from dadm.domain.thread import Usage
from dadm.ports.observer import Event
from dadm.telemetry.log_lines import log_lines
from dadm.telemetry.scrubbing import Scrubber

TALKATIVE = (
    "alembic",
    "httpcore2",
    "httpx2",
    "openai",
    "spiff",
    "sqlalchemy",
    "uvicorn",
)
"""Loggers of libraries that would drown ours; their warnings are heard at every level."""

OWN_HANDLERS = ("uvicorn", "uvicorn.access", "uvicorn.error")

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


class LogObserver:
    """Writes each event as the standard library's log records, with the event as context."""

    def __init__(self) -> None:
        """Write to the logger `dadm`."""
        self._logger = logging.getLogger("dadm")

    def notify(self, event: Event) -> None:
        """Log `event`; people's text only at DEBUG."""
        for line in log_lines(event):
            if self._logger.isEnabledFor(line.level):
                context = {"action": line.action, **_context(event)}
                self._logger.log(line.level, "%s", line.text, extra=context)


def configure_logging(
    *,
    level: str = "info",
    style: str = "text",
    scrubber: Scrubber | None = None,
    stream: TextIO | None = None,
) -> None:
    """Render every log record of this process in one way, on standard error.

    Repeating replaces what was configured before.

    Args:
        level: The least severe records written: debug, info, warning or error.
        style: `text` for people, `json` for one object per line.
        scrubber: Takes secrets out of the finished lines.
        stream: Where to write instead of standard error.
    """
    handler = _Handler(stream or sys.stderr)
    handler.setFormatter(_formatter(style, scrubber or Scrubber(), handler.stream.isatty()))
    root = logging.getLogger()
    root.handlers[:] = [each for each in root.handlers if not isinstance(each, _Handler)]
    root.addHandler(handler)
    wanted = logging.getLevelNamesMapping()[level.upper()]
    root.setLevel(wanted)
    logging.captureWarnings(capture=True)
    for name in OWN_HANDLERS:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(max(wanted, logging.WARNING))


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, so that configuring again leaves everybody else's handlers alone."""


def _formatter(style: str, scrubber: Scrubber, is_terminal: bool) -> logging.Formatter:
    def scrub(logger: WrappedLogger, name: str, rendered: EventDict) -> str:
        del logger, name
        return scrubber(str(rendered))

    # structlog types the last processor's input as a dictionary; after the renderer it is text.
    last: list[Any] = [_renderer(style, is_terminal), scrub]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _without_colours,
            _on_one_line,
        ],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )


def _renderer(style: str, is_terminal: bool) -> Processor:
    if style == "json":
        as_json = structlog.processors.JSONRenderer(ensure_ascii=False)

        def render(logger: WrappedLogger, name: str, event: EventDict) -> str | bytes:
            with_trace = structlog.processors.format_exc_info(logger, name, event)
            return as_json(logger, name, with_trace)

        return render
    return structlog.dev.ConsoleRenderer(
        colors=is_terminal, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
    )


def _without_colours(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """Drop uvicorn's second, coloured copy of its message."""
    del logger, name
    event.pop("color_message", None)
    return event


def _on_one_line(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """Keep control characters out, so that no text can pass for a line of the log."""
    del logger, name
    for key, value in event.items():
        # Most values are printable, and need no search.
        if isinstance(value, str) and not value.isprintable():
            event[key] = _CONTROL.sub(lambda found: ascii(found.group())[1:-1], value)
    event["event"] = str(event["event"]).replace("\n", "\\n")
    return event


def _context(event: Event) -> dict[str, str | int | float]:
    """Give the event's short facts under their names; a log record keeps `message` for itself."""
    context: dict[str, str | int | float] = {}
    for field in dataclasses.fields(event):
        value = getattr(event, field.name)
        if isinstance(value, Usage):
            context |= dataclasses.asdict(value)
        elif isinstance(value, str | int | float) and field.name != "message":
            context[field.name] = round(value, 6) if isinstance(value, float) else value
    return context
