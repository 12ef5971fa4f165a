"""Processors and other recipients (GDPR Art. 28, 30(1)(d)-(e)): who, where, by which safeguard, what they got; no rule.

A transfer is told as the packs see it: which of them refuse a recipient without a safeguard, by their rules of the kind
`transfer`.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import sqlalchemy as sa

from consent_gateway.callers.tables import CLIENTS
from consent_gateway.propagation.destinations import read_destinations
from consent_gateway.reports.model import Asked, Cell, Report, Row, Table
from consent_gateway.reports.observed import USES, released
from consent_gateway.reports.source import Source, words
from consent_gateway.vocabulary import COMPANY

NAME, TITLE = "recipients", "Recipients and transfers"
_RECIPIENTS = (
    "recipient", "name", "role", "country", "safeguard", "purposes", "clients", "webhooks", "declared", "releases",
    "people", "fields", "first_at_utc", "last_at_utc",
)  # fmt: skip
_TRANSFERS = ("recipient", "country", "safeguard", "pack", "rule", "source", "refused")
_NOTES = (
    "A recipient of the role `processor` needs a contract as of Art. 28(3), which is kept outside the gateway.",
    "`refused` is true where the pack's rule holds against this recipient: it has no safeguard.",
    "Releases are counted from the log, in the period, with decisions that were asked for without data.",
)


@dataclass(slots=True)
class _Got:
    releases: int = 0
    people: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)
    first_at: str | None = None
    last_at: str | None = None


def recipients(source: Source, asked: Asked) -> Report:
    """The report: every recipient that is declared or that the log shows, without the company itself."""
    got, declared = _got(source, asked), source.policies.recipients
    rows = tuple(_rows(source, got))
    transfers = tuple(_transfers(source))
    tables = (
        Table("recipients", "Recipients", _RECIPIENTS, rows),
        Table("transfers", "Transfers that a law asks a safeguard for", _TRANSFERS, transfers),
    )
    figures: dict[str, Cell] = {
        "declared": len(declared),
        "received_something": sum(one.releases > 0 for one in got.values()),
        "undeclared": sum(name not in declared for name in got),
        "without_safeguard": sum(one.safeguard is None for one in declared.values()),
    }
    return source.report(NAME, TITLE, asked, figures, tables, _NOTES)


def _got(source: Source, asked: Asked) -> Mapping[str, _Got]:
    found: dict[str, _Got] = defaultdict(_Got)
    for _index, entry in source.entries(USES, asked):
        open_fields = {name for name, is_open in released(entry) if is_open}
        recipient = str(entry.get("recipient", COMPANY))
        if recipient == COMPANY or not open_fields:
            continue
        one, at = found[recipient], str(entry.get("at"))
        one.releases += 1
        one.fields |= open_fields
        one.people |= {entry["data_subject"]} if entry.get("data_subject") else set()
        one.first_at, one.last_at = min(one.first_at or at, at), max(one.last_at or at, at)
    return found


def _rows(source: Source, got: Mapping[str, _Got]) -> Iterator[Row]:
    declared, clients = source.policies.recipients, _clients(source)
    webhooks: dict[str, int] = defaultdict(int)
    for place in read_destinations(source.connection):
        webhooks[place.audience.recipient] += place.ended_at is None
    for name in sorted(set(declared) | set(got)):
        known, one = declared.get(name), got.get(name, _Got())
        said: Row = (None, None, None, None, "")
        if known is not None:
            said = known.name, known.role.value, known.country, known.safeguard, words(known.purposes)
        registered = (words(clients[name]), webhooks[name], known is not None)
        yield (
            name, *said, *registered, one.releases, len(one.people), words(one.fields), one.first_at, one.last_at,
        )  # fmt: skip


def _clients(source: Source) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    living = sa.select(CLIENTS.c.client_id, CLIENTS.c.recipients).where(CLIENTS.c.revoked_at.is_(None))
    for row in source.connection.execute(living):
        for name in json.loads(row.recipients):
            found[name].append(row.client_id)
    return found


def _transfers(source: Source) -> Iterator[Row]:
    packs = source.policies.documents.packs.values()
    for one in source.policies.recipients.values():
        for pack in packs:
            for rule in pack.rules:
                if rule.kind == "transfer" and pack.in_force(source.now.date()) and rule.in_force(source.now.date()):
                    yield one.key, one.country, one.safeguard, pack.id, rule.id, rule.source, one.safeguard is None
