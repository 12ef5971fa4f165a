"""Tells who stands behind the tokens of a granted request, once; decides by the policy in force at this moment.

Everything is turned back and decided first; then one transaction marks the grant as spent and records who was told
about whom; only then is anything answered. A process killed in between leaves a spent grant, never a second telling.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import sqlalchemy as sa

from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.recorder import record_in
from consent_gateway.callers.transactions import reading, transaction
from consent_gateway.consent.facts import FactsReader, Known
from consent_gateway.database import to_micros
from consent_gateway.errors import (
    Conflict,
    IdentifierRefused,
    KeysUnavailable,
    OfficerHalted,
    OfficerNotPermitted,
    ProtectionRefused,
    ReidentificationRefused,
)
from consent_gateway.ids import new_id
from consent_gateway.officers.registry import Role, officer_in
from consent_gateway.officers.sessions import SignedIn
from consent_gateway.people.blind_index import BlindIndex
from consent_gateway.policy import Policies, decide
from consent_gateway.ports import Clock
from consent_gateway.protection.reverse import Reversed
from consent_gateway.reidentification.canonical import AskedToken, canonical, commitment, later_entry
from consent_gateway.reidentification.requests import Asked, Payload, Requests, asked_in, not_found
from consent_gateway.reidentification.tables import REIDENTIFICATIONS
from consent_gateway.vocabulary import COMPANY, AccessRequest, Decision, Identifier, JsonValue


class Reverses(Protocol):
    """Turns the text of a token back, under the keys of one purpose and recipient."""

    def reverse(
        self,
        text: str,
        *,
        field: str | None,
        purpose: str,
        recipient: str | None,
        key_id: str | None = None,
        transform: str | None = None,
    ) -> Reversed:
        """What the token stands for. Raises `ProtectionRefused` or `KeysUnavailable` where it stands for nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Told:
    """What one token stands for; both None where nothing may be told, or the token stands for nothing."""

    data_subject: str | None
    value: JsonValue

    def __repr__(self) -> str:
        return "Told(<withheld>)"


@dataclass(frozen=True, slots=True)
class Revealed:
    """The one answer to a grant. With `salt` (hex) its holder can show later which tokens and results were meant."""

    request_id: str
    results: tuple[Told, ...]
    salt: str
    entry_id: str

    def __repr__(self) -> str:
        return f"Revealed(request_id={self.request_id!r})"


class Reveals:
    """Tells, once a request. Safe to share between threads and processes."""

    def __init__(
        self,
        *,
        engine: sa.Engine,
        clock: Clock,
        policies: Policies,
        requests: Requests,
        reverser: Reverses,
        facts: FactsReader,
        indexes: BlindIndex,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._policies = policies
        self._requests = requests
        self._reverser = reverser
        self._facts = facts
        self._indexes = indexes

    def reveal(self, officer: SignedIn, request_id: str) -> Revealed:
        """Tell the requester what the tokens stand for.

        Raises `NotFound` to everybody else, `Conflict` for a grant that is not there, spent or over, `OfficerHalted`,
        and `ReidentificationRefused`, which spends the grant too, where nothing may be told of any token.
        """
        now = self._clock.now()
        with reading(self._engine) as connection:
            asked = asked_in(connection, request_id, now)
        asked = _granted(asked, officer)
        payload = self._requests.payload(asked)
        if payload is None:
            raise Conflict("the grant is over: make a new request")
        found = [self._told(one, asked, officer, now) for one in payload.tokens]
        results = tuple(told for told, _entry in found)
        entry = self._spend(asked, officer, payload, results, tuple(entry for _told, entry in found if entry))
        if entry.outcome != "told":
            raise ReidentificationRefused(
                "nothing may be told: the tokens stand for nothing under this purpose and recipient, or their people's "
                "choices close it; the grant is spent"
            )
        return Revealed(request_id, results, payload.salt.hex(), entry.entry_id)

    def _spend(
        self, asked: Asked, officer: SignedIn, payload: Payload, results: tuple[Told, ...], each: tuple[Entry, ...]
    ) -> Entry:
        """Mark the grant as spent and record it: of any number of processes at once exactly one gets past here."""
        now = self._clock.now()
        any_told = any(one.data_subject is not None for one in results)
        said = canonical([[one.data_subject, one.value] for one in results])
        outcome = "told" if any_told else "refused"
        detail = {"result_sha256": commitment(payload.salt, "result", said), "tokens": str(len(results))}
        entry = later_entry("reveal", asked.canonical, officer.officer_id, now, outcome, **detail)
        with transaction(self._engine) as connection:
            present = officer_in(connection, officer.officer_id, held=True)
            if present is None or Role.REIDENTIFY not in present.roles:
                raise OfficerNotPermitted("you do not hold the role `reidentify` any more")
            if present.alarm_at is not None:
                raise OfficerHalted("you are halted after too many requests in an hour: an operator clears the alarm")
            spent = connection.execute(
                sa.update(REIDENTIFICATIONS)
                .where(
                    REIDENTIFICATIONS.c.request_id == asked.request_id,
                    REIDENTIFICATIONS.c.state == "approved",
                    REIDENTIFICATIONS.c.until > to_micros(now),
                )
                .values(state=outcome, sealed=None, ended_at=to_micros(now))
            )
            if spent.rowcount != 1:
                raise Conflict("the grant is spent or over: make a new request")
            for one in (*each, entry):
                record_in(connection, one)
        return entry

    def _told(self, one: AskedToken, asked: Asked, officer: SignedIn, now: datetime) -> tuple[Told, Entry | None]:
        """What one token stands for, with the entry about its person; nothing where anything is in doubt."""
        purpose, named = asked.members["purpose"], asked.members["recipient"]
        recipient = None if named == COMPANY else named
        terms = self._policies.documents.reidentification.on(now.date())
        try:
            turned = self._reverser.reverse(
                one.text,
                field=one.field,
                purpose=purpose,
                recipient=recipient,
                key_id=one.key_id,
                transform=one.transform,
            )
            known = self._person(turned, one.field)
        except (ProtectionRefused, KeysUnavailable, IdentifierRefused):
            return Told(None, None), None
        if known is None or terms is None:
            return Told(None, None), None
        request = AccessRequest(
            client_id=officer.officer_id,
            channel=terms.channel,
            purpose=purpose,
            fields=tuple(self._policies.catalogue.fields) if one.field is None else (one.field,),
            time=now,
            recipient=recipient,
        )
        decision = decide(self._policies.rulebook, request, known.facts)
        entry = _decided_entry(asked, officer, known, decision, now)
        if not decision.open_fields:
            return Told(None, None), entry
        return Told(known.data_subject, turned.value), entry

    def _person(self, turned: Reversed, field: str | None) -> Known | None:
        """Whose token it is: by its own word, or as the one holder of the identifier it stands for."""
        if turned.data_subject is not None:
            return self._facts.by_id(turned.data_subject)
        column = None if field is None else self._policies.catalogue.fields.get(field)
        if column is None or column.identity is None or not isinstance(turned.value, str):
            return None  # nobody's choices can be asked about
        identifier = Identifier(column.identity, turned.value)
        return self._indexes.found(
            lambda: self._indexes.every(identifier), lambda at: self._facts.holder(at.kind, at.values)
        )


def _granted(asked: Asked | None, officer: SignedIn) -> Asked:
    if asked is None or asked.requester != officer.officer_id:
        raise not_found()
    if asked.state == "open":
        raise Conflict("the request is not approved yet: it waits for its signature")
    if asked.state != "approved":
        raise Conflict(f"the request is {asked.state}: make a new one")
    return asked


def _decided_entry(asked: Asked, officer: SignedIn, known: Known, decision: Decision, now: datetime) -> Entry:
    """The entry by which the person can be told who looked behind their pseudonym, and why."""
    shown = {name: verdict for name, verdict in decision.verdicts.items() if verdict.is_open} or decision.verdicts
    return Entry(
        entry_id=new_id("rie", now),
        kind=EntryKind.REIDENTIFICATION,
        at=now,
        purpose=asked.members["purpose"],
        recipient=asked.members["recipient"],
        action="decide",
        data_subject=known.data_subject,
        fields={name: (one.effect.word, one.reason.value, one.rule) for name, one in shown.items()},
        facts=decision.facts,
        jurisdiction=decision.jurisdiction,
        pack=decision.pack,
        revision=decision.revision,
        consent_event=decision.consent_event,
        outcome="open" if decision.open_fields else "withheld",
        reference=asked.request_id,
        detail={"officer": officer.officer_id},
    )
