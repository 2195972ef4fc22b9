"""A simulation as it is handed out: as JSON and as a sheet that a spreadsheet opens."""

import csv
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from docflow.domain.audit import instant
from docflow.services.simulation import Outlook, Totals, WhatIf
from docflow.services.spreadsheet import harmless

COLUMNS = (
    "document_id",
    "number",
    "subject",
    "unit",
    "holder",
    "kind",
    "policy",
    "old_due",
    "new_due",
    "moved_by_hours",
    "breach",
)
BYTE_ORDER_MARK = "\ufeff"
"""By which Excel knows UTF-8."""


class Writable(Protocol):
    def write(self, text: str, /) -> int: ...


def outlook_json(outlook: Outlook) -> dict[str, Any]:
    return {
        "document_id": str(outlook.document_id),
        "number": outlook.number,
        "subject": outlook.subject,
        "unit": outlook.unit,
        "holder": outlook.holder,
        "kind": outlook.kind,
        "policy": outlook.policy,
        "old_due": instant(outlook.old_due),
        "new_due": instant(outlook.new_due),
        "moved_by_seconds": int(outlook.moved_by.total_seconds()),
        "breach": outlook.breach.value if outlook.breach else None,
    }


def totals_json(totals: Totals, what_if: WhatIf) -> dict[str, Any]:
    return {
        "clocks": totals.clocks,
        "changed": totals.changed,
        "breaching": totals.breaching,
        "saved": totals.saved,
        "unchanged": totals.unchanged,
        "breaches": dict(totals.breaches),
        "policies_without_clocks": idle_policies(totals, what_if),
    }


def idle_policies(totals: Totals, what_if: WhatIf) -> list[str]:
    """Policies asked about by which no clock runs: perhaps misspelt."""
    return sorted({policy.name for policy in what_if.policies} - totals.policies)


def write_csv(outlooks: Iterable[Outlook], out: Writable, zone: ZoneInfo) -> None:
    """One line a clock, times as the agency's clocks show them."""
    out.write(BYTE_ORDER_MARK)
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for outlook in outlooks:
        writer.writerow([harmless(cell) for cell in _cells(outlook, zone)])


def _cells(outlook: Outlook, zone: ZoneInfo) -> tuple[Any, ...]:
    return (
        outlook.document_id,
        outlook.number,
        outlook.subject or "",
        outlook.unit,
        outlook.holder,
        outlook.kind,
        outlook.policy,
        local(outlook.old_due, zone),
        local(outlook.new_due, zone),
        round(outlook.moved_by.total_seconds() / 3600, 2),
        outlook.breach or "",
    )


def local(at: datetime, zone: ZoneInfo) -> str:
    return at.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
