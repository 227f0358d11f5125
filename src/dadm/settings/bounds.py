"""The bounds of turn taking, as the settings have them."""

from dadm.application.limits import TurnLimits
from dadm.settings.groups import TurnSettings

LONGEST_MARGIN_SECONDS = 5.0


def turn_limits(given: TurnSettings) -> TurnLimits:
    """Give what turn taking is bounded by."""
    return TurnLimits(
        turn_seconds=given.turn_seconds,
        lease_seconds=given.lease_seconds,
        # Heartbeats come at each third of the lease, so a short one leaves less to spare.
        lease_margin_seconds=min(LONGEST_MARGIN_SECONDS, given.lease_seconds / 4),
        ticket_seconds=given.ticket_seconds,
        concurrent_turns=given.concurrent_turns,
        waiting_turns=given.waiting_turns,
        copied_characters=given.copied_characters,
        patience_seconds=given.patience_seconds,
        failures_in_a_row=given.failures_in_a_row,
        rest_seconds=given.rest_seconds,
        losses_believed=given.losses_believed,
        losses_seconds=given.losses_seconds,
        is_shortened=given.when_too_long == "shorten",
        # Whatever was on its way to a conversation when it was retired must have arrived.
        retired_seconds=given.retired_seconds and max(given.retired_seconds, given.turn_seconds),
    )
