"""What audit rows say about decisions, where memory and SQLite write them."""

from dadm.domain.thread import Generation, GenerationReason
from dadm.ports.audit import AuditAction
from dadm.ports.erasures import ErasureReceipt


def recovered(attempts: int) -> str:
    """Say which attempt it was whose answer was found by looking."""
    return f"attempt {attempts}"


def replacing(generation: Generation) -> AuditAction | None:
    """Say what it is that this conversation becomes live; a thread's first is not worth a row."""
    match generation.reason:
        case GenerationReason.FIRST:
            return None
        case GenerationReason.FENCED:
            return AuditAction.FENCED
        case _:
            return AuditAction.REBUILT


def replaced(before: Generation | None, after: Generation) -> str:
    """Say why one conversation took the place of another, and with how much of it."""
    left = before.conversation_id if before else "none"
    copied = f"{after.copied_messages} messages copied"
    return f"{after.reason}: {left} -> {after.conversation_id}, {copied}"


def erased(receipt: ErasureReceipt) -> str:
    """Say how much was erased, and what was not."""
    return (
        f"{receipt.turns} turns, {receipt.conversations} conversations, "
        f"{len(receipt.unreachable)} ids refused"
    )


def cleared(conversations: int, items: int, responses: int, refused: int) -> str:
    """Say what of a closed thread was deleted at its backends, and what was not."""
    return (
        f"{conversations} conversations, {items} items, {responses} responses, "
        f"{refused} ids refused"
    )
