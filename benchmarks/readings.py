"""How much of its history a turn reads back."""

from enum import StrEnum

LATEST_TURNS = 10
LATEST_MESSAGES = 2 * LATEST_TURNS


class Reading(StrEnum):
    """What a turn reads besides what it must."""

    NOTHING = "no history"
    """Enough where the backend keeps the conversation."""
    LATEST = f"last {LATEST_TURNS} turns"
    WHOLE = "whole history"
