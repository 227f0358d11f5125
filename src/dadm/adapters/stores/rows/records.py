"""How audit rows and receipts of erasures are read from rows, alike on both databases."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from dadm.adapters.stores.rows.texts import storable
from dadm.adapters.stores.rows.threads import Row
from dadm.domain.thread import ThreadRef
from dadm.domain.turn import TurnRef
from dadm.ports.audit import AuditAction, AuditEntry
from dadm.ports.backend import ErasureReport
from dadm.ports.erasures import ErasureReceipt

AUDIT_ENTRY = "position, at, thread, turn, action, detail"
RECEIPT = """thread, begun_at, erased_at, turns, conversations, deleted_items, deleted_responses,
    unnamed_responses, unreachable"""


def names_text(names: tuple[str, ...]) -> str:
    """Write ids as they are stored."""
    return json.dumps([storable(name) for name in names])


def report_values(report: ErasureReport) -> tuple[int, int, str]:
    """Give what is stored of a report, in the order of the columns."""
    return report.deleted_items, report.deleted_responses, names_text(report.unreachable)


def audit_entry(row: Row, instant: Callable[[Any], datetime]) -> AuditEntry:
    """Read the columns `AUDIT_ENTRY`."""
    return AuditEntry(
        position=row[0],
        at=instant(row[1]),
        thread=ThreadRef(row[2]),
        turn=None if row[3] is None else TurnRef(row[3]),
        action=AuditAction(row[4]),
        detail=row[5],
    )


def receipt(row: Row, instant: Callable[[Any], datetime]) -> ErasureReceipt:
    """Read the columns `RECEIPT`."""
    return ErasureReceipt(
        thread=ThreadRef(row[0]),
        begun_at=instant(row[1]),
        erased_at=instant(row[2]),
        turns=row[3],
        conversations=row[4],
        deleted_items=row[5],
        deleted_responses=row[6],
        unnamed_responses=row[7],
        unreachable=tuple(json.loads(row[8])),
    )
