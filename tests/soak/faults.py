"""Which faults strike in a soak: every kind that a client can meet, each as often as the others."""

from collections.abc import Iterator
from typing import Any, TypeAlias

Rule: TypeAlias = dict[str, Any]

OF_TURNS: tuple[Rule, ...] = (
    {"fault": "drop-request"},
    {"fault": "drop-reply"},
    {"fault": "http-error", "status": 429, "retry_after": 1},
    {"fault": "http-error", "status": 429},
    {"fault": "http-error", "status": 500},
    {"fault": "http-error", "status": 502, "html": True},
    {"fault": "http-error", "status": 503},
    {"fault": "http-error", "status": 500, "when": "after"},
    {"fault": "duplicate", "at_once": True, "reply": "first"},
    {"fault": "duplicate", "at_once": True, "reply": "second"},
    {"fault": "late", "seconds": 3},
    {"fault": "hold-request", "seconds": 2},
    {"fault": "hold-reply", "seconds": 2},
    {"fault": "lock-conversation", "seconds": 3},
    {"fault": "delete-conversation", "when": "before"},
    {"fault": "delete-conversation", "when": "after"},
    {"fault": "fail-run", "code": "server_error"},
    {"fault": "fail-run", "code": "rate_limit_exceeded"},
    {"fault": "fail-run", "code": "invalid_prompt"},
    {"fault": "cut-run", "reason": "max_output_tokens"},
    {"fault": "cancel-run"},
    {"fault": "hold-run", "seconds": 2},
    {"fault": "orphan-run"},
    {"fault": "reset-stream", "events": 0},
    {"fault": "reset-stream", "events": 1},
    {"fault": "reset-stream", "events": 5},
    {"fault": "end-stream"},
    {"fault": "error-in-stream"},
    {"fault": "hold-stream", "seconds": 2},
)
"""What strikes a request that asks."""

OF_OTHERS: tuple[Rule, ...] = (
    {"fault": "drop-request"},
    {"fault": "drop-reply"},
    {"fault": "http-error", "status": 429, "retry_after": 1},
    {"fault": "http-error", "status": 500},
    {"fault": "http-error", "status": 503, "when": "after"},
)
"""What strikes one that looks, opens or copies."""

OTHERS = (
    "* /v1/conversations",
    "* /v1/conversations/*",
    "* /v1/conversations/*/items",
    "GET /v1/responses/*",
)


def rules(share: float, *, seed: int) -> Iterator[Rule]:
    """Give rules by which about that share of all requests is struck."""
    number = 0
    for on, faults in (
        ("POST /v1/responses", OF_TURNS),
        *((others, OF_OTHERS) for others in OTHERS),
        ("POST /v1/conversations/*/items", ({"fault": "late", "seconds": 3},)),
        ("GET /v1/responses/*", ({"fault": "expire-response"},)),
    ):
        for fault in faults:
            number += 1
            probability = share / len(OF_TURNS if faults is OF_TURNS else OF_OTHERS)
            yield {"on": on, **fault, "probability": probability, "seed": seed * 1000 + number}
